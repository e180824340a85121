//! Lambda's deadline, as a writer and a reader see it.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use tokio::time::Instant;

/// What is left of the deadline when the writer stops, to store what waits and the end.
const DEADLINE_RESERVE: Duration = Duration::from_secs(20);

/// What is left of it when an answer that is followed live ends, so that it ends well and not in the middle of an event.
const ANSWER_RESERVE: Duration = Duration::from_secs(2);

/// A little before the deadline. A deadline that is no moment to come (cargo-lambda's `watch` gives a constant) is none.
pub fn stop_at(context: &Context) -> Option<Instant> {
    before_deadline(context, DEADLINE_RESERVE)
}

/// When an answer that is followed live ends. The reader comes back for the rest.
pub fn answer_until(context: &Context) -> Option<Instant> {
    before_deadline(context, ANSWER_RESERVE)
}

fn before_deadline(context: &Context, reserve: Duration) -> Option<Instant> {
    let left = context.deadline().duration_since(SystemTime::now()).ok()?;
    Some(Instant::now() + left.saturating_sub(reserve.min(left / 2)))
}
