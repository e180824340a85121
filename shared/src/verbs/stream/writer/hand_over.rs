//! Before the function's time is over: the next function takes the work on.

use super::Writer;
use crate::aws::Meta;
use crate::error::Error;
use crate::generation::job::StreamJob;
use crate::limits::HAND_OVERS_MAX;
use crate::verbs::stream::Streamed;

impl Writer {
    /// Whether a new function comes further than this one. A first attempt that would only be begun again does not: it had all
    /// the time that there is.
    pub(super) fn may_hand_over(&self) -> bool {
        let goes_on = self.composer.open_text().is_some() && self.can_continue();
        self.meta.hand_overs < HAND_OVERS_MAX && (goes_on || self.attempts_here > 1)
    }

    /// Stores what waits, gives the lease up, and has `stream` invoked. Whatever breaks off in between, the sweep finds a
    /// generation without a writer.
    pub(super) async fn hand_over(&mut self) -> Result<Streamed, Error> {
        if !self.flush_all().await? {
            return Ok(Streamed::Fenced);
        }
        // Nobody's writer id: neither the newest chunk nor a late renewal is taken for a sign of life.
        let writer = ulid::Ulid::generate().to_string();
        let hand_overs = self.meta.hand_overs + 1;
        let given_up = Meta { hand_overs, writer, lease_until: 0, ..self.meta.clone() };
        if !self.app.buffer.claim(&self.key, Some(&self.meta), &given_up).await? {
            return Ok(Streamed::Fenced);
        }
        tracing::info!(attempt = self.meta.attempt, hand_overs, "The function's time is over; the next one goes on.");
        if let Err(error) = self.app.invoker.stream(&StreamJob::new(&self.key)).await {
            tracing::warn!(%error, "The next function was not invoked; sweep will do it.");
        }
        Ok(Streamed::HandedOver)
    }
}
