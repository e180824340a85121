//! The writer: reads the provider, and stores what it says in the next slots of the log.
//!
//! While one chunk is being stored the provider is read on, up to a bound; chunks are stored one after the other. The writer
//! stops for good at the first slot that it loses.

mod append;
mod ending;
mod hand_over;
mod measure;
mod receive;

use std::sync::Arc;

use tracing::Instrument;

use super::lease::Lease;
use super::schema_watch::SchemaWatch;
use super::{Limits, Streamed};
use crate::app::App;
use crate::aws::Meta;
use crate::clock::millis;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::chunk::LogState;
use crate::log::composer::Composer;
use crate::log::event::{End, Event};
use crate::log::flush;
use crate::providers::{Asking, Fault, ProviderError, open_session};
use crate::quota::Bounds;
use measure::Measure;

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
    bounds: Bounds,
    /// This attempt goes on from the text of the one before.
    goes_on: bool,
    /// The provider would not do that: the next attempts begin again.
    is_refused: bool,
    attempts_here: u32,
    measure: Measure,
    /// Write units that attempts before this one have told of.
    told_units: u64,
    /// Deltas and items before this attempt.
    begun_at: (u64, u32),
}

/// How one attempt stopped.
enum Stop {
    Finished,
    Fault(ProviderError),
    NotConfigured(String),
    OutputLimit(u64),
    SpendLimit(u64),
    SchemaViolation(String),
    Timeout,
    Deadline,
    Cancelled,
    Fenced,
}

impl Writer {
    pub(super) fn new(app: App, key: GenerationKey, request: Request, log: LogState, meta: Meta, bounds: Bounds) -> Self {
        Self {
            measure: Measure::none(),
            told_units: 0,
            composer: Composer::resume(log.outline.clone(), log.counters.received_chunks),
            schema: SchemaWatch::new(&request, log.has_schema_violation),
            lease: Lease::keep(&app, &key, &meta),
            app,
            fill_bytes: flush::fill_bytes(key.partition().len()),
            key,
            request: Arc::new(request),
            received_bytes: log.counters.received_bytes,
            log,
            meta,
            waiting_since_ms: None,
            last_flush_ms: None,
            end: End::default(),
            finish: None,
            bounds,
            goes_on: false,
            is_refused: false,
            attempts_here: 0,
            begun_at: (0, 0),
        }
    }

    /// Streams until the log has ended or somebody else has it. `None`: the first slot was lost, and nothing was written.
    pub(super) async fn run(mut self, limits: Limits) -> Result<Option<Streamed>, Error> {
        let ran = self.run_attempts(limits).await;
        self.tell_result(&ran);
        ran
    }

    async fn run_attempts(&mut self, limits: Limits) -> Result<Option<Streamed>, Error> {
        loop {
            let begun = self.begin_attempt().await?;
            if !self.flush_all().await? {
                // Of a later attempt the claim is this writer's own, and whoever took the slot has more than that.
                return Ok((self.attempts_here > 1).then_some(Streamed::Fenced));
            }
            let stop = match begun {
                Ok(prefix) => {
                    let span = self.measure.span();
                    self.attempt(prefix, limits).instrument(span).await?
                }
                Err(stop) => stop,
            };
            let end = match stop {
                Stop::Fenced => return Ok(Some(Streamed::Fenced)),
                Stop::Deadline if self.may_hand_over() => return self.hand_over().await.map(Some),
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

    /// One attempt, from the provider's first answer to whatever stops it.
    async fn attempt(&mut self, prefix: String, limits: Limits) -> Result<Stop, Error> {
        let provider = match self.app.provider(&self.request).await {
            Ok(provider) => provider,
            Err(Error::Configuration(message)) => return Ok(Stop::NotConfigured(message)),
            Err(error) => return Err(error),
        };
        let has_text = self.received_bytes > 0;
        // A wait that goes beyond the function's time is worth it only where the next function takes the rest of it.
        let stop_at = limits.stop_at.filter(|_| !self.may_hand_over());
        let asking = Asking {
            request: Arc::clone(&self.request),
            prefix,
            timeouts: self.app.config.timeouts,
            tries_max: if has_text { limits::PROVIDER_TRIES_WITH_TEXT_MAX } else { limits::PROVIDER_TRIES_MAX },
            give_up_at: stop_at.map_or(limits.give_up_at, |stop_at| stop_at.min(limits.give_up_at)),
        };
        self.measure.asks();
        self.receive(open_session(provider, asking), limits).await
    }

    /// Whether another attempt may mend it: the stream was interrupted, or the provider would not go on from a prefix. Before
    /// the first delta the session has already asked again as often as is right.
    fn is_worth_another(&self, error: &ProviderError, attempts_max: u32) -> bool {
        let is_interrupted = error.is_retryable() && self.received_in_this_attempt();
        (is_interrupted || self.is_prefix_refused(error)) && self.meta.attempts_counted() < attempts_max
    }

    fn is_prefix_refused(&self, error: &ProviderError) -> bool {
        self.goes_on && error.fault == Fault::Rejected && !self.received_in_this_attempt()
    }

    /// Begins the attempt that meta has claimed: goes on with the text that is open, which is answered, or begins again.
    async fn begin_attempt(&mut self) -> Result<Result<String, Stop>, Error> {
        if self.log.is_empty() && !self.composer.has_pending() {
            self.composer.event(Event::Created);
        }
        self.measure_anew();
        let prefix = self.prefix().await?;
        self.goes_on = prefix.is_some();
        self.attempts_here += 1;
        let prefix = prefix.unwrap_or_else(|| {
            self.composer.abandon();
            self.log.output_from = self.composer.next_output_index();
            String::new()
        });
        tracing::info!(attempt = self.meta.attempt, goes_on = self.goes_on, "An attempt begins.");
        self.composer.event(Event::InProgress { attempt: self.meta.attempt });
        self.end = End::default();
        self.finish = None;
        self.begun_at = self.place();
        let violated = self.schema.restart(&prefix);
        let stop = violated.and_then(|violated| {
            violated.event.into_iter().for_each(|event| self.composer.event(event));
            violated.stops_with.map(Stop::SchemaViolation)
        });
        Ok(stop.map_or(Ok(prefix), Err))
    }

    /// The text that the provider can be asked to go on from; `None`: it must begin again. Everything is stored by now.
    async fn prefix(&self) -> Result<Option<String>, Error> {
        match self.composer.open_text().filter(|_| self.can_continue()) {
            Some(output_index) => self.app.stored_text(&self.key, output_index, &self.log).await,
            None => Ok(None),
        }
    }

    fn can_continue(&self) -> bool {
        !self.is_refused && self.app.can_continue(&self.request)
    }

    /// Whether this attempt received anything: only then is a fault an interruption.
    fn received_in_this_attempt(&self) -> bool {
        self.place() > self.begun_at
    }

    const fn place(&self) -> (u64, u32) {
        (self.composer.received_chunks(), self.composer.next_output_index())
    }

    async fn next_attempt(&mut self, error: &ProviderError) -> Result<bool, Error> {
        tracing::warn!(
            attempt = self.meta.attempt,
            "error.type" = error.fault.code(),
            "The provider's stream was interrupted; the next attempt begins."
        );
        self.is_refused |= self.is_prefix_refused(error);
        if !self.flush_all().await? {
            return Ok(false);
        }
        self.tell_attempt("interrupted", Some(error.fault.code()));
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
