//! The connection to the bus: had, lost, had again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use zbus::Connection;
use zbus::connection::Builder;

use super::consent::Guarded;
use super::manager::Manager;
use super::monitor::Monitor;
use super::news::News;
use super::{Facts, ReloadSender};
use crate::api::{NAME, PATH};
use crate::control::Control;
use crate::frontend::policy::until_shutdown;

/// How long after a failure the bus is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// How long the bus may take to let the daemon in.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lists that may wait for their signal.
const QUEUE: usize = 16;

/// Serves the object until the daemon ends, whatever becomes of the bus. `look` is when to look for what has changed by
/// itself.
pub async fn serve(
    control: Control,
    facts: Facts,
    reload: ReloadSender,
    look: Arc<Notify>,
    mut shutdown: watch::Receiver<bool>,
) {
    let object = Object {
        control,
        facts,
        reload,
        look,
    };
    tokio::select! {
        () = until_shutdown(&mut shutdown) => {}
        () = object.serve() => {}
    }
}

/// What every connection serves.
struct Object {
    control: Control,
    facts: Facts,
    reload: ReloadSender,
    look: Arc<Notify>,
}

/// What is there while the bus is.
struct Connected {
    /// Calls come in here.
    connection: Connection,
    /// The daemon's own questions go out here.
    asking: Connection,
    news: News,
}

impl Object {
    /// Connects, serves, and begins again.
    async fn serve(&self) {
        let mut is_missed = false;
        loop {
            match self.connect().await {
                Ok(Connected {
                    connection,
                    asking,
                    mut news,
                }) => {
                    if is_missed {
                        log::warn!("D-Bus is back: acquired name {NAME} again");
                    } else {
                        log::info!("D-Bus: acquired name {NAME}");
                    }
                    tokio::select! {
                        () = connection.closed() => {}
                        () = asking.closed() => {}
                        () = news.tell(&connection) => {}
                    }
                    log::warn!(
                        "D-Bus is lost: stargreyctl will not work until it is back; mail is not affected"
                    );
                    is_missed = true;
                }
                Err(error) if !is_missed => {
                    log::warn!(
                        "no D-Bus ({error}): stargreyctl will not work until it is available; mail is not affected"
                    );
                    is_missed = true;
                }
                Err(error) => log::debug!("still no D-Bus: {error}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Connects and takes the name; the object is there before the name is.
    async fn connect(&self) -> Result<Connected, zbus::Error> {
        let (told, changes) = mpsc::channel(QUEUE);
        let asking = within_patience(Builder::system().build()).await?;
        let manager = Manager::new(self.control.clone(), self.reload.clone(), told);
        let manager = Guarded::new(manager, asking.clone());
        let monitor = Monitor::new(self.control.clone(), self.facts);
        let building = Builder::system()
            .serve_at(PATH, monitor)
            .serve_at(PATH, manager)
            .allow_name_replacements(false)
            .replace_existing_names(false)
            .name(NAME)
            .build();
        let connection = within_patience(building).await?;
        Ok(Connected {
            connection,
            asking,
            news: News::new(self.control.gate(), changes, Arc::clone(&self.look)),
        })
    }
}

/// Waits for a connection, but not for ever.
async fn within_patience(
    building: impl Future<Output = Result<Connection, zbus::Error>>,
) -> Result<Connection, zbus::Error> {
    let built = tokio::time::timeout(PATIENCE, building).await;
    built.map_err(|_| zbus::Error::Failure("the bus does not answer".to_owned()))?
}
