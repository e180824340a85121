//! `tail`: follows a log live, from behind any event to its end, with the same numbers wherever the log lies.
//!
//! Reads `DynamoDB` at an adaptive pace: soon after text was stored, later while nothing is. Announces the reader on meta, so that
//! the writer flushes for it. Where the writer is in the same process, a hint replaces the next poll.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::app::App;
use crate::aws::{Archive, ChunkPage, RecordRow};
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::generation::Status;
use crate::hints::{Hint, Topic};
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::event::{End, Event, NumberedEvent};
use crate::log::pace::{first_pause, next_pause};

/// A reader's place in a log. Dropping it costs nothing: another one can begin behind any event.
pub struct Tail {
    app: App,
    key: GenerationKey,
    record: RecordRow,
    source: Source,
    /// The next event's number.
    next: u64,
    /// Read already, and not returned yet.
    ready: Vec<NumberedEvent>,
    ended_ms: Option<i64>,
    hint: Hint,
    pause: Duration,
    announce_at: Instant,
}

/// Where the next event is read.
enum Source {
    /// Not known yet.
    Unplaced,
    /// In the buffer, from this slot on.
    Buffer {
        slot: u64,
        /// Before this moment, an empty page is a pause of the writer, and not a buffer that was deleted.
        check_bucket_at: Instant,
    },
    /// In the bucket.
    Archive(Box<Archive>),
    /// Nowhere: the terminal event was read, or the reader began behind it.
    Ended,
}

impl App {
    /// Follows a generation's log from behind event `after` on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Aws`].
    pub async fn tail(&self, key: &GenerationKey, after: Option<u64>) -> Result<Tail, Error> {
        let hint = self.hints.listen(key, Topic::Log);
        let record = self.records.get(key).await?;
        Ok(Tail {
            app: self.clone(),
            record,
            source: Source::Unplaced,
            next: after.map_or(0, |after| after.saturating_add(1)),
            ready: Vec::new(),
            ended_ms: None,
            hint,
            pause: first_pause(self.config.windows.watched),
            announce_at: Instant::now(),
            key: key.clone(),
        })
    }
}

impl Tail {
    /// Returns the next events, in order, and waits for them. `None`: the last one was terminal, or `after` was. May be dropped
    /// and called again.
    ///
    /// # Errors
    /// [`Error::Aws`], after which it may be called again; [`Error::LogGone`]; [`Error::LogDamaged`].
    pub async fn next(&mut self) -> Result<Option<Vec<NumberedEvent>>, Error> {
        loop {
            if let Some(events) = self.poll().await? {
                return Ok(Some(events));
            }
            if self.has_ended() {
                return Ok(None);
            }
            self.announce().await?;
            self.wait().await;
        }
    }

    /// Waits until there is something to read, or nothing more will come. It consumes these events of this `Tail`.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn wait_for_events(&mut self) -> Result<(), Error> {
        self.next().await.map(|_| ())
    }

    /// Returns the events that are stored now; `None`: nothing new.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn poll(&mut self) -> Result<Option<Vec<NumberedEvent>>, Error> {
        if !self.ready.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ready)));
        }
        let events = self.read().await?;
        let Some(last) = events.last() else { return Ok(None) };
        self.next = last.seq + 1;
        if last.event.end().is_some() {
            self.source = Source::Ended;
        }
        self.pause = first_pause(self.app.config.windows.watched);
        Ok(Some(events))
    }

    /// Whether the terminal event has been returned.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.source, Source::Ended) && self.ready.is_empty()
    }

    /// Whether nothing more comes: the place is behind the terminal event.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn is_at_end(&mut self) -> Result<bool, Error> {
        self.ready = self.poll().await?.unwrap_or_default();
        Ok(self.has_ended())
    }

    /// Waits, at most for `patience`, until there is output or the generation ends, and returns the end of one that failed without
    /// any output. What was read is returned by the next call of [`Self::next`].
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn failed_at_once(&mut self, patience: Duration) -> Result<Option<End>, Error> {
        let until = Instant::now() + patience;
        let is_output = |event: &NumberedEvent| matches!(event.event, Event::OutputItemAdded { .. });
        let mut read: Vec<NumberedEvent> = Vec::new();
        while !read.iter().any(|event| is_output(event) || event.event.end().is_some()) {
            let Ok(events) = timeout_at(until, self.next()).await else { break };
            let Some(events) = events? else { break };
            read.extend(events);
        }
        self.ready = read;
        if self.ready.iter().any(is_output) {
            return Ok(None);
        }
        let end = self.ready.last().and_then(|event| event.event.end());
        Ok(end.filter(|(status, _)| *status == Status::Failed).map(|(_, end)| end.clone()))
    }

    /// When the log ended, in milliseconds, once its end has been read.
    #[must_use]
    pub const fn ended_ms(&self) -> Option<i64> {
        self.ended_ms
    }

    async fn read(&mut self) -> Result<Vec<NumberedEvent>, Error> {
        match &mut self.source {
            Source::Unplaced => match self.app.buffer.holding(&self.key, self.next).await? {
                Some(chunk) => self.read_buffer(chunk.first_seq, Instant::now()).await,
                None => self.read_bucket().await,
            },
            Source::Buffer { slot, check_bucket_at } => {
                let (slot, check_bucket_at) = (*slot, *check_bucket_at);
                self.read_buffer(slot, check_bucket_at).await
            }
            Source::Archive(archive) => {
                let page = archive.page(self.next).await;
                if page.is_err() {
                    self.source = Source::Unplaced;
                }
                page
            }
            Source::Ended => Ok(Vec::new()),
        }
    }

    async fn read_buffer(&mut self, slot: u64, check_bucket_at: Instant) -> Result<Vec<NumberedEvent>, Error> {
        let now = Instant::now();
        let is_odd = |page: &ChunkPage| page.is_torn(slot) || (page.chunks.is_empty() && now >= check_bucket_at);
        let mut page = self.app.buffer.recent_chunks(&self.key, slot).await?;
        if is_odd(&page) {
            // A view that lags may lack a chunk. What is missing in this one is missing.
            page = self.app.buffer.chunks(&self.key, slot).await?;
        }
        if is_odd(&page) {
            self.source = Source::Buffer { slot, check_bucket_at: now + limits::TAIL_PAUSE_MAX };
            return self.read_bucket().await;
        }
        let last = page.chunks.last();
        let slot = last.map_or(slot, |chunk| chunk.last_seq() + 1);
        // Where there are chunks, the buffer was not deleted.
        let check_bucket_at = if last.is_some() { now + limits::TAIL_PAUSE_MAX } else { check_bucket_at };
        self.source = Source::Buffer { slot, check_bucket_at };
        if let Some(end) = last.filter(|chunk| chunk.end().is_some()) {
            self.ended_ms = Some(end.at_ms);
            if end.last_seq() < self.next {
                self.source = Source::Ended;
            }
        }
        let numbered = page.chunks.into_iter().flat_map(|chunk| (chunk.first_seq..).zip(chunk.events));
        Ok(numbered.map(|(seq, event)| NumberedEvent { seq, event }).filter(|event| event.seq >= self.next).collect())
    }

    /// Moves on to the bucket, if the log lies there, and reads its next events. Nothing changes while the record has no outcome.
    async fn read_bucket(&mut self) -> Result<Vec<NumberedEvent>, Error> {
        if self.record.outcome.is_none() {
            self.record = self.app.records.get(&self.key).await?;
        }
        let Some(outcome) = &self.record.outcome else { return Ok(Vec::new()) };
        self.ended_ms = millis_of(&outcome.completed_at);
        if outcome.compacted.is_none() {
            return Err(Error::LogGone(self.key.generation.to_string()));
        }
        if self.next > outcome.last_seq {
            self.source = Source::Ended;
            return Ok(Vec::new());
        }
        let mut archive = self.app.open_archive(&self.key, outcome.last_seq).await?;
        let events = archive.page(self.next).await?;
        self.source = Source::Archive(Box::new(archive));
        Ok(events)
    }

    /// Announces this reader to the writer, unless another reader has done so lately. Until that has succeeded, the next call
    /// tries again.
    async fn announce(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if now < self.announce_at {
            return Ok(());
        }
        let now_ms = self.app.clock.now_ms();
        let meta = self.app.buffer.meta(&self.key).await?;
        let watched_until = meta.as_ref().and_then(|meta| meta.watched_until).unwrap_or(0);
        if watched_until < now_ms + millis(limits::WATCH_TTL) / 2 {
            let until = now_ms + millis(limits::WATCH_TTL);
            self.app.buffer.watch(&self.key, until, self.app.buffer_expiry(meta.as_ref())).await?;
            self.app.hints.send(&self.key, Topic::Meta);
        }
        self.announce_at = now + limits::WATCH_TTL / 2;
        Ok(())
    }

    /// Waits until the next poll is due, or a hint comes. Where hints come, polls only make up for lost ones.
    async fn wait(&mut self) {
        let pause = if self.hint.has_been_sent() { limits::TAIL_PAUSE_MAX } else { self.pause };
        let due = Instant::now() + pause;
        tokio::select! {
            () = self.hint.received() => {}
            () = sleep_until(due.min(self.announce_at)) => self.pause = next_pause(self.pause),
        }
    }
}
