//! Pausing greylisting, and going on with it.

use std::sync::Arc;

use super::Control;
use crate::policy::Pause;
use crate::types::Span;

impl Control {
    /// Lets everything pass from now on, for `length` or until [`Self::resume`]. Yields whether it is stored; if not,
    /// it counts all the same, but a restart before the store is well again forgets it.
    pub async fn pause(&self, length: Option<Span>) -> bool {
        let until = length.map(|length| self.0.now().after(length));
        self.set_pause(Some(Pause { until })).await
    }

    /// Goes on with greylisting. Yields whether that is stored, as [`Self::pause`] does.
    pub async fn resume(&self) -> bool {
        self.set_pause(None).await
    }

    async fn set_pause(&self, pause: Option<Pause>) -> bool {
        let switch = Arc::clone(&self.0.pause);
        switch.set(pause);
        let written = self.write_then(
            move |records| records.put_pause(pause),
            move || switch.written(pause),
        );
        match written.await {
            Ok(()) => true,
            Err(error) => {
                log::warn!("the pause is not stored yet: {error}");
                false
            }
        }
    }
}
