//! The writer: reads the provider, and stores what it says in the next slots of the log.
//!
//! While one chunk is being stored the provider is read on, up to a bound; chunks are stored one after the other. The writer
//! stops for good at the first slot that it loses.

mod append;
mod ending;
mod receive;

use std::sync::Arc;

use super::lease::Lease;
use super::schema_watch::SchemaWatch;
use super::{Limits, Streamed};
use crate::app::App;
use crate::aws::Meta;
use crate::clock::millis;
use crate::composer::Composer;
use crate::error::Error;
use crate::event::{End, Event};
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::LogState;
use crate::provider::{ProviderError, open_session};
use crate::request::Request;

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
}
