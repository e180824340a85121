//! The writer: reads the provider, and stores its deltas in the next slots of the log.
//!
//! While one chunk is being stored, the provider is still read, up to a limit; chunks are stored one after the other. The writer
//! stops for good at the first slot that it loses.

mod appender;
mod ending;
mod hand_over;
mod measure;
mod monitor;
mod receive;
mod upstream;

use std::sync::Arc;

use tracing::Instrument;

use super::lease::Lease;
use super::schema_watch::{SchemaWatch, Violated};
use super::{Limits, Streamed};
use crate::app::App;
use crate::aws::Meta;
use crate::clock::millis;
use crate::error::Error;
use crate::generation::request::Request;
use crate::generation::usage::{TotalUsage, Usage, estimate_tokens};
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::chunk::LogState;
use crate::log::event::{End, Event};
use crate::providers::{Fault, FinishReason, ProviderError, Resume, SessionRequest, Upstream, open_session};
use appender::Appender;
use measure::Measure;
use monitor::Monitor;

/// One writer, for as many attempts as this invocation makes.
pub(super) struct Writer {
    app: App,
    key: GenerationKey,
    request: Arc<Request>,
    attempts_max: u32,
    /// See [`Limits::has_whole_time`].
    has_whole_time: bool,
    meta: Meta,
    appender: Appender,
    monitor: Monitor,
    attempt: Attempt,
    /// Attempts that this writer has begun and that the provider has not refused.
    attempts_here: u32,
    /// The provider rejected a prefix: the next attempts begin again.
    is_prefix_refused: bool,
    /// The provider refused the attempt before this one, which is not counted.
    was_refused: bool,
    /// Write units that earlier attempts have reported.
    reported_units: u64,
}

/// What one attempt has come to so far.
#[derive(Default)]
struct Attempt {
    /// It continues the text of the attempt before it.
    continues: bool,
    /// What it gave the provider to continue.
    resumes: Option<Resumed>,
    /// Deltas and items before it.
    begun_at: (u64, u32),
    /// The model that the provider has reported; once the log has ended, how.
    end: End,
    /// The tokens that the provider has reported.
    usage: Option<Usage>,
    /// The provider's finish reason.
    finish: Option<FinishReason>,
    measure: Measure,
}

/// What a provider continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resumed {
    /// A text that it is sent.
    Prefix,
    /// A response that it keeps.
    Upstream,
}

/// How an attempt begins.
enum Begun {
    /// The provider is asked for this.
    From(Resume),
    Stopped(Stop),
}

/// Why an attempt stopped.
enum Stop {
    Finished,
    Fault(ProviderError),
    NotConfigured(String),
    OutputLimit(u64),
    SpendLimit(u64),
    SchemaViolation(String),
    Timeout,
    Deadline,
    /// The process is about to end, before its deadline.
    Stopping,
    Cancelled,
    Fenced,
}

impl Writer {
    pub(super) fn new(app: App, key: GenerationKey, request: Request, log: LogState, meta: Meta, limits: Limits) -> Self {
        let schema = SchemaWatch::new(&request, log.has_schema_violation);
        let output_bytes_max = request.max_output_bytes.unwrap_or(app.config.max_output_bytes);
        Self {
            appender: Appender::new(app.clone(), key.clone(), log, &meta),
            monitor: Monitor::new(Lease::spawn(&app, &key, &meta), schema, limits, output_bytes_max, app.stopping.clone()),
            app,
            key,
            request: Arc::new(request),
            attempts_max: limits.attempts_max,
            has_whole_time: limits.has_whole_time,
            meta,
            attempt: Attempt::default(),
            attempts_here: 0,
            is_prefix_refused: false,
            was_refused: false,
            reported_units: 0,
        }
    }

    /// Streams until the log has ended or another writer has it. `None`: the first slot was lost, and nothing was written.
    pub(super) async fn run(mut self) -> Result<Option<Streamed>, Error> {
        let ran = self.run_attempts().await;
        if matches!(ran, Ok(None | Some(Streamed::Fenced))) {
            self.leave_upstream().await;
        }
        self.report_result(&ran);
        ran
    }

    async fn run_attempts(&mut self) -> Result<Option<Streamed>, Error> {
        loop {
            let begun = self.begin_attempt().await?;
            if !self.flush_all().await? {
                // A later attempt's claim is this writer's own: a writer that took its slot has claimed another attempt since.
                return Ok((self.attempts_here > 1).then_some(Streamed::Fenced));
            }
            let stop = match begun {
                Begun::From(resume) => {
                    let span = self.attempt.measure.span();
                    self.ask(resume).instrument(span).await?
                }
                Begun::Stopped(stop) => stop,
            };
            match stop {
                Stop::Deadline if self.may_hand_over() => return self.hand_over().await.map(Some),
                Stop::Stopping => return self.hand_over().await.map(Some),
                Stop::Fault(error) if self.is_worth_another(&error) => {
                    if !self.next_attempt(&error).await? {
                        return Ok(Some(Streamed::Fenced));
                    }
                }
                stop => {
                    let is_over = upstream::is_upstream_over(&stop);
                    let ended = self.end(stop).await?;
                    // `leave_upstream` decides for a writer that was fenced off.
                    if !is_over && ended != Streamed::Fenced {
                        self.cancel_upstream().await;
                    }
                    return Ok(Some(ended));
                }
            }
        }
    }

    /// Sends the request to the provider, and receives until the attempt stops. Where the provider refuses the key, and its secret has
    /// another one since, the request is sent again.
    async fn ask(&mut self, resume: Resume) -> Result<Stop, Error> {
        let key = self.provider_key(false).await;
        let stop = self.ask_once(resume.clone()).await?;
        let is_key_refused = matches!(&stop, Stop::Fault(error) if matches!(error.status, Some(401 | 403)));
        if !is_key_refused || self.received_in_this_attempt() || key == self.provider_key(true).await {
            return Ok(stop);
        }
        tracing::info!("The provider refused a key that has been rotated; the request is sent again with the new one.");
        self.ask_once(resume).await
    }

    /// The provider's key, if it has one that can be read.
    async fn provider_key(&self, again: bool) -> Option<String> {
        self.app.provider_key(&self.request.provider, again).await.ok().flatten()
    }

    async fn ask_once(&mut self, resume: Resume) -> Result<Stop, Error> {
        let provider = match self.app.provider(&self.request.provider).await {
            Ok(provider) => provider,
            Err(Error::Configuration(message)) => return Ok(Stop::NotConfigured(message)),
            Err(error) => return Err(error),
        };
        let has_text = self.appender.totals().bytes > 0;
        let session = SessionRequest {
            request: self.request_after(resume.prefix()),
            resume,
            timeouts: self.app.config.timeouts,
            tries_max: if has_text { limits::PROVIDER_TRIES_WITH_TEXT_MAX } else { limits::PROVIDER_TRIES_MAX },
            // Only where the next function waits for the rest may a wait outlast this one.
            give_up_at: self.monitor.deadline(!self.may_hand_over()),
        };
        self.attempt.measure.asks();
        self.receive(open_session(provider, session)).await
    }

    /// The request of an attempt that continues `prefix`: `max_output_tokens` is the caller's bound on the whole text. The tokens of
    /// the prefix are those that the provider has counted. Otherwise the estimate is rather too low, so that the text is not cut
    /// short: a delta has a token or more.
    fn request_after(&self, prefix: &str) -> Arc<Request> {
        match self.request.max_output_tokens {
            Some(most) if !prefix.is_empty() => {
                let log = &self.appender.log;
                let counted = log.used.filter(|used| !used.estimated && log.output_from == 0).map(|used| used.output_tokens);
                let estimate = estimate_tokens(prefix.len() as u64).min(self.appender.composer.received_chunks());
                let rest = most.saturating_sub(counted.unwrap_or(estimate)).max(1);
                Arc::new(Request { max_output_tokens: Some(rest), ..(*self.request).clone() })
            }
            _ => Arc::clone(&self.request),
        }
    }

    /// The tokens of all attempts, of which `received_bytes` came.
    fn usage(&self, received_bytes: u64) -> Option<TotalUsage> {
        self.appender.log.usage(self.request.json_bytes(), received_bytes, self.attempt.usage)
    }

    /// Whether another attempt may succeed: the stream was interrupted, or the provider refused to continue. Before the first
    /// delta, the session has already retried.
    fn is_worth_another(&self, error: &ProviderError) -> bool {
        let is_interrupted = (error.is_retryable() && self.received_in_this_attempt()) || self.has_lost_upstream(error);
        self.refuses_to_resume(error) || (is_interrupted && self.meta.attempts_counted() < self.attempts_max)
    }

    /// Whether the provider does not take the text so far, or no longer has the response that it kept. The answer then begins again.
    /// Such an attempt has cost nothing and is not counted; the next one resumes nothing, so it is not refused again.
    fn refuses_to_resume(&self, error: &ProviderError) -> bool {
        let is_refused = match self.attempt.resumes {
            Some(Resumed::Prefix) => error.fault == Fault::Rejected,
            Some(Resumed::Upstream) => error.fault == Fault::Gone,
            None => false,
        };
        is_refused && !self.received_in_this_attempt()
    }

    /// Whether the response that the provider kept has failed, or cannot be read any more. Of one that failed before its first text,
    /// the session has already begun others.
    fn has_lost_upstream(&self, error: &ProviderError) -> bool {
        let had_text = self.received_in_this_attempt() || self.attempt.resumes == Some(Resumed::Upstream);
        let is_lost = error.fault == Fault::Gone || (error.fault == Fault::ReportedError && had_text);
        self.appender.upstream().is_some() && is_lost
    }

    /// Begins the attempt that meta has claimed: it continues what is open, or begins again.
    async fn begin_attempt(&mut self) -> Result<Begun, Error> {
        let (resume, text) = self.resume().await?;
        let used = match &resume {
            // The provider counts its tokens when it ends.
            Resume::Upstream(_) => self.appender.log.used,
            _ => self.usage(self.appender.log.counters.stored_bytes).map(|usage| usage.total),
        };
        let measure = Measure::new(&self.request, self.meta.attempt, self.appender.totals());
        self.attempt = Attempt { measure, ..Attempt::default() };
        self.appender.set_upstream(resume.upstream().cloned());
        let (log, composer) = (&mut self.appender.log, &mut self.appender.composer);
        if log.is_empty() && !composer.has_pending() {
            composer.event(Event::Created);
        }
        composer.begin_stream();
        let reads_on = !matches!(resume, Resume::Fresh | Resume::Upstream(Upstream { cursor: None, .. }));
        self.attempt.continues = reads_on && composer.is_continued();
        self.attempt.resumes = match resume {
            Resume::Fresh => None,
            Resume::Prefix(_) => Some(Resumed::Prefix),
            Resume::Upstream(_) => Some(Resumed::Upstream),
        };
        if !self.attempt.continues {
            composer.abandon();
            log.output_from = composer.next_output_index();
        }
        self.attempts_here += u32::from(!self.was_refused);
        self.was_refused = false;
        // The first one is what every generation has, and its end is logged.
        if self.meta.attempt > 1 {
            tracing::info!(attempt = self.meta.attempt, goes_on = self.attempt.continues, "Another attempt begins.");
        }
        composer.event(Event::InProgress { attempt: self.meta.attempt, used });
        self.attempt.begun_at = self.place();
        let has_message = self.appender.composer.has_open_message();
        if self.attempt.continues && text.is_empty() && has_message {
            // The text stands in several items, and the check cannot begin in the middle of it.
            self.monitor.schema.suspend();
        }
        let violation = self.monitor.schema.restart(&text);
        let stop = violation.and_then(|violation| self.add_violation(violation));
        Ok(stop.map_or(Begun::From(resume), Begun::Stopped))
    }

    /// Adds a violation of the schema to the log; returns a stop where the request says so.
    fn add_violation(&mut self, violation: Violated) -> Option<Stop> {
        violation.event.into_iter().for_each(|event| self.appender.composer.event(event));
        violation.stops_with.map(Stop::SchemaViolation)
    }

    /// Where the provider can continue, and the text before that. Nothing waits when this is called.
    async fn resume(&self) -> Result<(Resume, String), Error> {
        let upstream = self.upstream_to_resume();
        let open_text = self.appender.composer.open_text();
        let needs_text = upstream.as_ref().map_or_else(|| self.can_continue(), |_| self.monitor.schema.is_active());
        let text = match open_text.filter(|_| needs_text) {
            Some(output_index) => self.app.stored_text(&self.key, output_index, &self.appender.log).await?,
            None => None,
        };
        Ok(match (upstream, text) {
            (Some(upstream), text) => (Resume::Upstream(upstream), text.unwrap_or_default()),
            (None, Some(text)) => (Resume::Prefix(text.clone()), text),
            (None, None) => (Resume::Fresh, String::new()),
        })
    }

    fn can_continue(&self) -> bool {
        !self.is_prefix_refused && self.app.can_continue(&self.request)
    }

    /// Whether this attempt received anything: only then is a fault an interruption.
    fn received_in_this_attempt(&self) -> bool {
        self.place() > self.attempt.begun_at
    }

    const fn place(&self) -> (u64, u32) {
        (self.appender.composer.received_chunks(), self.appender.composer.next_output_index())
    }

    /// Stores everything that waits; `false`: a slot was lost.
    async fn flush_all(&mut self) -> Result<bool, Error> {
        while self.appender.composer.has_pending() {
            self.appender.flush()?;
            match self.appender.stored().await? {
                Some(at_ms) => self.monitor.lease.stored(at_ms),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Claims the next attempt; `false`: another writer did.
    async fn next_attempt(&mut self, error: &ProviderError) -> Result<bool, Error> {
        tracing::warn!(
            attempt = self.meta.attempt,
            "error.type" = error.fault.code(),
            "The provider's stream was interrupted; the next attempt begins."
        );
        let is_refused = self.refuses_to_resume(error);
        self.was_refused = is_refused;
        if is_refused && self.attempt.resumes == Some(Resumed::Prefix) {
            self.is_prefix_refused = true;
            self.app.refusals.note(&self.request, error);
        }
        if self.has_lost_upstream(error) {
            self.forget_upstream(error).await;
        }
        if !self.flush_all().await? {
            return Ok(false);
        }
        self.report_attempt("interrupted", Some(error.fault.code()));
        let lease_until = self.app.clock.now_ms() + millis(self.app.config.lease);
        // A new writer id: a renewal of the old lease that is still on its way must not renew this attempt's.
        let writer = ulid::Ulid::generate().to_string();
        let refused = self.meta.refused + u32::from(is_refused);
        let upstream = self.appender.upstream().map(|upstream| upstream.id.clone());
        let next = Meta { attempt: self.meta.attempt + 1, refused, upstream, writer, lease_until, ..self.meta.clone() };
        if self.app.buffer.claim(&self.key, Some(&self.meta), &next).await?.is_none() {
            return Ok(false);
        }
        self.monitor.lease = Lease::spawn(&self.app, &self.key, &next);
        self.appender.write_as(&next);
        self.meta = next;
        Ok(true)
    }
}
