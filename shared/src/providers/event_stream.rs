//! Reads Amazon's event stream encoding (`application/vnd.amazon.eventstream`): binary frames of headers and JSON.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use bytes::{Bytes, BytesMut};
use futures::stream::unfold;
use futures::{Stream, StreamExt};
use serde_json::json;

use super::sse::{SseEvent, describe};
use super::{Fault, ProviderError, errors};
use crate::limits::SSE_EVENT_BYTES_MAX;

type Batch = Vec<Result<SseEvent, ProviderError>>;

/// What is left of a body.
struct Frames<S> {
    body: S,
    /// The beginning of a frame whose end has not come.
    begun: BytesMut,
    decoder: MessageFrameDecoder,
    has_ended: bool,
}

/// The events of a body, in batches of those that end in one read. A frame that does not end is left out: the missing finish reason
/// is reported.
pub(super) fn frames<S, E>(body: S) -> impl Stream<Item = Batch> + Send + Unpin + 'static
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    E: std::error::Error + 'static,
{
    let frames = Frames { body, begun: BytesMut::new(), decoder: MessageFrameDecoder::new(), has_ended: false };
    unfold(frames, |mut frames| async move {
        if frames.has_ended {
            return None;
        }
        let batch = match frames.body.next().await {
            Some(Ok(read)) => frames.read(&read),
            Some(Err(error)) => frames.fail(Fault::Interrupted, format!("the provider's stream broke off: {}", describe(&error))),
            None => {
                frames.has_ended = true;
                Vec::new()
            }
        };
        Some((batch, frames))
    })
    .boxed()
}

impl<S> Frames<S> {
    fn read(&mut self, read: &[u8]) -> Batch {
        self.begun.extend_from_slice(read);
        let mut batch = Vec::new();
        loop {
            match self.decoder.decode_frame(&mut self.begun) {
                Ok(DecodedFrame::Complete(message)) => batch.extend(event(&message).transpose()),
                Ok(DecodedFrame::Incomplete) if self.begun.len() > SSE_EVENT_BYTES_MAX => {
                    batch.extend(self.fail(Fault::Unreadable, format!("an event is larger than {SSE_EVENT_BYTES_MAX} bytes")));
                    return batch;
                }
                Ok(DecodedFrame::Incomplete) => return batch,
                Err(error) => {
                    batch.extend(self.fail(Fault::Unreadable, format!("the provider sent a frame that cannot be read: {error}")));
                    return batch;
                }
            }
        }
    }

    fn fail(&mut self, fault: Fault, message: String) -> Batch {
        self.has_ended = true;
        vec![Err(ProviderError::new(fault, message))]
    }
}

/// The event of a frame; `None`: a frame of a kind that is not known.
fn event(message: &Message) -> Result<Option<SseEvent>, ProviderError> {
    let header = |name: &str| {
        let header = message.headers().iter().find(|header| header.name().as_str() == name);
        header.and_then(|header| header.value().as_string().ok()).map(|value| value.as_str().to_owned())
    };
    let payload = String::from_utf8_lossy(message.payload());
    match header(":message-type").as_deref() {
        Some("event") => Ok(Some(SseEvent { event: header(":event-type"), data: payload.into_owned(), is_unterminated: false })),
        Some("exception") => {
            let message = errors::in_body(message.payload()).unwrap_or_else(|| payload.into_owned());
            Err(reported(header(":exception-type").as_deref(), Some(&message)))
        }
        Some("error") => Err(reported(header(":error-code").as_deref(), header(":error-message").as_deref())),
        _ => Ok(None),
    }
}

fn reported(code: Option<&str>, message: Option<&str>) -> ProviderError {
    errors::in_stream(&json!({ "code": code, "message": message }).to_string())
}
