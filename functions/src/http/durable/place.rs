//! Where a reader is: offsets and cursors, and what a request says of them.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{FromRequestParts, Query};
use http::header::IF_NONE_MATCH;
use http::request::Parts;
use longhand::Error;

use crate::http::generations::OneArgs;
use crate::http::problem::Failure;

/// Digits of an offset: as many as make the order of the texts that of the numbers.
const OFFSET_DIGITS: usize = 16;
/// 2024-10-09T00:00:00Z, from which cursors count.
const CURSOR_EPOCH_SECONDS: u64 = 1_728_432_000;
/// Readers within one such interval get the same cursor, so that a cache may answer them together.
const CURSOR_INTERVAL_SECONDS: u64 = 20;
/// How many intervals a cursor may be moved on by: an hour's worth.
const CURSOR_JITTER_INTERVALS: u64 = 180;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the event of this number.
    At(u64),
    /// Behind what is stored now.
    Now,
}

/// How to go on at the end of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// One answer, held back until there is something to tell.
    LongPoll,
    /// Server-sent events.
    Sse,
}

/// What a reader asks for.
pub struct ReadArgs {
    pub one: OneArgs,
    pub start: Start,
    pub live: Option<Live>,
    pub cursor: Option<u64>,
    pub if_none_match: Option<String>,
}

/// The offset of the event with this number.
pub fn offset(seq: u64) -> String {
    format!("{seq:0OFFSET_DIGITS$}")
}

/// The cursor of now; always beyond the reader's own, so that no cache answers it with what it has seen.
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
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let one = OneArgs::from_request_parts(parts, state).await?;
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| Error::invalid("query", format!("cannot be read: {}", error.body_text())))?;
        let all = |name: &'static str| query.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str());
        let live = match all("live").next() {
            None => None,
            Some("long-poll") => Some(Live::LongPoll),
            Some("sse") => Some(Live::Sse),
            Some(_) => return Err(Error::invalid("live", "must be `long-poll` or `sse`, where it is given").into()),
        };
        let offsets: Vec<&str> = all("offset").collect();
        let start = match offsets[..] {
            [] if live.is_some() => return Err(Error::invalid("offset", "is required with `live`").into()),
            [] => Start::At(0),
            [offset] => start(offset)
                .ok_or_else(|| Error::invalid("offset", "must be one that this stream has given, or `-1`, or `now`"))?,
            _ => return Err(Error::invalid("offset", "must be given once").into()),
        };
        let cursor = all("cursor").next().and_then(|cursor| cursor.parse().ok());
        let if_none_match = parts.headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { one, start, live, cursor, if_none_match })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_sort_as_their_numbers_and_read_back() {
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
    fn a_cursor_is_always_beyond_the_readers_own() {
        let now = cursor(None);
        assert!(now > 3_000_000 && cursor(Some(now - 1)) >= now);
        assert!(cursor(Some(now)) > now && cursor(Some(now + 7)) > now + 7);
        assert_eq!(cursor(Some(u64::MAX)), u64::MAX);
    }
}
