//! The progress line of an import on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use super::clock;
use super::output::remark;
use crate::types::counted;

/// Columns of the bar.
const BAR: u64 = 20;

/// The progress of an import.
#[derive(Debug)]
pub struct Progress {
    total: Option<u64>,
    begun: Duration,
    is_shown: bool,
}

impl Progress {
    /// Starts the line, with the total number of records if known. Shown only on a terminal.
    #[must_use]
    pub fn begin(total: Option<u64>) -> Self {
        Self {
            total,
            begun: clock::steady(),
            is_shown: std::io::stderr().is_terminal(),
        }
    }

    /// Shows the number of records done.
    pub fn show(&self, done: u64) {
        if self.is_shown {
            let spent = clock::steady().saturating_sub(self.begun);
            remark(&format!("\r{}\x1b[K", line(done, self.total, spent)));
        }
    }
}

impl Drop for Progress {
    /// Erases the line.
    fn drop(&mut self) {
        if self.is_shown {
            remark("\r\x1b[K");
        }
    }
}

/// The line.
fn line(done: u64, total: Option<u64>, spent: Duration) -> String {
    let milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = done.saturating_mul(1000) / milliseconds;
    let Some(total) = total else {
        return format!("{}, {rate}/s", counted(done, "record", "records"));
    };
    let part = |of: u64| done.min(total).saturating_mul(of) / total.max(1);
    let filled = part(BAR);
    let bar: String = (0..BAR)
        .map(|at| if at < filled { '#' } else { '.' })
        .collect();
    format!(
        "[{bar}] {:3}%  {done} of {}, {rate}/s",
        part(100),
        counted(total, "record", "records")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let second = Duration::from_secs(1);
        let cases = [
            (
                0,
                Some(10),
                Duration::ZERO,
                "[....................]   0%  0 of 10 records, 0/s",
            ),
            (
                5,
                Some(10),
                second,
                "[##########..........]  50%  5 of 10 records, 5/s",
            ),
            (
                10,
                Some(10),
                second * 4,
                "[####################] 100%  10 of 10 records, 2/s",
            ),
            (
                0,
                Some(0),
                second,
                "[....................]   0%  0 of 0 records, 0/s",
            ),
            (7000, None, second * 2, "7000 records, 3500/s"),
        ];
        for (done, total, spent, want) in cases {
            assert_eq!(line(done, total, spent), want);
        }
    }
}
