//! The way to the daemon.

use zbus::{Connection, connection};

use super::failure::Failure;
use super::view::View;
use crate::api::{Dict, MANAGER, ManagerProxy, MonitorProxy, NAME, PATH};

/// A connection to the bus, and how what comes over it is shown.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// How something is shown.
    pub view: View,
}

impl Session {
    /// Connects to the system bus, or the one that `DBUS_SYSTEM_BUS_ADDRESS` names.
    ///
    /// # Errors
    ///
    /// [`Failure::NoBus`].
    pub async fn begin(view: View) -> Result<Self, Failure> {
        let connection = connection::Builder::system().build().await;
        Ok(Self {
            connection: connection.map_err(Failure::NoBus)?,
            view,
        })
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
        let all = proxy.get_all(name).await;
        all.map_err(|error| bus(error.into()))
    }
}
