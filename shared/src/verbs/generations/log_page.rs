//! `log_page`: a bounded piece of the log from any event on, and how far the log goes, for readers that use offsets.

use crate::app::App;
use crate::aws::RecordRow;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::limits::{EVENTS_LIMIT_MAX, LOG_PAGE_BYTES_MAX};
use crate::log::event::NumberedEvent;
use crate::verbs::generations::events::ReadLimit;
use crate::verbs::generations::view;

/// How far a log goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogTail {
    /// The number of the next event; all events before it are stored.
    pub next_seq: u64,
    /// Whether the log has ended, so that no event follows.
    pub is_closed: bool,
}

/// Consecutive events of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The number of the first event; on an empty page, of the next event to be stored.
    pub from: u64,
    /// At most [`EVENTS_LIMIT_MAX`] events. The event that reaches [`LOG_PAGE_BYTES_MAX`] of text is the last. Empty only if
    /// nothing is stored from `from` on.
    pub events: Vec<NumberedEvent>,
    /// How far the log goes, as of this page.
    pub tail: LogTail,
}

impl LogPage {
    /// The `from` of the next page.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.events.last().map_or(self.from, |event| event.seq + 1)
    }

    /// Whether this page includes the newest event.
    #[must_use]
    pub fn is_at_tail(&self) -> bool {
        self.next_seq() >= self.tail.next_seq
    }

    /// Whether this page includes the log's terminal event.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.tail.is_closed && self.is_at_tail()
    }
}

impl App {
    /// How far the log goes now.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Aws`].
    pub async fn log_tail(&self, key: &GenerationKey) -> Result<LogTail, Error> {
        Ok(self.load_tail_state(key).await?.1)
    }

    async fn load_tail_state(&self, key: &GenerationKey) -> Result<(RecordRow, LogTail), Error> {
        let (record, newest) = self.newest(key, self.records.get(key).await?).await?;
        let last = view::progress(&record, newest.as_ref()).last_seq;
        let is_closed = record.outcome.is_some() || newest.is_some_and(|chunk| chunk.end().is_some());
        Ok((record, LogTail { next_seq: last.map_or(0, |seq| seq + 1), is_closed }))
    }

    /// The page from event `from` on. `None` means the tail, and gives an empty page.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `from` is after the tail. [`Error::NotFound`]; [`Error::LogGone`]; [`Error::Aws`].
    pub async fn log_page(&self, key: &GenerationKey, from: Option<u64>) -> Result<LogPage, Error> {
        // Before the events: an event that is stored in between is then on the page, and does not look missing.
        let (record, mut tail) = self.load_tail_state(key).await?;
        let from = from.unwrap_or(tail.next_seq);
        if from > tail.next_seq {
            return Err(Error::invalid("offset", "must be one that this stream has given"));
        }
        let events = if from < tail.next_seq { self.stored_events(key, &record, from).await? } else { Vec::new() };
        if let Some(last) = events.last() {
            tail.next_seq = tail.next_seq.max(last.seq + 1);
            tail.is_closed |= last.event.end().is_some();
        }
        Ok(LogPage { from, events, tail })
    }

    /// The page of events from `from` on, which is known to be stored.
    async fn stored_events(&self, key: &GenerationKey, record: &RecordRow, from: u64) -> Result<Vec<NumberedEvent>, Error> {
        let limit = ReadLimit { events: EVENTS_LIMIT_MAX, text_bytes: LOG_PAGE_BYTES_MAX };
        let mut events = self.read_events(key, record, from, limit).await?;
        if events.is_empty() {
            return Err(Error::LogGone(key.generation.to_string()));
        }
        let mut bytes = 0;
        let last = events.iter().position(|event| {
            bytes += event.event.text_bytes();
            bytes >= LOG_PAGE_BYTES_MAX
        });
        events.truncate(last.map_or(events.len(), |last| last + 1));
        Ok(events)
    }
}
