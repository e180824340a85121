//! When to flush: a pure function of the time, what waits, the last flush, and whether anyone is watching.
//!
//! Cost is counted in write units, latency in milliseconds, and only a watched generation needs the second.

use std::time::Duration;

use crate::clock::millis;
use crate::limits;

/// Keys, counters and names of a chunk with one stretch of text in it, beside its partition key.
const CHUNK_OVERHEAD_BYTES: usize = 215;
/// So that the delta that fills a write unit does not spill into the next.
const FILL_SLACK_BYTES: usize = 24;

/// How long text may wait. Configuration; the defaults are for AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// At most one flush per this long while someone is watching. 0: the next flush leaves as soon as the last is stored.
    pub watched: Duration,
    /// The longest that text waits while no one is.
    pub unwatched: Duration,
}

impl Default for Windows {
    fn default() -> Self {
        Self { watched: Duration::from_millis(50), unwatched: Duration::from_secs(2) }
    }
}

/// What has not been stored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Bytes of text.
    pub bytes: usize,
    /// When the first of them came, in milliseconds.
    pub since_ms: i64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing waits.
    Idle,
    /// Store it now.
    Flush,
    /// Ask again at this moment (milliseconds), or when more has come.
    WaitUntil(i64),
}

/// The text that fills one write unit, where the partition key has so many bytes.
#[must_use]
pub const fn fill_bytes(partition_bytes: usize) -> usize {
    let text = limits::WRITE_UNIT_BYTES.saturating_sub(CHUNK_OVERHEAD_BYTES + partition_bytes + FILL_SLACK_BYTES);
    if text == 0 { 1 } else { text }
}

/// Decides. `fill_bytes` is the text that fills one write unit; `last_flush_ms` is when the newest flush left.
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
        fn unwatched_text_waits_two_seconds_at_most_and_no_flush_is_early(arrivals in arrivals()) {
            for (at, bytes, since) in play(&arrivals, false, Windows::default()) {
                prop_assert!(at - since <= 2_000);
                prop_assert!(bytes >= FILL || at - since == 2_000);
            }
        }

        #[test]
        fn watched_flushes_keep_one_window_apart_and_text_waits_one_at_most(arrivals in arrivals(), window in 0_u64..200) {
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
        fn nothing_is_flushed_twice_or_forgotten(arrivals in arrivals(), watched: bool) {
            let flushed: usize = play(&arrivals, watched, Windows::default()).iter().map(|(_, bytes, _)| bytes).sum();
            let came: usize = arrivals.iter().map(|(_, bytes)| bytes).sum();
            prop_assert!(flushed <= came);
            prop_assert!(came - flushed < FILL || watched, "only what still waits is missing");
        }
    }

    #[test]
    fn nothing_waiting_is_idle() {
        assert_eq!(decide(5, None, Some(1), true, Windows::default(), FILL), Decision::Idle);
    }
}
