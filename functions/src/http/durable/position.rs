//! A reader's position: offsets and cursors, and the arguments of a request that name them.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::FromRequestParts;
use http::header::IF_NONE_MATCH;
use http::request::Parts;
use longhand::Error;

use crate::http::args::QueryArgs;
use crate::http::problem::Problem;

/// Digits of an offset. All have as many, so that the texts sort as their numbers.
const OFFSET_DIGITS: usize = 16;
/// 2024-10-09T00:00:00Z, the protocol's epoch of cursors.
const CURSOR_EPOCH_SECONDS: u64 = 1_728_432_000;
/// Readers within one interval get the same cursor, so that a cache may collapse their requests.
const CURSOR_INTERVAL_SECONDS: u64 = 20;
/// The most intervals that a cursor is advanced by: an hour.
const CURSOR_JITTER_INTERVALS: u64 = 180;

/// The first event to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The event with this number.
    At(u64),
    /// The one after the stored events.
    Now,
}

/// How to read on behind the stored events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// One answer, held back until there are events.
    LongPoll,
    /// Server-sent events.
    Sse,
}

/// The arguments of a read.
pub struct ReadArgs {
    pub start: Start,
    pub live: Option<Live>,
    pub cursor: Option<u64>,
    pub if_none_match: Option<String>,
}

/// The offset of the event with this number.
pub fn offset(seq: u64) -> String {
    format!("{seq:0OFFSET_DIGITS$}")
}

/// The current cursor. It is greater than the reader's own, so that no cache answers with a page that the reader has.
pub fn cursor(given: Option<u64>) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let current = since.as_secs().saturating_sub(CURSOR_EPOCH_SECONDS) / CURSOR_INTERVAL_SECONDS;
    match given {
        Some(given) if given >= current => given.saturating_add(fastrand::u64(1..=CURSOR_JITTER_INTERVALS)),
        _ => current,
    }
}

fn start(offset: &str) -> Option<Start> {
    match offset {
        "-1" => Some(Start::At(0)),
        "now" => Some(Start::Now),
        digits if digits.len() == OFFSET_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            digits.parse().ok().map(Start::At)
        }
        _ => None,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ReadArgs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = QueryArgs::from_request_parts(parts, state).await?;
        let live = match query.first("live") {
            None => None,
            Some("long-poll") => Some(Live::LongPoll),
            Some("sse") => Some(Live::Sse),
            Some(_) => return Err(Error::invalid("live", "must be `long-poll` or `sse`, where it is given").into()),
        };
        let offsets: Vec<&str> = query.all("offset").collect();
        let start = match offsets[..] {
            [] if live.is_some() => return Err(Error::invalid("offset", "is required with `live`").into()),
            [] => Start::At(0),
            [offset] => start(offset)
                .ok_or_else(|| Error::invalid("offset", "must be one that this stream has given, or `-1`, or `now`"))?,
            _ => return Err(Error::invalid("offset", "must be given once").into()),
        };
        let cursor = query.first("cursor").and_then(|cursor| cursor.parse().ok());
        let if_none_match = parts.headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { start, live, cursor, if_none_match })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_sort_and_parse_back() {
        let numbers = [0, 1, 9, 10, 99, 123_456, 9_999_999_999_999_999];
        let offsets: Vec<String> = numbers.into_iter().map(offset).collect();
        assert!(offsets.is_sorted());
        for (number, offset) in numbers.into_iter().zip(&offsets) {
            assert_eq!(start(offset), Some(Start::At(number)));
        }
        for wrong in ["", "0", "-2", "+000000000000001", "NOW", "0000000000000000_0000000000000001", "000000000000000a"] {
            assert_eq!(start(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn cursor_exceeds_the_readers_own() {
        let now = cursor(None);
        assert!(now > 3_000_000 && cursor(Some(now - 1)) >= now);
        assert!(cursor(Some(now)) > now && cursor(Some(now + 7)) > now + 7);
        assert_eq!(cursor(Some(u64::MAX)), u64::MAX);
    }
}
