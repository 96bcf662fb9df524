//! Reload by SIGHUP or over D-Bus: all list files and tables, and what the connection to a shared server needs, or none
//! of them; and the name servers of resolv.conf.

use super::lookups;
use super::notify::Notifier;
use super::scores;
use crate::config::{Diagnostic, Loaded, Settings};
use crate::frontend::bus::ReloadResult;
use crate::service::Gate;

/// Reloads the lists. If there is any error the old lists stay active, and the errors are returned.
pub(super) async fn reload(gate: &Gate, settings: &Settings, notifier: &Notifier) -> ReloadResult {
    notifier.reloading();
    let (files, lookup, asking) = (
        settings.lists.clone(),
        settings.lookup.clone(),
        gate.clone(),
    );
    let read = tokio::task::spawn_blocking(move || {
        // The name servers are read again whatever is wrong with the lists.
        asking.set_lookups(lookups::new(&lookup));
        let mut loaded = files.load();
        loaded
            .table_errors
            .extend(changed_network(&asking, &loaded));
        loaded
    });
    let reloaded = match read.await {
        Ok(loaded) if loaded.errors.is_empty() && loaded.table_errors.is_empty() => {
            report(&loaded);
            let filter = scores::filter(&settings.spam, loaded.conf.as_ref());
            // A message that begins between this and the new lists has the old rules and the new filter: at worst it gets no
            // score, as if spamd did not answer.
            gate.set_spam_filter(filter);
            let params = loaded.conf.map(|conf| conf.params);
            gate.set_lists(loaded.lists, params);
            gate.reload_shared();
            gate.set_list_errors(0);
            Ok(())
        }
        Ok(loaded) => {
            for error in loaded.errors.iter().chain(&loaded.table_errors) {
                log::error!("{error}");
            }
            log::error!(
                "reload failed, keeping the old lists: fix the errors above and reload again"
            );
            let errors = [loaded.errors, loaded.table_errors].concat();
            gate.set_list_errors(errors.len());
            Err(errors)
        }
        Err(error) => {
            let text = format!("reload failed, keeping the old lists: {error}");
            log::error!("{text}");
            Err(vec![Diagnostic::command_line(text)])
        }
    };
    notifier.ready();
    reloaded
}

/// The error when the file of access lists says otherwise than at the start what the network of a client is: every
/// record would be unknown.
fn changed_network(gate: &Gate, loaded: &Loaded) -> Option<Diagnostic> {
    let (before, now) = (gate.rules().params, loaded.conf.as_ref()?.params);
    let is_same = before.ipv4_bits == now.ipv4_bits && before.ipv6_bits == now.ipv6_bits;
    let message = format!(
        "--greylist-conf: subnetmatch and subnetmatch6 cannot change while the daemon runs (from /{} and /{} to /{} \
         and /{}): every record would be unknown; restart the daemon",
        before.ipv4_bits, before.ipv6_bits, now.ipv4_bits, now.ipv6_bits
    );
    (!is_same).then(|| Diagnostic::command_line(message))
}

/// Logs the number of entries in lists that become active, and their warnings.
pub(super) fn report(loaded: &Loaded) {
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let lists = &loaded.lists;
    log::info!(
        "entries in the lists: clients {}, recipients {}, senders {}, S25R exceptions {}, client access {}, \
         recipients to greylist {}, access lists {}",
        lists.clients.entries().len(),
        lists.recipients.entries().len(),
        lists.senders.entries().len(),
        lists.s25r_exceptions.entries().len(),
        lists.access.entries().len(),
        lists.greylist_recipients.entries().len(),
        lists.chain.entries().len()
    );
    if let Some(conf) = loaded
        .conf
        .as_ref()
        .filter(|conf| !conf.defaults.is_empty())
    {
        log::info!("not in the file of access lists: {}", conf.defaults);
    }
}
