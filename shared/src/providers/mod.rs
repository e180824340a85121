//! Providers: a request goes in, a stream of deltas comes out. Streaming only.
//!
//! A stream that ends without a finish reason is an interruption, never a success. Dropping the stream closes the connection
//! to the provider.

mod continuation;
mod dialects;
mod fault;
mod http_status;
mod session;
mod settings;
mod sse;
mod wire;

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use continuation::{Continuation, can_be_continued};
pub use dialects::chat_completions::{ChatCompletions, chat_completion_deltas};
pub use fault::{Fault, ProviderError};
pub use session::{Asking, Session, open_session};
pub use settings::{ProviderSettings, parse_providers, presets};
pub use sse::{SseEvent, sse_events};
pub use wire::{HalfPairs, WireText};

use crate::generation::request::Request;
use crate::generation::usage::Usage;

/// One piece of what a provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Of the answer.
    Text(String),
    /// Of what it thinks before it answers.
    Reasoning(String),
    /// Of a refusal.
    Refusal(String),
    /// Of a tool call.
    ToolCall(ToolCallDelta),
    /// Tokens counted; a later one replaces an earlier one.
    Usage(Usage),
    /// The model that answers, as the provider names it.
    Model(String),
    /// The finish reason: the only proof that the output is whole.
    Finish(String),
}

impl Delta {
    /// Bytes of text in it.
    #[must_use]
    pub const fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Reasoning(text) | Self::Refusal(text) => text.len(),
            Self::ToolCall(call) => call.arguments.len(),
            Self::Usage(_) | Self::Model(_) | Self::Finish(_) => 0,
        }
    }
}

/// A piece of one tool call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// Which call, as the provider numbers them.
    pub index: u32,
    /// Its id; with the first piece only.
    pub id: Option<String>,
    /// The tool's name; with the first piece only.
    pub name: Option<String>,
    /// A piece of the arguments' JSON text.
    pub arguments: String,
}

/// Deltas as they come, grouped by what one read brought. The stream ends after an error, or well after a finish reason.
pub type DeltaStream = BoxStream<'static, Result<Vec<Delta>, ProviderError>>;

/// One provider's dialect.
pub trait Provider: Send + Sync {
    /// Sends the request and answers with the stream once its headers have come. One call is one request upstream.
    /// `prefix`: the answer so far, which the stream goes on behind and does not repeat; empty at first.
    fn open<'a>(&'a self, request: &'a Request, prefix: &'a str) -> BoxFuture<'a, Result<DeltaStream, ProviderError>>;
}

/// The four limits on waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Duration,
    /// From the request to the first event. A first token after 55 s is normal for models that think.
    pub first_byte: Duration,
    /// Between events. Keep-alive comments are not events.
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
