//! Records: listed in pages, deleted, allowed.

use std::sync::Arc;

use super::{Control, ControlError};
use crate::policy::{Case, Expiry, Filter, Identity, Triplet, TripletKey};
use crate::service::LastClient;
use crate::shared::{Key, What};
use crate::store::{Commit, Page, Records, Row, RowKey, Scope, StoreError};

/// Maximum number of rows in one transaction: more would delay requests that wait for a commit.
const BATCH: u32 = 1000;

/// Numbers of deleted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Triplets.
    pub triplets: u64,
    /// Clients.
    pub clients: u64,
    /// Sleeps.
    pub sleeps: u64,
}

/// Whether a filter selects a row.
fn selects(filter: &Filter, row: &Row) -> bool {
    match row {
        Row::Triplet { key, record } => {
            let parts = match key {
                RowKey::Plain(parts) => Some(parts),
                RowKey::Hashed(_) => None,
            };
            filter.wants_triplet(parts, record)
        }
        Row::Client { record, .. } => filter.wants_client(record),
        Row::Sleep { record, .. } => filter.wants_sleep(record),
    }
}

impl Control {
    /// The client that last tried a waiting triplet; `None` if unknown: after a restart, under `--privacy`, or after
    /// many other clients.
    #[must_use]
    pub fn last_client(&self, row: &Row) -> Option<LastClient> {
        self.0.last_clients.of(row)
    }

    /// A page of triplets, or with `all_kinds` of all records. `after` is empty for the first page, and [`Page::next`]
    /// of the page before for each other one.
    ///
    /// # Errors
    ///
    /// [`ControlError::Hashed`] when the filter cannot be applied to hashes, [`ControlError::BadCursor`], or an error
    /// of the store.
    pub async fn page(
        &self,
        filter: Filter,
        all_kinds: bool,
        after: Vec<u8>,
        limit: u32,
    ) -> Result<Page, ControlError> {
        let rules = self.0.rules();
        let params = rules.params;
        let Some(filter) = filter.resolved(&rules) else {
            return Ok(Page::default());
        };
        if let (Some(key), true) = (filter.key(&params), after.is_empty()) {
            return self.one(key, filter).await;
        }
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let scope = Scope {
            triplets: true,
            clients: all_kinds,
            sleeps: all_kinds,
            identity: filter.of_triplets(&params),
        };
        let asks_for_text = asks_for_text(&filter);
        let page = self
            .read(move |reader| reader.page(&scope, &after, most, &|row| selects(&filter, row)))
            .await?;
        if asks_for_text && page.rows.iter().any(is_hashed) {
            return Err(ControlError::Hashed);
        }
        Ok(page)
    }

    /// The page with the one triplet of a filter, which is found under `--privacy` too.
    async fn one(&self, key: TripletKey, filter: Filter) -> Result<Page, ControlError> {
        let case = Case::of(None, Some(key.clone()));
        let facts = self.read(move |reader| reader.facts(&case)).await?;
        let row = key.parts().zip(facts.triplet).map(|(parts, record)| {
            let key = RowKey::Plain(parts);
            Row::Triplet { key, record }
        });
        Ok(Page {
            rows: row
                .into_iter()
                .filter(|row| selects(&filter, row))
                .collect(),
            next: None,
        })
    }

    /// Deletes triplets; if the filter has only a client, all records of that client. Their mail is then deferred
    /// again.
    ///
    /// # Errors
    ///
    /// [`ControlError::EmptyFilter`] when the filter is empty and `everything` is not set; others as [`Self::page`].
    /// Records deleted before an error stay deleted.
    pub async fn forget(&self, filter: Filter, everything: bool) -> Result<Removed, ControlError> {
        if filter.is_empty() && !everything {
            return Err(ControlError::EmptyFilter);
        }
        let filter = if everything {
            Filter::default()
        } else {
            filter
        };
        let Some(filter) = filter.resolved(&self.0.rules()) else {
            return Ok(Removed::default());
        };
        // What is refused here is nothing for the other hosts.
        self.check_selectable(&filter).await?;
        let begun_by = Some(self.0.now());
        let for_all = Filter {
            begun_by,
            ..filter.clone()
        };
        let Some(own) = self.act(What::Forget(for_all)) else {
            return self.forget_selected(filter).await;
        };
        let noted = own.act.clone();
        let adding = self.change_journal(move |journal| journal.add(noted));
        let is_whole = adding.await?;
        if let Some(shared) = self.0.shared.get() {
            shared.note_forgotten(&own.act);
        }
        let removed = self.forget_selected(filter).await;
        match removed {
            Ok(_) => self.acted(Some(&own), is_whole),
            // The rest is deleted when this host reads the act in the log.
            Err(_) => self.append(&own, is_whole),
        }
        removed
    }

    /// Checks that a filter can be applied to the triplets. Under `--privacy` all of them are hashed, so one is read: then
    /// it must name a whole triplet, or no address at all.
    async fn check_selectable(&self, filter: &Filter) -> Result<(), ControlError> {
        let params = self.0.rules().params;
        if filter.key(&params).is_some() {
            return Ok(());
        }
        let scope = Scope {
            triplets: true,
            clients: false,
            sleeps: false,
            identity: filter.of_triplets(&params),
        };
        let page = self
            .read(move |reader| reader.page(&scope, &[], 1, &|_| true))
            .await?;
        if asks_for_text(filter) && page.rows.iter().any(is_hashed) {
            return Err(ControlError::Hashed);
        }
        Ok(())
    }

    /// Deletes the records that a filter selects; all of them if it is empty.
    pub(super) async fn forget_selected(&self, filter: Filter) -> Result<Removed, ControlError> {
        let params = self.0.rules().params;
        if let Some(key) = filter.key(&params) {
            let found = self.one(key.clone(), filter).await?;
            let Some(row) = found.rows.first() else {
                return Ok(Removed::default());
            };
            self.0.last_clients.forget(row);
            let write_behind = Arc::clone(&self.0.write_behind);
            let removing = self.write(
                move |records| records.remove_triplet(&key),
                Commit::Keep,
                move || write_behind.clear(),
            );
            let is_gone = removing.await?;
            return Ok(Removed {
                triplets: u64::from(is_gone),
                ..Removed::default()
            });
        }
        let scope = |triplets, clients, identity| Scope {
            triplets,
            clients,
            sleeps: clients,
            identity,
        };
        let mut removed = Removed::default();
        let of_clients = Filter {
            begun_by: filter.begun_by,
            ..Filter::default()
        };
        if filter.is_empty() {
            self.forget_in(Scope::ALL, filter, &mut removed).await?;
        } else {
            let of_triplets = scope(true, false, filter.of_triplets(&params));
            let counted = filter.of_counts(&params);
            let counted = counted.filter(|_| filter.is_about_clients());
            self.forget_in(of_triplets, filter, &mut removed).await?;
            if let Some(counted) = counted {
                let clients = scope(false, true, Some(counted));
                self.forget_in(clients, of_clients, &mut removed).await?;
            }
        }
        self.count_whitelisted().await?;
        Ok(removed)
    }

    /// Deletes the records of a scope that match a filter, page by page.
    async fn forget_in(
        &self,
        scope: Scope,
        filter: Filter,
        removed: &mut Removed,
    ) -> Result<(), ControlError> {
        let mut after = Vec::new();
        loop {
            let (wanted, from, scope) = (filter.clone(), after, scope.clone());
            let page = self
                .read(move |reader| {
                    let most = usize::try_from(BATCH).unwrap_or(usize::MAX);
                    reader.page(&scope, &from, most, &|row| selects(&wanted, row))
                })
                .await?;
            if asks_for_text(&filter) && page.rows.iter().any(is_hashed) {
                return Err(ControlError::Hashed);
            }
            let rows = page.rows;
            for row in &rows {
                self.0.last_clients.forget(row);
            }
            let write_behind = Arc::clone(&self.0.write_behind);
            let removing = self.write(
                move |records| remove_rows(records, &rows),
                Commit::Keep,
                move || write_behind.clear(),
            );
            let gone = removing.await?;
            removed.triplets = removed.triplets.saturating_add(gone.triplets);
            removed.clients = removed.clients.saturating_add(gone.clients);
            removed.sleeps = removed.sleeps.saturating_add(gone.sleeps);
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Marks the triplet of a client's address, or of a domain, as passed.
    ///
    /// # Errors
    ///
    /// [`ControlError::NotByDomain`] for a domain without `--lookup-by-domain`, or an error of the store.
    pub async fn allow(
        &self,
        client: Identity,
        sender: &[u8],
        recipient: &[u8],
    ) -> Result<(), ControlError> {
        let (now, expiry) = self.0.time();
        let rules = self.0.rules();
        let (params, kept) = (rules.params, rules.expiry_params());
        let client = match client {
            Identity::Network(client) => params.network_of_triplets(client).into(),
            Identity::Domain(_) if !params.by_domain => return Err(ControlError::NotByDomain),
            Identity::Domain(_) => client,
        };
        let key = TripletKey::new(client, sender, recipient);
        let published = key.clone();
        let passes = Triplet::Passed {
            first: now,
            passed: now,
            last: now,
            mails: 0,
        };
        let allowing = self.write(
            move |records| {
                let known = records.triplet(&key)?;
                let is_live =
                    |known: &Triplet| expiry == Expiry::Suspended || !known.is_expired(now, &kept);
                let record = known
                    .filter(is_live)
                    .map_or(passes, |known| known.merge(passes));
                records.put_under_both(&key, record)
            },
            Commit::Keep,
            || {},
        );
        allowing.await?;
        if let Some(shared) = self.0.shared.get() {
            shared.publish(Key::Triplet(published));
        }
        Ok(())
    }

    /// Recounts the auto-whitelisted clients.
    pub(super) async fn count_whitelisted(&self) -> Result<(), ControlError> {
        use std::sync::atomic::Ordering;
        let Some(threshold) = self.0.rules().params.auto_whitelist else {
            return Ok(());
        };
        let count = self
            .read(move |reader| reader.count_whitelisted(threshold))
            .await?;
        self.0.state.whitelisted.store(count, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether a filter names addresses of mail.
const fn asks_for_text(filter: &Filter) -> bool {
    filter.sender.is_some() || filter.recipient.is_some()
}

const fn is_hashed(row: &Row) -> bool {
    matches!(
        row,
        Row::Triplet {
            key: RowKey::Hashed(_),
            ..
        }
    )
}

fn remove_rows(records: &mut dyn Records, rows: &[Row]) -> Result<Removed, StoreError> {
    let mut removed = Removed::default();
    for row in rows {
        let count = u64::from(records.remove_row(row)?);
        let of_kind = match row {
            Row::Triplet { .. } => &mut removed.triplets,
            Row::Client { .. } => &mut removed.clients,
            Row::Sleep { .. } => &mut removed.sleeps,
        };
        *of_kind = of_kind.saturating_add(count);
    }
    Ok(removed)
}
