//! Times within deltas, by which a reader measures how long each delta took to reach it.
//!
//! A stamp has four characters, the usual length of a token, so that deltas that are measured are as short as real ones.

use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a stamp.
pub const STAMP_BYTES: usize = 4;
/// The time goes up by one in so many microseconds.
const STEP_MICROS: u64 = 4;
/// Times of a stamp: it comes again after 67 seconds.
const TIMES: u64 = 1 << 24;
/// The digits of a stamp (RFC 4648 §5), each of which has 6 bits.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Microseconds since the epoch.
#[must_use]
pub fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// `delta` with the time in place of its first four bytes.
pub(super) fn stamped(delta: &str, at_micros: u64) -> String {
    let time = at_micros / STEP_MICROS % TIMES;
    let digit = |shift: u32| char::from(DIGITS[usize::try_from(time >> shift & 63).unwrap_or_default()]);
    let stamp: String = [18, 12, 6, 0].into_iter().map(digit).collect();
    stamp + delta.get(STAMP_BYTES..).unwrap_or_default()
}

/// The times in a text of stamped deltas, each of `delta_bytes`, in microseconds since the epoch: of all times that a stamp means, the
/// one nearest to `near_micros`. What is no stamp is passed over.
pub fn times(text: &str, delta_bytes: usize, near_micros: u64) -> impl Iterator<Item = u64> {
    let deltas = text.as_bytes().chunks_exact(delta_bytes.max(STAMP_BYTES));
    deltas.filter_map(|delta| value(delta.get(..STAMP_BYTES)?)).map(move |time| {
        let near = near_micros / STEP_MICROS;
        let behind = (near % TIMES + TIMES - time) % TIMES;
        let time = if behind <= TIMES / 2 { near.saturating_sub(behind) } else { near + (TIMES - behind) };
        time.saturating_mul(STEP_MICROS)
    })
}

fn value(stamp: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte);
    stamp.iter().try_fold(0, |value, byte| Some(value * 64 + digit(byte)? as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_are_read_as_they_were_stamped(
            sent in proptest::collection::vec(0_u64..1 << 50, 0..5),
            bytes in 1_usize..40,
            off in -30_000_000_i64..30_000_000,
        ) {
            for sent in sent {
                let near = sent.saturating_add_signed(off);
                let text = stamped(&"x".repeat(bytes), sent).repeat(3);
                let read: Vec<u64> = times(&text, bytes, near).collect();
                prop_assert_eq!(read, vec![sent / STEP_MICROS * STEP_MICROS; 3]);
            }
        }

        #[test]
        fn any_text_may_be_read(text in "\\PC{0,40}", bytes in 0_usize..9, near in any::<u64>()) {
            prop_assert!(times(&text, bytes, near).count() <= text.len());
        }
    }
}
