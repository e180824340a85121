//! `attach`: takes one of the places for starts that stay until their generation has ended.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::app::App;
use crate::clock::millis;
use crate::error::Error;

/// How many places a start tries to take.
const TRIES_MAX: u32 = 5;

/// A place, held until it is left or its time is over. One that is dropped is left in the background.
pub struct Attachment {
    app: App,
    /// The place, and until when it is held.
    held: Option<(u32, i64)>,
}

impl App {
    /// Takes a place for `time`, where the deployment bounds their number (`LONGHAND_MAX_ATTACHED`). Costs nothing where it does not.
    ///
    /// # Errors
    /// [`Error::TooManyAttached`]; [`Error::Aws`].
    pub async fn attach(&self, time: Duration) -> Result<Attachment, Error> {
        let Some(most) = self.config.max_attached else { return Ok(Attachment { app: self.clone(), held: None }) };
        let mut place = fastrand::u32(..most);
        for _ in 0..TRIES_MAX {
            let now = self.clock.now_ms();
            let until = now.saturating_add(millis(time));
            if self.records.take_place(place, now, until).await? {
                return Ok(Attachment { app: self.clone(), held: Some((place, until)) });
            }
            let held = self.records.held_places(now).await?;
            place = free_place(&held, most, fastrand::u32(..)).ok_or(Error::TooManyAttached(most))?;
        }
        Err(Error::TooManyAttached(most))
    }
}

impl Attachment {
    /// Whether there is a place to leave.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Leaves the place. An error is logged: the place is free again once its time is over.
    pub async fn leave(mut self) {
        if let Some(held) = self.held.take() {
            leave(self.app.clone(), held).await;
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(held) = self.held.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(leave(self.app.clone(), held));
        }
    }
}

async fn leave(app: App, (place, until): (u32, i64)) {
    if let Err(error) = app.records.leave_place(place, app.clock.now_ms(), until).await {
        tracing::warn!(%error, "The place of an attached start could not be left; it is free when its time is over.");
    }
}

/// One of the `most` places that are not among the `held`, which are in their order; each with the same chance over all `dice`.
fn free_place(held: &[u32], most: u32, dice: u32) -> Option<u32> {
    let held: Vec<u32> = held.iter().copied().filter(|place| *place < most).collect();
    let free = most - u32::try_from(held.len()).unwrap_or(most).min(most);
    // The place number `place` among the free ones: each held one at or before it moves it by one.
    let place = dice.checked_rem(free)?;
    Some(held.iter().fold(place, |place, held| if *held <= place { place + 1 } else { place }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn free_places_are_all_that_are_not_held(held in proptest::collection::btree_set(0_u32..40, 0..40), most in 1_u32..30) {
            let given: Vec<u32> = held.iter().copied().collect();
            let found: BTreeSet<u32> = (0..most).filter_map(|dice| free_place(&given, most, dice)).collect();
            let free: BTreeSet<u32> = (0..most).filter(|place| !held.contains(place)).collect();
            prop_assert_eq!(found, free);
        }
    }
}
