//! Reads JSON as providers send it: objects that name a field twice, numbers that JSON does not have, values of other types.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::WireText;

/// Declares structs that are read from JSON objects. Every field may be absent or null, and unknown fields are ignored. Where an
/// object has a field twice, its last value that is not null counts.
macro_rules! lenient {
    ($($(#[$attribute:meta])* $name:ident { $($field:ident: $kind:ty = $($key:literal)|+),+ $(,)? })+) => { $(
        $(#[$attribute])*
        #[derive(Default)]
        pub(super) struct $name<'de> {
            $(pub $field: Option<$kind>),+
        }

        impl<'de> serde::Deserialize<'de> for $name<'de> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name<'de>;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut fields: A) -> Result<$name<'de>, A::Error> {
                        let mut found = $name::default();
                        while let Some(key) = fields.next_key::<$crate::providers::lenient::Key<'de>>()? {
                            match key.as_str() {
                                $($($key)|+ => {
                                    if let Some(value) = fields.next_value()? {
                                        found.$field = Some(value);
                                    }
                                })+
                                _ => {
                                    fields.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(found)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    )+ };
}

pub(super) use lenient;

/// The name of a field.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Key<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value that is read when it is known where it stands.
pub(super) type Raw<'a> = &'a RawValue;

/// A name, an id or another word: a string, or the text of a number. Empty strings and the string `null` are none.
pub(super) fn word(raw: Raw<'_>) -> Option<String> {
    let text = match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get()).ok()?,
        Some(b'0'..=b'9' | b'-') => raw.get().to_owned(),
        _ => return None,
    };
    (!text.is_empty() && text != "null").then_some(text)
}

/// A list that nearly always has one element. A growing `Vec` begins with room for four, and for large elements that costs more than all
/// the rest of an event.
pub(super) struct Few<T>(Vec<T>);

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Few<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Few<T>, A::Error> {
                let mut few = Vec::new();
                while let Some(element) = elements.next_element()? {
                    if few.is_empty() {
                        few.reserve_exact(1);
                    }
                    few.push(element);
                }
                Ok(Few(few))
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// Text: a string, whose escapes may be half a surrogate pair.
pub(super) fn text_of(raw: Raw<'_>) -> Result<WireText, serde_json::Error> {
    serde_json::from_str(raw.get())
}

/// A count: an integer, a number with a fraction, which is cut off, or either as a string.
pub(super) fn count(raw: Raw<'_>) -> Option<u64> {
    let text = raw.get().trim_matches('"');
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive; larger ones saturate")]
    let whole = |number: f64| (number >= 0.0 && number.is_finite()).then_some(number as u64);
    text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
}

/// The same JSON with `null` in place of `NaN` and the infinities, which several servers send for log probabilities. `None`: it has
/// none of them.
pub(super) fn without_non_numbers(json: &str) -> Option<String> {
    const NON_NUMBERS: [&str; 4] = ["-Infinity", "Infinity", "-NaN", "NaN"];
    let mut mended = String::new();
    let (mut kept, mut at, mut is_in_string) = (0, 0, false);
    let bytes = json.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if is_in_string => at += 1,
            b'"' => is_in_string = !is_in_string,
            b'-' | b'I' | b'N' if !is_in_string => {
                if let Some(word) = NON_NUMBERS.iter().find(|word| bytes[at..].starts_with(word.as_bytes())) {
                    mended.push_str(&json[kept..at]);
                    mended.push_str("null");
                    kept = at + word.len();
                    at = kept - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if kept == 0 {
        return None;
    }
    mended.push_str(&json[kept..]);
    Some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    lenient! {
        Both { a: Raw<'de> = "a" | "A", b: Few<u32> = "b" }
    }

    #[test]
    fn last_value_that_is_not_null_counts() {
        let both: Both<'_> = serde_json::from_str(r#"{"a":null,"x":{"a":1},"b":[1],"A":2,"b":[3],"a":null}"#).unwrap();
        assert_eq!((both.a.map(RawValue::get), both.b.as_deref()), (Some("2"), Some(&[3][..])));
    }

    #[test]
    fn words_and_counts_are_read_from_strings_and_numbers() {
        let raw = |json: &str| serde_json::from_str::<Box<RawValue>>(json).unwrap();
        let words = [("\"a\\u0062\"", Some("ab")), ("12", Some("12")), ("\"\"", None), ("\"null\"", None), ("{}", None)];
        for (json, expected) in words {
            assert_eq!(word(&raw(json)).as_deref(), expected, "{json}");
        }
        let counts = [("7", Some(7)), ("7.9", Some(7)), ("\"7\"", Some(7)), ("-1", None), ("1e400", None), ("true", None)];
        for (json, expected) in counts {
            assert_eq!(count(&raw(json)), expected, "{json}");
        }
    }

    #[test]
    fn non_numbers_become_null_outside_of_strings() {
        let mend = without_non_numbers;
        assert_eq!(
            mend(r#"{"a":-Infinity,"b":[NaN,Infinity],"c":"NaN\"NaN"}"#).unwrap(),
            r#"{"a":null,"b":[null,null],"c":"NaN\"NaN"}"#
        );
        assert_eq!(mend(r#"{"a":-1,"b":"\\"}"#), None);
        assert_eq!(mend("\"\\"), None);
    }
}
