//! The other hosts of the site, as the options name them.

use std::sync::Arc;

use super::failure::Failure;
use crate::config::{Settings, SharedPlace, SharedSettings, StoreSettings, TimeSource};
use crate::control::Control;
use crate::policy::Params;
use crate::shared::{
    Access, Connection, KEY_LENGTH, Me, Pending, Place, Redis, Server, ServerError, Shared, Tls,
};
use crate::store::PrivacyKey;
use crate::types::sync::Mutex;

/// Why a host that has been given another key does not connect.
const NEW_KEY: &str =
    "the key of --shared-secret or privacy.key is another one since a reload: restart stargreyd";

/// A server whose files, the secret among them, are read before it is connected to for the first time, and after each
/// reload. Mail is not delayed by what only the other hosts need: as long as a file cannot be used, connecting fails, and is
/// tried again.
struct FromFiles {
    place: Place,
    options: SharedSettings,
    database: StoreSettings,
    shared: Shared,
    /// The server, and how often there had been a reload when the files were read.
    server: Mutex<Option<(u64, Arc<Redis>)>>,
}

/// What the files say.
struct Files {
    key: [u8; KEY_LENGTH],
    privacy: Option<PrivacyKey>,
    access: Access,
}

impl FromFiles {
    /// The server, when its files can be used.
    fn server(&self) -> Result<Arc<Redis>, ServerError> {
        let reloads = self.shared.reloads();
        let mut server = self.server.lock();
        if let Some((_, server)) = server.as_ref().filter(|(read, _)| *read == reloads) {
            return Ok(Arc::clone(server));
        }
        let Files {
            key,
            privacy,
            access,
        } = match (self.read(), &mut *server) {
            (Ok(files), _) => files,
            (Err(why), Some((read, known))) => {
                log::warn!("--shared: {why}; what was read before the reload goes on to be used");
                *read = reloads;
                return Ok(Arc::clone(known));
            }
            (Err(why), None) => {
                let why = format!("{why}; it is read again every few seconds");
                return Err(ServerError::Other(why));
            }
        };
        if !self.shared.unlock(&key, privacy) {
            return Err(ServerError::Other(NEW_KEY.to_owned()));
        }
        let read = Arc::new(Redis::new(self.place.clone(), access));
        *server = Some((reloads, Arc::clone(&read)));
        Ok(read)
    }

    fn read(&self) -> Result<Files, String> {
        let options = &self.options;
        let secret = options.read_secret().map_err(|error| error.to_string())?;
        let ca = options.read_ca().map_err(|error| error.to_string())?;
        let tls = || ca.map_or_else(Tls::of_system, |ca| Tls::Authorities(Arc::new(ca)));
        let database = &self.database;
        let privacy = (database.privacy).then(|| PrivacyKey::of_database(&database.directory));
        Ok(Files {
            key: secret.key,
            privacy: privacy.transpose().map_err(|error| error.to_string())?,
            access: Access {
                database: options.database,
                user: secret.user,
                password: secret.password,
                tls: options.uses_tls.then(tls),
            },
        })
    }
}

impl Server for FromFiles {
    fn connect(&self) -> Pending<Arc<dyn Connection>> {
        match self.server() {
            Ok(server) => server.connect(),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }

    fn has_moved(&self) -> Pending<bool> {
        match &*self.server.lock() {
            Some((_, server)) => server.has_moved(),
            None => Box::pin(async { Ok(false) }),
        }
    }

    fn address(&self) -> String {
        self.place.to_string()
    }
}

/// Shares the records of the gate and the acts of its administrators, if the options say so.
pub(super) fn start(
    control: &Control,
    settings: &Settings,
    params: &Params,
) -> Result<(), Failure> {
    let Some(options) = &settings.shared else {
        return Ok(());
    };
    let place = match &options.place {
        SharedPlace::Tcp(host, port) => Place::Tcp(host.clone(), *port),
        SharedPlace::Unix(path) => Place::Unix(path.clone()),
        SharedPlace::Sentinel(hosts, name) => Place::Sentinel(hosts.clone(), name.clone()),
    };
    let me = Me {
        name: options.hostname.clone(),
        params: *params,
        compares_clocks: settings.process.time == TimeSource::System,
    };
    let shared = Shared::new(me, place.to_string());
    let server = FromFiles {
        place,
        options: options.clone(),
        database: settings.store.clone(),
        shared: shared.clone(),
        server: Mutex::default(),
    };
    let started = control.share(shared, Box::new(server));
    started.map_err(|source| Failure::System {
        what: "starting threads",
        source,
    })
}
