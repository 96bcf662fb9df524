//! The D-Bus session with the daemon.

use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use zbus::proxy::MethodFlags;
use zbus::{Connection, connection};

use super::failure::Failure;
use super::output::remark;
use super::unit::{UNIT, UNIT_PATH, Unit};
use super::view::View;
use crate::api::{ACTIONS, Dict, Error, MANAGER, MONITOR, ManagerProxy, MonitorProxy, NAME, PATH};

/// How long connecting to the bus may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(25);

/// How long the state of the daemon and its unit may take.
const STATE_TIMEOUT: Duration = Duration::from_secs(2);

/// A call with this flag starts no daemon.
const NO_AUTO_START: MethodFlags = MethodFlags::NO_AUTO_START;

/// Timeouts of calls to the daemon.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For calls of the Monitor, which the daemon replies to at once.
    pub monitor: Duration,
    /// For calls of the Manager: the user may have to type a password first, and a backup or a batch of records takes
    /// time.
    pub manager: Duration,
    /// Until a message says what the call waits for; and between two checks of the unit.
    pub silence: Duration,
}

impl Timeouts {
    /// The usual timeout of D-Bus, and one that is long enough for every method of the Manager.
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

/// A connection to the bus, and how replies are shown.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    timeouts: Timeouts,
    /// Whether the message about waiting has been printed.
    has_remarked: AtomicBool,
    /// How replies are shown.
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
        timeouts: Timeouts,
        view: View,
    ) -> Result<Self, Failure> {
        let connection = match tokio::time::timeout(CONNECT_TIMEOUT, bus.build()).await {
            Ok(connection) => connection.map_err(Failure::NoBus)?,
            Err(_) => {
                return Err(Failure::NoBus(
                    io::Error::from(io::ErrorKind::TimedOut).into(),
                ));
            }
        };
        Ok(Self {
            connection,
            timeouts,
            has_remarked: AtomicBool::new(false),
            view,
        })
    }

    /// Waits for the reply to a method call.
    ///
    /// # Errors
    ///
    /// The method's error, [`Failure::Failing`] if systemd cannot start the daemon, and [`Failure::Silent`] if the
    /// daemon does not reply.
    pub async fn ask<T>(
        &self,
        method: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let limit = self.timeouts.with(method);
        tokio::select! {
            biased;
            answer = tokio::time::timeout(limit, call) => match answer {
                Ok(answer) => answer.map_err(|error| Failure::refused(method, error)),
                Err(_) => Err(Failure::Silent),
            },
            Err(failure) = self.watch(method) => Err(failure),
        }
    }

    /// Prints once what the call waits for, and checks the unit until it fails.
    async fn watch(&self, method: &str) -> Result<Infallible, Failure> {
        let mut first: Option<Unit> = None;
        loop {
            tokio::time::sleep(self.timeouts.silence).await;
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

    /// Whether the daemon's bus name has an owner; does not start the daemon.
    pub async fn has_daemon(&self) -> bool {
        let asked = async {
            let bus = zbus::fdo::DBusProxy::new(&self.connection).await?;
            bus.name_has_owner(zbus::names::BusName::try_from(NAME)?)
                .await
                .map_err(zbus::Error::from)
        };
        let asked = tokio::time::timeout(STATE_TIMEOUT, asked).await;
        matches!(asked, Ok(Ok(true)))
    }

    /// The state of the daemon's unit, if there is a systemd.
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
        tokio::time::timeout(STATE_TIMEOUT, asked).await.ok()?.ok()
    }

    /// The properties of the Monitor and the counters, from a daemon that runs: none is started.
    ///
    /// # Errors
    ///
    /// [`Failure::NoDaemon`] if none runs, and the errors of the bus.
    pub async fn peek(&self) -> Result<(Dict, Dict), Failure> {
        const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
        let proxy = async |interface| {
            zbus::Proxy::new(&self.connection, NAME, PATH, interface)
                .await
                .map_err(bus_failure)
        };
        let properties = proxy(PROPERTIES).await?;
        let properties = properties.call_with_flags("GetAll", NO_AUTO_START, &(MONITOR,));
        let refused = |error| Failure::refused("", Error::from(error));
        let properties = properties.await.map_err(refused)?;
        let statistics = proxy(MONITOR).await?;
        let statistics = statistics.call_with_flags("GetStatistics", NO_AUTO_START, &());
        let statistics = statistics.await.map_err(refused)?;
        // Only a call without a reply has none.
        Ok((
            properties.unwrap_or_default(),
            statistics.unwrap_or_default(),
        ))
    }

    /// The Monitor, open to everybody.
    ///
    /// # Errors
    ///
    /// The errors of the bus.
    pub async fn monitor(&self) -> Result<MonitorProxy<'_>, Failure> {
        let proxy = MonitorProxy::builder(&self.connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await;
        proxy.map_err(bus_failure)
    }

    /// The Manager, for administrators.
    ///
    /// # Errors
    ///
    /// The errors of the bus.
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
    /// The errors of the bus.
    pub async fn properties(&self, interface: &'static str) -> Result<Dict, Failure> {
        let proxy = zbus::fdo::PropertiesProxy::builder(&self.connection)
            .destination(NAME)
            .path(PATH)
            .build()
            .await
            .map_err(bus_failure)?;
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

/// The error of a call of the Monitor.
fn bus_failure(error: zbus::Error) -> Failure {
    Failure::bus("", error)
}

/// What a method call waits for.
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
