//! The writer: reads the provider, and stores what it says in the next slots of the log.
//!
//! While one chunk is being stored the provider is read on, up to a bound; chunks are stored one after the other. The writer
//! stops for good at the first slot that it loses.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::lease::Lease;
use super::schema_watch::SchemaWatch;
use super::{Limits, Streamed};
use crate::app::App;
use crate::aws::{Appended, Meta};
use crate::clock::millis;
use crate::composer::Composer;
use crate::error::Error;
use crate::event::{End, Event};
use crate::flush::{Decision, Waiting, decide};
use crate::generation::Status;
use crate::hints::Topic;
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::{Chunk, Counters, LogState};
use crate::provider::{Delta, Fault, ProviderError, Session, open_session};
use crate::request::Request;

/// Tries to store one chunk before the invocation gives up; each is the SDK's own three.
const APPEND_TRIES_MAX: u32 = 6;
/// Keys, counters and names of a chunk with one stretch of text in it, beside its partition key.
const CHUNK_OVERHEAD_BYTES: usize = 215;
/// So that the delta that fills a write unit does not spill into the next.
const FILL_SLACK_BYTES: usize = 24;

/// One writer, for as many attempts as this invocation makes.
pub(super) struct Writer {
    app: App,
    key: GenerationKey,
    request: Arc<Request>,
    log: LogState,
    composer: Composer,
    schema: SchemaWatch,
    meta: Meta,
    lease: Lease,
    /// Of all attempts: stored, on its way to the log, and waiting.
    received_bytes: u64,
    waiting_since_ms: Option<i64>,
    last_flush_ms: Option<i64>,
    fill_bytes: usize,
    end: End,
    finish: Option<String>,
}

/// How one attempt stopped.
enum Stop {
    Finished,
    Fault(ProviderError),
    NotConfigured(String),
    OutputLimit,
    SchemaViolation(String),
    Timeout,
    Deadline,
    Cancelled,
    Fenced,
}

type Append = AbortOnDropHandle<Result<Appended, Error>>;

impl Writer {
    pub(super) fn new(app: App, key: GenerationKey, request: Request, log: LogState, meta: Meta) -> Self {
        let overhead = CHUNK_OVERHEAD_BYTES + key.partition().len() + FILL_SLACK_BYTES;
        Self {
            composer: Composer::resume(log.outline.clone(), log.counters.received_chunks),
            schema: SchemaWatch::new(&request, log.has_schema_violation),
            lease: Lease::keep(&app, &key, &meta),
            app,
            key,
            request: Arc::new(request),
            received_bytes: log.counters.received_bytes,
            log,
            meta,
            waiting_since_ms: None,
            last_flush_ms: None,
            fill_bytes: limits::WRITE_UNIT_BYTES.saturating_sub(overhead).max(1),
            end: End::default(),
            finish: None,
        }
    }

    /// Streams until the log has ended or another writer has it. `None`: the first slot was lost, and nothing was written.
    pub(super) async fn run(mut self, limits: Limits) -> Result<Option<Streamed>, Error> {
        loop {
            tracing::info!(
                generation = %self.key.generation, organization = %self.key.organization, attempt = self.meta.attempt,
                "An attempt begins."
            );
            self.begin_attempt();
            if !self.flush_all().await? {
                return Ok(None);
            }
            let stop = match self.app.provider(&self.request).await {
                Ok(provider) => {
                    let until = limits.stop_at.map_or(limits.give_up_at, |stop_at| stop_at.min(limits.give_up_at));
                    let session = open_session(provider, Arc::clone(&self.request), self.app.config.timeouts, until);
                    self.receive(session, limits).await?
                }
                Err(Error::Configuration(message)) => Stop::NotConfigured(message),
                Err(error) => return Err(error),
            };
            let end = match stop {
                Stop::Fenced => return Ok(Some(Streamed::Fenced)),
                Stop::Fault(error) if self.is_worth_another(&error, limits.attempts_max) => {
                    if !self.next_attempt(&error).await? {
                        return Ok(Some(Streamed::Fenced));
                    }
                    continue;
                }
                stop => self.terminal(stop, limits.attempts_max),
            };
            return self.finish(end).await.map(Some);
        }
    }

    fn is_worth_another(&self, error: &ProviderError, attempts_max: u32) -> bool {
        error.is_retryable() && self.received_in_this_attempt() && self.meta.attempt < attempts_max
    }

    fn begin_attempt(&mut self) {
        if self.log.is_empty() && !self.composer.has_pending() {
            self.composer.event(Event::Created);
        }
        self.composer.abandon();
        self.schema.restart();
        self.log.output_from = self.composer.next_output_index();
        self.composer.event(Event::InProgress { attempt: self.meta.attempt });
        self.end = End::default();
        self.finish = None;
    }

    /// Whether this attempt received anything: only then is a fault an interruption, which a new attempt may mend. Before the
    /// first delta the session has already asked again as often as is right.
    fn received_in_this_attempt(&self) -> bool {
        self.composer.next_output_index() > self.log.output_from
    }

    async fn next_attempt(&mut self, error: &ProviderError) -> Result<bool, Error> {
        tracing::warn!(
            generation = %self.key.generation, organization = %self.key.organization, attempt = self.meta.attempt,
            fault = error.fault.code(), "The provider's stream was interrupted; the next attempt begins."
        );
        let lease_until = self.app.clock.now_ms() + millis(self.app.config.lease);
        // A writer id of its own: a renewal of the old lease that is still on its way must not pass for this attempt's.
        let writer = ulid::Ulid::generate().to_string();
        let next = Meta { attempt: self.meta.attempt + 1, writer, lease_until, ..self.meta.clone() };
        if !self.app.buffer.claim(&self.key, Some(&self.meta), &next).await? {
            return Ok(false);
        }
        self.lease = Lease::keep(&self.app, &self.key, &next);
        self.meta = next;
        Ok(true)
    }

    fn terminal(&mut self, stop: Stop, attempts_max: u32) -> Event {
        let (reason, message) = match stop {
            Stop::Finished => return self.finished(),
            Stop::Cancelled => return Event::Cancelled(std::mem::take(&mut self.end)),
            Stop::Fault(error)
                if self.meta.attempt >= attempts_max
                    && attempts_max > 1
                    && error.is_retryable()
                    && self.received_in_this_attempt() =>
            {
                ("attempts_exhausted", format!("{attempts_max} attempts were interrupted; the last: {error}"))
            }
            Stop::Fault(error) => (error.fault.code(), error.message),
            Stop::NotConfigured(message) => ("provider_not_configured", message),
            Stop::OutputLimit => ("output_limit", format!("the output is larger than {} bytes", self.output_bytes_max())),
            Stop::SchemaViolation(message) => ("schema_violation", message),
            Stop::Timeout => ("timeout", format!("it took longer than {} s", self.app.config.timeouts.generation.as_secs())),
            Stop::Deadline => ("deadline", "the function's time ran out before the provider had finished".into()),
            Stop::Fenced => ("interrupted", Fault::Interrupted.code().into()),
        };
        self.composer.close(false);
        let (reason, message) = (Some(reason.to_owned()), Some(message));
        Event::Failed(End { reason, message, usage: self.end.usage, model: self.end.model.take(), ..End::default() })
    }

    fn finished(&mut self) -> Event {
        let end = End { finish_reason: self.finish.take(), ..std::mem::take(&mut self.end) };
        let reason = match end.finish_reason.as_deref() {
            Some("length" | "max_tokens") => "max_output_tokens",
            Some("content_filter") => "content_filter",
            _ => {
                self.composer.close(true);
                return Event::Completed(end);
            }
        };
        self.composer.close(false);
        Event::Incomplete(End { reason: Some(reason.to_owned()), ..end })
    }

    async fn finish(mut self, end: Event) -> Result<Streamed, Error> {
        let status = end.end().map_or(Status::Failed, |(status, _)| status);
        self.composer.event(end);
        if self.flush_all().await? { Ok(Streamed::Ended(status)) } else { Ok(Streamed::Fenced) }
    }

    /// Reads the provider and stores by the flush policy, until the attempt stops. Nothing is in flight when it returns.
    async fn receive(&mut self, mut session: Session, limits: Limits) -> Result<Stop, Error> {
        let Limits { give_up_at, stop_at, .. } = limits;
        let mut in_flight: Option<(Append, Chunk)> = None;
        let mut stop = None;
        loop {
            if in_flight.is_none() {
                if let Some(stop) = stop {
                    return Ok(stop);
                }
                in_flight = self.flush_if_due();
            }
            let wake = self.wake_at(give_up_at, stop_at);
            let waiting = self.composer.pending_bytes() + self.composer.pending_events() * limits::EVENT_OVERHEAD_BYTES;
            let reads_on = stop.is_none() && waiting < limits::WAITING_BYTES_MAX;
            tokio::select! {
                appended = appended(&mut in_flight), if in_flight.is_some() => {
                    let chunk = in_flight.take().map(|(_, chunk)| chunk);
                    if !self.stored(appended?, chunk.as_ref())? {
                        return Ok(Stop::Fenced);
                    }
                }
                received = session.next(), if reads_on => stop = self.take_in(received),
                () = self.lease.changed() => stop = self.lease_stop().or(stop),
                () = sleep_until(wake), if stop.is_none() => stop = time_is_up(give_up_at, stop_at),
            }
        }
    }

    fn lease_stop(&self) -> Option<Stop> {
        let view = self.lease.view();
        if view.taken_over {
            return Some(Stop::Fenced);
        }
        view.cancel_requested.then_some(Stop::Cancelled)
    }

    fn take_in(&mut self, received: Option<Result<Vec<Delta>, ProviderError>>) -> Option<Stop> {
        let deltas = match received {
            None if self.finish.is_some() => return Some(Stop::Finished),
            None => {
                let message = "the reader of the provider's stream broke off";
                return Some(Stop::Fault(ProviderError::new(Fault::Interrupted, message)));
            }
            Some(Err(error)) => return Some(Stop::Fault(error)),
            Some(Ok(deltas)) => deltas,
        };
        let mut broken = None;
        for delta in deltas {
            match delta {
                Delta::Usage(usage) => self.end.usage = Some(usage),
                Delta::Model(model) => self.end.model = Some(model),
                Delta::Finish(reason) => self.finish = Some(reason),
                text => {
                    self.received_bytes += text.text_bytes() as u64;
                    let events = self.log.next_seq + self.composer.pending_events() as u64;
                    if self.received_bytes > self.output_bytes_max() || events > limits::EVENTS_MAX {
                        return Some(Stop::OutputLimit);
                    }
                    let violation = self.schema.look(&text);
                    self.composer.delta(text);
                    if let Some(violation) = violation {
                        violation.event.into_iter().for_each(|event| self.composer.event(event));
                        broken = violation.stops_with.map(Stop::SchemaViolation);
                    }
                }
            }
        }
        if self.composer.has_pending() && self.waiting_since_ms.is_none() {
            self.waiting_since_ms = Some(self.app.clock.now_ms());
        }
        broken
    }

    fn output_bytes_max(&self) -> u64 {
        self.request.max_output_bytes.unwrap_or(self.app.config.max_output_bytes)
    }

    fn decide(&self) -> Decision {
        let now = self.app.clock.now_ms();
        let waiting = self.waiting_since_ms.map(|since_ms| Waiting { bytes: self.composer.pending_bytes(), since_ms });
        let watched = self.lease.view().watched_until > now;
        decide(now, waiting, self.last_flush_ms, watched, self.app.config.windows, self.fill_bytes)
    }

    fn wake_at(&self, give_up_at: Instant, stop_at: Option<Instant>) -> Instant {
        let last = stop_at.map_or(give_up_at, |stop_at| stop_at.min(give_up_at));
        match self.decide() {
            Decision::WaitUntil(due) => {
                let wait = (due - self.app.clock.now_ms()).max(0).cast_unsigned();
                last.min(Instant::now() + Duration::from_millis(wait))
            }
            Decision::Idle | Decision::Flush => last,
        }
    }

    fn flush_if_due(&mut self) -> Option<(Append, Chunk)> {
        (self.decide() == Decision::Flush).then(|| self.next_chunk()).map(|chunk| (self.append(chunk.clone()), chunk))
    }

    fn next_chunk(&mut self) -> Chunk {
        let now = self.app.clock.now_ms();
        let events = self.composer.take(limits::CHUNK_TEXT_BYTES_MAX);
        self.last_flush_ms = Some(now);
        if !self.composer.has_pending() {
            self.waiting_since_ms = None;
        }
        let text_bytes: u64 = events.iter().map(|event| event.text_bytes() as u64).sum();
        let counters = Counters {
            received_chunks: self.composer.received_chunks(),
            received_bytes: self.log.counters.received_bytes + text_bytes,
            chunk_count: self.log.counters.chunk_count + 1,
        };
        let (writer, output_from) = (self.meta.writer.clone(), self.log.output_from);
        Chunk { first_seq: self.log.next_seq, writer, at_ms: now, counters, output_from, events }
    }

    fn append(&self, chunk: Chunk) -> Append {
        let (app, key, expires_at) = (self.app.clone(), self.key.clone(), self.meta.expires_at);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut wait = Duration::from_millis(100);
            for _ in 1..APPEND_TRIES_MAX {
                match app.buffer.append(&key, &chunk, expires_at).await {
                    Ok(appended) => return Ok(appended),
                    Err(error) => {
                        tracing::warn!(generation = %key.generation, slot = chunk.first_seq, %error, "A chunk was not stored; it is tried again.");
                    }
                }
                sleep(wait).await;
                wait *= 2;
            }
            app.buffer.append(&key, &chunk, expires_at).await
        }))
    }

    /// Notes what became of an append; `false`: the slot is lost.
    fn stored(&mut self, appended: Appended, chunk: Option<&Chunk>) -> Result<bool, Error> {
        if appended == Appended::Lost {
            tracing::warn!(generation = %self.key.generation, slot = self.log.next_seq, "Another writer holds the slot; this one stops.");
            return Ok(false);
        }
        if let Some(chunk) = chunk {
            self.log.apply(chunk).map_err(|damage| Error::LogDamaged(self.key.generation.to_string(), damage))?;
            self.lease.stored(chunk.at_ms);
            self.app.hints.tell(&self.key, Topic::Log);
        }
        Ok(true)
    }

    /// Stores everything that waits; `false`: a slot was lost.
    async fn flush_all(&mut self) -> Result<bool, Error> {
        while self.composer.has_pending() {
            let chunk = self.next_chunk();
            let mut in_flight = Some((self.append(chunk.clone()), chunk));
            let appended = appended(&mut in_flight).await?;
            if !self.stored(appended, in_flight.as_ref().map(|(_, chunk)| chunk))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

async fn appended(in_flight: &mut Option<(Append, Chunk)>) -> Result<Appended, Error> {
    match in_flight {
        Some((append, _)) => {
            append.await.unwrap_or_else(|gone| Err(Error::Aws { operation: "dynamodb PutItem", message: gone.to_string() }))
        }
        None => std::future::pending().await,
    }
}

fn time_is_up(give_up_at: Instant, stop_at: Option<Instant>) -> Option<Stop> {
    let now = Instant::now();
    if now >= give_up_at {
        return Some(Stop::Timeout);
    }
    stop_at.filter(|stop_at| now >= *stop_at).map(|_| Stop::Deadline)
}
