//! Why there is no reply yet: what systemd says about the unit of the daemon.
//!
//! A call to a daemon that does not run makes systemd start it, and the bus holds the call for 25 seconds. If the
//! unit fails at each start, the caller gets no message. So stargreyctl queries systemd over the same bus; without
//! systemd the call ends with its own timeout.

use std::fmt;

use zbus::{ObjectPath, OwnedVariant};

use crate::api::{Dict, FromRow};

/// The unit of the daemon.
pub const UNIT: &str = "stargrey.service";

/// Its object path on D-Bus.
pub const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/stargrey_2eservice";

/// The property with the number and the object of the unit's job: 0 without one.
const JOB: &str = "Job";

/// What systemd says about the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// `ActiveState`: `active`, `activating`, `failed` …
    pub active: String,
    /// `SubState`: `start`, `auto-restart`, `failed` …
    pub sub: String,
    /// `Result` of the last run: `success`, `exit-code`, `signal` …
    pub result: String,
    /// `ExecMainStatus`: its exit status, or its signal.
    pub status: u64,
    /// `NRestarts`: how often systemd has started it again.
    pub restarts: u64,
    /// Whether there is a `Job`: systemd is about to start it, or to stop it.
    pub has_job: bool,
}

impl Unit {
    /// Reads the properties of `org.freedesktop.systemd1.Unit` and `.Service`.
    #[must_use]
    pub fn read(unit: &Dict, service: &Dict) -> Self {
        let text = |of: &Dict, key| of.text(key).unwrap_or_default().to_owned();
        Self {
            active: text(unit, "ActiveState"),
            sub: text(unit, "SubState"),
            result: text(service, "Result"),
            status: service.number("ExecMainStatus").unwrap_or_default(),
            restarts: service.number("NRestarts").unwrap_or_default(),
            has_job: unit.get(JOB).is_some_and(is_job),
        }
    }

    /// Whether it fails: systemd has given up and has no job to start it, or it has restarted it since it was `first`
    /// looked at and it has failed again. One failed run is not enough, as the next may succeed.
    #[must_use]
    pub fn is_failing(&self, first: &Self) -> bool {
        match (&*self.active, &*self.sub) {
            // On the way to a restart it is in another state, `failed-before-auto-restart`.
            ("failed", "failed") => !self.has_job,
            ("activating", "auto-restart" | "auto-restart-queued") => {
                self.result != "success" && self.restarts > first.restarts
            }
            _ => false,
        }
    }
}

/// Whether the value of [`JOB`] is a job.
fn is_job(value: &OwnedVariant) -> bool {
    let job: Result<(u32, ObjectPath<'_>), _> = value.downcast_ref();
    job.is_ok_and(|(id, _)| id != 0)
}

impl fmt::Display for Unit {
    /// As `systemctl status` has it: `failed (Result: exit-code, status 78)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match &*self.active {
            "failed" => &self.active,
            _ => &self.sub,
        };
        formatter.write_str(shown)?;
        match &*self.result {
            "success" | "" => {}
            result @ "exit-code" => {
                write!(formatter, " (Result: {result}, status {})", self.status)?;
            }
            result @ ("signal" | "core-dump") => {
                write!(formatter, " (Result: {result}, signal {})", self.status)?;
            }
            result => write!(formatter, " (Result: {result})")?,
        }
        match self.restarts {
            0 => Ok(()),
            1 => formatter.write_str(", restarted once"),
            times => write!(formatter, ", restarted {times} times"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Row;

    fn unit(active: &str, sub: &str, result: &str, status: i32, restarts: u32) -> Unit {
        let unit = with_job(0)
            .with("ActiveState", active)
            .with("SubState", sub);
        let service = Row::new()
            .with("Result", result)
            .with("ExecMainStatus", status)
            .with("NRestarts", restarts);
        Unit::read(&unit.build(), &service.build())
    }

    fn with_job(id: u32) -> Row {
        Row::new().with(JOB, (id, ObjectPath::from_static_str_unchecked("/")))
    }

    #[test]
    fn a_job_has_a_number() {
        for (id, want) in [(0, false), (7, true)] {
            let unit = Unit::read(&with_job(id).build(), &Dict::new());
            assert_eq!(unit.has_job, want, "{id}");
        }
    }

    #[test]
    fn a_unit_fails_when_systemd_has_given_up_or_restarts_it_in_vain() {
        let waited = unit("activating", "auto-restart", "exit-code", 78, 3);
        let cases = [
            (
                unit("failed", "failed", "exit-code", 78, 0),
                true,
                "failed (Result: exit-code, status 78)",
            ),
            (
                Unit {
                    has_job: true,
                    ..unit("failed", "failed", "exit-code", 78, 0)
                },
                false,
                "failed (Result: exit-code, status 78)",
            ),
            (
                unit("failed", "failed-before-auto-restart", "exit-code", 78, 0),
                false,
                "failed (Result: exit-code, status 78)",
            ),
            (
                unit("failed", "failed", "signal", 11, 1),
                true,
                "failed (Result: signal, signal 11), restarted once",
            ),
            (
                unit("failed", "failed", "timeout", 0, 0),
                true,
                "failed (Result: timeout)",
            ),
            (
                unit("activating", "auto-restart", "exit-code", 78, 4),
                true,
                "auto-restart (Result: exit-code, status 78), restarted 4 times",
            ),
            (
                waited.clone(),
                false,
                "auto-restart (Result: exit-code, status 78), restarted 3 times",
            ),
            (
                unit("activating", "auto-restart", "success", 0, 4),
                false,
                "auto-restart, restarted 4 times",
            ),
            (
                unit("activating", "start", "success", 0, 4),
                false,
                "start, restarted 4 times",
            ),
            (unit("active", "running", "success", 0, 0), false, "running"),
            (unit("inactive", "dead", "success", 0, 0), false, "dead"),
        ];
        for (now, want, text) in cases {
            assert_eq!((now.is_failing(&waited), &*now.to_string()), (want, text));
        }
        let nothing = Unit::read(&Dict::new(), &Dict::new());
        assert!(!nothing.is_failing(&waited));
    }
}
