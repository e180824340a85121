//! `stream`: runs a generation's attempts, one after the other, from the provider to the log.

mod lease;
pub(in crate::verbs) mod ride;
mod schema_watch;
mod upstream;
mod writer;

use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::app::App;
use crate::aws::{Appended, Meta, RecordRow};
use crate::clock::millis;
use crate::error::Error;
use crate::generation::Status;
use crate::generation::job::StreamJob;
use crate::generation::request::Request;
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::chunk::{Chunk, Counters, LogState, NextSlot};
use crate::log::event::{End, Event, TextKind};
use crate::log::reason;
use crate::quota::{Bounds, SpendBound};
use crate::telemetry::{generation_span, record_span_fields};
use ride::Created;
use writer::Writer;

/// Tries for the first slot of an attempt, against an earlier writer that has not yet seen this attempt on meta.
const FIRST_SLOT_TRIES_MAX: u32 = 8;

/// The limits of one invocation.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// All attempts, those of earlier invocations included.
    attempts_max: u32,
    /// When the generation's time is over.
    give_up_at: Instant,
    /// When this invocation must be done.
    stop_at: Option<Instant>,
    /// The generation has this invocation from its beginning: a first attempt that does not end here would not end in the next either.
    has_whole_time: bool,
    /// What the organization has left of its day.
    bounds: Bounds,
}

/// What is known of a generation before an attempt at it.
struct Known<'a> {
    seen: Option<Meta>,
    log: LogState,
    record: &'a RecordRow,
    request: Request,
}

/// The result of one invocation of `stream`. None of these needs a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Streamed {
    /// This invocation ended the log.
    Ended(Status),
    /// The log had ended before.
    HadEnded,
    /// Another writer is alive.
    Busy,
    /// The function's time is over or its process ends, and the next function continues. [`App::stream`] has invoked it.
    HandedOver,
    /// Another writer took a slot: this one stopped, and writes nothing more.
    Fenced,
    /// There is no such generation, or it was deleted.
    Gone,
}

impl App {
    /// Continues a generation to its end, or finds that there is nothing to do. `stop_at` is when this must return: a little before
    /// Lambda's deadline.
    ///
    /// # Errors
    /// [`Error::Aws`]: the store could not be reached; [`Error::Internal`]. The same job may be run again.
    pub async fn stream(&self, job: &StreamJob, stop_at: Option<Instant>) -> Result<Streamed, Error> {
        let streamed = self.stream_in_span(job, stop_at, true).await?;
        if streamed == Streamed::HandedOver
            && let Err(error) = self.invoker.stream(&StreamJob::new(&job.key())).await
        {
            tracing::warn!(generation = %job.generation, %error, "The next function was not invoked; the sweep will invoke it.");
        }
        Ok(streamed)
    }

    /// The same, except that nobody is invoked for a generation that was handed over.
    async fn stream_in_span(&self, job: &StreamJob, stop_at: Option<Instant>, has_whole_time: bool) -> Result<Streamed, Error> {
        let key = job.key();
        let span = generation_span!("stream", key);
        let streams = async {
            let app = self.metered();
            if job.fresh
                && let Some(streamed) = app.stream_fresh(&key, (stop_at, has_whole_time)).await?
            {
                return Ok(streamed);
            }
            Box::pin(app.stream_as(key, job.upstream.as_deref(), stop_at, has_whole_time)).await
        };
        Box::pin(streams.instrument(span)).await
    }

    /// Streams a generation that nobody should have begun, without a look at its log: whoever else has begun it has its meta item, so that
    /// the claim fails. `None`: it must be looked at.
    async fn stream_fresh(&self, key: &GenerationKey, time: (Option<Instant>, bool)) -> Result<Option<Streamed>, Error> {
        let (record, request) = tokio::try_join!(self.records.find(key), self.request_of_open(key))?;
        let (Some(record), Some(request)) = (record, request) else { return Ok(None) };
        if record.outcome.is_some() || self.time_left(&record).is_zero() {
            return Ok(None);
        }
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        let known = Known { seen: None, log: LogState::default(), record: &record, request };
        let streamed = self.begin(key, known, time).await?;
        Ok(Some(streamed).filter(|streamed| *streamed != Streamed::Busy))
    }

    /// The same for a generation that this process has just created. Nothing of it is read: there is no log, and whoever else has begun
    /// it has its meta item, so that the claim fails.
    async fn stream_created(&self, created: Created, stop_at: Option<Instant>) -> Result<Streamed, Error> {
        let Created { record, request } = created;
        let key = record.key();
        let span = generation_span!("stream", key);
        let begins = async {
            record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
            let known = Known { seen: None, log: LogState::default(), record: &record, request };
            self.metered().begin(&key, known, (stop_at, false)).await
        };
        Box::pin(begins).instrument(span).await
    }

    async fn stream_as(
        &self,
        key: GenerationKey,
        upstream: Option<&str>,
        stop_at: Option<Instant>,
        has_whole_time: bool,
    ) -> Result<Streamed, Error> {
        let seen = self.buffer.meta_now(&key).await?;
        let upstream = upstream.or_else(|| seen.as_ref()?.upstream.as_deref());
        let log = self.read_log(&key).await;
        // Read after the log: a buffer that was compacted and deleted must not look like one that has not begun.
        let Some(record) = self.records.find(&key).await? else { return Ok(Streamed::Gone) };
        if record.outcome.is_some() {
            self.cancel_left_upstream(&record, upstream, record.status).await;
            return Ok(Streamed::HadEnded);
        }
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        let Some(request) = self.request_of_open(&key).await? else { return Ok(Streamed::Gone) };
        let log = match log {
            Ok(log) => log,
            Err(error) => {
                self.give_up_damaged(&key, &record, error, "stream").await?;
                self.cancel_left_upstream(&record, upstream, Status::Failed).await;
                return Ok(Streamed::Ended(Status::Failed));
            }
        };
        if let Some((status, _)) = &log.end {
            self.cancel_left_upstream(&record, upstream, *status).await;
            return Ok(Streamed::HadEnded);
        }
        if self.is_writer_alive(seen.as_ref(), log.newest.as_ref()) {
            return Ok(Streamed::Busy);
        }
        if self.time_left(&record).is_zero() {
            let has_ended = self.end_over_time(&key, &record, "stream").await?;
            if has_ended {
                self.cancel_left_upstream(&record, upstream, Status::Failed).await;
            }
            return Ok(if has_ended { Streamed::Ended(Status::Failed) } else { Streamed::HadEnded });
        }
        if seen.as_ref().is_some_and(|meta| meta.cancel_requested) {
            let ended = self.append_end(&key, log.next_slot(), seen.as_ref(), Event::Cancelled(End::default())).await?;
            if ended != Streamed::Fenced {
                self.cancel_left_upstream(&record, upstream, Status::Cancelled).await;
            }
            return Ok(ended);
        }
        let attempts_max = request.max_attempts.unwrap_or(self.config.max_attempts);
        let begun = seen.as_ref().map_or(0, Meta::attempts_counted);
        if begun >= attempts_max {
            let message = format!("attempts begun: {begun}; none came to an end");
            let end = failed(reason::ATTEMPTS_EXHAUSTED, message);
            let ended = self.append_end(&key, log.next_slot(), seen.as_ref(), end).await?;
            // Another writer that took the slot reads the response.
            if ended != Streamed::Fenced {
                self.cancel_left_upstream(&record, upstream, Status::Failed).await;
            }
            return Ok(ended);
        }
        self.begin(&key, Known { seen, log, record: &record, request }, (stop_at, has_whole_time)).await
    }

    /// Claims the next attempt, and writes as it.
    async fn begin(
        &self,
        key: &GenerationKey,
        Known { seen, log, record, request }: Known<'_>,
        (stop_at, has_whole_time): (Option<Instant>, bool),
    ) -> Result<Streamed, Error> {
        let limits = Limits {
            attempts_max: request.max_attempts.unwrap_or(self.config.max_attempts),
            give_up_at: Instant::now() + self.time_left(record),
            stop_at,
            has_whole_time,
            bounds: self.bounds(record, &request),
        };
        match self.claim(key, seen.as_ref()).await? {
            Some(meta) if meta.cancel_requested => {
                self.append_end(key, log.next_slot(), Some(&meta), Event::Cancelled(End::default())).await
            }
            Some(meta) => self.write(key, request, log, meta, limits).await,
            None => Ok(Streamed::Busy),
        }
    }

    /// Writes as the newest attempt. The writer before it may be alive and take the first slot; it stops when it sees this
    /// attempt, so this one reads the log again and takes the next slot.
    async fn write(
        &self,
        key: &GenerationKey,
        request: Request,
        mut log: LogState,
        meta: Meta,
        limits: Limits,
    ) -> Result<Streamed, Error> {
        for _ in 0..FIRST_SLOT_TRIES_MAX {
            let writer = Writer::new(self.clone(), key.clone(), request.clone(), log, meta.clone(), limits);
            if let Some(streamed) = Box::pin(writer.run()).await? {
                return Ok(streamed);
            }
            log = self.read_log(key).await?;
            if log.end.is_some() {
                return Ok(Streamed::HadEnded);
            }
        }
        Ok(Streamed::Fenced)
    }

    /// What is left of the organization's day.
    fn bounds(&self, record: &RecordRow, request: &Request) -> Bounds {
        let Some(allowance) = &record.allowance else { return Bounds::default() };
        let price = self.config.prices.find(&record.provider, &record.model);
        let spend = allowance.spend_left.zip(price);
        let spend = spend.map(|(left, price)| SpendBound { left, price, prompt_bytes: request.json_bytes() });
        Bounds { output_bytes: allowance.output_bytes_left, spend }
    }

    /// Claims the next attempt; `None`: another invocation did.
    async fn claim(&self, key: &GenerationKey, seen: Option<&Meta>) -> Result<Option<Meta>, Error> {
        let meta = Meta {
            attempt: seen.map_or(1, |meta| meta.attempt + 1),
            hand_overs: seen.map_or(0, |meta| meta.hand_overs),
            refused: seen.map_or(0, |meta| meta.refused),
            upstream: seen.and_then(|meta| meta.upstream.clone()),
            writer: ulid::Ulid::generate().to_string(),
            lease_until: self.clock.now_ms() + millis(self.config.lease),
            cancel_requested: false,
            watched_until: seen.and_then(|meta| meta.watched_until),
            sweeps: 0,
            swept_at: None,
            expires_at: self.buffer_expiry(seen),
        };
        self.buffer.claim(key, seen, &meta).await
    }

    /// What is left of the whole time that a generation may take.
    fn time_left(&self, record: &RecordRow) -> Duration {
        let age_ms = record.created_at.parse::<jiff::Timestamp>().map_or(0, |at| self.clock.now_ms() - at.as_millisecond());
        self.time_limit(record.timeout_seconds).saturating_sub(Duration::from_millis(age_ms.max(0).cast_unsigned()))
    }

    /// The whole time that a generation may take: the deployment's, or the shorter `timeout` of its request, in seconds.
    pub(in crate::verbs) fn time_limit(&self, timeout: Option<u64>) -> Duration {
        let most = self.config.timeouts.generation;
        timeout.map_or(most, |seconds| most.min(Duration::from_secs(seconds)))
    }

    /// Reads a log to its end.
    pub(crate) async fn read_log(&self, key: &GenerationKey) -> Result<LogState, Error> {
        let mut log = LogState::default();
        let mut slot = Some(0);
        while let Some(from) = slot {
            let page = self.buffer.chunks(key, from).await?;
            for chunk in &page.chunks {
                log.apply(chunk).map_err(|damage| Error::LogDamaged(key.generation.to_string(), damage))?;
            }
            slot = page.next_slot;
        }
        Ok(log)
    }

    /// The text of an item in `log`'s slots. `None`: it has none, or more than [`limits::PREFIX_BYTES_MAX`], or the result has text in
    /// other items too.
    async fn stored_text(&self, key: &GenerationKey, output_index: u32, log: &LogState) -> Result<Option<String>, Error> {
        let (mut text, mut slot) = (String::new(), Some(0));
        while let Some(from) = slot {
            let page = self.buffer.chunks(key, from).await?;
            let chunks = page.chunks.iter().filter(|chunk| chunk.first_seq < log.next_seq);
            for (kind, stretch) in chunks.flat_map(|chunk| &chunk.events).filter_map(Event::stretch) {
                if stretch.output_index == output_index {
                    if text.len() + stretch.delta.len() > limits::PREFIX_BYTES_MAX {
                        return Ok(None);
                    }
                    text.push_str(&stretch.delta);
                } else if stretch.output_index >= log.output_from && kind != TextKind::Reasoning {
                    return Ok(None);
                }
            }
            slot = page.next_slot;
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Whether a writer has renewed its lease on meta, or stored a chunk, within the length of a lease.
    pub(crate) fn is_writer_alive(&self, meta: Option<&Meta>, newest: Option<&(String, i64)>) -> bool {
        let Some(meta) = meta else { return false };
        let stored = newest.filter(|(writer, _)| *writer == meta.writer).map(|(_, at)| at + millis(self.config.lease));
        self.clock.now_ms() < meta.lease_until.max(stored.unwrap_or(0))
    }

    /// Ends a log without a writer, by one compare-and-set. [`Streamed::Fenced`]: another writer took the slot.
    pub(crate) async fn append_end(
        &self,
        key: &GenerationKey,
        slot: NextSlot,
        meta: Option<&Meta>,
        end: Event,
    ) -> Result<Streamed, Error> {
        let events = if slot.seq == 0 { vec![Event::Created, end] } else { vec![end] };
        let chunk = Chunk {
            first_seq: slot.seq,
            writer: ulid::Ulid::generate().to_string(),
            at_ms: self.clock.now_ms(),
            first_text_at_ms: None,
            counters: Counters { chunk_count: slot.counters.chunk_count + 1, ..slot.counters },
            output_from: slot.output_from,
            upstream: None,
            events,
        };
        let status = chunk.end().map_or(Status::Failed, |(status, _)| status);
        match self.buffer.append(key, &chunk, self.buffer_expiry(meta)).await? {
            Appended::Stored => {
                self.hints.feeds.stored(key, &chunk);
                Ok(Streamed::Ended(status))
            }
            Appended::Lost => Ok(Streamed::Fenced),
        }
    }

    /// When the buffer of a generation expires, epoch seconds: the same for all its items, set by the first.
    pub(crate) fn buffer_expiry(&self, meta: Option<&Meta>) -> i64 {
        meta.map_or_else(|| self.clock.now_ms() / 1_000 + self.config.chunk_ttl.as_secs().cast_signed(), |meta| meta.expires_at)
    }
}

/// The terminal event of a failure.
pub(crate) fn failed(reason: &str, message: String) -> Event {
    Event::Failed(End { reason: Some(reason.to_owned()), message: Some(message), ..End::default() })
}
