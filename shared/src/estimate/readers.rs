//! How often a reader asks, and what it is answered.

use std::time::Duration;

use super::{Flush, Pace};
use crate::clock::millis;
use crate::limits;
use crate::log::pace::next_pause;

/// Read units of one reader who watches from the beginning for so long: on AWS, where no hint takes the place of a poll.
pub(super) fn read_units(flushes: &[Flush], watched: Duration, pace: &Pace) -> f64 {
    if watched.is_zero() {
        return 0.0;
    }
    let (until, query) = (millis(watched), millis(pace.query).max(1));
    // The record, and the chunk to begin with.
    let mut units = 2;
    let (mut now, mut pause, mut seen) = (0, limits::TAIL_PAUSE_MIN, 0);
    while now < until && seen < flushes.len() {
        let stored = |flush: &&Flush| flush.at_ms + millis(pace.store) <= now;
        let (news, bytes) =
            flushes[seen..].iter().take_while(stored).fold((0, 0), |(count, bytes), flush| (count + 1, bytes + flush.item_bytes));
        units += super::read_units(bytes);
        seen += news;
        now += query;
        if news > 0 {
            pause = limits::TAIL_PAUSE_MIN;
        } else {
            now += millis(pause);
            pause = next_pause(pause);
        }
    }
    // Meta is looked at whenever it may be time to announce oneself.
    let looks = watched.as_millis().div_ceil((limits::WATCH_TTL / 2).as_millis()) as f64;
    units as f64 + looks / 2.0
}
