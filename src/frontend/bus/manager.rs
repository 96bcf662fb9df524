//! The interface for administrators. Its callers are authorized (see [`authorization`](super::authorization)). Each
//! change is logged with its caller.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use zbus::Fd;

use super::authorization::AuthorizedCaller;
use super::error::invalid;
use super::request_attributes::RequestAttributes;
use super::wire_types::{BoundedAttributes, BoundedCursor, BoundedDict, BoundedRows};
use super::{ReloadSender, arguments, entries, explanations, files, rows};
use crate::api::{CHANGED, Dict, Error, NEW, RECIPIENT, Row, SENDER, UNCHANGED};
use crate::control::{Control, Filter};
use crate::frontend::policy::attempt;
use crate::policy::ListName;
use crate::types::{Span, counted};

/// Most errors of a refused reload that are sent to the caller.
const MAX_DIAGNOSTICS: usize = 1000;

/// Most messages that are explained at once.
const MAX_MESSAGES: usize = 4;

/// The interface.
pub(super) struct Manager {
    control: Control,
    reload: ReloadSender,
    changed: mpsc::Sender<ListName>,
    /// One permit for each message that is explained.
    reading: Semaphore,
}

impl Manager {
    /// The interface to `control`; the lists that it changes are sent to `changed`.
    pub(super) fn new(
        control: Control,
        reload: ReloadSender,
        changed: mpsc::Sender<ListName>,
    ) -> Self {
        Self {
            control,
            reload,
            changed,
            reading: Semaphore::new(MAX_MESSAGES),
        }
    }

    /// Sends the D-Bus signal for a changed list.
    async fn signal_change(&self, list: ListName) {
        if self.changed.send(list).await.is_err() {
            log::debug!("the task that sends D-Bus signals has ended");
        }
    }

    /// A page of records.
    async fn page(
        &self,
        filter: Filter,
        all_kinds: bool,
        after: BoundedCursor,
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error> {
        let limit = arguments::limit(limit)?;
        let page = self.control.page(filter, all_kinds, after.0, limit).await?;
        let rows = page.rows.iter().map(|row| {
            // An export has only what is stored.
            let client = (!all_kinds)
                .then(|| self.control.last_client(row))
                .flatten();
            match client {
                Some(client) => rows::with_last_client(row, &client),
                None => rows::from_record(row),
            }
        });
        Ok((rows.collect(), page.next.unwrap_or_default()))
    }
}

#[zbus::interface(name = "org.stargrey.Greylist1.Manager", introspection_docs = false)]
impl Manager {
    async fn add_entry(
        &self,
        list: &str,
        pattern: &str,
        comment: &str,
        lifetime: u64,
    ) -> Result<(), Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let list = arguments::list(list)?;
        let lifetime = (lifetime > 0).then(|| Span::from_seconds(lifetime));
        let adding = self.control.add_entry(list, pattern, comment, lifetime);
        adding.await?;
        log::info!("{caller} has added {pattern:?} to {}", list.word());
        self.signal_change(list).await;
        Ok(())
    }

    #[zbus(out_args("entry"))]
    async fn put_entry(
        &self,
        list: &str,
        pattern: &str,
        changes: BoundedDict,
    ) -> Result<Dict, Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let list = arguments::list(list)?;
        let (comment, lifetime) = arguments::entry_changes(&changes.0)?;
        let put = self
            .control
            .put_entry(list, pattern, comment, lifetime)
            .await?;
        match put.before {
            None => log::info!("{caller} has added {pattern:?} to {}", list.word()),
            Some(_) => log::info!("{caller} has changed {pattern:?} in {}", list.word()),
        }
        self.signal_change(list).await;
        Ok(entries::from_put(&put))
    }

    async fn remove_entry(&self, list: &str, pattern: &str) -> Result<(), Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let list = arguments::list(list)?;
        let removing = self.control.remove_entry(list, pattern);
        removing.await?;
        log::info!("{caller} has removed {pattern:?} from {}", list.word());
        self.signal_change(list).await;
        Ok(())
    }

    #[zbus(out_args("rows", "next"))]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "zbus unpacks arguments by value"
    )]
    fn list_entries(
        &self,
        filter: BoundedDict,
        after: BoundedCursor,
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error> {
        AuthorizedCaller::of_this_call()?;
        let list = arguments::entries_filter(&filter.0)?;
        let limit = arguments::limit(limit)?;
        entries::page(self.control.list_entries(), list, &after.0, limit)
    }

    #[zbus(out_args("outcome", "steps"))]
    async fn explain(&self, attributes: BoundedAttributes) -> Result<(Dict, Vec<Dict>), Error> {
        AuthorizedCaller::of_this_call()?;
        let attributes = RequestAttributes::new(&attributes.0)?;
        let request = attributes.request();
        let explanation = self
            .control
            .explain(&attempt(&request), attributes.looks_up())
            .await;
        let steps = explanation
            .steps
            .iter()
            .map(explanations::from_step)
            .collect();
        let enhanced_codes = request.etrn_domain.is_some();
        Ok((
            explanations::from_explanation(&explanation, enhanced_codes),
            steps,
        ))
    }

    #[zbus(out_args("outcome", "steps"))]
    async fn explain_message(
        &self,
        attributes: BoundedAttributes,
        message: Fd<'_>,
    ) -> Result<(Dict, Vec<Dict>), Error> {
        AuthorizedCaller::of_this_call()?;
        let attributes = RequestAttributes::new(&attributes.0)?;
        let file = files::message(message)?;
        let reading = self.reading.acquire().await;
        let _reading = reading.map_err(|_| invalid("The daemon is shutting down."))?;
        let message = files::read_message(file).await?;
        let explained = self
            .control
            .explain_message(
                &attempt(&attributes.request()),
                &Arc::new(message),
                attributes.looks_up(),
            )
            .await;
        let steps = explained.explanation.steps.iter();
        let steps = steps.map(explanations::from_step).collect();
        Ok((explanations::from_message_explanation(&explained), steps))
    }

    #[zbus(out_args("rows", "next"))]
    async fn list_triplets(
        &self,
        filter: BoundedDict,
        after: BoundedCursor,
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error> {
        AuthorizedCaller::of_this_call()?;
        let filter = arguments::records_filter(&filter.0)?;
        self.page(filter, false, after, limit).await
    }

    #[zbus(out_args("removed"))]
    async fn forget(&self, filter: BoundedDict) -> Result<Dict, Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let (filter, everything) = arguments::forget_filter(&filter.0)?;
        let removed = self.control.forget(filter, everything).await?;
        log::info!(
            "{caller} deleted {}, {} and {}",
            counted(removed.triplets, "triplet", "triplets"),
            counted(removed.clients, "client", "clients"),
            counted(removed.sleeps, "sleep", "sleeps")
        );
        Ok(rows::from_removed(removed))
    }

    async fn allow(&self, client: &str, sender: &str, recipient: &str) -> Result<(), Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let identity = arguments::client(client)?;
        let sender_bytes = arguments::address(SENDER, sender)?;
        let recipient_bytes = arguments::address(RECIPIENT, recipient)?;
        let allowing = self
            .control
            .allow(identity, &sender_bytes, &recipient_bytes);
        allowing.await?;
        log::info!(
            "{caller} has let pass client {client}, sender {sender:?}, recipient {recipient:?}"
        );
        Ok(())
    }

    async fn reload(&self) -> Result<(), Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        log::info!("{caller} requested a reload");
        let ending = |()| Error::ReloadRefused("The daemon is shutting down.".to_owned());
        let (answer, answered) = oneshot::channel();
        let sent = self.reload.send(answer).await;
        sent.map_err(|_| ending(()))?;
        let reloaded = answered.await.map_err(|_| ending(()))?;
        reloaded.map_err(|diagnostics| {
            let first = diagnostics.iter().take(MAX_DIAGNOSTICS);
            let mut lines: Vec<String> = first.map(ToString::to_string).collect();
            let rest = diagnostics.len().saturating_sub(lines.len());
            if rest > 0 {
                lines.push(format!("and {rest} more"));
            }
            Error::ReloadRefused(lines.join("\n"))
        })
    }

    fn reset_statistics(&self) -> Result<(), Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        self.control.reset_statistics();
        log::info!("{caller} has set the counters to zero");
        Ok(())
    }

    #[zbus(out_args("stored"))]
    async fn pause(&self, length: u64) -> Result<bool, Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let length = (length > 0).then(|| Span::from_seconds(length));
        // Logged before it is stored, which a slow disk may delay.
        match length {
            Some(length) => log::warn!("{caller} has paused greylisting for {length}"),
            None => log::warn!("{caller} has paused greylisting until it is resumed"),
        }
        Ok(self.control.pause(length).await)
    }

    #[zbus(out_args("stored"))]
    async fn resume(&self) -> Result<bool, Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        log::info!("{caller} has resumed greylisting");
        Ok(self.control.resume().await)
    }

    async fn backup(&self, file: Fd<'_>) -> Result<(), Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let file = files::backup(file)?;
        self.control.backup(file).await?;
        log::info!("{caller} has taken a backup");
        Ok(())
    }

    async fn restore(&self, file: Fd<'_>) -> Result<(), Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let file = files::restore(file)?;
        self.control.restore(file).await?;
        log::warn!(
            "{caller} has restored a backup: the records are those of the backup, and the database before it is \
             in data.mdb.before-restore"
        );
        Ok(())
    }

    #[zbus(out_args("taken"))]
    async fn import(&self, rows: BoundedRows, dry_run: bool) -> Result<Dict, Error> {
        let caller = AuthorizedCaller::of_this_call()?;
        let count = rows.0.len() as u64;
        let records: Result<Vec<_>, Error> = (1..)
            .zip(&rows.0)
            .map(|(number, row): (usize, _)| {
                rows::to_record(row).map_err(|why| Error::refused_row(number, why))
            })
            .collect();
        let taken = self.control.import(records?, dry_run).await?;
        if !dry_run {
            log::info!(
                "{caller} has imported {}: {} new, {} changed, {} unchanged",
                counted(count, "row", "rows"),
                taken.new,
                taken.changed,
                taken.unchanged
            );
        }
        Ok(Row::new()
            .with(NEW, taken.new)
            .with(CHANGED, taken.changed)
            .with(UNCHANGED, taken.unchanged)
            .build())
    }

    #[zbus(out_args("rows", "next"))]
    async fn export(
        &self,
        after: BoundedCursor,
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error> {
        AuthorizedCaller::of_this_call()?;
        self.page(Filter::default(), true, after, limit).await
    }
}
