//! How often a reader asks, and what it is answered.

use std::time::Duration;

use super::{Flush, Pace};
use crate::clock::millis;
use crate::limits;
use crate::log::pace::{first_pause, next_pause};

/// Read units of one reader who watches from the beginning for so long: on AWS, where no hint takes the place of a poll.
pub(super) fn read_units(flushes: &[Flush], watched: Duration, pace: &Pace) -> f64 {
    if watched.is_zero() {
        return 0.0;
    }
    let (until, query) = (millis(watched), millis(pace.query).max(1));
    // The record, and the chunk to begin with; the others are read from a view that may lag, at half the price.
    let mut units = 2.0;
    let first_pause = first_pause(pace.windows.watched);
    let (mut now, mut pause, mut seen) = (0, first_pause, 0);
    while now < until && seen < flushes.len() {
        let stored = |flush: &&Flush| flush.at_ms + millis(pace.store) <= now;
        let (news, bytes) =
            flushes[seen..].iter().take_while(stored).fold((0, 0), |(count, bytes), flush| (count + 1, bytes + flush.item_bytes));
        units += super::read_units(bytes) as f64 / 2.0;
        seen += news;
        now += query;
        if news > 0 {
            pause = first_pause;
        } else {
            now += millis(pause);
            pause = next_pause(pause);
        }
    }
    // Meta is looked at whenever it may be time to announce oneself.
    let looks = watched.as_millis().div_ceil((limits::WATCH_TTL / 2).as_millis()) as f64;
    units + looks / 2.0
}
