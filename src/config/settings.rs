//! The settings: each module of this room reads its part from the options, and [`Settings`] combines them. Built once,
//! valid from then on.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::environment::Environment;
use super::lists::ListFiles;
use super::logging::{self, LogSettings};
use super::lookup::{self, LookupSettings};
use super::options::Options;
use super::process::{self, ProcessSettings};
use super::replay::{self, ReplaySettings};
use super::shared::{self, SharedSettings};
use super::sockets::{self, SocketSettings};
use super::spam::{self, SpamSettings};
use super::store::{self, StoreSettings};
use super::{params, texts};
use crate::policy::{Params, Texts};
use crate::types::Prefix;

/// All settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sockets and their connections.
    pub sockets: SocketSettings,
    /// The database.
    pub store: StoreSettings,
    /// The parameters of the policy core.
    pub params: Params,
    /// Networks of one's own, whose clients never wait.
    pub own_networks: Arc<[Prefix]>,
    /// The wording of replies.
    pub texts: Texts,
    /// The list files.
    pub lists: ListFiles,
    /// DNS lookups.
    pub lookup: LookupSettings,
    /// The records shared with other hosts, if any are.
    pub shared: Option<SharedSettings>,
    /// Where the score of a message comes from.
    pub spam: SpamSettings,
    /// The log.
    pub log: LogSettings,
    /// The user and the clock.
    pub process: ProcessSettings,
    /// The replay of a log, instead of a daemon.
    pub replay: Option<ReplaySettings>,
    /// Options that are ignored, without effect or risky: to be logged once.
    pub warnings: Vec<Diagnostic>,
}

impl Settings {
    /// Reads the settings from the options.
    ///
    /// # Errors
    ///
    /// All errors, not only the first.
    pub fn new(options: &Options, environment: &Environment) -> Result<Self, Vec<Diagnostic>> {
        let mut found = Diagnostics::default();
        report_unsupported(options, &mut found);
        let params = params::read(options, &mut found);
        let own_networks = params::own_networks(options, &mut found);
        let lookup = lookup::read(options, &mut found);
        let texts = texts::read(options, environment, &mut found);
        let sockets = sockets::read(options, &mut found);
        let store = store::read(options, environment, &mut found);
        let has_milter = environment.has_milter_socket || !options.milter.is_empty();
        let spam = spam::read(options, has_milter, &mut found);
        let lists = ListFiles::new(options, environment.has_milter_socket, &mut found);
        let shared = shared::read(options, environment, &mut found);
        let log = logging::read(options, &mut found);
        let process = process::read(options, environment, &mut found);
        let replay = replay::read(options, &mut found);
        let Some(texts) = texts.filter(|_| found.errors.is_empty()) else {
            return Err(found.errors);
        };
        params::warn_of_ineffective(options, &params, &mut found);
        params::warn_of_milter(&params, has_milter, &mut found);
        lookup::warn_of_ineffective(options, &lookup, &params, &mut found);
        Ok(Self {
            sockets,
            store,
            params,
            own_networks,
            texts,
            lists,
            lookup,
            shared,
            spam,
            log,
            process,
            replay,
            warnings: found.warnings,
        })
    }
}

/// Reports options of Postgrey that are refused, or accepted without effect.
fn report_unsupported(options: &Options, found: &mut Diagnostics) {
    if options.no_action {
        found.error(
            "--no-action",
            "is not supported; for a dry run put warn_if_reject before check_policy_service in main.cf",
        );
    }
    if options.daemonize {
        found.warn(
            "--daemonize",
            "has no effect: systemd runs the daemon in the background; ignoring",
        );
    }
    if options.pidfile.is_some() {
        found.warn(
            "--pidfile",
            "has no effect: systemd knows the process; ignoring",
        );
    }
    if options.lookup_by_subnet {
        found.warn("--lookup-by-subnet", "is the default; ignoring");
    }
}

#[cfg(test)]
mod tests;
