//! `events`: a page of the log, from the buffer while it is there and from the bucket afterwards, with the same numbers.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::aws::Archive;
use crate::aws::{Blobs, RecordRow};
use crate::error::Error;
use crate::generation::Status;
use crate::ids::GenerationKey;
use crate::limits::{EVENT_OVERHEAD_BYTES, EVENTS_LIMIT_DEFAULT, EVENTS_LIMIT_MAX, EVENTS_PAGE_BYTES_MAX};
use crate::log::event::NumberedEvent;
use crate::verbs::generations::get;

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    /// Always `list`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// They, in order.
    pub data: Vec<NumberedEvent>,
    /// The generation's status.
    pub status: Status,
    /// Whether more are stored already.
    pub has_more: bool,
    /// To be passed as `after` for the next page: the last event's number here, or `after` again.
    pub last_seq: Option<u64>,
}

const fn object() -> &'static str {
    "list"
}

impl App {
    /// A page of at most `limit` events (1 to 10,000, default 1,000) and some 1 MB, from behind event `after` on.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a limit out of bounds; [`Error::NotFound`]; [`Error::LogGone`] for a log that expired
    /// before it was compacted; [`Error::Aws`].
    pub async fn events(&self, key: &GenerationKey, after: Option<u64>, limit: Option<usize>) -> Result<EventPage, Error> {
        let limit = limit.unwrap_or(EVENTS_LIMIT_DEFAULT);
        if !(1..=EVENTS_LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("must be a whole number from 1 to {EVENTS_LIMIT_MAX}")));
        }
        let record = self.records.get(key).await?;
        let from = after.map_or(0, |after| after.saturating_add(1));
        let mut data = self.read_events(key, &record, from, limit + 1).await?;
        let fitting = fitting(&data).min(limit);
        let has_more = data.len() > fitting;
        data.truncate(fitting);
        let (record, newest) = self.newest(key, record).await?;
        let status = get::status(&record, newest.as_ref());
        let last_seq = data.last().map_or(after, |event| Some(event.seq));
        Ok(EventPage { object: "list", data, status, has_more, last_seq })
    }

    /// Up to `limit` events from `from` on.
    pub(in crate::verbs) async fn read_events(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        from: u64,
        limit: usize,
    ) -> Result<Vec<NumberedEvent>, Error> {
        if let Some(first) = self.buffer.holding(key, from).await? {
            let events = self.buffered_events(key, first.first_seq, from, limit).await?;
            let is_all = |events: &[NumberedEvent]| {
                let next = events.last().map_or(from, |event| event.seq + 1);
                record.outcome.as_ref().is_none_or(|outcome| next > outcome.last_seq)
            };
            if let Some(events) = events.filter(|events| events.len() == limit || is_all(events)) {
                return Ok(events);
            }
        }
        // Not in the buffer, or not any more: it is being deleted.
        let again = if record.outcome.is_none() { Some(self.records.get(key).await?) } else { None };
        let Some(outcome) = &again.as_ref().unwrap_or(record).outcome else {
            return Ok(Vec::new());
        };
        if outcome.compacted.is_none() {
            return Err(Error::LogGone(key.generation.to_string()));
        }
        if from > outcome.last_seq {
            return Ok(Vec::new());
        }
        let mut archive = self.open_archive(key).await?;
        let mut events = Vec::new();
        while events.len() < limit {
            let page = archive.page(from).await?;
            if page.is_empty() {
                break;
            }
            events.extend(page);
        }
        events.truncate(limit);
        Ok(events)
    }

    /// The event log of the bucket, from its beginning.
    pub(in crate::verbs) async fn open_archive(&self, key: &GenerationKey) -> Result<Archive, Error> {
        let body = self.blobs.read(&Blobs::events_key(key)).await?;
        let body = body.ok_or_else(|| Error::LogGone(key.generation.to_string()))?;
        Ok(Archive::new(key.generation.to_string(), body))
    }

    /// `None`: a chunk is missing, because the buffer is being deleted.
    async fn buffered_events(
        &self,
        key: &GenerationKey,
        first_slot: u64,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<NumberedEvent>>, Error> {
        let mut events = Vec::new();
        let mut slot = Some(first_slot);
        while let Some(at) = slot.filter(|_| events.len() < limit) {
            let page = self.buffer.chunks(key, at).await?;
            if page.is_torn(at) {
                return Ok(None);
            }
            slot = page.next_slot;
            for chunk in page.chunks {
                let numbered = (chunk.first_seq..).zip(chunk.events).map(|(seq, event)| NumberedEvent { seq, event });
                events.extend(numbered.filter(|event| event.seq >= from));
            }
        }
        events.truncate(limit);
        Ok(Some(events))
    }
}

/// How many of the events fit into one answer: one at least.
fn fitting(events: &[NumberedEvent]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += event.event.text_bytes() + EVENT_OVERHEAD_BYTES;
        bytes <= EVENTS_PAGE_BYTES_MAX
    });
    fits.count().max(1)
}
