//! `events`: a page of the log, from the buffer or, after that has gone, from the bucket, with the same numbers.
//!
//! Most of a compacted log is read from the bucket, even while the buffer has it too ([`is_cheaper_in_bucket`]).

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::aws::{Archive, ArchivePlace, Blobs, Outcome, RecordRow};
use crate::error::Error;
use crate::generation::Status;
use crate::ids::GenerationKey;
use crate::limits::{EVENT_OVERHEAD_BYTES, EVENTS_LIMIT_DEFAULT, EVENTS_LIMIT_MAX, EVENTS_PAGE_BYTES_MAX};
use crate::log::event::NumberedEvent;
use crate::verbs::generations::list::page_limit;
use crate::verbs::generations::view;

/// What one request to the bucket costs, as the bytes that the buffer reads for as much: 0.4 micro-dollars, at 0.0625 for each 4 KiB.
const REQUEST_AS_BUFFER_BYTES: u64 = 25 * 1024;

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    /// Always `list`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The events, in order.
    pub data: Vec<NumberedEvent>,
    /// The generation's status.
    pub status: Status,
    /// Whether more events are stored.
    pub has_more: bool,
    /// The `after` of the next page: the number of this page's last event; on an empty page, the `after` of the request.
    pub last_seq: Option<u64>,
}

const fn object() -> &'static str {
    "list"
}

impl App {
    /// The events after number `after`: at most `limit` (1 to 10,000, default 1,000), and about 1 MB of text.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::NotFound`]. [`Error::LogGone`]: the log expired before it
    /// was compacted. [`Error::Aws`].
    pub async fn events(&self, key: &GenerationKey, after: Option<u64>, limit: Option<usize>) -> Result<EventPage, Error> {
        let limit = page_limit(limit, EVENTS_LIMIT_DEFAULT, EVENTS_LIMIT_MAX)?;
        let record = self.records.get(key).await?;
        let from = after.map_or(0, |after| after.saturating_add(1));
        // One event more than fits shows that there is more.
        let read = ReadLimit { events: limit + 1, text_bytes: EVENTS_PAGE_BYTES_MAX };
        let mut data = self.read_events(key, &record, from, read).await?;
        let fitting = fitting(&data).min(limit);
        let has_more = data.len() > fitting;
        data.truncate(fitting);
        let (record, newest) = self.newest(key, record).await?;
        let status = view::status(&record, newest.as_ref());
        let last_seq = data.last().map_or(after, |event| Some(event.seq));
        Ok(EventPage { object: "list", data, status, has_more, last_seq })
    }

    /// The events from number `from` on, until they reach `limit` or the log ends.
    ///
    /// # Errors
    /// [`Error::LogGone`]: the log expired before it was compacted. [`Error::LogDamaged`]: the archive ends too early.
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn read_events(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<NumberedEvent>, Error> {
        if let Some(outcome) = record.outcome.as_ref().filter(|outcome| is_cheaper_in_bucket(outcome, from)) {
            return self.archived_events(key, outcome, from, limit).await;
        }
        if let Some(first) = self.buffer.holding(key, from).await? {
            let events = self.buffered_events(key, first.first_seq, from, limit).await?;
            let is_all = |events: &[NumberedEvent]| {
                let next = events.last().map_or(from, |event| event.seq + 1);
                record.outcome.as_ref().is_none_or(|outcome| next > outcome.last_seq)
            };
            if let Some(events) = events.filter(|events| limit.is_reached_by(events) || is_all(events)) {
                return Ok(events);
            }
        }
        // The buffer is gone, or is being deleted.
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
        self.archived_events(key, outcome, from, limit).await
    }

    async fn archived_events(
        &self,
        key: &GenerationKey,
        outcome: &Outcome,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<NumberedEvent>, Error> {
        let mut archive = self.open_archive(key, outcome, from).await?;
        let mut events = Vec::new();
        while !limit.is_reached_by(&events) {
            let page = archive.page(from).await?;
            if page.is_empty() {
                break;
            }
            events.extend(page);
        }
        events.truncate(limit.events);
        Ok(events)
    }

    /// The event log of the bucket, from its last place before event `from` on. It is read from its beginning where that place does not
    /// fit: during a deployment, a `compact` of an earlier version, which keeps no places, may have written the object last.
    pub(in crate::verbs) async fn open_archive(
        &self,
        key: &GenerationKey,
        outcome: &Outcome,
        from: u64,
    ) -> Result<Archive, Error> {
        let place = outcome.event_places.iter().rfind(|place| place.0 <= from);
        if let Some(place) = place {
            let mut archive = self.open_archive_at(key, outcome, *place).await?;
            if archive.is_placed().await? {
                return Ok(archive);
            }
        }
        self.open_archive_at(key, outcome, ArchivePlace(0, 0)).await
    }

    async fn open_archive_at(&self, key: &GenerationKey, outcome: &Outcome, place: ArchivePlace) -> Result<Archive, Error> {
        let ArchivePlace(first_seq, first_byte) = place;
        let body = self.blobs.read_from(&Blobs::events_key(key), first_byte).await?;
        let body = body.ok_or_else(|| Error::LogGone(key.generation.to_string()))?;
        Ok(Archive::new(key.generation.to_string(), body, first_seq, outcome.last_seq))
    }

    /// `None`: a chunk is missing because the buffer is being deleted.
    async fn buffered_events(
        &self,
        key: &GenerationKey,
        first_slot: u64,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Option<Vec<NumberedEvent>>, Error> {
        let mut events = Vec::new();
        let mut slot = Some(first_slot);
        while let Some(at) = slot.filter(|_| !limit.is_reached_by(&events)) {
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
        events.truncate(limit.events);
        Ok(Some(events))
    }
}

/// Where a read of events stops.
#[derive(Debug, Clone, Copy)]
pub(in crate::verbs) struct ReadLimit {
    /// At most this many events.
    pub events: usize,
    /// Stops with the page on which the events' text exceeds this many bytes.
    pub text_bytes: usize,
}

impl ReadLimit {
    fn is_reached_by(self, events: &[NumberedEvent]) -> bool {
        let text_bytes = || events.iter().map(|event| event.event.text_bytes()).sum::<usize>();
        events.len() >= self.events || text_bytes() > self.text_bytes
    }
}

/// How many of the events fit into one response; at least one.
fn fitting(events: &[NumberedEvent]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += event.event.text_bytes() + EVENT_OVERHEAD_BYTES;
        bytes <= EVENTS_PAGE_BYTES_MAX
    });
    fits.count().max(1)
}
/// Whether the bucket has the log, and the events from number `from` on cost less there: one request, where the buffer takes half a read unit
/// for each 4 KiB. A log without places is unpacked from its beginning, so who wants its last events alone reads the buffer while there is
/// one.
pub(in crate::verbs) fn is_cheaper_in_bucket(outcome: &Outcome, from: u64) -> bool {
    let Outcome { compacted, event_places, received_bytes, last_seq, .. } = outcome;
    if compacted.is_none() || from > *last_seq {
        return false;
    }
    if event_places.is_empty() {
        return from <= last_seq / 2;
    }
    let bytes_to_the_end = received_bytes.saturating_mul(last_seq - from) / (last_seq + 1);
    bytes_to_the_end >= REQUEST_AS_BUFFER_BYTES
}
