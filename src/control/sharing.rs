//! The acts of administrators, here and at the other hosts of the site.

use std::io;
use std::sync::{Arc, Weak};

use super::journal::{note, take_step};
use super::{Control, ControlError, Lifetime};
use crate::policy::Added;
use crate::service::internals::Inner;
use crate::service::live_rules::Addition;
use crate::service::pattern::normal;
use crate::shared::{
    Act, Administration, Change, Journal, JournalChange, Server, Shared, Step, What,
};
use crate::store::{Commit, Note, RequestError, StoreError};

/// The administration of the gate, for the acts of other hosts. Does not keep the gate alive.
struct LocalAdministration(Weak<Inner>);

impl LocalAdministration {
    fn control(&self) -> Option<Control> {
        self.0.upgrade().map(Control)
    }
}

impl Administration for LocalAdministration {
    fn journal(&self) -> Option<Journal> {
        let inner = self.0.upgrade()?;
        let note = inner.state.read(|reader| reader.note(Note::Acts)).ok()?;
        Some(Journal::decode(note.as_deref()))
    }

    fn entries(&self) -> Vec<Added> {
        let inner = self.0.upgrade();
        inner.map_or_else(Vec::new, |inner| inner.live_rules.entries())
    }

    fn carry_out(&self, act: Option<Act>, step: Option<Step>) -> Change {
        let control = self.control();
        Box::pin(async move {
            let Some(control) = control else { return false };
            match control.carry_out(act, step).await {
                Ok(()) => true,
                Err(error) => {
                    log::debug!("an act of another host: {error}");
                    false
                }
            }
        })
    }

    fn change(&self, change: JournalChange) -> Change {
        let control = self.control();
        Box::pin(async move {
            let Some(control) = control else { return false };
            control.change_journal(change).await.is_ok()
        })
    }
}

impl Control {
    /// Shares records and the acts of administrators with the other hosts of the site, by this server. Only the first
    /// call counts.
    ///
    /// # Errors
    ///
    /// When the thread for that cannot be started.
    pub fn share(&self, shared: Shared, server: Box<dyn Server>) -> io::Result<()> {
        let administration = LocalAdministration(Arc::downgrade(&self.0));
        if let Some(journal) = administration.journal() {
            for act in &journal.pending {
                shared.note_act(act);
            }
        }
        self.gate().share(shared, server, Arc::new(administration))
    }

    /// Carries out an act from the log. What is wrong with it is logged: all hosts have it, and go on.
    async fn carry_out(&self, act: Option<Act>, step: Option<Step>) -> Result<(), ControlError> {
        match act {
            Some(
                act @ (Act {
                    what: What::Put(_), ..
                }
                | Act {
                    what: What::Remove(..),
                    ..
                }),
            ) if !self.has(&act) => {
                return self.carry_out_on_entry(act, step).await;
            }
            Some(Act {
                what: What::Forget(filter),
                ..
            }) => {
                match self.forget_selected(filter).await {
                    // Nothing can be selected among hashes. The act is from before `--privacy`, or of a host without records.
                    Ok(_) | Err(ControlError::Hashed) => {}
                    Err(error) => return Err(error),
                }
            }
            Some(Act {
                what: What::Put(_) | What::Remove(..),
                ..
            })
            | None => {}
        }
        let Some(step) = step else { return Ok(()) };
        let shared = self.0.shared.get().cloned();
        let stepping =
            self.change_journal(move |journal| take_step(journal, step, shared.as_ref()));
        stepping
            .await?
            .map_err(|refusal| RequestError::from(refusal).into())
    }

    /// Whether the very entry is there that an act has added.
    fn has(&self, act: &Act) -> bool {
        let What::Put(entry) = &act.what else {
            return false;
        };
        let known = self.0.live_rules.find(entry.list, &entry.text, None);
        known.is_some_and(|known| {
            known.comment == entry.comment
                && known.added == entry.added
                && known.expires == entry.expires
        })
    }

    /// Whether the entry of an act was added here after the act.
    fn has_newer(&self, act: &Act) -> bool {
        let known = match &act.what {
            What::Put(entry) => self.removal(entry.list, &entry.text),
            What::Remove(list, text) => self.removal(*list, text),
            What::Forget(_) => EntryChange::None,
        };
        match known {
            EntryChange::Remove(entry) => entry.added > act.time,
            EntryChange::Put(_) | EntryChange::None => false,
        }
    }

    /// Adds or removes an entry, and notes that in the same transaction.
    async fn carry_out_on_entry(&self, act: Act, step: Option<Step>) -> Result<(), ControlError> {
        let _alone = self.0.adding.lock().await;
        let journal = self.read(|reader| reader.note(Note::Acts)).await?;
        let is_admitted = Journal::decode(journal.as_deref()).admits(&act);
        // A host that joins reads acts from before what has been done here since.
        let is_outdated = step.is_none() && self.has_newer(&act);
        let change = if is_admitted && !is_outdated {
            self.prepare(&act).await?
        } else {
            EntryChange::None
        };
        let (live_rules, now) = (Arc::clone(&self.0.live_rules), self.0.trusted_now());
        let stored = change.clone_stored();
        let shared = self.0.shared.get().cloned();
        self.write(
            move |records| -> Result<(), RequestError> {
                match &stored {
                    Stored::Put(entry) => records.put_entry(entry)?,
                    Stored::Remove(entry) => {
                        records.remove_entry(entry.list, &entry.text)?;
                    }
                    Stored::None => {}
                }
                let stepping = note(records, |journal| {
                    journal.admits(&act);
                    step.map_or(Ok(()), |step| take_step(journal, step, shared.as_ref()))
                });
                Ok(stepping??)
            },
            Commit::Keep,
            move || match change {
                EntryChange::Put(addition) => live_rules.put(addition, now),
                EntryChange::Remove(entry) => live_rules.remove(&[entry], now),
                EntryChange::None => {}
            },
        )
        .await
    }

    /// The change of an entry that an act of another host means, checked as if it was made here.
    async fn prepare(&self, act: &Act) -> Result<EntryChange, ControlError> {
        match &act.what {
            // It has ended meanwhile, and so has the one that it replaced.
            What::Put(entry) if entry.expires.is_some_and(|end| end <= self.0.now()) => {
                Ok(self.removal(entry.list, &entry.text))
            }
            What::Put(entry) => {
                let (control, theirs) = (self.clone(), entry.clone());
                // Compiling expressions is slow and must not delay mail.
                let adding = tokio::task::spawn_blocking(move || control.entry_of(&theirs));
                match adding.await.map_err(|_| StoreError::Closed)? {
                    Ok(addition) => Ok(EntryChange::Put(addition)),
                    Err(error) => {
                        let list = entry.list.word();
                        log::warn!(
                            "an entry in {list} that another host has added: {error}; ignoring"
                        );
                        Ok(EntryChange::None)
                    }
                }
            }
            What::Remove(list, text) => Ok(self.removal(*list, text)),
            What::Forget(_) => Ok(EntryChange::None),
        }
    }

    /// The removal of this entry, or of an equivalent one, if it is there.
    fn removal(&self, list: crate::types::ListName, text: &str) -> EntryChange {
        // An expression has one spelling, so it need not be compiled.
        let meant = (!text.starts_with('/')).then(|| normal(list, text));
        let meaning = meant.and_then(Result::ok).map(|(_, meaning)| meaning);
        let known = self.0.live_rules.find(list, text, meaning.as_ref());
        known.map_or(EntryChange::None, EntryChange::Remove)
    }

    /// The entry as another host has added it, with the hits that it has here.
    fn entry_of(&self, theirs: &Added) -> Result<Addition, ControlError> {
        let (addition, _) = self.new_entry(
            theirs.list,
            &theirs.text,
            Some(&theirs.comment),
            Lifetime::Endless,
        )?;
        let known = addition.entry().clone();
        let entry = Added {
            added: theirs.added,
            expires: theirs.expires,
            ..known
        };
        let (_, meaning) =
            normal(entry.list, &entry.text).map_err(|why| ControlError::Pattern {
                pattern: entry.text.clone(),
                why,
            })?;
        let addition = self.0.live_rules.prepare(entry, meaning);
        addition.map_err(|_| ControlError::TooLarge)
    }
}

/// A change of the runtime entries.
enum EntryChange {
    Put(Addition),
    Remove(Added),
    None,
}

/// What a change stores.
enum Stored {
    Put(Added),
    Remove(Added),
    None,
}

impl EntryChange {
    fn clone_stored(&self) -> Stored {
        match self {
            Self::Put(addition) => Stored::Put(addition.entry().clone()),
            Self::Remove(entry) => Stored::Remove(entry.clone()),
            Self::None => Stored::None,
        }
    }
}
