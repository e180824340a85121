//! The verbs of [`crate::App`], one file each.

mod admit;
mod cancel;
mod compact;
mod events;
mod get;
mod give_up;
mod inspect;
mod list;
mod log_page;
mod output;
mod progress;
mod purge;
mod redrive;
mod responses;
mod retention;
mod start;
mod stream;
mod sweep;
mod tail;
mod validate;

pub use compact::Compaction;
pub use events::EventPage;
pub use inspect::Inspection;
pub use list::GenerationPage;
pub use log_page::{LogPage, LogTail};
pub use output::Output;
pub use progress::ProgressView;
pub use purge::Purged;
pub use redrive::{CaughtUp, GivenUp, Redriven};
pub use responses::{CreateClaim, ResponseTail};
pub use retention::{Retention, RetentionRules};
pub use start::Started;
pub use stream::Streamed;
pub use sweep::Swept;
pub use tail::Tail;
