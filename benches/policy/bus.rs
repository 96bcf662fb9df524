//! A private D-Bus for each server that runs chores.

use std::fs;
use std::io;
use std::process::Child;
use std::time::{Duration, Instant};

use stargrey::api::MonitorProxy;

use crate::peers;
use crate::server::Place;

/// How long it may take until the server can be asked over the bus.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to ask it.
const PAUSE: Duration = Duration::from_millis(20);

/// A running dbus-daemon; killed when it is dropped.
pub(crate) struct Bus {
    child: Child,
    /// Where it can be found.
    pub(crate) address: String,
}

impl Bus {
    /// Starts one that has this name in its files; `None` when dbus-daemon is not installed.
    pub(crate) fn start(place: &Place, name: &str) -> io::Result<Option<Self>> {
        let address = format!(
            "unix:path={}",
            place.socket(&format!("{name}.bus")).display()
        );
        let file = place.disk(&format!("{name}.conf"));
        fs::write(&file, configuration(&address))?;
        match peers::start_dbus_daemon(&file, &[]) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            started => Ok(Some(Self {
                child: started?,
                address,
            })),
        }
    }

    /// What the server on it lets anybody know, once there is one.
    pub(crate) async fn monitor(&self) -> io::Result<MonitorProxy<'static>> {
        let building = zbus::connection::Builder::address(self.address.as_str());
        let connection = building.build().await.map_err(io::Error::other)?;
        let monitor = MonitorProxy::new(&connection).await;
        let monitor = monitor.map_err(io::Error::other)?;
        let begun = Instant::now();
        while let Err(error) = waiting(&monitor).await {
            if begun.elapsed() > PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(monitor)
    }
}

/// How many triplets wait.
pub(crate) async fn waiting(monitor: &MonitorProxy<'_>) -> io::Result<u64> {
    monitor.waiting().await.map_err(io::Error::other)
}

impl Drop for Bus {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// Everything is allowed: nobody but this program knows the address.
fn configuration(address: &str) -> String {
    format!(
        r#"<busconfig>
  <listen>{address}</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"#
    )
}
