//! Reading a response: the object, its stream, and its input.

use std::time::Duration;

use serde_json::Value;

use crate::app::App;
use crate::aws::RecordRow;
use crate::clock::millis_of;
use crate::error::Error;
use crate::generation::request::Request;
use crate::generation::{Failure, Status};
use crate::ids::{GenerationKey, Organization};
use crate::log::event::{End, NumberedEvent};
use crate::responses::{InputPage, InputQuery, Renderer, ResponseId, Snapshot, input_items};
use crate::verbs::generations::tail::Tail;
use crate::verbs::stream::failed;

/// A response's stream, from any event to its end.
pub struct ResponseTail {
    key: GenerationKey,
    tail: Tail,
    renderer: Renderer,
    after: Option<u64>,
}

impl App {
    /// The response object now.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LogGone`]; [`Error::Aws`].
    pub async fn response(&self, organization: &Organization, id: &ResponseId) -> Result<Value, Error> {
        let (record, request) = self.find_response(organization, id).await?;
        let mut tail = self.response_tail(&record, &request, None).await?;
        match record.outcome.filter(|outcome| outcome.compacted.is_none()) {
            None => tail.now().await,
            Some(given_up) => {
                let Failure { code, message } = given_up.error.unwrap_or_default();
                tail.renderer.follow(&failed(&code, message), None);
                Ok(tail.response())
            }
        }
    }

    /// The stream of a response that was created with `background` and `stream`, after event `after` if it is given.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] for any other response; [`Error::Aws`].
    pub async fn stream_response(
        &self,
        organization: &Organization,
        id: &ResponseId,
        after: Option<u64>,
    ) -> Result<ResponseTail, Error> {
        let (record, request) = self.find_response(organization, id).await?;
        let asked = request.responses.as_deref();
        let missing = asked.and_then(|asked| match (asked.background, asked.stream) {
            (false, _) => Some("background"),
            (true, false) => Some("stream"),
            (true, true) => None,
        });
        if let Some(missing) = missing {
            let message = format!("This response cannot be streamed because it was not created with {missing}=true.");
            return Err(Error::refused(message, Some("stream"), None));
        }
        if record.outcome.as_ref().is_some_and(|outcome| outcome.compacted.is_none()) {
            let message = "This response cannot be streamed because its log has expired.";
            return Err(Error::refused(message, Some("stream"), None));
        }
        self.response_tail(&record, &request, after).await
    }

    /// A page of the input that the response was created from.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] for an invalid page; [`Error::Aws`].
    pub async fn response_input(
        &self,
        organization: &Organization,
        id: &ResponseId,
        query: &InputQuery,
    ) -> Result<InputPage, Error> {
        let (_, request) = self.find_response(organization, id).await?;
        InputPage::cut(input_items(id, &request), query)
    }

    /// The record and request of a response that may be retrieved: one created with `store: false` may not.
    pub(super) async fn find_response(
        &self,
        organization: &Organization,
        id: &ResponseId,
    ) -> Result<(RecordRow, Request), Error> {
        let key = GenerationKey::new(organization.clone(), id.generation().clone());
        let record = self.records.get(&key).await?;
        let request = self.request(&key).await?.filter(|request| request.responses.as_deref().is_none_or(|asked| asked.store));
        request.map(|request| (record, request)).ok_or_else(|| Error::NotFound(id.to_string()))
    }

    pub(super) async fn response_tail(
        &self,
        record: &RecordRow,
        request: &Request,
        after: Option<u64>,
    ) -> Result<ResponseTail, Error> {
        let key = record.key();
        let created_ms = millis_of(&record.created_at).unwrap_or_default();
        let snapshot = Snapshot::new(ResponseId::of(key.generation.clone()), created_ms, request);
        let tail = self.tail(&key, None).await?;
        Ok(ResponseTail { key, tail, renderer: Renderer::new(snapshot), after })
    }
}

impl ResponseTail {
    /// The generation that the response is.
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

    /// The next stream events, in order; waits for them. `None`: the last one was terminal, or `after` was.
    ///
    /// # Errors
    /// [`Error::LogGone`]; [`Error::Aws`].
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, Error> {
        loop {
            let Some(events) = self.tail.next().await? else { return Ok(None) };
            let mut rendered = Vec::with_capacity(events.len());
            for event in events {
                if self.after.is_some_and(|after| event.seq <= after) {
                    self.renderer.follow(&event.event, self.tail.ended_ms());
                } else {
                    rendered.push(self.renderer.render(&event, self.tail.ended_ms()));
                }
            }
            if !rendered.is_empty() {
                return Ok(Some(rendered));
            }
        }
    }

    /// The response at its end; waits for it.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn ended(&mut self) -> Result<Value, Error> {
        while let Some(events) = self.tail.next().await? {
            self.follow(&events);
        }
        Ok(self.renderer.response())
    }

    /// The response as far as it has been read.
    #[must_use]
    pub fn response(&self) -> Value {
        self.renderer.response()
    }

    /// The terminal status, if it has been read to its end.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.renderer.status()
    }

    /// The response as far as it is stored now.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn now(&mut self) -> Result<Value, Error> {
        while let Some(events) = self.tail.poll().await? {
            self.follow(&events);
        }
        Ok(self.renderer.response())
    }

    fn follow(&mut self, events: &[NumberedEvent]) {
        for event in events {
            self.renderer.follow(&event.event, self.tail.ended_ms());
        }
    }
}
