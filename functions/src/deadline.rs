//! Lambda's deadline, as a writer sees it.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use tokio::time::Instant;

/// What is left of the deadline when the writer stops, to store what waits and the end.
const DEADLINE_RESERVE: Duration = Duration::from_secs(20);

/// A little before the deadline. A deadline that is no moment to come (cargo-lambda's `watch` gives a constant) is none.
pub fn stop_at(context: &Context) -> Option<Instant> {
    let left = context.deadline().duration_since(SystemTime::now()).ok()?;
    Some(Instant::now() + left.saturating_sub(DEADLINE_RESERVE.min(left / 2)))
}
