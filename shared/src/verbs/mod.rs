//! What [`crate::App`] does: a folder for each noun, a file for each verb.

mod access;
mod chat_completions;
mod generations;
mod models;
mod operate;
mod quota;
mod responses;
mod stream;

pub use access::keys::{KeyView, NewKey};
pub use access::tokens::ReadToken;
pub use chat_completions::ChatCompletionTail;
pub use generations::attach::Attachment;
pub use generations::claim::{Claim, KeySha256};
pub use generations::ending::compact::Compaction;
pub use generations::events::EventPage;
pub use generations::issues::ValidationIssues;
pub use generations::list::GenerationPage;
pub use generations::log_page::{LogPage, LogTail};
pub use generations::output::Output;
pub use generations::progress::ProgressView;
pub use generations::start::{Accepted, Started};
pub use generations::tail::Tail;
pub use models::Model;
pub use operate::inspect::Inspection;
pub use operate::populate::Populated;
pub use operate::purge::Purged;
pub use operate::redrive::{CaughtUp, GivenUp, Redriven};
pub use operate::retention::{Retention, RetentionRules};
pub use operate::sweep::Swept;
pub use quota::QuotaView;
pub use responses::read::ResponseTail;
pub use stream::Streamed;
pub use stream::ride::{NextRider, NoNext, Rode};
