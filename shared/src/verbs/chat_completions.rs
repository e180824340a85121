//! The verbs of the chat completions API. A completion is a generation seen through [`crate::chat_completions`].

use std::time::Duration;

use serde_json::Value;

use crate::app::App;
use crate::chat_completions::{Chunk, Completion, CompletionHead};
use crate::clock::millis_of;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::{GenerationKey, Organization};
use crate::log::event::End;
use crate::verbs::generations::claim::Claim;
use crate::verbs::generations::start::Accepted;
use crate::verbs::generations::tail::Tail;

/// A completion while it is written, from its beginning to its end.
pub struct ChatCompletionTail {
    key: GenerationKey,
    tail: Tail,
    completion: Completion,
}

impl App {
    /// Accepts a request for a completion. The caller has it written, where that is needed: by [`App::stream`].
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn accept_chat_completion(
        &self,
        organization: &Organization,
        request: &Request,
        claim: &Claim,
    ) -> Result<Accepted<ChatCompletionTail>, Error> {
        let accepted = self.accept(organization, request, claim).await?;
        let record = accepted.get();
        let key = record.key();
        let created_ms = millis_of(&record.created_at).unwrap_or_default();
        let completion = Completion::new(CompletionHead::new(key.generation.clone(), created_ms, request));
        let tail = ChatCompletionTail { tail: self.tail(&key, None).await?, key, completion };
        Ok(accepted.seen_as(tail))
    }
}

impl ChatCompletionTail {
    /// The generation that the completion is.
    #[must_use]
    pub const fn key(&self) -> &GenerationKey {
        &self.key
    }

    /// As [`Tail::failed_at_once`].
    ///
    /// # Errors
    /// As [`Tail::next`].
    pub async fn failed_at_once(&mut self, patience: Duration) -> Result<Option<End>, Error> {
        self.tail.failed_at_once(patience).await
    }

    /// The next chunks, in order; waits for them. `None`: the last one ended the stream.
    ///
    /// # Errors
    /// As [`Tail::next`].
    pub async fn next(&mut self) -> Result<Option<Vec<Chunk>>, Error> {
        loop {
            if self.completion.is_broken() {
                return Ok(None);
            }
            let Some(events) = self.tail.next().await? else { return Ok(None) };
            let chunks: Vec<Chunk> = events.iter().flat_map(|event| self.completion.render(&event.event)).collect();
            if !chunks.is_empty() {
                return Ok(Some(chunks));
            }
        }
    }

    /// The completion at its end, or its error; waits for it.
    ///
    /// # Errors
    /// As [`Tail::next`].
    pub async fn ended(&mut self) -> Result<Value, Error> {
        while let Some(events) = self.tail.next().await? {
            for event in &events {
                self.completion.follow(&event.event);
            }
        }
        Ok(self.completion.completion())
    }

    /// The completion as far as it has been read: an error that names the generation, where it has not ended.
    #[must_use]
    pub fn completion(&self) -> Value {
        self.completion.completion()
    }
}
