//! Pausing and resuming greylisting.

use std::sync::Arc;
use std::time::Duration;

use super::Control;
use crate::policy::Pause;
use crate::service::Change;
use crate::store::Commit;
use crate::types::Span;

/// How long a caller waits for a pause to be stored; it takes effect before that.
const PATIENCE: Duration = Duration::from_secs(2);

impl Control {
    /// Pauses greylisting for `length`, or until [`Self::resume`]. Returns whether the pause is stored. If the store is
    /// unavailable or needs more than two seconds, the pause takes effect, but is lost if the daemon restarts before it
    /// is stored.
    pub async fn pause(&self, length: Option<Span>) -> bool {
        let until = length.map(|length| self.0.now().after(length));
        let boot = self.0.clock.since_boot();
        let deadline = length
            .map(|length| Span::from_seconds(boot.seconds().saturating_add(length.seconds())));
        self.set_pause(Some(Pause { until }), deadline).await
    }

    /// Resumes greylisting. Returns whether that is stored, as [`Self::pause`] does.
    pub async fn resume(&self) -> bool {
        self.set_pause(None, None).await
    }

    async fn set_pause(&self, pause: Option<Pause>, deadline: Option<Span>) -> bool {
        let switch = Arc::clone(&self.0.pause);
        switch.set(pause, deadline);
        self.0.stats.count_change(Change::Pause);
        let writing = self.write(
            move |records| records.put_pause(pause),
            Commit::Keep,
            move || switch.written(pause),
        );
        // If it is not stored in time, the writer thread stores it as soon as possible.
        let why = match tokio::time::timeout(PATIENCE, writing).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no commit within {} s", PATIENCE.as_secs()),
        };
        log::warn!("the pause is not stored yet: {why}");
        false
    }
}
