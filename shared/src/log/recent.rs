//! The newest part of a log, as far as one process knows it: what its readers share.

use std::collections::VecDeque;
use std::sync::Arc;

use super::chunk::Chunk;
use super::event::Event;
use crate::clock::millis;
use crate::limits::{RECENT_AGE_MAX, RECENT_BYTES_MAX};

/// Consecutive chunks that are stored, the newest last. They come from polls and from a writer in the same process, in any order and
/// more than once.
#[derive(Debug, Default)]
pub struct Recent {
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
}

/// What a reader finds at its place.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// These chunks, from its place on.
    Chunks(Vec<Arc<Chunk>>),
    /// Nothing yet: its place is behind the newest chunk that is known, or no chunk is known.
    Nothing,
    /// Its place lies before the oldest chunk that is kept: it must be read from the store.
    Older,
}

impl Recent {
    /// Adds a chunk that is stored. One that is known already changes nothing. Where chunks before it are not known, it begins anew:
    /// readers between the two read from the store. `true`: it was new.
    pub fn add(&mut self, chunk: &Arc<Chunk>) -> bool {
        match self.next_slot() {
            Some(next) if chunk.first_seq < next => return false,
            Some(next) if chunk.first_seq > next => self.clear(),
            _ => {}
        }
        self.bytes += bytes_of(chunk);
        self.chunks.push_back(Arc::clone(chunk));
        let oldest_ms = chunk.at_ms.saturating_sub(millis(RECENT_AGE_MAX));
        while self.chunks.len() > 1
            && let Some(oldest) = self.chunks.pop_front_if(|oldest| self.bytes > RECENT_BYTES_MAX || oldest.at_ms < oldest_ms)
        {
            self.bytes -= bytes_of(&oldest);
        }
        true
    }

    /// The chunks from `slot` on, which must be the first number of a chunk.
    pub fn from(&self, slot: u64) -> Found {
        let (Some(first), Some(next)) = (self.chunks.front(), self.next_slot()) else { return Found::Nothing };
        if slot < first.first_seq {
            return Found::Older;
        }
        if slot >= next {
            return Found::Nothing;
        }
        let begin = self.chunks.partition_point(|chunk| chunk.first_seq < slot);
        Found::Chunks(self.chunks.range(begin..).cloned().collect())
    }

    /// The slot of the chunk that holds event `seq`, where that is known.
    pub fn slot_of(&self, seq: u64) -> Option<u64> {
        let behind = self.chunks.partition_point(|chunk| chunk.first_seq <= seq);
        let chunk = behind.checked_sub(1).and_then(|before| self.chunks.get(before))?;
        (seq <= chunk.last_seq()).then_some(chunk.first_seq)
    }

    fn next_slot(&self) -> Option<u64> {
        self.chunks.back().map(|chunk| chunk.last_seq() + 1)
    }

    fn clear(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
    }
}

/// Bytes in memory. The text is the least of them where a chunk is one delta.
fn bytes_of(chunk: &Chunk) -> usize {
    size_of::<Chunk>() + chunk.events.iter().map(|event| size_of::<Event>() + event.text_bytes()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::chunk::Counters;
    use crate::log::event::Stretch;

    fn log(lengths: &[usize]) -> Vec<Arc<Chunk>> {
        let mut first_seq = 0;
        let chunk = |length: &usize| {
            let chunk = Chunk {
                first_seq,
                writer: "w".into(),
                at_ms: 0,
                first_text_at_ms: None,
                counters: Counters::default(),
                output_from: 0,
                upstream: None,
                events: vec![Event::Created; *length],
            };
            first_seq += *length as u64;
            Arc::new(chunk)
        };
        lengths.iter().map(chunk).collect()
    }

    proptest! {
        /// Whatever is added, in whatever order: a reader that takes what it finds, and reads from the store what it does not, has each
        /// chunk once, in order, and is never told to wait for one that is known.
        #[test]
        fn readers_get_each_chunk_once(
            lengths in proptest::collection::vec(1_usize..4, 1..20),
            added in proptest::collection::vec((0_usize..20, 1_usize..4), 0..40),
        ) {
            let log = log(&lengths);
            let mut recent = Recent::default();
            let (mut read, mut newest) = (Vec::new(), None);
            for (begin, count) in added {
                for chunk in log.iter().skip(begin).take(count) {
                    let is_new = recent.add(chunk);
                    prop_assert_eq!(is_new, newest.is_none_or(|newest| chunk.first_seq > newest));
                    newest = newest.max(Some(chunk.first_seq));
                }
                let slot: u64 = read.iter().map(|chunk: &Arc<Chunk>| chunk.events.len() as u64).sum();
                match recent.from(slot) {
                    Found::Chunks(chunks) => read.extend(chunks),
                    Found::Nothing => prop_assert!(newest.is_none_or(|newest| newest < slot)),
                    Found::Older => read.push(Arc::clone(&log[read.len()])),
                }
            }
            prop_assert_eq!(&read[..], &log[..read.len()]);
        }
    }

    #[test]
    fn text_that_is_kept_is_bounded() {
        let room = RECENT_BYTES_MAX / 2 - size_of::<Chunk>() - size_of::<Event>();
        let text = Stretch { output_index: 0, content_index: 0, delta: "x".repeat(room) };
        let mut recent = Recent::default();
        for chunk in log(&[1; 5]) {
            recent.add(&Arc::new(Chunk { events: vec![Event::OutputTextDelta(text.clone())], ..Chunk::clone(&chunk) }));
            assert!(recent.bytes <= RECENT_BYTES_MAX);
        }
        assert_eq!((recent.from(0), recent.from(2), recent.from(5)), (Found::Older, Found::Older, Found::Nothing));
        assert!(matches!(recent.from(3), Found::Chunks(chunks) if chunks.len() == 2));
    }

    #[test]
    fn chunks_of_a_few_bytes_are_bounded_too() {
        let mut recent = Recent::default();
        for chunk in log(&vec![1; 10_000]) {
            assert!(recent.add(&chunk));
        }
        let bytes = recent.chunks.len() * (size_of::<Chunk>() + size_of::<Event>());
        assert!((RECENT_BYTES_MAX / 2..=RECENT_BYTES_MAX).contains(&bytes), "{bytes}");
    }

    #[test]
    fn old_chunks_are_dropped_but_for_the_newest() {
        let mut recent = Recent::default();
        for (chunk, at_ms) in log(&[1; 4]).into_iter().zip([0, 9_999, 10_001, 60_000]) {
            recent.add(&Arc::new(Chunk { at_ms, ..Chunk::clone(&chunk) }));
            let kept: Vec<i64> = recent.chunks.iter().map(|chunk| chunk.at_ms).collect();
            assert!(!kept.is_empty() && kept.iter().all(|kept| at_ms - kept <= 10_000), "{kept:?} at {at_ms}");
        }
        assert!(matches!(recent.from(3), Found::Chunks(chunks) if chunks.len() == 1));
        assert_eq!(recent.from(2), Found::Older);
    }
}
