//! `log_page`: a bounded piece of the log from any place on, and where the log stands: what a reader by offsets needs.

use crate::app::App;
use crate::aws::RecordRow;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::limits::{EVENTS_LIMIT_MAX, LOG_PAGE_BYTES_MAX};
use crate::log::event::NumberedEvent;
use crate::verbs::generations::get;

/// How far a log goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogTail {
    /// The number that the next event gets; the events before it are stored.
    pub next_seq: u64,
    /// Whether there will be no next event.
    pub is_closed: bool,
}

/// Consecutive events of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The number of the first of them, or that the next event to come gets.
    pub from: u64,
    /// At most 10,000, and not much more than 4 MiB of text; none only where none are stored.
    pub events: Vec<NumberedEvent>,
    /// How far the log goes, as far as is known with this page.
    pub tail: LogTail,
}

impl LogPage {
    /// Where the next page begins.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.events.last().map_or(self.from, |event| event.seq + 1)
    }

    /// Whether this page goes up to the log's last event.
    #[must_use]
    pub fn is_at_tail(&self) -> bool {
        self.next_seq() >= self.tail.next_seq
    }

    /// Whether there is nothing to come behind this page, ever.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.tail.is_closed && self.is_at_tail()
    }
}

impl App {
    /// How far the log goes now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Aws`].
    pub async fn log_tail(&self, key: &GenerationKey) -> Result<LogTail, Error> {
        Ok(self.stand(key).await?.1)
    }

    async fn stand(&self, key: &GenerationKey) -> Result<(RecordRow, LogTail), Error> {
        let (record, newest) = self.newest(key, self.records.get(key).await?).await?;
        let last = get::progress(record.outcome.as_ref(), newest.as_ref()).last_seq;
        let is_closed = record.outcome.is_some() || newest.is_some_and(|chunk| chunk.end().is_some());
        Ok((record, LogTail { next_seq: last.map_or(0, |seq| seq + 1), is_closed }))
    }

    /// A page from event `from` on; `None`: from the tail, which is a page without events.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a place that lies behind the tail; [`Error::NotFound`]; [`Error::LogGone`];
    /// [`Error::Aws`].
    pub async fn log_page(&self, key: &GenerationKey, from: Option<u64>) -> Result<LogPage, Error> {
        // The tail first: what is stored in between is then on the page, and not taken for missing.
        let (record, mut tail) = self.stand(key).await?;
        let from = from.unwrap_or(tail.next_seq);
        if from > tail.next_seq {
            return Err(Error::invalid("offset", "must be one that this stream has given"));
        }
        let events = if from < tail.next_seq { self.some_events(key, &record, from).await? } else { Vec::new() };
        if let Some(last) = events.last() {
            tail.next_seq = tail.next_seq.max(last.seq + 1);
            tail.is_closed |= last.event.end().is_some();
        }
        Ok(LogPage { from, events, tail })
    }

    /// A page's worth of events that are known to be stored.
    async fn some_events(&self, key: &GenerationKey, record: &RecordRow, from: u64) -> Result<Vec<NumberedEvent>, Error> {
        let mut events = self.read_events(key, record, from, EVENTS_LIMIT_MAX).await?;
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
