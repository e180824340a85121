//! Passes the work on to the next function, before this function's time is over or its process ends.

use super::Writer;
use crate::aws::Meta;
use crate::error::Error;
use crate::limits::HAND_OVERS_MAX;
use crate::verbs::stream::Streamed;

impl Writer {
    /// Whether another function can get further than this one. It cannot where a first attempt would only begin again: that
    /// attempt had a function's whole time.
    pub(super) fn may_hand_over(&self) -> bool {
        let goes_on = self.appender.composer.open_text().is_some() && self.can_continue();
        // A provider that has twice refused to be read on does so again: each hand-over would begin another response.
        let is_kept = self.appender.upstream().is_some() && self.meta.refused <= 1;
        self.meta.hand_overs < HAND_OVERS_MAX && (goes_on || is_kept || self.attempts_here > 1 || !self.has_whole_time)
    }

    /// Stores what waits, and gives the lease up. Until the next function is invoked, and if it is not, the sweep finds a generation
    /// without a writer.
    pub(super) async fn hand_over(&mut self) -> Result<Streamed, Error> {
        if !self.flush_all().await? {
            return Ok(Streamed::Fenced);
        }
        // An id that no writer has: neither the newest chunk nor a late renewal counts as a sign of life.
        let writer = ulid::Ulid::generate().to_string();
        let hand_overs = self.meta.hand_overs + 1;
        let given_up = Meta { hand_overs, writer, lease_until: 0, ..self.meta.clone() };
        if self.app.buffer.claim(&self.key, Some(&self.meta), &given_up).await?.is_none() {
            return Ok(Streamed::Fenced);
        }
        tracing::info!(attempt = self.meta.attempt, hand_overs, "This function hands over; the next one continues.");
        Ok(Streamed::HandedOver)
    }
}
