//! The verbs of the Responses API. A response is a generation seen through [`crate::responses`].
//!
//! Its state follows from the log alone: what a stream has told as the end is what every later answer says, whether it has
//! been compacted yet or not.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::aws::{RecordRow, Records};
use crate::clock::millis_of;
use crate::error::Error;
use crate::generation::request::Request;
use crate::generation::{Failure, Status};
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::responses::{InputPage, InputQuery, Renderer, ResponseId, Snapshot, input_items};
use crate::verbs::generations::start::hash_key;
use crate::verbs::generations::tail::Tail;
use crate::verbs::stream::failed;

/// How long a delete waits for what has just ended to be compacted: deleted before, it would come back.
const DELETE_PATIENCE: Duration = Duration::from_secs(10);
const DELETE_PAUSE: Duration = Duration::from_millis(50);

/// What makes a create repeatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateClaim<'a> {
    /// The caller's `Idempotency-Key`.
    Key(&'a str),
    /// None: it is a request of its own, however many like it there are.
    First,
    /// None, but the client says that it has tried before: the generation of that try, if there was one within a minute.
    Retry,
}

/// A response's stream, from any event to its end.
pub struct ResponseTail {
    tail: Tail,
    renderer: Renderer,
    after: Option<u64>,
}

impl App {
    /// Accepts a create request. Whoever calls has it written, if it is new: [`App::stream`] here, or [`App::hand_over_response`].
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn accept_response(
        &self,
        organization: &Organization,
        request: &Request,
        claim: CreateClaim<'_>,
    ) -> Result<(ResponseTail, GenerationKey, bool), Error> {
        let now_ms = self.clock.now_ms();
        let new = GenerationKey::new(organization.clone(), GenerationId::new(now_ms));
        let hash = if let CreateClaim::Key(given) = claim { Some(hash_key(given)?) } else { None };
        let repeated = async {
            match (claim, hash.as_deref()) {
                (CreateClaim::Retry, _) => self.records.recent_create(organization, &request.fingerprint(), now_ms).await,
                (_, Some(hash)) => self.records.idempotent(organization, hash, now_ms).await,
                (_, None) => Ok(None),
            }
        };
        let allowance = Box::pin(self.admit(organization, request, now_ms, repeated)).await?;
        let key = match hash.as_deref() {
            Some(hash) => self.claim_idempotency(new, hash, request, now_ms).await?,
            None => self.claim_create(new, request, claim, now_ms).await?,
        };
        let may_exist = claim != CreateClaim::First;
        let new = Records::new_record(&key, request, hash.as_deref(), now_ms, allowance);
        let (record, is_waiting) = self.accept_as(&key, request, new, may_exist).await?;
        Ok((self.response_tail(&key, &record, request, None).await?, key, is_waiting))
    }

    /// Has a new response written by a function of its own.
    pub async fn hand_over_response(&self, key: &GenerationKey) {
        self.hand_over(key).await;
    }

    /// The response object now.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LogGone`]; [`Error::Aws`].
    pub async fn response(&self, organization: &Organization, id: &ResponseId) -> Result<Value, Error> {
        let (key, record, request) = self.find_response(organization, id).await?;
        let mut tail = self.response_tail(&key, &record, &request, None).await?;
        match record.outcome.filter(|outcome| outcome.compacted.is_none()) {
            None => tail.now().await,
            Some(given_up) => {
                let Failure { code, message } = given_up.error.unwrap_or_default();
                tail.renderer.follow(&failed(&code, message), None);
                Ok(tail.response())
            }
        }
    }

    /// The stream of a response that was created to be streamed, from behind event `after` on.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] for a response that was not created with `background` and `stream`; [`Error::Aws`].
    pub async fn stream_response(
        &self,
        organization: &Organization,
        id: &ResponseId,
        after: Option<u64>,
    ) -> Result<ResponseTail, Error> {
        let (key, record, request) = self.find_response(organization, id).await?;
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
        self.response_tail(&key, &record, &request, after).await
    }

    /// Cancels a response, and answers with it. Cancelling it again answers the same.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] for one that is not in the background, or has ended otherwise; [`Error::Aws`].
    pub async fn cancel_response(&self, organization: &Organization, id: &ResponseId) -> Result<Value, Error> {
        let (key, record, request) = self.find_response(organization, id).await?;
        if request.responses.as_deref().is_some_and(|asked| !asked.background) {
            return Err(Error::refused("Cannot cancel a synchronous response.", None, None));
        }
        match self.cancel(&key).await {
            Ok(_) => self.response_tail(&key, &record, &request, None).await?.now().await,
            Err(Error::AlreadyEnded(_, "incomplete")) => {
                Err(Error::refused("Cannot cancel a response in terminal state.", None, None))
            }
            Err(Error::AlreadyEnded(_, status)) => Err(Error::refused(format!("Cannot cancel a {status} response."), None, None)),
            Err(error) => Err(error),
        }
    }

    /// Deletes a response that has ended, with everything of it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] while it is being written; [`Error::NotEnded`] if it is not compacted in time, and the same call may be tried again; [`Error::Aws`].
    pub async fn delete_response(&self, organization: &Organization, id: &ResponseId) -> Result<(), Error> {
        let (key, record, _) = self.find_response(organization, id).await?;
        let give_up_at = Instant::now() + DELETE_PATIENCE;
        if record.outcome.is_none() && self.buffer.newest(&key).await?.is_none_or(|chunk| chunk.end().is_none()) {
            return Err(Error::refused("Cannot delete an in-flight response.", None, None));
        }
        while self.records.get(&key).await?.outcome.is_none() {
            if Instant::now() >= give_up_at {
                return Err(Error::NotEnded(id.to_string(), "its end is still being stored"));
            }
            sleep(DELETE_PAUSE).await;
        }
        self.purge(&key).await.map(|_| ())
    }

    /// A page of what the response was created from.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] for a page that cannot be; [`Error::Aws`].
    pub async fn response_input(
        &self,
        organization: &Organization,
        id: &ResponseId,
        query: &InputQuery,
    ) -> Result<InputPage, Error> {
        let (_, _, request) = self.find_response(organization, id).await?;
        InputPage::cut(input_items(id, &request), query)
    }

    /// The generation that a keyless create is, or becomes.
    async fn claim_create(
        &self,
        new: GenerationKey,
        request: &Request,
        claim: CreateClaim<'_>,
        now_ms: i64,
    ) -> Result<GenerationKey, Error> {
        let fingerprint = request.fingerprint();
        let earlier = match claim {
            CreateClaim::Retry => self.records.recent_create(&new.organization, &fingerprint, now_ms).await?,
            CreateClaim::First | CreateClaim::Key(_) => None,
        };
        let generation = earlier.unwrap_or(new.generation);
        self.records.note_create(&new.organization, &fingerprint, &generation, now_ms).await?;
        Ok(GenerationKey::new(new.organization, generation))
    }

    async fn find_response(
        &self,
        organization: &Organization,
        id: &ResponseId,
    ) -> Result<(GenerationKey, RecordRow, Request), Error> {
        let key = GenerationKey::new(organization.clone(), id.generation().clone());
        let record = self.records.get(&key).await?;
        let request = self.request(&key).await?.filter(|request| request.responses.as_deref().is_none_or(|asked| asked.store));
        request.map(|request| (key, record, request)).ok_or_else(|| Error::NotFound(id.to_string()))
    }

    async fn response_tail(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        request: &Request,
        after: Option<u64>,
    ) -> Result<ResponseTail, Error> {
        let created_ms = millis_of(&record.created_at).unwrap_or_default();
        let snapshot = Snapshot::new(ResponseId::of(key.generation.clone()), created_ms, request);
        let tail = self.tail(key, None).await?;
        Ok(ResponseTail { tail, renderer: Renderer::new(snapshot), after })
    }
}

impl ResponseTail {
    /// The next stream events, in order; waits for them. `None`: the last one was terminal, or `after` was.
    ///
    /// # Errors
    /// [`Error::LogGone`]; [`Error::Aws`].
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, Error> {
        loop {
            let Some(events) = self.tail.next().await? else { return Ok(None) };
            let mut told = Vec::with_capacity(events.len());
            for event in events {
                if self.after.is_some_and(|after| event.seq <= after) {
                    self.renderer.follow(&event.event, self.tail.ended_ms());
                } else {
                    told.push(self.renderer.render(&event, self.tail.ended_ms()));
                }
            }
            if !told.is_empty() {
                return Ok(Some(told));
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

    /// How it ended, if it has been read to its end.
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

    fn follow(&mut self, events: &[crate::log::event::NumberedEvent]) {
        for event in events {
            self.renderer.follow(&event.event, self.tail.ended_ms());
        }
    }
}
