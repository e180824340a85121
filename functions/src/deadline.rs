//! Lambda's deadline, less what is needed to end well.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use tokio::time::Instant;

/// A writer stops this long before the deadline, to store its last chunk or to hand over.
const WRITER_RESERVE: Duration = Duration::from_secs(20);

/// A live answer ends this long before the deadline, so that it ends between two events.
const ANSWER_RESERVE: Duration = Duration::from_secs(2);

/// When a writer stops. `None`: the deadline has passed, as the constant of cargo-lambda's `watch` has, and binds nobody.
pub fn stop_at(context: &Context) -> Option<Instant> {
    before_deadline(context, WRITER_RESERVE)
}

/// When a live answer ends; `None` as for [`stop_at`].
pub fn answer_until(context: &Context) -> Option<Instant> {
    before_deadline(context, ANSWER_RESERVE)
}

/// The reserve is at most half of the time that is left.
fn before_deadline(context: &Context, reserve: Duration) -> Option<Instant> {
    let left = context.deadline().duration_since(SystemTime::now()).ok()?;
    Some(Instant::now() + left.saturating_sub(reserve.min(left / 2)))
}
