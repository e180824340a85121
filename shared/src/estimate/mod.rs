//! Estimates the requests that one generation makes to the tables and the bucket, by running the product's own rules in advance.
//!
//! The flush policy determines when a chunk is stored, the composer's events its size, the lease's rules how often meta is read
//! and renewed, and a reader's pace how often it polls. Pure: no clock, no service. The estimates are compared with counted units in
//! `tests/it/durability/write_units.rs`.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a generation is far below 2^52 of anything")]

mod chunks;
mod readers;

use std::time::Duration;

use serde::Serialize;

use crate::aws::{PLAIN_REQUEST_BYTES_MAX, write_units};
use crate::error::Error;
use crate::limits;
use crate::log::flush::Windows;
use crate::log::pace::{meta_read_every, renew_after};

/// One read unit of DynamoDB: so many bytes, read consistently.
const READ_UNIT_BYTES: u64 = 4 * 1024;
/// Keys and names of a request's row.
const REQUEST_OVERHEAD_BYTES: u64 = 90;
/// How much ordinary prose takes the room of a hundred bytes where it is compressed, the frame of events aside:
/// `prose_takes_half_its_bytes` in `shared/src/aws/buffer/packing.rs` counts it.
const PROSE: u64 = 215;
/// A record with its outcome: names, times, hash, usage and metadata; without the caller's own metadata and the JSON result. The
/// item of a record is counted in `tests/it/durability/write_units.rs`.
const RECORD_BYTES: u64 = 1_125;
/// The entry of a record in the index of its organization: four keys.
const INDEX_ENTRY_BYTES: u64 = 130;
/// What DynamoDB adds to each item and each entry of an index for storage, not for units
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>).
const STORED_ITEM_BYTES: u64 = 100;
/// A record is in two indexes, each of which is a write of its own; its outcome takes it out of one.
const RECORD_INDEXES: u64 = 2;
/// What a writer can do of a generation within one function: Lambda's 15 minutes, and what is left for the end.
const FUNCTION_TIME: Duration = Duration::from_secs(900 - 20);

/// One generation, as far as it matters to what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Text of the output.
    pub output_bytes: u64,
    /// Pieces in which the provider sends it, evenly.
    pub deltas: u64,
    /// Before the first of them.
    pub silence: Duration,
    /// From the first to the end.
    pub stream: Duration,
    /// How much of the whole time, from its beginning, somebody watches.
    pub watched: Duration,
    /// How many watch at once.
    pub readers: u64,
    /// The request, as JSON text.
    pub request_bytes: u64,
    /// How much of the output is JSON that the record keeps as `llm_response`.
    pub response_bytes: u64,
}

/// How the deployment is set, and how fast its table answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// When to flush.
    pub windows: Windows,
    /// The writer's lease.
    pub lease: Duration,
    /// How long the table takes to store a chunk: the next one waits for it.
    pub store: Duration,
    /// How long it takes to answer a query.
    pub query: Duration,
    /// Bytes of a partition key: an organization's name and 31 more.
    pub partition_bytes: usize,
}

impl Default for Pace {
    /// The product's defaults, DynamoDB at 5 ms an answer, and an organization's name of 15 characters.
    fn default() -> Self {
        Self {
            windows: Windows::default(),
            lease: Duration::from_secs(30),
            store: Duration::from_millis(5),
            query: Duration::from_millis(5),
            partition_bytes: 46,
        }
    }
}

/// Write units, by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Writes {
    /// The request and the record, with its indexes.
    pub start: u64,
    /// The log.
    pub chunks: u64,
    /// The writer's claim, renewals of its lease while the provider is silent, and hand-overs.
    pub lease: u64,
    /// Readers that announce themselves.
    pub watching: u64,
    /// The outcome, on the record and in its index.
    pub outcome: u64,
}

/// Read units, by who reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Reads {
    /// `start`: what the organization has running.
    pub start: f64,
    /// `stream`: record, request, log, and meta again and again.
    pub stream: f64,
    /// `compact`: record, request, the whole log, and meta.
    pub compact: f64,
    /// `tail`, for all readers.
    pub tail: f64,
}

/// What one generation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Items of the log.
    pub chunks: u64,
    /// Bytes of the log's items.
    pub log_bytes: u64,
    /// Stored bytes of the log.
    pub log_stored_bytes: u64,
    /// Stored bytes of the record and its entry in the index of its organization.
    pub record_bytes: u64,
    /// Stored bytes of the request's row, which expires [`limits::REQUEST_TTL`] behind the log.
    pub request_bytes: u64,
    /// Invocations of `stream`: one, and one for each hand-over.
    pub invocations: u64,
    /// Write units.
    pub writes: Writes,
    /// Read units.
    pub reads: Reads,
}

impl Writes {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.start + self.chunks + self.lease + self.watching + self.outcome
    }
}

impl Reads {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.start + self.stream + self.compact + self.tail
    }
}

/// Plays a generation through the rules. One that its organization counts by the day costs more, see `docs/cost.md`.
///
/// # Errors
/// [`Error::Configuration`]: `partition_bytes` is none that a partition key can have. [`Error::Aws`]: a chunk cannot be written as
/// an item; none is known.
pub fn estimate(workload: &Workload, pace: &Pace) -> Result<Estimate, Error> {
    let flushes = chunks::flushes(workload, pace)?;
    let whole = workload.silence + workload.stream;
    let hand_overs = (whole.as_millis().div_ceil(FUNCTION_TIME.as_millis()).max(1) - 1) as u64;
    let log_bytes: u64 = flushes.iter().map(|flush| flush.item_bytes).sum();
    let is_inline = workload.request_bytes <= limits::REQUEST_INLINE_BYTES_MAX as u64;
    let request_row = REQUEST_OVERHEAD_BYTES
        + match workload.request_bytes {
            plain if plain <= PLAIN_REQUEST_BYTES_MAX as u64 => plain,
            packed if is_inline => packed * 100 / PROSE,
            _ => 0,
        };
    let record = RECORD_BYTES + workload.response_bytes;
    let renewals = renewals(&flushes, pace);
    let watched = if workload.readers > 0 { workload.watched } else { Duration::ZERO };
    let announcements = watched.as_millis().div_ceil((limits::WATCH_TTL / 2).as_millis()) as u64;
    let looks = whole.as_secs_f64() / meta_read_every(pace.lease).as_secs_f64();
    // Record and request, in each invocation; meta and the log so far, in those behind the first: half of the log, on average.
    let beginnings = (1 + read_units(request_row)) * (hand_overs + 1) + (2 + read_units(log_bytes) / 2) * hand_overs;
    Ok(Estimate {
        chunks: flushes.len() as u64,
        log_bytes,
        log_stored_bytes: log_bytes + flushes.len() as u64 * STORED_ITEM_BYTES,
        record_bytes: record + INDEX_ENTRY_BYTES + 2 * STORED_ITEM_BYTES,
        request_bytes: request_row + STORED_ITEM_BYTES,
        invocations: hand_overs + 1,
        writes: Writes {
            start: write_units(request_row) + 1 + RECORD_INDEXES,
            chunks: flushes.iter().map(|flush| write_units(flush.item_bytes)).sum(),
            // Given up, claimed, and a chunk that says so.
            lease: 1 + renewals + 3 * hand_overs,
            watching: announcements,
            outcome: write_units(record) + RECORD_INDEXES - 1,
        },
        reads: Reads {
            start: 0.5,
            stream: beginnings as f64 + looks / 2.0,
            compact: (2 + read_units(request_row) + read_units(log_bytes)) as f64 + 0.5,
            tail: readers::read_units(&flushes, watched, pace) * workload.readers as f64,
        },
    })
}

/// One item of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flush {
    at_ms: i64,
    item_bytes: u64,
}

/// How often meta is written because nothing else was.
fn renewals(flushes: &[Flush], pace: &Pace) -> u64 {
    let look = meta_read_every(pace.lease).as_millis().max(1) as u64;
    // Only a look can find that it is time.
    let every = (renew_after(pace.lease).as_millis() as u64).div_ceil(look) * look;
    let pauses = flushes.windows(2).map(|pair| (pair[1].at_ms - pair[0].at_ms).unsigned_abs());
    pauses.map(|pause| pause / every.max(1)).sum()
}

const fn read_units(bytes: u64) -> u64 {
    let units = bytes.div_ceil(READ_UNIT_BYTES);
    if units == 0 { 1 } else { units }
}

#[cfg(test)]
mod tests;
