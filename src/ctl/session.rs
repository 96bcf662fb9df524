//! The way to the daemon.

use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use zbus::{Connection, connection};

use super::failure::Failure;
use super::output::remark;
use super::unit::{UNIT, UNIT_PATH, Unit};
use super::view::View;
use crate::api::{ACTIONS, Dict, Error, MANAGER, ManagerProxy, MonitorProxy, NAME, PATH};

/// How long the bus is waited for.
const CONNECTING: Duration = Duration::from_secs(25);

/// How long systemd is waited for.
const LOOKING: Duration = Duration::from_secs(2);

/// How long the daemon is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For what anybody may know, which it has at hand.
    pub monitor: Duration,
    /// For what administrators may do: somebody may have to type a password first, and a copy or a batch of
    /// records takes its time.
    pub manager: Duration,
    /// Before it is said that, and what is waited for; and from one look at the unit to the next.
    pub silence: Duration,
}

impl Patience {
    /// As long as D-Bus waits by custom, and long enough for anything.
    pub const USUAL: Self = Self {
        monitor: Duration::from_secs(25),
        manager: Duration::from_secs(10 * 60),
        silence: Duration::from_secs(1),
    };

    /// For a call of this method.
    fn with(self, method: &str) -> Duration {
        if is_managing(method) {
            self.manager
        } else {
            self.monitor
        }
    }
}

/// Whether polkit may be asked about a method.
fn is_managing(method: &str) -> bool {
    ACTIONS.iter().any(|(_, methods)| methods.contains(&method))
}

/// A connection to the bus, and how what comes over it is shown.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    patience: Patience,
    /// Whether it has been said that this waits.
    has_remarked: AtomicBool,
    /// How something is shown.
    pub view: View,
}

impl Session {
    /// Connects to a bus.
    ///
    /// # Errors
    ///
    /// [`Failure::NoBus`].
    pub async fn begin(
        bus: connection::Builder<'_>,
        patience: Patience,
        view: View,
    ) -> Result<Self, Failure> {
        let connection = match tokio::time::timeout(CONNECTING, bus.build()).await {
            Ok(connection) => connection.map_err(Failure::NoBus)?,
            Err(_) => {
                return Err(Failure::NoBus(
                    io::Error::from(io::ErrorKind::TimedOut).into(),
                ));
            }
        };
        Ok(Self {
            connection,
            patience,
            has_remarked: AtomicBool::new(false),
            view,
        })
    }

    /// What a call of a method is answered.
    ///
    /// # Errors
    ///
    /// What the method refuses, [`Failure::Failing`] when systemd starts the daemon in vain, and
    /// [`Failure::Silent`] when no answer comes.
    pub async fn ask<T>(
        &self,
        method: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let limit = self.patience.with(method);
        tokio::select! {
            biased;
            answer = tokio::time::timeout(limit, call) => match answer {
                Ok(answer) => answer.map_err(|error| Failure::refused(method, error)),
                Err(_) => Err(Failure::Silent),
            },
            Err(failure) = self.watch(method) => Err(failure),
        }
    }

    /// Says what is waited for, once, and looks at the unit until it fails.
    async fn watch(&self, method: &str) -> Result<Infallible, Failure> {
        let mut first: Option<Unit> = None;
        loop {
            tokio::time::sleep(self.patience.silence).await;
            let is_there = self.has_daemon().await;
            let unit = if is_there { None } else { self.unit().await };
            if !self.has_remarked.swap(true, Ordering::Relaxed) {
                let awaited = awaited(method, is_there, unit.as_ref());
                // On a terminal, the line of an import's progress may be there.
                let cleared = if io::stderr().is_terminal() {
                    "\r\x1b[K"
                } else {
                    ""
                };
                remark(&format!("{cleared}stargreyctl: waiting for {awaited}\n"));
            }
            let Some(unit) = unit else { continue };
            if unit.is_failing(first.get_or_insert_with(|| unit.clone())) {
                return Err(Failure::Failing(unit));
            }
        }
    }

    /// Whether somebody has the name of the daemon, which is not started for this.
    pub async fn has_daemon(&self) -> bool {
        let asked = async {
            let bus = zbus::fdo::DBusProxy::new(&self.connection).await?;
            bus.name_has_owner(zbus::names::BusName::try_from(NAME)?)
                .await
                .map_err(zbus::Error::from)
        };
        let asked = tokio::time::timeout(LOOKING, asked).await;
        matches!(asked, Ok(Ok(true)))
    }

    /// What systemd says about the unit of the daemon, if there is a systemd.
    async fn unit(&self) -> Option<Unit> {
        let asked = async {
            let proxy = zbus::fdo::PropertiesProxy::builder(&self.connection)
                .destination("org.freedesktop.systemd1")
                .path(UNIT_PATH)
                .build()
                .await?;
            let of = zbus::names::InterfaceName::from_static_str;
            let unit = proxy.get_all(of("org.freedesktop.systemd1.Unit")?).await?;
            let service = of("org.freedesktop.systemd1.Service")?;
            let service = proxy.get_all(service).await?;
            Ok::<_, zbus::Error>(Unit::read(&unit, &service))
        };
        tokio::time::timeout(LOOKING, asked).await.ok()?.ok()
    }

    /// What anybody may know.
    ///
    /// # Errors
    ///
    /// As the bus has them.
    pub async fn monitor(&self) -> Result<MonitorProxy<'_>, Failure> {
        let proxy = MonitorProxy::builder(&self.connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await;
        proxy.map_err(|error| Failure::bus("", error))
    }

    /// What administrators may do.
    ///
    /// # Errors
    ///
    /// As the bus has them.
    pub async fn manager(&self) -> Result<ManagerProxy<'_>, Failure> {
        let proxy = ManagerProxy::builder(&self.connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await;
        proxy.map_err(|error| Failure::bus(MANAGER, error))
    }

    /// All properties of an interface, under the names that the bus has for them.
    ///
    /// # Errors
    ///
    /// As the bus has them.
    pub async fn properties(&self, interface: &'static str) -> Result<Dict, Failure> {
        let bus = |error| Failure::bus("", error);
        let proxy = zbus::fdo::PropertiesProxy::builder(&self.connection)
            .destination(NAME)
            .path(PATH)
            .build()
            .await
            .map_err(bus)?;
        let name = zbus::names::InterfaceName::from_static_str(interface);
        let name = name.map_err(|error| Failure::Answer(error.to_string()))?;
        let all = async {
            proxy
                .get_all(name)
                .await
                .map_err(|error| Error::ZBus(error.into()))
        };
        self.ask("GetAll", all).await
    }
}

/// What a call of a method waits for.
fn awaited(method: &str, is_there: bool, unit: Option<&Unit>) -> String {
    match (is_there, unit) {
        (true, _) if is_managing(method) => {
            "the reply of stargreyd, which may be waiting for polkit".to_owned()
        }
        (true, _) => "the reply of stargreyd".to_owned(),
        (false, Some(unit)) => format!("{UNIT} to start: {unit}"),
        (false, None) => "stargreyd to start".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_is_waited_for() {
        let unit = Unit {
            active: "activating".to_owned(),
            sub: "start".to_owned(),
            result: "success".to_owned(),
            status: 0,
            restarts: 0,
            has_job: false,
        };
        let cases = [
            (
                "Reload",
                true,
                None,
                "the reply of stargreyd, which may be waiting for polkit",
            ),
            ("GetAll", true, None, "the reply of stargreyd"),
            (
                "Reload",
                false,
                Some(&unit),
                "stargrey.service to start: start",
            ),
            ("GetAll", false, None, "stargreyd to start"),
        ];
        for (method, is_there, unit, want) in cases {
            assert_eq!(awaited(method, is_there, unit), want);
        }
    }
}
