//! What comes next for a delivery: the rules, without a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::millis;

/// The waits before each further try, as in the example of Standard Webhooks: 75 hours in all.
pub const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
/// Tries of one delivery, the first included.
pub const TRIES_MAX: u32 = 10;
/// The longest that a receiver's `Retry-After` may put off the next try.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// For how long a delivery that is being sent is left alone by others: longer than a try takes.
pub const LEASE: Duration = Duration::from_mins(1);
/// An endpoint is disabled when nothing has reached it for this long, and …
pub const FAILING_MAX: Duration = Duration::from_hours(5 * 24);
/// … as many tries have failed.
pub const FAILURES_MIN: u64 = 10;
/// Statuses that ask for patience, whose `Retry-After` is honoured.
const PATIENT: [u16; 4] = [429, 502, 503, 504];
const GONE: u16 = 410;

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered.
    Status {
        /// The HTTP status.
        code: u16,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
        /// Whether it asks, by `webhook-delivery: abort-message`, that this event is not sent again.
        is_abort: bool,
    },
    /// It did not, for this reason.
    Error(&'static str),
}

/// Why a delivery has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// All tries failed.
    Exhausted,
    /// The receiver answered 410: it will never be back. Its endpoint is disabled.
    Gone,
    /// The receiver asked that it is not sent again.
    Aborted,
    /// The endpoint is disabled.
    EndpointDisabled,
    /// The endpoint was deleted.
    EndpointDeleted,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is delivered.
    Succeeded,
    /// It is tried again at this time, in milliseconds since the epoch.
    Again(i64),
    /// It has failed.
    Failed(Reason),
}

impl Answer {
    /// An answer without header fields.
    #[must_use]
    pub const fn of(code: u16) -> Self {
        Self::Status { code, retry_after: None, is_abort: false }
    }

    /// Whether the receiver has taken the event: 2xx, and nothing else.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Status { code: 200..=299, .. })
    }

    /// Whether the receiver says that it is gone for good.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Status { code: GONE, .. })
    }
}

/// What comes after try number `tries` (from 1), which ended at `now_ms` with `answer`. `jitter`, from -1 to 1, moves the wait by up to a
/// tenth of it.
#[must_use]
pub fn next(tries: u32, answer: &Answer, now_ms: i64, jitter: f64) -> Next {
    if answer.is_success() {
        return Next::Succeeded;
    }
    if answer.is_gone() {
        return Next::Failed(Reason::Gone);
    }
    if let Answer::Status { is_abort: true, .. } = answer {
        return Next::Failed(Reason::Aborted);
    }
    let wait = usize::try_from(tries).ok().and_then(|tries| WAITS.get(tries.checked_sub(1)?)).filter(|_| tries < TRIES_MAX);
    let Some(wait) = wait else { return Next::Failed(Reason::Exhausted) };
    let wait = wait.mul_f64(1.0 + jitter.clamp(-1.0, 1.0) / 10.0);
    let asked = match answer {
        Answer::Status { code, retry_after: Some(after), .. } if PATIENT.contains(code) => (*after).min(RETRY_AFTER_MAX),
        _ => Duration::ZERO,
    };
    Next::Again(now_ms.saturating_add(millis(wait.max(asked))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_795_253_400_000;

    fn patient(code: u16, seconds: u64) -> Answer {
        Answer::Status { code, retry_after: Some(Duration::from_secs(seconds)), is_abort: false }
    }

    #[test]
    fn each_answer_has_its_next_step() {
        for code in [200, 201, 204, 299] {
            assert_eq!(next(1, &Answer::of(code), NOW, 0.0), Next::Succeeded, "{code}");
        }
        for failure in
            [Answer::of(199), Answer::of(302), Answer::of(304), Answer::of(404), Answer::of(500), Answer::Error("timeout")]
        {
            assert_eq!(next(1, &failure, NOW, 0.0), Next::Again(NOW + 5_000), "{failure:?}");
        }
        assert_eq!(next(1, &Answer::of(410), NOW, 0.0), Next::Failed(Reason::Gone));
        let abort = |code| Answer::Status { code, retry_after: None, is_abort: true };
        assert_eq!(next(3, &abort(500), NOW, 0.0), Next::Failed(Reason::Aborted));
        assert_eq!(next(3, &abort(200), NOW, 0.0), Next::Succeeded);
        for code in PATIENT {
            assert_eq!(next(1, &patient(code, 120), NOW, 0.0), Next::Again(NOW + 120_000), "{code}");
            assert_eq!(next(4, &patient(code, 120), NOW, 0.0), Next::Again(NOW + 7_200_000), "{code}: never sooner");
        }
        assert_eq!(next(1, &patient(500, 120), NOW, 0.0), Next::Again(NOW + 5_000), "of other statuses it means nothing");
        assert_eq!(next(1, &patient(429, u64::MAX), NOW, 0.0), Next::Again(NOW + 86_400_000));
        assert_eq!(next(TRIES_MAX, &Answer::of(500), NOW, 0.0), Next::Failed(Reason::Exhausted));
    }

    fn answers() -> impl Strategy<Value = Answer> {
        prop_oneof![
            Just(Answer::Error("timeout")),
            (100_u16..600, proptest::option::of(0_u64..200_000), any::<bool>()).prop_map(|(code, after, is_abort)| {
                Answer::Status { code, retry_after: after.map(Duration::from_secs), is_abort: is_abort && code % 7 == 0 }
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_delivery_ends_after_ten_tries_and_three_days_of_waiting_or_what_the_receiver_asked(
            all in proptest::collection::vec((answers(), -1.0..1.0_f64), 12),
        ) {
            let (mut now, mut tries) = (NOW, 0);
            let end = loop {
                let (answer, jitter) = &all[tries as usize];
                tries += 1;
                match next(tries, answer, now, *jitter) {
                    Next::Again(at) => {
                        prop_assert!(!answer.is_success() && !answer.is_gone());
                        let longest = millis(WAITS[tries as usize - 1].mul_f64(1.1)).max(millis(RETRY_AFTER_MAX));
                        let shortest = millis(WAITS[tries as usize - 1].mul_f64(0.9));
                        prop_assert!((shortest..=longest).contains(&(at - now)), "{}", at - now);
                        now = at;
                    }
                    end => break end,
                }
            };
            prop_assert!(tries <= TRIES_MAX);
            prop_assert_eq!(end == Next::Succeeded, all[tries as usize - 1].0.is_success());
            prop_assert_eq!(end == Next::Failed(Reason::Exhausted), tries == TRIES_MAX && !matches!(end, Next::Succeeded | Next::Failed(Reason::Gone | Reason::Aborted)));
        }
    }
}
