//! The handler of `/v1/chat/completions`, the `OpenAI` chat completions API. Its clients work with another base URL.

use axum::BoxError;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use longhand::chat_completions::{Chunk, parse_create};
use longhand::generation::request::Request;
use longhand::{App, ChatCompletionTail};

use super::args::{BodyBytes, ClaimArgs, MaxAttempts};
use super::attached::{HEAD_WAIT, Until, attached, write_attached};
use super::caller::Caller;
use super::openai_error;
use super::problem::Problem;
use super::sse::{self, EVENT_STREAM, Frames, HEARTBEAT};
use super::whole;
use crate::invocation::request_id;

/// The generation that a completion is.
const GENERATION: HeaderName = HeaderName::from_static("x-longhand-generation");

/// `POST /v1/chat/completions`. This function writes the completion, and answers with its chunks (`stream`) or with the completion at
/// its end. The writer goes on when the caller goes away; the generation has the result.
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    until: Until,
    claim: ClaimArgs,
    MaxAttempts(max_attempts): MaxAttempts,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref());
    let request = Request { max_attempts, ..parse_create(&body, &app.config().request_rules())? };
    attached(&app, until, Box::pin(answer(&app, &caller, &request, &claim, until))).await
}

async fn answer(app: &App, caller: &Caller, request: &Request, claim: &ClaimArgs, until: Until) -> Result<Response, Problem> {
    let accepted = app.accept_chat_completion(&caller.organization, request, &claim.claim()?).await?;
    let (needs_writer, mut tail) = (accepted.needs_writer(), accepted.into_inner());
    if needs_writer {
        write_attached(app, tail.key(), until.stop_at);
    }
    let generation = tail.key().generation.clone();
    let mut response = match tail.failed_at_once(HEAD_WAIT).await? {
        Some(end) => openai_error::of_provider(&end),
        None if request.chat_completion.as_ref().is_some_and(|asked| asked.stream) => {
            sse::answer(EVENT_STREAM, Chunks(tail), HEARTBEAT, until.answer)
        }
        None => whole::answer(tail, until.answer),
    };
    if let Ok(generation) = HeaderValue::from_str(generation.as_str()) {
        response.headers_mut().insert(GENERATION, generation);
    }
    Ok(response)
}

struct Chunks(ChatCompletionTail);

impl sse::Source for Chunks {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some(chunks) = self.0.next().await? else { return Ok(None) };
        let mut frames = Frames::new();
        for chunk in &chunks {
            match chunk {
                Chunk::Data(data) => frames.push_data(data)?,
                Chunk::Done => frames.push_done(),
            }
        }
        Ok(Some(frames.into()))
    }

    /// Clients take a stream that ends well for a whole one.
    fn at_deadline(&mut self) -> Result<Option<Bytes>, BoxError> {
        Err("the time of the function is over".into())
    }
}
