//! The other hosts of the site, as the options name them.

use std::sync::Arc;

use super::failure::Failure;
use crate::config::{Settings, SharedPlace, TimeSource};
use crate::control::Control;
use crate::policy::Params;
use crate::shared::{
    Access, Connection, KEY_LENGTH, Me, Pending, Place, Redis, Server, ServerError, Shared, Tls,
};
use crate::store::PrivacyKey;

/// The key of a site that is never connected to.
const NO_KEY: [u8; KEY_LENGTH] = [0; KEY_LENGTH];

/// A server that is not connected to, because a file that it needs cannot be used.
struct Unusable {
    place: Place,
    why: String,
}

impl Server for Unusable {
    fn connect(&self) -> Pending<Arc<dyn Connection>> {
        let error = ServerError::Other(self.why.clone());
        Box::pin(async move { Err(error) })
    }

    fn has_moved(&self) -> Pending<bool> {
        Box::pin(async { Ok(false) })
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
    let files = options.read_secret().and_then(|secret| {
        let ca = options.read_ca()?;
        let tls = ca.map_or(Tls::System, |authorities| {
            Tls::Authorities(Arc::new(authorities))
        });
        Ok((secret, options.uses_tls.then_some(tls)))
    });
    let database = &settings.store;
    let privacy = (database.privacy).then(|| PrivacyKey::of_database(&database.directory));
    let (privacy, missing) = match privacy.transpose() {
        Ok(privacy) => (privacy, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let server = missing.map_or_else(|| files.map_err(|error| error.to_string()), Err);
    let server = server.map(|(secret, tls)| {
        let access = Access {
            database: options.database,
            user: secret.user,
            password: secret.password,
            tls,
        };
        (secret.key, Redis::new(place.clone(), access))
    });
    let (key, server): (_, Box<dyn Server>) = match server {
        Ok((key, server)) => (key, Box::new(server)),
        // Mail is not delayed by what only the other hosts need; what administrators do waits in the database.
        Err(error) => {
            let why = format!("{error}; mend that and restart stargreyd");
            (NO_KEY, Box::new(Unusable { place, why }))
        }
    };
    let me = Me {
        name: options.hostname.clone(),
        params: *params,
        compares_clocks: settings.process.time == TimeSource::System,
    };
    let shared = Shared::new(&key, me, server.as_ref(), privacy);
    let started = control.share(shared, server);
    started.map_err(|source| Failure::System {
        what: "starting threads",
        source,
    })
}
