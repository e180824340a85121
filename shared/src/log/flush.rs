//! When to flush: a pure function of the time, what waits, the last flush, and whether a reader is watching.
//!
//! A watched generation is flushed for low latency, an unwatched one for few write units.

use std::time::Duration;

use crate::clock::millis;
use crate::limits;

/// Keys, counters and names of a chunk with one stretch of text in it, beside its partition key.
const CHUNK_OVERHEAD_BYTES: usize = 215;
/// Those of them that stand around the text in its list of events, and take no room worth counting where that is compressed.
const DELTA_EVENT_BYTES: usize = 56;
/// Keeps the delta that fills a write unit from spilling into the next.
const FILL_SLACK_BYTES: usize = 24;

/// How much text takes the room of a hundred bytes in a chunk, until one was compressed: ordinary prose needs half.
const PACKED_TEXT_FIRST: usize = 160;
/// The same at most: a text that repeats itself is still stored in pieces, so that it can be followed.
const PACKED_TEXT_MAX: usize = 400;
/// What is expected of the next chunk, in percent of what the last one came to.
const PACKED_TEXT_CARE: usize = 95;

/// Text that is fast: so many bytes arrive while one chunk is stored. (In the 10 ms that this takes, a provider of 3,000 tokens
/// per second sends half of them.)
const FAST_BYTES: usize = 256;
/// Fast text is flushed again after so many times the time that the last store took.
const REST_FACTOR: u64 = 8;
/// The longest that fast text is held back while a reader is watching.
const REST_MAX: Duration = Duration::from_millis(50);

/// How long text may wait. Configuration; the defaults are for AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// The shortest time between two flushes while a reader is watching. 0: a flush leaves as soon as the last is stored.
    pub watched: Duration,
    /// The longest that text waits while no reader is.
    pub unwatched: Duration,
}

impl Default for Windows {
    fn default() -> Self {
        Self { watched: Duration::from_millis(150), unwatched: Duration::from_secs(4) }
    }
}

/// What has not been stored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Bytes of text.
    pub bytes: usize,
    /// When the first of them was received, in milliseconds.
    pub since_ms: i64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing waits.
    Idle,
    /// Store it now.
    Flush,
    /// Decide again at this moment (milliseconds), or when more was received.
    WaitUntil(i64),
}

/// The text that fills one write unit, in bytes, where the partition key has `partition_bytes`. At least 1.
#[must_use]
pub const fn fill_bytes(partition_bytes: usize) -> usize {
    let text = limits::WRITE_UNIT_BYTES.saturating_sub(CHUNK_OVERHEAD_BYTES + partition_bytes + FILL_SLACK_BYTES);
    if text == 0 { 1 } else { text }
}

/// How much text takes the room of a hundred bytes, if so much was compressed to so much: 100 to 400.
#[must_use]
pub const fn packed_text(plain_bytes: usize, packed_bytes: usize) -> usize {
    let packed_bytes = if packed_bytes == 0 { 1 } else { packed_bytes };
    let text = plain_bytes.saturating_mul(PACKED_TEXT_CARE) / packed_bytes;
    if text < 100 {
        100
    } else if text > PACKED_TEXT_MAX {
        PACKED_TEXT_MAX
    } else {
        text
    }
}

/// The text that fills one write unit where it is compressed: `packed_text` bytes of it, 100 or more, in the room of a hundred. At least
/// `fill_bytes`, which is the text that fills one as it is.
#[must_use]
pub const fn packed_fill_bytes(fill_bytes: usize, packed_text: usize) -> usize {
    if packed_text <= 100 {
        return fill_bytes;
    }
    (fill_bytes + DELTA_EVENT_BYTES) * packed_text / 100 - DELTA_EVENT_BYTES
}

/// Decides what to do at `now_ms`. `fill_bytes` is the text that fills one write unit; `last_flush_ms` is when the newest flush left.
#[must_use]
pub fn decide(
    now_ms: i64,
    waiting: Option<Waiting>,
    last_flush_ms: Option<i64>,
    watched: bool,
    windows: Windows,
    fill_bytes: usize,
) -> Decision {
    let Some(waiting) = waiting else { return Decision::Idle };
    let due = if watched {
        last_flush_ms.map_or(waiting.since_ms, |last| waiting.since_ms.max(last.saturating_add(millis(windows.watched))))
    } else if waiting.bytes >= fill_bytes {
        return Decision::Flush;
    } else {
        waiting.since_ms.saturating_add(millis(windows.unwatched))
    };
    if now_ms >= due { Decision::Flush } else { Decision::WaitUntil(due) }
}

/// When the text of one writer waits and leaves.
#[derive(Debug)]
pub struct FlushTimer {
    windows: Windows,
    fill_bytes: usize,
    waiting_since_ms: Option<i64>,
    last_flush_ms: Option<i64>,
    /// How long the newest store took.
    store_ms: i64,
    reserved_bytes: usize,
    /// How much text takes the room of a hundred bytes.
    packed_text: usize,
}

/// What a writer does in one turn of its loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Whether a flush is due now.
    pub flushes: bool,
    /// When the next turn begins if nothing else happens; `None`: only when something does.
    pub sleep: Option<Duration>,
}

impl FlushTimer {
    /// For a log whose partition key has `partition_bytes`.
    #[must_use]
    pub const fn new(windows: Windows, partition_bytes: usize) -> Self {
        let fill_bytes = fill_bytes(partition_bytes);
        Self {
            windows,
            fill_bytes,
            waiting_since_ms: None,
            last_flush_ms: None,
            store_ms: 0,
            reserved_bytes: 0,
            packed_text: PACKED_TEXT_FIRST,
        }
    }

    /// Leaves so many bytes of a chunk's first write unit, half of it at most, for what is in it beside its text.
    pub const fn reserve(&mut self, bytes: usize) {
        self.reserved_bytes = bytes;
    }

    /// Notes that something waits.
    pub fn received(&mut self, now_ms: i64) {
        self.waiting_since_ms.get_or_insert(now_ms);
    }

    /// Notes that a chunk was compressed from `plain_bytes` to `packed_bytes`: about as much will fill the next one.
    pub fn packed(&mut self, plain_bytes: usize, packed_bytes: usize) {
        self.packed_text = packed_text(plain_bytes, packed_bytes);
    }

    /// Notes that a flush left. `has_more`: it could not hold everything that waited.
    pub const fn flushed(&mut self, now_ms: i64, has_more: bool) {
        self.last_flush_ms = Some(now_ms);
        if !has_more {
            self.waiting_since_ms = None;
        }
    }

    /// Notes that the newest flush is stored.
    pub fn stored(&mut self, now_ms: i64) {
        self.store_ms = self.last_flush_ms.map_or(0, |flushed| now_ms.saturating_sub(flushed).max(0));
    }

    /// The shortest time between two flushes that the load allows: many writers, or one with a very fast provider, store fewer and
    /// larger chunks. The text of a provider that people can follow is not held back.
    fn rest(&self, pending_bytes: usize) -> Duration {
        if pending_bytes < FAST_BYTES {
            return Duration::ZERO;
        }
        Duration::from_millis(self.store_ms.cast_unsigned().saturating_mul(REST_FACTOR)).min(REST_MAX)
    }

    /// Decides one turn at `now_ms`. Both of its parts follow from this one reading of the clock: with two, a flush that became
    /// due in between would be neither made nor waited for.
    #[must_use]
    pub fn turn(&self, now_ms: i64, pending_bytes: usize, watched_until_ms: i64) -> Turn {
        let waiting = self.waiting_since_ms.map(|since_ms| Waiting { bytes: pending_bytes, since_ms });
        let is_watched = watched_until_ms > now_ms;
        let watched = self.windows.watched.max(self.rest(pending_bytes));
        let windows = Windows { watched, ..self.windows };
        let fill_bytes = self.fill_bytes - self.reserved_bytes.min(self.fill_bytes / 2);
        let fill_bytes = packed_fill_bytes(fill_bytes, self.packed_text);
        match decide(now_ms, waiting, self.last_flush_ms, is_watched, windows, fill_bytes) {
            Decision::Idle => Turn { flushes: false, sleep: None },
            Decision::Flush => Turn { flushes: true, sleep: None },
            Decision::WaitUntil(due_ms) => {
                let sleep = Duration::from_millis((due_ms - now_ms).max(0).cast_unsigned());
                Turn { flushes: false, sleep: Some(sleep) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILL: usize = 800;

    /// Plays arrivals of (gap in ms, bytes) through the policy, with stores that take no time, and returns the flushes as
    /// (time, bytes, when its first byte came).
    fn play(arrivals: &[(i64, usize)], watched: bool, windows: Windows) -> Vec<(i64, usize, i64)> {
        let (mut now, mut waiting, mut last, mut flushes) = (0, None::<Waiting>, None, Vec::new());
        for &(gap, bytes) in arrivals {
            let arrives = now + gap;
            while let Decision::WaitUntil(due) = decide(now, waiting, last, watched, windows, FILL) {
                if due > arrives {
                    break;
                }
                now = due;
                assert_eq!(decide(now, waiting, last, watched, windows, FILL), Decision::Flush, "what is due is done");
                flush(now, &mut waiting, &mut last, &mut flushes);
            }
            now = arrives;
            waiting =
                Some(waiting.map_or(Waiting { bytes, since_ms: now }, |held| Waiting { bytes: held.bytes + bytes, ..held }));
            if decide(now, waiting, last, watched, windows, FILL) == Decision::Flush {
                flush(now, &mut waiting, &mut last, &mut flushes);
            }
        }
        flushes
    }

    fn flush(now: i64, waiting: &mut Option<Waiting>, last: &mut Option<i64>, flushes: &mut Vec<(i64, usize, i64)>) {
        let held = waiting.take().unwrap();
        flushes.push((now, held.bytes, held.since_ms));
        *last = Some(now);
    }

    fn arrivals() -> impl Strategy<Value = Vec<(i64, usize)>> {
        prop::collection::vec((0_i64..500, 1_usize..64), 1..400)
    }

    proptest! {
        #[test]
        fn unwatched_text_waits_for_a_full_unit_or_its_window(arrivals in arrivals()) {
            for (at, bytes, since) in play(&arrivals, false, Windows::default()) {
                prop_assert!(at - since <= 4_000);
                prop_assert!(bytes >= FILL || at - since == 4_000);
            }
        }

        #[test]
        fn watched_flushes_are_one_window_apart(arrivals in arrivals(), window in 0_u64..200) {
            let windows = Windows { watched: Duration::from_millis(window), ..Windows::default() };
            let flushes = play(&arrivals, true, windows);
            prop_assert_eq!(flushes.first().map(|(at, ..)| *at), Some(arrivals[0].0), "the first delta leaves at once");
            for pair in flushes.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= window.cast_signed());
            }
            for (at, _, since) in flushes {
                prop_assert!(at - since <= window.cast_signed());
            }
        }

        #[test]
        fn text_is_flushed_once(arrivals in arrivals(), watched: bool) {
            let flushed: usize = play(&arrivals, watched, Windows::default()).iter().map(|(_, bytes, _)| bytes).sum();
            let came: usize = arrivals.iter().map(|(_, bytes)| bytes).sum();
            prop_assert!(flushed <= came);
            prop_assert!(came - flushed < FILL || watched, "only what still waits is missing");
        }
    }

    proptest! {
        #[test]
        fn fast_text_alone_waits_longer_under_load(window in 0_i64..100, store in 0_i64..1_000, bytes in 1_usize..1_000, later in 0_i64..200) {
            let windows = Windows { watched: Duration::from_millis(window.cast_unsigned()), ..Windows::default() };
            let mut timer = FlushTimer::new(windows, 40);
            timer.received(0);
            timer.flushed(0, false);
            timer.stored(store);
            let now = store + later;
            timer.received(now);
            let rest = if bytes < FAST_BYTES { 0 } else { (store * 8).min(50) };
            let due = now.max(window.max(rest));
            let sleep = (due > now).then(|| Duration::from_millis((due - now).cast_unsigned()));
            prop_assert_eq!(timer.turn(now, bytes, i64::MAX), Turn { flushes: due == now, sleep });
        }
    }

    /// Runs a writer's loop against a clock that moves on by one of `ticks` before and after each turn, with one delta after
    /// each of `gaps` and stores that take no time, and returns the longest that a delta waited. `None`: one would wait for ever.
    fn longest_wait(gaps: &[i64], ticks: &[i64], watched: bool) -> Option<i64> {
        let watched_until_ms = if watched { i64::MAX } else { 0 };
        let mut timer = FlushTimer::new(Windows::default(), 40);
        let (mut now, mut readings, mut since, mut longest) = (0, 0, None, 0);
        let mut arrivals: Vec<i64> = gaps
            .iter()
            .scan(0, |at, gap| {
                *at += gap;
                Some(*at)
            })
            .collect();
        arrivals.reverse();
        loop {
            if arrivals.last().is_some_and(|at| *at <= now) {
                arrivals.pop();
                timer.received(now);
                since.get_or_insert(now);
            }
            readings += 1;
            now += ticks[readings % ticks.len()];
            let turn = timer.turn(now, 1, watched_until_ms);
            readings += 1;
            now += ticks[readings % ticks.len()];
            if turn.flushes {
                timer.flushed(now, false);
                longest = longest.max(now - since.take().unwrap_or(now));
            } else {
                let wakes = [turn.sleep.map(|sleep| now + millis(sleep)), arrivals.last().copied()];
                match wakes.into_iter().flatten().min() {
                    Some(wake) => now = now.max(wake),
                    None => return since.is_none().then_some(longest),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_delta_outwaits_its_window_while_the_clock_moves(
            gaps in prop::collection::vec(0_i64..80, 1..40),
            ticks in prop::collection::vec(0_i64..3, 1..20),
            watched: bool,
        ) {
            let windows = Windows::default();
            let window = millis(if watched { windows.watched } else { windows.unwatched });
            let longest = longest_wait(&gaps, &ticks, watched);
            // A turn reads the clock a few times, and two turns may pass between the delta and its flush.
            prop_assert!(longest.is_some_and(|longest| longest <= window + 20), "{longest:?}");
        }
    }

    #[test]
    fn nothing_waiting_is_idle() {
        assert_eq!(decide(5, None, Some(1), true, Windows::default(), FILL), Decision::Idle);
    }
}
