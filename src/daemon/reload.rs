//! SIGHUP, or a word over D-Bus: every list file is read again, all or nothing, and the name servers of resolv.conf.

use super::notify::Notifier;
use crate::config::{Diagnostic, Loaded, Settings};
use crate::frontend::bus::Reloaded;
use crate::service::Gate;

/// Reads the lists again. A set with anything wrong in it is refused and the old one stays in force. Yields why it
/// was refused.
pub(super) async fn reload(gate: &Gate, settings: &Settings, notifier: &Notifier) -> Reloaded {
    notifier.reloading();
    let files = settings.lists.clone();
    let reloaded = match tokio::task::spawn_blocking(move || files.load()).await {
        Ok(loaded) if loaded.errors.is_empty() && loaded.table_errors.is_empty() => {
            report(&loaded);
            gate.set_lists(loaded.lists);
            gate.set_list_errors(0);
            gate.set_lookups(super::lookups::new(&settings.lookup));
            Ok(())
        }
        Ok(loaded) => {
            for error in loaded.errors.iter().chain(&loaded.table_errors) {
                log::error!("{error}");
            }
            log::error!(
                "reload failed, keeping the old lists: fix the errors above and reload again"
            );
            Err([loaded.errors, loaded.table_errors].concat())
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

/// Says what is in the lists that come into force, and what is odd about them.
pub(super) fn report(loaded: &Loaded) {
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let lists = &loaded.lists;
    log::info!(
        "entries in the lists: clients {}, recipients {}, senders {}, S25R exceptions {}, client access {}, \
         recipients to greylist {}",
        lists.clients.entries().len(),
        lists.recipients.entries().len(),
        lists.senders.entries().len(),
        lists.s25r_exceptions.entries().len(),
        lists.access.entries().len(),
        lists.greylist_recipients.entries().len()
    );
}
