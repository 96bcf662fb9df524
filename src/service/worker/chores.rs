//! What the writer thread does between batches, each duty at its own interval.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::{BATCH, Health, TICK, Worker};
use crate::policy::Expiry;
use crate::service::clock::monotonic;
use crate::service::live_rules::has_ended;
use crate::service::state::StoreState;
use crate::store::{LockState, RequestError, StoreError};
use crate::types::{Span, counted};

/// Numbers of records in a flush: the next smaller one is tried if the store is full.
const FLUSH_BATCHES: [usize; 4] = [BATCH, 64, 4, 1];

/// Interval between flushes of the write-behind buffer.
const FLUSH: Duration = Duration::from_secs(5);

/// Time after the last commit until its data are synced.
const SYNC: Duration = Duration::from_secs(1);

/// Interval between retries after a store failure.
const RETRY: Duration = Duration::from_secs(10);

/// Interval between checks that the files of an idle store are in place.
const LOOK: Duration = Duration::from_secs(10);

/// How long an opened store must work until it no longer counts as a possible cause of a crash.
const TRIAL: Duration = Duration::from_secs(3600);

/// Time between two slices of the sweep. Short, so that slices can be small, because a request that arrives during a
/// slice waits for its end. On a slow disk it is a multiple of the time that the slice took, up to [`TICK`].
const PAUSE: Duration = Duration::from_millis(31);
const PAUSE_BY_SLICE: u32 = 8;

/// Time between two passes of the sweep.
const REST: Span = Span::from_hours(1);

/// Interval between updates of the stored time.
const NOTE: Span = Span::from_seconds(60);

impl Worker {
    /// Time until the next duty.
    pub(super) fn rest(&self, mono: Duration) -> Duration {
        if self.health != Health::Ok {
            return TICK;
        }
        let sync = self
            .committed
            .map(|committed| committed.saturating_add(SYNC));
        let flush = self.flushed.saturating_add(FLUSH);
        let next = sync.map_or(flush, |sync| sync.min(flush));
        next.saturating_sub(mono).min(self.pause)
    }

    /// The duties between batches, each at its own interval.
    pub(super) fn keep_house(&mut self) {
        let mono = monotonic();
        self.end_pause();
        if self.health != Health::Ok {
            if mono.saturating_sub(self.tried) >= RETRY {
                self.try_again(mono);
            }
            return;
        }
        if self.shared.state.is_stalled() {
            self.shared.state.recover();
        }
        self.store_pause();
        let state = &self.shared.state;
        let (now, expiry) = self.check_clock();
        let is_trusted = expiry == Expiry::Applies;
        if std::mem::replace(&mut self.was_trusted, is_trusted) != is_trusted {
            self.shared.live_rules.rebuild(state.trusted(now));
        }
        if mono.saturating_sub(self.looked) >= LOOK {
            self.looked = mono;
            self.check_files();
            let is_trusted = |opened| mono.saturating_sub(opened) >= TRIAL;
            if self.opened.is_some_and(is_trusted) {
                self.opened = None;
                self.opener.settle();
            }
        }
        if mono.saturating_sub(self.flushed) >= FLUSH {
            self.shared.write_behind.begin_flush();
            let is_more = self.flush();
            self.flush_counters();
            self.note_time();
            // The next batch is due soon, but not before requests that wait for a commit.
            self.flushed = if is_more {
                mono.saturating_sub(FLUSH.saturating_sub(TICK))
            } else {
                mono
            };
        }
        if self
            .committed
            .is_some_and(|committed| mono.saturating_sub(committed) >= SYNC)
        {
            self.committed = None;
            self.with_writer(|writer| writer.sync());
        }
        if mono.saturating_sub(self.sliced) >= self.pause {
            let begun = monotonic();
            let is_more = self.sweep();
            self.sliced = monotonic();
            let took = self.sliced.saturating_sub(begun);
            self.pause = if is_more {
                took.saturating_mul(PAUSE_BY_SLICE).clamp(PAUSE, TICK)
            } else {
                FLUSH
            };
        }
    }

    /// Ends an expired pause.
    fn end_pause(&self) {
        if !self.shared.pause.has_end() {
            return;
        }
        let boot = self.shared.clock.since_boot();
        if self.shared.pause.end(self.trusted_now(), boot) {
            log::info!("the pause is over: greylisting resumed");
        }
    }

    /// Stores the pause if it is not stored yet, or was stored with another end.
    pub(super) fn store_pause(&mut self) {
        let switch = Arc::clone(&self.shared.pause);
        if switch.has_end() {
            switch.correct(self.now(), self.shared.clock.since_boot());
        }
        if !switch.is_unwritten() {
            return;
        }
        let pause = switch.get();
        match self.attempt(|writer| writer.transact(&mut |records| Ok(records.put_pause(pause)?))) {
            Ok(()) => {
                switch.written(pause);
                self.wrote();
            }
            Err(error) => self.fail_request(&error),
        }
    }

    /// Checks that the files of the database and its lock are still in place.
    fn check_files(&mut self) {
        self.with_writer(|writer| writer.check_file());
        if self.health != Health::Ok {
            return;
        }
        match self.in_store(|| self.opener.keep()) {
            Ok(LockState::InPlace) => {}
            Ok(LockState::Restored) => log::warn!(
                "the lock file of the database was moved or removed while in use; it has been created and locked again"
            ),
            Ok(LockState::InPart(error)) => log::warn!(
                "the lock file of the database was moved or removed and cannot be created again: {error}; \
                 the lock on its directory still prevents a second stargreyd"
            ),
            // Another process may have the lock, and use the files.
            Err(error) => self.stay_closed(&error.into()),
        }
    }

    /// Flushes one batch of buffered updates; returns whether more remain. If the store is full, smaller batches are
    /// tried; if none fits, the updates are dropped, as no reply depended on them.
    pub(super) fn flush(&mut self) -> bool {
        if self.health != Health::Ok {
            return false;
        }
        for batch in FLUSH_BATCHES {
            let waiting = self.shared.write_behind.waiting(batch);
            if waiting.is_empty() {
                return false;
            }
            let written =
                self.attempt(|writer| writer.transact(&mut |table| Ok(waiting.write(table)?)));
            match written {
                Ok(()) => self.wrote(),
                Err(RequestError::Store(StoreError::Full)) if batch > 1 => continue,
                Err(RequestError::Store(StoreError::Full)) => {}
                Err(error) => {
                    self.fail_request(&error);
                    return false;
                }
            }
            self.shared.write_behind.written(&waiting);
            return waiting.len() >= batch;
        }
        false
    }

    /// Writes the hourly counters and the hit counts of runtime entries, and deletes expired entries. Only this thread
    /// changes runtime entries, in the database and in the live rules, so the two stay consistent.
    pub(super) fn flush_counters(&mut self) {
        if self.health != Health::Ok {
            return;
        }
        let now = self.now();
        let trusted = self.trusted_now();
        let counts = self.shared.stats.counts();
        let counters = counts.since(&self.told).by_name();
        let mut hours = self.triplet_counts.by_hour();
        if !counters.is_empty() {
            hours.push((now, counters));
        }
        let mut ended = self.shared.live_rules.entries();
        ended.retain(|entry| has_ended(entry, trusted));
        let mut hit = self.shared.live_rules.unwritten();
        hit.retain(|entry| !has_ended(entry, trusted));
        if hours.is_empty() && ended.is_empty() && hit.is_empty() {
            return;
        }
        let written = self.attempt(|writer| {
            writer.transact(&mut |records| {
                for (hour, counters) in &hours {
                    records.add_counters(*hour, counters)?;
                }
                for entry in &hit {
                    records.put_entry(entry)?;
                }
                for entry in &ended {
                    records.remove_entry(entry.list, &entry.text)?;
                }
                Ok(())
            })
        });
        match written {
            Ok(()) => {
                self.told = counts;
                self.triplet_counts.clear();
                self.shared.live_rules.written(&hit);
                if !ended.is_empty() {
                    self.shared.live_rules.remove(&ended, trusted);
                }
                self.wrote();
            }
            Err(RequestError::Refused(error)) => log::warn!("counters: {error}; ignoring"),
            Err(RequestError::Store(error)) => self.fail(&error),
        }
    }

    /// Stores the time, if something was written and the time has advanced.
    fn note_time(&mut self) {
        let now = self.now();
        let has_moved = now < self.noted || now.since(self.noted) >= NOTE;
        let is_due = has_moved && self.is_unnoted;
        if is_due && self.shared.state.expiry() == Expiry::Applies {
            self.noted = now;
            self.is_unnoted = false;
            self.with_writer(|writer| writer.note_time(now));
        }
    }

    /// One slice of the sweep, if it is due; returns whether another is due at once.
    fn sweep(&mut self) -> bool {
        let Some(now) = self.trusted_now() else {
            return false;
        };
        let rests = |last| last <= now && now.since(last) < REST;
        if self.swept.is_some_and(rests) {
            return false;
        }
        let params = self.shared.live_rules.rules().expiry_params();
        let Some(swept) = self.with_writer(|writer| writer.sweep(now, &params)) else {
            return false;
        };
        if swept.removed > 0 {
            log::debug!("{} expired", counted(swept.removed, "record", "records"));
            self.wrote();
        }
        if swept.finished {
            self.swept = Some(now);
            self.count_whitelisted_aside();
        }
        !swept.finished
    }

    /// Counts the auto-whitelisted clients.
    pub(super) fn count_whitelisted(&self) {
        if let Some(threshold) = self.shared.live_rules.rules().params.auto_whitelist {
            self.in_store(|| count(&self.shared.state, threshold));
        }
    }

    /// The same on another thread, because every client is read.
    fn count_whitelisted_aside(&self) {
        let Some(threshold) = self.shared.live_rules.rules().params.auto_whitelist else {
            return;
        };
        let state = Arc::clone(&self.shared.state);
        let thread = thread::Builder::new().name("count".to_owned());
        if let Err(error) = thread.spawn(move || count(&state, threshold)) {
            log::debug!("clients are not counted: {error}");
        }
    }
}

/// Counts the auto-whitelisted clients; keeps the last count if the store cannot be read. Holds no lock, because a hung
/// disk would block all threads then.
fn count(state: &StoreState, threshold: u32) {
    let counted = state.reader();
    if let Ok(count) = counted.and_then(|reader| reader.count_whitelisted(threshold)) {
        state.whitelisted.store(count, Ordering::Relaxed);
    }
}
