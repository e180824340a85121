//! What writing went wrong in: text that is there twice, and zeros that are not there at all.
//!
//! The field's reader took the delta `0` for an empty one and dropped it, and two of its writers appended to one list, so that each piece
//! stands there twice. Here both are recognised, and never mended.

/// Bytes from which on a text can be told to be doubled: a short one may repeat itself.
const DOUBLED_BYTES_MIN: usize = 64;
/// Texts up to this size are compared with all ways to interleave two copies.
const INTERLEAVED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Ways that are followed side by side.
const WAYS_MAX: usize = 4_096;
/// Bytes by which the second writer is recognised, where what is to be repeated is longer. Each is tried.
const REPEATED_BYTES_MIN: [usize; 6] = [1, 2, 3, 4, 6, 8];

/// Whether `text` is `whole` with zeros left out.
#[must_use]
pub fn lacks_zeros_of(text: &[u8], whole: &[u8]) -> bool {
    if text.len() >= whole.len() {
        return false;
    }
    let mut rest = text.iter().peekable();
    for byte in whole {
        if rest.next_if_eq(&byte).is_none() && *byte != b'0' {
            return false;
        }
    }
    rest.next().is_none()
}

/// Whether `text` is two copies of `once` written into each other, each in its order.
#[must_use]
pub fn doubles(text: &[u8], once: &[u8]) -> bool {
    if once.is_empty() || text.len() != 2 * once.len() || text.len() > INTERLEAVED_BYTES_MAX {
        return false;
    }
    // By how many bytes one writer may be ahead of the other.
    let mut leads = vec![0_usize];
    for (place, byte) in text.iter().enumerate() {
        let mut next = Vec::with_capacity(leads.len() + 1);
        for lead in leads {
            // Both together have written `place` bytes.
            let (first, second) = (usize::midpoint(place, lead), (place - lead) / 2);
            if once.get(first) == Some(byte) {
                next.push(lead + 1);
            }
            if lead > 0 && once.get(second) == Some(byte) {
                next.push(lead - 1);
            }
        }
        next.sort_unstable();
        next.dedup();
        if next.is_empty() || next.len() > WAYS_MAX {
            return false;
        }
        leads = next;
    }
    leads.contains(&0)
}

/// Whether a text looks like one that two writers have written, without the text of one of them to compare it with.
#[must_use]
pub fn looks_doubled(text: &[u8]) -> bool {
    let half = text.len() / 2;
    if text.len() < DOUBLED_BYTES_MIN || !text.len().is_multiple_of(2) || text.iter().all(|byte| *byte == text[0]) {
        return false;
    }
    if text[..half] == text[half..] {
        return true;
    }
    REPEATED_BYTES_MIN.into_iter().any(|least| repeats(text, least))
}

/// Whether a text is written by two writers, of whom the second one is recognised by `least` bytes.
fn repeats(text: &[u8], least: usize) -> bool {
    let half = text.len() / 2;
    let (mut once, mut repeated, mut place) = (Vec::with_capacity(half), 0, 0);
    while place < text.len() {
        let waiting: &[u8] = &once[repeated..];
        let same = waiting.iter().zip(&text[place..]).take_while(|(one, other)| one == other).count();
        if same > 0 && same >= waiting.len().min(least) {
            (repeated, place) = (repeated + same, place + same);
        } else {
            once.push(text[place]);
            place += 1;
        }
        if once.len() > half {
            return false;
        }
    }
    repeated == once.len()
}

/// The places, in bytes, at which a zero is missing from a text that would be JSON with them; none where it is JSON already, or would
/// not be.
#[must_use]
pub fn missing_zeros(text: &str) -> Vec<usize> {
    let places = gaps(text.as_bytes());
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if places.is_empty() || is_json(text) {
        return Vec::new();
    }
    let (mut mended, mut from) = (String::with_capacity(text.len() + places.len()), 0);
    for place in &places {
        mended.push_str(text.get(from..*place).unwrap_or_default());
        mended.push('0');
        from = *place;
    }
    mended.push_str(text.get(from..).unwrap_or_default());
    if is_json(&mended) { places } else { Vec::new() }
}

/// Where JSON outside of its strings has a point without a digit on one side, or no value where one must be.
fn gaps(text: &[u8]) -> Vec<usize> {
    let (mut places, mut is_in_string, mut is_escaped) = (Vec::new(), false, false);
    let mut before = b' ';
    for (place, byte) in text.iter().copied().enumerate() {
        if is_in_string {
            is_in_string = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            before = if is_in_string { before } else { b'"' };
            continue;
        }
        let is_value_missing = matches!(byte, b',' | b'}' | b']') && before == b':' || byte == b',' && before == b'[';
        let is_digit_missing = byte == b'.' && !before.is_ascii_digit() || before == b'.' && !byte.is_ascii_digit();
        if is_value_missing || is_digit_missing {
            places.push(place);
        }
        is_in_string = byte == b'"';
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two copies of the pieces, the second writer behind the first by a number of pieces that changes.
    fn interleaved(pieces: &[String], leads: &[usize]) -> String {
        let (mut text, mut first, mut second) = (String::new(), 0, 0);
        for lead in leads.iter().cycle() {
            while first < pieces.len() && first - second < lead + 1 {
                text.push_str(&pieces[first]);
                first += 1;
            }
            if second == pieces.len() {
                return text;
            }
            text.push_str(&pieces[second]);
            second += 1;
        }
        text
    }

    proptest! {
        #[test]
        fn doubled_text_is_told_from_its_copy(
            pieces in prop::collection::vec("[a-d ñ{}\":0]{1,6}", 1..60),
            leads in prop::collection::vec(0_usize..5, 1..8),
            at in any::<prop::sample::Index>(),
        ) {
            let once = pieces.concat();
            let twice = interleaved(&pieces, &leads);
            prop_assert!(doubles(twice.as_bytes(), once.as_bytes()));
            prop_assert!(!doubles(once.as_bytes(), once.as_bytes()));
            let mut damaged = twice.into_bytes();
            let at = at.index(damaged.len());
            damaged[at] = b'#';
            prop_assert!(!doubles(&damaged, once.as_bytes()));
        }

        #[test]
        fn zeros_that_were_dropped_are_told_and_nothing_else_is(
            text in "[0-3.,a]{1,80}",
            keep in prop::collection::vec(any::<bool>(), 80),
        ) {
            let kept: Vec<u8> = text.bytes().zip(keep).filter(|(byte, keep)| *byte != b'0' || *keep).map(|(byte, _)| byte).collect();
            prop_assert_eq!(lacks_zeros_of(&kept, text.as_bytes()), kept.len() < text.len());
            let mut other = text.clone().into_bytes();
            other.retain(|byte| *byte != b'1');
            prop_assert!(!lacks_zeros_of(&other, text.as_bytes()) || other.len() == text.len());
        }

        #[test]
        fn missing_zeros_are_told_only_where_they_make_it_json(numbers in prop::collection::vec((0_u32..1_000, 1_u32..1_000), 1..12)) {
            let values: Vec<String> = numbers.iter().map(|(whole, part)| format!("{whole}.{part}")).collect();
            let json = format!("{{\"a.b\": [{}], \"c\": \".5 :, \\\" [,\"}}", values.join(", "));
            prop_assert_eq!(missing_zeros(&json), Vec::<usize>::new());
            let dropped = json.replace(" 0.", " .").replace("[0.", "[.");
            let zeros = json.len() - dropped.len();
            let places = missing_zeros(&dropped);
            prop_assert_eq!(places.len(), zeros);
            prop_assert!(places.iter().all(|place| dropped.as_bytes()[*place] == b'.'));
            prop_assert_eq!(missing_zeros(&format!("{dropped}}}")), Vec::<usize>::new());
        }
    }

    #[test]
    fn doubled_text_is_seen_without_its_copy() {
        let prose = "El mercado cambia, y con el cambian las competencias que la empresa necesita en los proximos tres anos. ";
        let pieces: Vec<String> = prose.split_inclusive(' ').map(str::to_owned).collect();
        for leads in [&[0][..], &[1], &[100]] {
            assert!(looks_doubled(interleaved(&pieces, leads).as_bytes()), "{leads:?}");
        }
        for not in [prose, &"-".repeat(100), &prose.repeat(3)[..103 * 3 - 1], ""] {
            assert!(!looks_doubled(not.as_bytes()), "{not}");
        }
        assert_eq!(missing_zeros(r#"{"score": .78, "count": , "all": [,1]}"#), [10, 24, 34]);
    }
}
