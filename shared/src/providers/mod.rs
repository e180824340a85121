//! Clients of LLM providers: from a request to a stream of deltas. Streaming only.
//!
//! A stream that ends without a finish reason is an interruption, never a success. Dropping the stream closes the connection
//! to the provider.

mod continuation;
mod decode;
mod dialects;
mod errors;
mod event_stream;
mod fault;
mod finish;
mod http;
mod http_status;
mod lenient;
mod ndjson;
mod outgoing;
mod refusals;
mod resume;
mod session;
mod settings;
mod sign;
mod sse;
mod wire;

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use continuation::{Continuation, can_be_continued};
pub use dialects::body_deltas;
pub use dialects::chat_completions::chat_messages;
pub use dialects::responses::{flat_function, text_format};
pub use fault::{Fault, ProviderError};
pub use finish::{FinishMeaning, FinishReason, OwnFinishWords};
pub use http::HttpProvider;
pub use refusals::Refusals;
pub use resume::{Resume, Upstream};
pub use session::{Session, SessionRequest, open_session};
pub use settings::{Auth, Dialect, ProviderSettings, REGION, parse_providers};
pub use sign::Sign;
pub use sse::{SseEvent, sse_events};
pub use wire::{HalfPairs, WireText};

use crate::generation::request::Request;
use crate::generation::usage::Usage;

/// One piece of a provider's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Text of the answer.
    Text(String),
    /// Text of the reasoning.
    Reasoning(String),
    /// Text of a refusal.
    Refusal(String),
    /// A piece of a tool call.
    ToolCall(ToolCallDelta),
    /// Token counts; a later delta replaces an earlier one.
    Usage(Usage),
    /// The name of the model, as the provider reports it.
    Model(String),
    /// The provider is alive and has nothing to say yet.
    Alive,
    /// How far a response that the provider keeps has been read: up to here.
    Upstream(Upstream),
    /// The finish reason, without which the output does not count as whole.
    Finish(FinishReason),
}

impl Delta {
    /// The length of its text in bytes.
    #[must_use]
    pub const fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Reasoning(text) | Self::Refusal(text) => text.len(),
            Self::ToolCall(call) => call.arguments.len(),
            Self::Usage(_) | Self::Model(_) | Self::Alive | Self::Upstream(_) | Self::Finish(_) => 0,
        }
    }
}

/// A piece of one tool call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// The call's number: 0, 1, 2 … in the order in which the calls began.
    pub index: u32,
    /// The call's id; in the first piece only.
    pub id: Option<String>,
    /// The tool's name; in the first piece only.
    pub name: Option<String>,
    /// A piece of the arguments, which are JSON text.
    pub arguments: String,
}

/// Batches of deltas, one per read from the connection. The stream ends after an error or at the end of the response.
pub type DeltaStream = BoxStream<'static, Result<Vec<Delta>, ProviderError>>;

/// A client of one provider, in the provider's dialect.
pub trait Provider: Send + Sync {
    /// Sends one request upstream and returns the stream once the response headers have arrived.
    ///
    /// # Errors
    /// [`ProviderError`], whose message never contains the key.
    fn open<'a>(&'a self, request: &'a Request, resume: &'a Resume) -> BoxFuture<'a, Result<DeltaStream, ProviderError>>;

    /// Cancels a response that the provider keeps, and works on although nobody reads it. One that has ended stays as it is.
    ///
    /// # Errors
    /// As of [`Self::open`].
    fn cancel<'a>(&'a self, response_id: &'a str) -> BoxFuture<'a, Result<(), ProviderError>>;
}

/// The four limits on waiting for a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// From the request to the first text. A reasoning model may take 55 s.
    pub first_byte: Duration,
    /// Between two events. Keep-alive comments are not events.
    pub idle: Duration,
    /// For the whole generation, all attempts together.
    pub generation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_mins(2),
            idle: Duration::from_mins(1),
            generation: Duration::from_mins(30),
        }
    }
}
