//! What the decoders of all dialects share: from the events of a stream to deltas.

use bytes::Bytes;
use futures::stream::try_unfold;
use futures::{Stream, StreamExt, TryStreamExt};

use super::errors;
use super::sse::{SseEvent, batches};
use super::{Delta, DeltaStream, Fault, FinishMeaning, FinishReason, HalfPairs, ProviderError, ToolCallDelta, Upstream};
use crate::limits::{PROVIDER_NAME_BYTES_MAX, PROVIDER_TOOL_CALLS_MAX};

/// How a stream ended, by what it says itself.
pub(super) type StreamEnd = Result<(), ProviderError>;

/// The decoder of one stream.
pub(super) trait Decode: Send + 'static {
    /// Appends the deltas of one event. Returns `true` at the end of the stream.
    fn decode(&mut self, event: &SseEvent, deltas: &mut Vec<Delta>) -> Result<bool, ProviderError>;

    /// The deltas that are left at the end of the response.
    fn finish(&mut self) -> Vec<Delta>;

    /// How far a response that the provider keeps has been decoded.
    fn position(&self) -> Option<Upstream> {
        None
    }

    /// Decodes events to the first that ends the stream: well, or with an error. The position comes last.
    fn decode_batch(&mut self, events: Vec<Result<SseEvent, ProviderError>>) -> (Vec<Delta>, Option<StreamEnd>) {
        let mut deltas = Vec::with_capacity(events.len());
        let mut end = None;
        for event in events {
            match event.and_then(|event| self.decode(&event, &mut deltas)) {
                Ok(false) => continue,
                Ok(true) => end = Some(Ok(())),
                Err(error) => end = Some(Err(error)),
            }
            break;
        }
        deltas.extend(self.position().map(Delta::Upstream));
        (deltas, end)
    }
}

/// Why an event was not decoded.
pub(super) enum Unreadable {
    /// It is no JSON, or not of the dialect.
    Json(serde_json::Error),
    /// It reports an error, or breaks a bound.
    Refused(ProviderError),
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<ProviderError> for Unreadable {
    fn from(error: ProviderError) -> Self {
        Self::Refused(error)
    }
}

impl Unreadable {
    /// What the stream comes to at an event that was not decoded: it goes on behind one that was cut off, because the missing finish
    /// reason is reported at the end; otherwise it ends with an error. `expected`: what an event should have been.
    pub fn settle(self, event: &SseEvent, expected: &str) -> Result<bool, ProviderError> {
        match self {
            Self::Refused(error) => Err(error),
            Self::Json(_) if event.is_unterminated => Ok(false),
            Self::Json(_) if is_error_event(event) || errors::is_error(&event.data) => Err(errors::in_stream(event.data.trim())),
            Self::Json(error) => {
                // The position only: serde's own message would repeat the output.
                let at = format!("line {} column {}", error.line(), error.column());
                let message = format!("the provider sent an event that is not {expected} (at {at})");
                Err(ProviderError::new(Fault::Unreadable, message))
            }
        }
    }
}

/// Whether the event is named as an error.
pub(super) fn is_error_event(event: &SseEvent) -> bool {
    event.event.as_deref() == Some("error")
}

/// Bounds a name: names are stored in one item of the log, which has a size limit.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), ProviderError> {
    if name.len() <= PROVIDER_NAME_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the provider sent a {what} of more than {PROVIDER_NAME_BYTES_MAX} bytes");
    Err(ProviderError::new(Fault::Unreadable, message))
}

/// Bounds the number of tool calls that a stream begins.
pub(super) fn check_calls(calls: usize) -> Result<(), ProviderError> {
    if calls <= PROVIDER_TOOL_CALLS_MAX {
        return Ok(());
    }
    let message = format!("the provider began more than {PROVIDER_TOOL_CALLS_MAX} tool calls");
    Err(ProviderError::new(Fault::Unreadable, message))
}

/// The first piece of a tool call, without arguments. `before`: the calls that have begun in the stream before it.
pub(super) fn begin_call(before: usize, id: Option<String>, name: Option<String>) -> Result<ToolCallDelta, ProviderError> {
    check_name("tool call's id", id.as_deref().unwrap_or_default())?;
    check_name("tool call's name", name.as_deref().unwrap_or_default())?;
    check_calls(before + 1)?;
    Ok(ToolCallDelta { index: u32::try_from(before).unwrap_or(u32::MAX), id, name, arguments: String::new() })
}

/// A further piece of a tool call.
pub(super) fn more_arguments(index: u32, arguments: String) -> Delta {
    Delta::ToolCall(ToolCallDelta { index, arguments, ..ToolCallDelta::default() })
}

/// The surrogate half of a tool call's arguments that no second half followed.
pub(super) fn rest_of_arguments(index: u32, pairs: &mut HalfPairs) -> Option<Delta> {
    Some(pairs.finish()).filter(|rest| !rest.is_empty()).map(|rest| more_arguments(index, rest))
}

/// Appends a finish reason. One that means a failure is an error as well.
pub(super) fn push_finish(reason: FinishReason, deltas: &mut Vec<Delta>) -> Result<(), ProviderError> {
    check_name("finish reason", &reason.word)?;
    let failed = reason.meaning == Some(FinishMeaning::Failed);
    let message = failed.then(|| format!("the provider ended the stream with the finish reason `{}`", reason.word));
    deltas.push(Delta::Finish(FinishReason { is_final: reason.is_final && !failed, ..reason }));
    message.map_or(Ok(()), |message| Err(ProviderError::new(Fault::ReportedError, message)))
}

/// The deltas of a body, up to the event that ends the stream or the body's end. An error's message never contains `key`.
pub(super) fn deltas<S, E>(body: S, key: String, decoder: impl Decode) -> DeltaStream
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + 'static,
{
    decoded(batches(body), key, decoder)
}

/// The deltas of events, up to the one that ends the stream or the last. An error's message never contains `key`.
pub(super) fn decoded(
    events: impl Stream<Item = Vec<Result<SseEvent, ProviderError>>> + Send + Unpin + 'static,
    key: String,
    decoder: impl Decode,
) -> DeltaStream {
    let start = (events, decoder, None::<StreamEnd>);
    let deltas = try_unfold(start, |(mut events, mut decoder, end)| async move {
        // What a gateway leaves open behind the end is not waited for.
        if let Some(end) = end {
            return end.map(|()| None);
        }
        let (deltas, end) = match events.next().await {
            Some(batch) => decoder.decode_batch(batch),
            None => (decoder.finish(), Some(Ok(()))),
        };
        Ok(Some((deltas, (events, decoder, end))))
    });
    deltas.map_err(move |error: ProviderError| error.without_key(&key)).boxed()
}
