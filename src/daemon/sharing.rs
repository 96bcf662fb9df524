//! The other hosts of the site, as the options name them.

use super::failure::Failure;
use crate::config::{Settings, SharedPlace, TimeSource};
use crate::control::Control;
use crate::policy::Params;
use crate::shared::{Me, Place, Redis, Server, Shared};

/// Shares the records of the gate and the acts of its administrators, if the options say so.
pub(super) fn start(
    control: &Control,
    settings: &Settings,
    params: &Params,
) -> Result<(), Failure> {
    let Some(options) = &settings.shared else {
        return Ok(());
    };
    let secret = options.read_secret();
    let secret = secret.map_err(|error| Failure::Wrong(vec![error]))?;
    let place = match &options.place {
        SharedPlace::Tcp(host, port) => Place::Tcp(host.clone(), *port),
        SharedPlace::Unix(path) => Place::Unix(path.clone()),
    };
    let (user, password) = (secret.user.as_deref(), secret.password.as_deref());
    let server = Redis::new(place, options.database, user, password);
    let server: Box<dyn Server> = Box::new(server.map_err(|error| {
        let error = crate::config::Diagnostic::option("--shared", error);
        Failure::Wrong(vec![error])
    })?);
    let me = Me {
        name: options.hostname.clone(),
        params: *params,
        compares_clocks: settings.process.time == TimeSource::System,
    };
    let shared = Shared::new(&secret.key, me, server.as_ref());
    let started = control.share(shared, server);
    started.map_err(|source| Failure::System {
        what: "starting threads",
        source,
    })
}
