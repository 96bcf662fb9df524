//! The way to the daemon.

use std::io;
use std::time::Duration;

use zbus::{Connection, connection};

use super::failure::Failure;
use super::view::View;
use crate::api::{ACTIONS, Dict, Error, MANAGER, ManagerProxy, MonitorProxy, NAME, PATH};

/// How long the bus is waited for.
const CONNECTING: Duration = Duration::from_secs(25);

/// How long the daemon is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For what anybody may know, which it has at hand.
    pub monitor: Duration,
    /// For what administrators may do: somebody may have to type a password first, and a copy or a batch of
    /// records takes its time.
    pub manager: Duration,
}

impl Patience {
    /// As long as D-Bus waits by custom, and long enough for anything.
    pub const USUAL: Self = Self {
        monitor: Duration::from_secs(25),
        manager: Duration::from_secs(10 * 60),
    };

    /// For a call of this method.
    fn with(self, method: &str) -> Duration {
        let is_managing = ACTIONS.iter().any(|(_, methods)| methods.contains(&method));
        if is_managing {
            self.manager
        } else {
            self.monitor
        }
    }
}

/// A connection to the bus, and how what comes over it is shown.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    patience: Patience,
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
            view,
        })
    }

    /// What a call of a method is answered.
    ///
    /// # Errors
    ///
    /// What the method refuses, and [`Failure::Silent`] when no answer comes.
    pub async fn ask<T>(
        &self,
        method: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let limit = self.patience.with(method);
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| Failure::refused(method, error)),
            Err(_) => Err(Failure::Silent),
        }
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
