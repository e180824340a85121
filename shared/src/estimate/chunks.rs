//! When the chunks of a log leave, and how large their items are.

use super::{Flush, PROSE, Pace, Workload};
use crate::aws::{ChunkBytes, chunk_item_bytes, write_units};
use crate::clock::millis;
use crate::error::Error;
use crate::generation::usage::{TotalUsage, Usage};
use crate::ids::{GenerationId, GenerationKey, InvalidId};
use crate::log::chunk::{Chunk, Counters};
use crate::log::composer::Composer;
use crate::log::event::{End, Event};
use crate::log::flush::{Decision, Waiting, decide, fill_bytes, packed_fill_bytes, packed_text};
use crate::providers::Delta;

/// Some day in 2026: what counts is how many digits it has.
const NOW_MS: i64 = 1_790_000_000_000;

/// What a hundred bytes of frames take there: they are in the dictionary.
const PACKED_FRAME: u64 = 15;

/// The chunks of a generation, in order.
pub(super) fn flushes(workload: &Workload, pace: &Pace) -> Result<Vec<Flush>, Error> {
    let sizes = Sizes::of(workload, pace)?;
    let (silence, stream) = (millis(workload.silence), millis(workload.stream));
    let mut writer = Writer {
        pace,
        fill: packed_fill_bytes(fill_bytes(pace.partition_bytes), packed_text(PROSE as usize, 100)),
        watched_until_ms: if workload.readers > 0 { millis(workload.watched) } else { 0 },
        now_ms: 0,
        free_at_ms: millis(pace.store),
        waiting: None,
        flushes: vec![Flush { at_ms: 0, item_bytes: sizes.begun.whole }],
        sizes,
    };
    let mut sent = 0;
    for delta in 0..workload.deltas {
        let share = |whole: u64, parts: u64| (u128::from(whole) * u128::from(parts) / u128::from(workload.deltas)) as u64;
        let at = silence.saturating_add_unsigned(share(stream.unsigned_abs(), delta));
        writer.flush_until(at);
        let until_now = share(workload.output_bytes, delta + 1);
        writer.receive(at, (until_now - sent) as usize);
        sent = until_now;
    }
    writer.end(silence + stream);
    Ok(writer.flushes)
}

/// Bytes of items without the text in them.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// The first chunk of an attempt.
    begun: Frame,
    /// The first with text: it opens an item and a part.
    opening: Frame,
    /// Any other.
    plain: Frame,
    /// The events that the end adds: they close the part and the item, and say what was used.
    closing: u64,
}

/// An item without text.
#[derive(Debug, Clone, Copy)]
struct Frame {
    whole: u64,
    /// Its events.
    events: u64,
}

impl Frame {
    /// With no text: `letters` of them are taken away.
    const fn without(bytes: ChunkBytes, letters: u64) -> Self {
        Self { whole: bytes.whole as u64 - letters, events: bytes.events as u64 - letters }
    }

    /// The item's bytes with so much text, and more events of so many bytes: compressed, where that costs fewer write units.
    fn with(self, text: u64, more_events: u64) -> u64 {
        let plain = self.whole + more_events + text;
        let packed = self.whole - self.events + (self.events + more_events) * PACKED_FRAME / 100 + text * 100 / PROSE;
        if write_units(packed) < write_units(plain) { packed } else { plain }
    }
}

impl Sizes {
    fn of(workload: &Workload, pace: &Pace) -> Result<Self, Error> {
        let mut composer = Composer::default();
        let key = key(pace.partition_bytes)?;
        let item = |composer: &mut Composer, first_text_at_ms: Option<i64>| {
            let counters =
                Counters { received_chunks: workload.deltas, stored_bytes: workload.output_bytes, chunk_count: workload.deltas };
            let events = composer.take(usize::MAX);
            let writer = "0".repeat(26);
            let chunk =
                Chunk { first_seq: 0, writer, at_ms: NOW_MS, first_text_at_ms, counters, output_from: 0, upstream: None, events };
            chunk_item_bytes(&key, &chunk, NOW_MS / 1_000)
        };
        composer.event(Event::Created);
        composer.event(Event::InProgress { attempt: 1, used: None });
        let begun = Frame::without(item(&mut composer, None)?, 0);
        let with_a_letter = |composer: &mut Composer, first_text_at_ms| {
            composer.delta(Delta::Text("a".to_owned()));
            item(composer, first_text_at_ms).map(|bytes| Frame::without(bytes, 1))
        };
        let opening = with_a_letter(&mut composer, Some(NOW_MS))?;
        let plain = with_a_letter(&mut composer, None)?;
        composer.close(true);
        let (tokens, model) = (workload.deltas, Some("a-model-2026-01-01".to_owned()));
        let usage = Usage { input_tokens: tokens, output_tokens: tokens, total_tokens: tokens, ..Usage::default() };
        let usage = TotalUsage::of(None, Some(usage));
        composer.event(Event::Completed(End { finish_reason: Some("stop".to_owned()), usage, model, ..End::default() }));
        // An item's keys and counters are in `plain` already.
        let closing = (item(&mut composer, None)?.whole as u64).saturating_sub(begun.whole);
        Ok(Self { begun, opening, plain, closing })
    }
}

/// A key whose partition has so many bytes.
fn key(partition_bytes: usize) -> Result<GenerationKey, Error> {
    let id = GenerationId::new(NOW_MS);
    let name = "o".repeat(partition_bytes.saturating_sub(id.as_str().len() + 1));
    let organization = name.parse().map_err(|error: InvalidId| Error::Configuration(error.to_string()))?;
    Ok(GenerationKey::new(organization, id))
}

struct Writer<'a> {
    pace: &'a Pace,
    fill: usize,
    watched_until_ms: i64,
    now_ms: i64,
    /// Until then a chunk is being stored.
    free_at_ms: i64,
    waiting: Option<Waiting>,
    flushes: Vec<Flush>,
    sizes: Sizes,
}

impl Writer<'_> {
    /// Every flush that leaves before `until_ms`.
    fn flush_until(&mut self, until_ms: i64) {
        loop {
            let last = self.flushes.last().map(|flush| flush.at_ms);
            let is_watched = self.now_ms < self.watched_until_ms;
            let due = match decide(self.now_ms, self.waiting, last, is_watched, self.pace.windows, self.fill) {
                Decision::Idle => return,
                Decision::Flush => self.now_ms,
                Decision::WaitUntil(due) => due,
            };
            let at = due.max(self.free_at_ms);
            if at >= until_ms {
                return;
            }
            self.flush(at, 0);
        }
    }

    fn receive(&mut self, at_ms: i64, bytes: usize) {
        self.now_ms = at_ms;
        let waiting = self.waiting.get_or_insert(Waiting { bytes: 0, since_ms: at_ms });
        waiting.bytes += bytes;
    }

    fn end(&mut self, at_ms: i64) {
        self.flush_until(at_ms);
        self.flush(at_ms.max(self.free_at_ms), self.sizes.closing);
    }

    fn flush(&mut self, at_ms: i64, more_events: u64) {
        let is_first = self.flushes.len() == 1;
        let frame = match self.waiting {
            None => self.sizes.begun,
            Some(_) if is_first => self.sizes.opening,
            Some(_) => self.sizes.plain,
        };
        let text = self.waiting.take().map_or(0, |waiting| waiting.bytes as u64);
        self.flushes.push(Flush { at_ms, item_bytes: frame.with(text, more_events) });
        self.now_ms = self.now_ms.max(at_ms);
        self.free_at_ms = at_ms.saturating_add(millis(self.pace.store));
    }
}
