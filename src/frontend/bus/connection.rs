//! The connection to the bus: connects, serves, and reconnects after a loss.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use zbus::Connection;
use zbus::connection::Builder;

use super::authorization::Authorizing;
use super::manager::Manager;
use super::monitor::Monitor;
use super::signals::BusSignals;
use super::{MonitorInfo, ReloadSender};
use crate::api::{NAME, PATH};
use crate::control::Control;
use crate::frontend::policy::until_shutdown;

/// Time between a failure and the next attempt to connect.
const RECONNECT_DELAY: Duration = Duration::from_secs(10);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Changed lists that may be queued for their signal.
const MAX_QUEUED_LISTS: usize = 16;

/// Serves the object until the daemon shuts down; reconnects if the bus is lost. `look` says when to look for
/// changes that were not made over D-Bus.
pub async fn serve(
    control: Control,
    info: MonitorInfo,
    reload: ReloadSender,
    look: Arc<Notify>,
    mut shutdown: watch::Receiver<bool>,
) {
    let service = BusService {
        control,
        info,
        reload,
        look,
    };
    tokio::select! {
        () = until_shutdown(&mut shutdown) => {}
        () = service.serve() => {}
    }
}

/// What every connection serves.
struct BusService {
    control: Control,
    info: MonitorInfo,
    reload: ReloadSender,
    look: Arc<Notify>,
}

/// The two connections to the bus, and the sender of signals.
struct BusConnections {
    /// Receives method calls.
    connection: Connection,
    /// For the daemon's own requests.
    outgoing: Connection,
    signals: BusSignals,
}

impl BusService {
    /// Connects, serves, and reconnects.
    async fn serve(&self) {
        let mut is_disconnected = false;
        loop {
            match self.connect().await {
                Ok(BusConnections {
                    connection,
                    outgoing,
                    mut signals,
                }) => {
                    if is_disconnected {
                        log::info!("D-Bus is back: acquired name {NAME} again");
                    } else {
                        log::info!("D-Bus: acquired name {NAME}");
                    }
                    tokio::select! {
                        () = connection.closed() => {}
                        () = outgoing.closed() => {}
                        () = signals.send_all(&connection) => {}
                    }
                    log::warn!(
                        "D-Bus is lost: stargreyctl will not work until it is back; mail is not affected"
                    );
                    is_disconnected = true;
                }
                Err(error) if !is_disconnected => {
                    log::warn!(
                        "no D-Bus ({error}): stargreyctl will not work until it is available; mail is not affected"
                    );
                    is_disconnected = true;
                }
                Err(error) => log::debug!("still no D-Bus: {error}"),
            }
            tokio::time::sleep(RECONNECT_DELAY).await;
        }
    }

    /// Connects and acquires the name; the object is registered before that.
    async fn connect(&self) -> Result<BusConnections, zbus::Error> {
        let (sender, changes) = mpsc::channel(MAX_QUEUED_LISTS);
        let outgoing = with_timeout(Builder::system().build()).await?;
        let manager = Manager::new(self.control.clone(), self.reload.clone(), sender);
        let manager = Authorizing::new(manager, outgoing.clone());
        let monitor = Monitor::new(self.control.clone(), self.info.clone());
        let building = Builder::system()
            .serve_at(PATH, monitor)
            .serve_at(PATH, manager)
            .allow_name_replacements(false)
            .replace_existing_names(false)
            .name(NAME)
            .build();
        let connection = with_timeout(building).await?;
        Ok(BusConnections {
            connection,
            outgoing,
            signals: BusSignals::new(self.control.gate(), changes, Arc::clone(&self.look)),
        })
    }
}

/// Waits for a connection, at most [`CONNECT_TIMEOUT`].
async fn with_timeout(
    building: impl Future<Output = Result<Connection, zbus::Error>>,
) -> Result<Connection, zbus::Error> {
    let built = tokio::time::timeout(CONNECT_TIMEOUT, building).await;
    built.map_err(|_| zbus::Error::Failure("no reply from the bus".to_owned()))?
}
