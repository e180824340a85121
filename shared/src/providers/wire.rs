//! JSON strings that may end or begin with half a surrogate pair, as providers send them.
//!
//! A sender that cuts its text by UTF-16 units (Node does) puts `"…\ud83d"` into one delta and `"\ude00…"` into the next.
//! Neither is a Unicode string; joined they are. [`WireText`] parses such a string; [`HalfPairs`] buffers the first half until the
//! second arrives.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// A JSON string in WTF-8: UTF-8 that may contain single surrogate halves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WireText(Vec<u8>);

impl From<&str> for WireText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl WireText {
    /// Whether it has no characters.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Self> for WireText {
    fn from_iter<I: IntoIterator<Item = Self>>(texts: I) -> Self {
        Self(texts.into_iter().flat_map(|text| text.0).collect())
    }
}

impl<'de> Deserialize<'de> for WireText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(WireTextVisitor)
    }
}

struct WireTextVisitor;

impl Visitor<'_> for WireTextVisitor {
    type Value = WireText;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<WireText, E> {
        Ok(WireText(bytes.to_vec()))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<WireText, E> {
        Ok(WireText(bytes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<WireText, E> {
        Ok(WireText::from(text))
    }
}

/// Joins the halves of surrogate pairs across the deltas of one text.
#[derive(Debug, Default)]
pub struct HalfPairs {
    /// The three bytes of a high half that ended the last delta.
    held: Option<[u8; 3]>,
}

impl HalfPairs {
    /// Returns the text that is complete. A half without its counterpart becomes U+FFFD, as in the WHATWG Encoding Standard.
    pub fn push(&mut self, text: WireText) -> String {
        let mut bytes = text.0;
        if bytes.is_empty() {
            return String::new();
        }
        if let Some(held) = self.held.take() {
            bytes.splice(0..0, held);
        }
        if is_high_half(tail(&bytes)) {
            self.held = bytes.split_off(bytes.len() - 3).try_into().ok();
        }
        String::from_utf8(bytes).unwrap_or_else(|error| join_pairs(error.as_bytes()))
    }

    /// Whether a first half waits for its second.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Returns U+FFFD if a buffered half is left at the end, otherwise nothing.
    pub fn finish(&mut self) -> String {
        self.held.take().map_or_else(String::new, |_| char::REPLACEMENT_CHARACTER.to_string())
    }
}

fn tail(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(3)..]
}

const fn is_high_half(bytes: &[u8]) -> bool {
    matches!(bytes, [0xED, 0xA0..=0xAF, 0x80..=0xBF, ..])
}

const fn is_low_half(bytes: &[u8]) -> bool {
    matches!(bytes, [0xED, 0xB0..=0xBF, 0x80..=0xBF, ..])
}

/// The code unit of a surrogate half: three bytes, of which the first is always 0xED.
const fn code_unit(half: &[u8]) -> u32 {
    0xD000 | ((half[1] as u32 & 0x3F) << 6) | (half[2] as u32 & 0x3F)
}

/// Joins pairs and replaces single halves.
fn join_pairs(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(valid) => valid,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(),
        };
        text.push_str(valid);
        rest = &rest[valid.len()..];
        if is_high_half(rest) && is_low_half(&rest[3..]) {
            let code = 0x1_0000 + ((code_unit(rest) - 0xD800) << 10) + (code_unit(&rest[3..]) - 0xDC00);
            text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = &rest[6..];
        } else if !rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            let half = is_high_half(rest) || is_low_half(rest);
            rest = &rest[if half { 3 } else { 1 }..];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(units: &[u16]) -> WireText {
        let escapes: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        serde_json::from_str(&format!("\"{}\"", escapes.concat())).unwrap()
    }

    proptest! {
        #[test]
        fn text_cut_between_utf16_units_is_joined(text in "[a-z0ñ€😀🏽中]{0,20}", cuts in prop::collection::vec(0_usize..40, 0..6)) {
            let units: Vec<u16> = text.encode_utf16().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(units.len())).chain([0, units.len()]).collect();
            cuts.sort_unstable();
            let mut pairs = HalfPairs::default();
            let mut joined: String = cuts.windows(2).map(|cut| pairs.push(json(&units[cut[0]..cut[1]]))).collect();
            joined.push_str(&pairs.finish());
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn code_units_are_decoded_as_in_the_standard(units in prop::collection::vec(prop_oneof![0x20_u16..0x7F, 0xD7F0_u16..0xE010], 0..20)) {
            let mut pairs = HalfPairs::default();
            let mut joined: String = units.iter().map(|unit| pairs.push(json(&[*unit]))).collect();
            joined.push_str(&pairs.finish());
            prop_assert_eq!(joined, String::from_utf16_lossy(&units));
        }
    }

    #[test]
    fn half_is_held_until_its_counterpart_arrives() {
        let mut pairs = HalfPairs::default();
        assert_eq!(pairs.push(json(&[0x73, 0xD83D])), "s");
        assert_eq!(pairs.push(WireText::default()), "", "an empty delta changes nothing");
        assert_eq!(pairs.push(json(&[0xDE00, 0x74])), "😀t");
        assert_eq!(pairs.finish(), "");
    }
}
