//! `tail`: follows a log live, from behind any event to its end, with the same numbers wherever the log lies.
//!
//! Reads `DynamoDB` at an adaptive pace: soon after text was stored, later while nothing is; one poll serves all readers of the log in
//! this process ([`crate::feeds`]), and a writer in it replaces the polls. Announces the reader on meta, so that the writer flushes for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::app::App;
use crate::aws::{Archive, ChunkPage, RecordRow};
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::feeds::{PollTurn, Reader};
use crate::generation::Status;
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::chunk::Chunk;
use crate::log::event::{End, Event, NumberedEvent};
use crate::log::recent::Found;
use crate::verbs::generations::events::is_cheaper_in_bucket;

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
    reader: Reader,
    /// Everything before its place has been read: what follows is awaited with the other readers of this log.
    is_at_head: bool,
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
        let reader = self.hints.feeds.follow(key, self.config.windows.watched);
        let record = self.records.get(key).await?;
        Ok(Tail {
            app: self.clone(),
            record,
            source: Source::Unplaced,
            next: after.map_or(0, |after| after.saturating_add(1)),
            ready: Vec::new(),
            ended_ms: None,
            reader,
            is_at_head: false,
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
            if let Some(events) = self.take_known() {
                return Ok(Some(events));
            }
            if self.has_ended() {
                return Ok(None);
            }
            if !self.is_at_head {
                if let Some(events) = self.poll().await? {
                    return Ok(Some(events));
                }
                self.is_at_head = true;
                // The next chunk may have been handed over meanwhile.
                continue;
            }
            self.announce().await?;
            self.wait().await?;
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
        Ok(self.step(events))
    }

    /// Moves behind these events. `None`: there are none.
    fn step(&mut self, events: Vec<NumberedEvent>) -> Option<Vec<NumberedEvent>> {
        let last = events.last()?;
        self.next = last.seq + 1;
        if last.event.end().is_some() {
            self.source = Source::Ended;
        }
        Some(events)
    }

    /// Returns the next events that this process knows already: read for this reader, read by another one, or handed over by the writer.
    fn take_known(&mut self) -> Option<Vec<NumberedEvent>> {
        if !self.ready.is_empty() {
            return Some(std::mem::take(&mut self.ready));
        }
        let slot = match self.source {
            Source::Buffer { slot, .. } => slot,
            // The log was empty.
            Source::Unplaced if self.is_at_head => 0,
            Source::Unplaced => self.reader.slot_of(self.next)?,
            Source::Archive(_) | Source::Ended => return None,
        };
        match self.reader.find(slot) {
            Found::Chunks(chunks) => {
                let events = self.accept(&chunks);
                self.step(events)
            }
            Found::Older => {
                self.is_at_head = false;
                None
            }
            Found::Nothing => {
                self.is_at_head &= !self.reader.has_moved();
                None
            }
        }
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
        if matches!(self.source, Source::Unplaced | Source::Buffer { .. }) && self.reader.has_moved() {
            return self.read_bucket().await;
        }
        let outcome = self.record.outcome.as_ref().filter(|_| matches!(self.source, Source::Unplaced));
        if outcome.is_some_and(|outcome| is_cheaper_in_bucket(outcome, self.next)) {
            return self.read_bucket().await;
        }
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
        self.source = Source::Buffer { slot, check_bucket_at };
        let chunks: Vec<Arc<Chunk>> = page.chunks.into_iter().map(Arc::new).collect();
        self.reader.share(&chunks);
        Ok(self.accept(&chunks))
    }

    /// Moves behind these chunks, and returns what they have from the next event on.
    fn accept(&mut self, chunks: &[Arc<Chunk>]) -> Vec<NumberedEvent> {
        let Some(last) = chunks.last() else { return Vec::new() };
        // The buffer was not deleted.
        let check_bucket_at = Instant::now() + limits::TAIL_PAUSE_MAX;
        self.source = Source::Buffer { slot: last.last_seq() + 1, check_bucket_at };
        if last.end().is_some() {
            self.ended_ms = Some(last.at_ms);
            if last.last_seq() < self.next {
                self.source = Source::Ended;
            }
        }
        let numbered = chunks.iter().flat_map(|chunk| (chunk.first_seq..).zip(&chunk.events));
        let new = numbered.filter(|(seq, _)| *seq >= self.next);
        new.map(|(seq, event)| NumberedEvent { seq, event: event.clone() }).collect()
    }

    /// Moves on to the bucket, if the log lies there, and reads its next events. Nothing changes while the record has no outcome.
    async fn read_bucket(&mut self) -> Result<Vec<NumberedEvent>, Error> {
        if self.record.outcome.is_none() {
            self.record = self.app.records.get(&self.key).await?;
        }
        let Some(outcome) = &self.record.outcome else { return Ok(Vec::new()) };
        self.reader.mark_moved();
        self.ended_ms = millis_of(&outcome.completed_at);
        if outcome.compacted.is_none() {
            return Err(Error::LogGone(self.key.generation.to_string()));
        }
        if self.next > outcome.last_seq {
            self.source = Source::Ended;
            return Ok(Vec::new());
        }
        let mut archive = self.app.open_archive(&self.key, outcome, self.next).await?;
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
            self.app.hints.send(&self.key);
        }
        self.announce_at = now + limits::WATCH_TTL / 2;
        Ok(())
    }

    /// Waits until more is known of the log, or polls for all of its readers once that is due.
    async fn wait(&mut self) -> Result<(), Error> {
        tokio::select! {
            () = self.reader.changed() => Ok(()),
            () = sleep_until(self.announce_at) => Ok(()),
            turn = self.reader.turn() => self.poll_in(turn).await,
        }
    }

    async fn poll_in(&mut self, turn: PollTurn) -> Result<(), Error> {
        let events = self.read().await?;
        turn.polled(!events.is_empty());
        self.ready = self.step(events).unwrap_or_default();
        Ok(())
    }
}
