//! `tail`: a log followed live, from behind any event to its end, with the same numbers wherever it lies.
//!
//! Reads `DynamoDB` at an adaptive pace: soon after text has come, later while nothing does. Announces itself on meta, so that
//! the writer flushes for it. In one process with the writer, a hint replaces the next poll.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::app::App;
use crate::aws::Archive;
use crate::aws::RecordRow;
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::hints::{Hint, Topic};
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::event::NumberedEvent;

/// A reader's place in a log. Dropping it costs nothing: the next one goes on from any event.
pub struct Tail {
    app: App,
    key: GenerationKey,
    record: RecordRow,
    /// The next event's number.
    next: u64,
    /// Where the next query begins; `None` before the first.
    slot: Option<u64>,
    /// Read already, and not yet given out.
    ready: Vec<NumberedEvent>,
    /// Where the log lies in the bucket, once it is read from there.
    archive: Option<Archive>,
    /// Before this, an empty answer of the buffer is taken for a pause, and not for a buffer that is gone.
    look_back_at: Instant,
    hint: Hint,
    pause: Duration,
    announce_at: Instant,
    ended: bool,
    ended_ms: Option<i64>,
}

/// A reader's next pause, when nothing has come in this one.
pub fn longer(pause: Duration) -> Duration {
    (pause * 3 / 2).min(limits::TAIL_PAUSE_MAX)
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
            next: after.map_or(0, |after| after.saturating_add(1)),
            slot: None,
            ready: Vec::new(),
            archive: None,
            look_back_at: Instant::now(),
            hint,
            pause: limits::TAIL_PAUSE_MIN,
            announce_at: Instant::now(),
            ended: false,
            ended_ms: None,
            key: key.clone(),
        })
    }
}

impl Tail {
    /// The next events, in order; waits for them. `None`: the last one was terminal, or `after` was.
    ///
    /// # Errors
    /// [`Error::LogGone`]; [`Error::Aws`]. The same place can be read again.
    pub async fn next(&mut self) -> Result<Option<Vec<NumberedEvent>>, Error> {
        loop {
            if let Some(events) = self.poll().await? {
                return Ok(Some(events));
            }
            if self.ended {
                return Ok(None);
            }
            self.announce().await?;
            self.wait().await;
        }
    }

    /// Waits until there is something to read, and leaves it to be read again.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn wait_for_events(&mut self) -> Result<(), Error> {
        self.next().await.map(|_| ())
    }

    /// The events that are stored now; `None`: nothing new.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn poll(&mut self) -> Result<Option<Vec<NumberedEvent>>, Error> {
        if !self.ready.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ready)));
        }
        if self.ended {
            return Ok(None);
        }
        let events = self.read().await?;
        let Some(last) = events.last() else { return Ok(None) };
        self.next = last.seq + 1;
        self.ended = last.event.end().is_some();
        self.pause = limits::TAIL_PAUSE_MIN;
        Ok(Some(events))
    }

    /// Whether the terminal event has been given out.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended && self.ready.is_empty()
    }

    /// Whether nothing more comes: the place is behind the terminal event.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn is_at_end(&mut self) -> Result<bool, Error> {
        self.ready = self.poll().await?.unwrap_or_default();
        Ok(self.has_ended())
    }

    /// When the log ended, in milliseconds, once its end has been read.
    #[must_use]
    pub const fn ended_ms(&self) -> Option<i64> {
        self.ended_ms
    }

    async fn read(&mut self) -> Result<Vec<NumberedEvent>, Error> {
        if self.archive.is_some() {
            return self.read_archive().await;
        }
        let slot = match self.slot {
            Some(slot) => slot,
            None => match self.app.buffer.holding(&self.key, self.next).await? {
                Some(chunk) => chunk.first_seq,
                None => return self.read_archive().await,
            },
        };
        let page = self.app.buffer.chunks(&self.key, slot).await?;
        if page.is_torn(slot) {
            // Where the buffer is being deleted, the log lies in the bucket.
            return self.read_archive().await;
        }
        if page.chunks.is_empty() && self.next > 0 && self.slot.is_some() && Instant::now() >= self.look_back_at {
            self.look_back_at = Instant::now() + limits::TAIL_PAUSE_MAX;
            return self.read_archive().await;
        }
        self.ended_ms = page.chunks.last().filter(|chunk| chunk.end().is_some()).map(|chunk| chunk.at_ms).or(self.ended_ms);
        self.slot = Some(page.chunks.last().map_or(slot, |chunk| chunk.last_seq() + 1));
        self.ended |= page.chunks.last().is_some_and(|chunk| chunk.end().is_some() && chunk.last_seq() < self.next);
        let numbered = page.chunks.into_iter().flat_map(|chunk| (chunk.first_seq..).zip(chunk.events));
        Ok(numbered.map(|(seq, event)| NumberedEvent { seq, event }).filter(|event| event.seq >= self.next).collect())
    }

    /// The events of the bucket: nothing, while the record has no outcome.
    async fn read_archive(&mut self) -> Result<Vec<NumberedEvent>, Error> {
        if self.record.outcome.is_none() {
            self.record = self.app.records.get(&self.key).await?;
        }
        let Some(outcome) = &self.record.outcome else { return Ok(Vec::new()) };
        self.ended_ms = millis_of(&outcome.completed_at);
        if outcome.compacted.is_some() && self.next > outcome.last_seq {
            self.ended = true;
            return Ok(Vec::new());
        }
        if outcome.compacted.is_none() {
            return Err(Error::LogGone(self.key.generation.to_string()));
        }
        let archive = match &mut self.archive {
            Some(archive) => archive,
            None => self.archive.insert(self.app.open_archive(&self.key).await?),
        };
        archive.page(self.next).await
    }

    /// Tells the writer that somebody is watching, unless another reader has told it lately.
    async fn announce(&mut self) -> Result<(), Error> {
        if Instant::now() < self.announce_at {
            return Ok(());
        }
        self.announce_at = Instant::now() + limits::WATCH_TTL / 2;
        let now = self.app.clock.now_ms();
        let meta = self.app.buffer.meta(&self.key).await?;
        let told = meta.as_ref().and_then(|meta| meta.watched_until).unwrap_or(0);
        if told >= now + millis(limits::WATCH_TTL) / 2 {
            return Ok(());
        }
        let until = now + millis(limits::WATCH_TTL);
        self.app.buffer.watch(&self.key, until, self.app.buffer_expiry(meta.as_ref())).await?;
        self.app.hints.tell(&self.key, Topic::Meta);
        Ok(())
    }

    /// Until the next poll is due, or a hint comes. Where hints come, polls are only for those that are lost.
    async fn wait(&mut self) {
        let pause = if self.hint.is_near() { limits::TAIL_PAUSE_MAX } else { self.pause };
        let due = Instant::now() + pause;
        tokio::select! {
            () = self.hint.heard() => {}
            () = sleep_until(due.min(self.announce_at)) => self.pause = longer(self.pause),
        }
    }
}
