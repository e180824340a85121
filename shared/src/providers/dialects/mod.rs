//! The wire formats of providers, a folder each.

pub mod anthropic;
pub mod bedrock;
pub mod chat_completions;
pub mod gemini;
pub mod ollama;
#[cfg(test)]
mod reading;

use bytes::Bytes;
use futures::Stream;

use super::decode::{decoded, deltas};
use super::event_stream::frames;
use super::ndjson::lines;
use super::{DeltaStream, Dialect, ProviderSettings, Upstream};

/// The deltas of a response's body, in the dialect of its provider, up to the event that ends the stream or the body's end. An error's
/// message never contains `key`. `upstream`: where the body begins, of a response that the provider keeps.
pub fn body_deltas<S, E>(settings: &ProviderSettings, body: S, key: String, upstream: Option<Upstream>) -> DeltaStream
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    E: std::error::Error + 'static,
{
    let words = settings.finish_reasons.clone();
    match settings.dialect {
        Dialect::ChatCompletions => deltas(body, key, chat_completions::Decoder::new(words)),
        Dialect::Anthropic => deltas(body, key, anthropic::Decoder::new(words)),
        Dialect::Bedrock => decoded(frames(body), key, bedrock::Decoder::new(words)),
        Dialect::Gemini => deltas(body, key, gemini::Decoder::new(words)),
        Dialect::Ollama => decoded(lines(body), key, ollama::Decoder::new(words)),
        Dialect::Responses => deltas(body, key, responses::Decoder::new(words, responses::is_kept(settings), upstream)),
    }
}
pub mod responses;
