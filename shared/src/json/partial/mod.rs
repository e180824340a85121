//! Incomplete JSON: its best value so far, and the first place that a schema can never accept.
//!
//! # How it works
//! Each byte of the text passes through up to three layers, and is read once:
//!
//! 1. The finder decides where the JSON is: the whole text, or the inside of the only Markdown fence, by the rules of
//!    [`crate::json::text`]. It passes those bytes on.
//! 2. The scanner is a state machine over the grammar of JSON. It keeps a stack of the open arrays and objects, and the length
//!    of the prefix that is certain. A value is certain once no further byte can change it: a string as it grows, a number or
//!    a word only after the byte that follows it. It reports each token to a visitor.
//! 3. The visitor of [`best`] does nothing. The visitor of [`Checker`] keeps, for each open value, the rules of the schema that
//!    apply there, and reports the first that no continuation can satisfy: a wrong type, a missing property of a closed object,
//!    a string that is too long. A keyword that it cannot decide early is left to the validation of the whole result.
//!
//! After ```` ```json\n{"price": 129.9 ```` the finder has passed on `{"price": 129.9`. The scanner has one open object, the name
//! `price`, and a number that may go on; only `{` is certain, so [`best`] returns `{}`. With a schema that wants a string there,
//! the checker has reported a violation at `/price` already, at the byte `1`. After a further `5,` the best value is
//! `{"price": 129.95}`.
//!
//! The crate `jiter` reads incomplete JSON too, but takes `12` for a number while `129.99` is being written, rounds long numbers,
//! and does not report what is open.

mod checker;
mod finder;
mod rules;
mod scanner;

use serde_json::value::RawValue;

pub use checker::{Checker, Violation};
use finder::Finder;
use scanner::Visitor;

/// The best well-formed JSON in an incomplete text: the certain part, with its open strings, arrays and objects closed. Names
/// without a value, and numbers and words that may continue, are left out. `None`: the text holds no certain JSON so far.
#[must_use]
pub fn best(text: &str) -> Option<Box<RawValue>> {
    let mut finder = Finder::default();
    finder.feed(text.as_bytes(), &mut Unchecked);
    let json = finder.scanner()?.closed()?;
    RawValue::from_string(json).ok()
}

/// A visitor that ignores every token.
struct Unchecked;

impl Visitor for Unchecked {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::json::text;

    fn found(text: &str) -> Option<String> {
        best(text).map(|json| json.get().to_owned())
    }

    #[test]
    fn best_value_is_what_is_certain() {
        let cases = [
            ("", None),
            ("{", Some("{}")),
            ("{\"a", Some("{}")),
            ("{\"a\": ", Some("{}")),
            ("{\"a\": 12", Some("{}")),
            ("{\"a\": 12,", Some("{\"a\": 12}")),
            ("{\"a\": 1e400, \"b\": \"he", Some("{\"a\": 1e400, \"b\": \"he\"}")),
            ("[1, tru", Some("[1]")),
            ("[true, {\"x\": [nul", Some("[true, {\"x\": []}]")),
            ("[\"x\\u12", Some("[\"x\"]")),
            ("[\"x\\ud83d", Some("[\"x\"]")),
            ("[\"x\\ud83d\\ude00", Some("[\"x\\ud83d\\ude00\"]")),
            ("\"Hol", Some("\"Hol\"")),
            ("12", None),
            ("[1]\n", Some("[1]")),
            ("[1] x", None),
            ("{\"a\": x", None),
            ("[1,]", None),
            ("so: [1]", None),
            ("Here:\n```json\n{\"a\": [1, 2", Some("{\"a\": [1]}")),
            ("```\n[1]\n``", Some("[1]")),
            ("```\n[1]\n```\nDone.", Some("[1]")),
            ("```\n[1]\n```\n```\n", None),
            ("```\n[1]\n```json\n", None),
            ("```js", None),
            ("```rust\n[1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text).as_deref(), expected, "{text:?}");
        }
    }

    pub(super) fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            "[a-z\\\\\"\n é😀]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-d\"é]{1,2}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    /// Whether `part` can become `whole` by more text.
    fn grows_into(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::String(part), Value::String(whole)) => whole.starts_with(part.as_str()),
            (Value::Array(part), Value::Array(whole)) => {
                part.len() <= whole.len() && part.iter().zip(whole).all(|(part, whole)| grows_into(part, whole))
            }
            (Value::Object(part), Value::Object(whole)) => {
                part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| grows_into(part, whole)))
            }
            _ => part == whole,
        }
    }

    proptest! {
        #[test]
        fn every_prefix_has_a_value_that_grows_into_the_whole(value in json_value(), in_fence: bool, pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let text = if in_fence { format!("Aquí está:\n```json\n{text}\n```\n") } else { text };
            for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
                if let Some(part) = best(&text[..end]) {
                    let part: Value = serde_json::from_str(part.get()).unwrap();
                    prop_assert!(grows_into(&part, &value), "{} in {}", part, &text[..end]);
                }
            }
            let whole = best(&text);
            if in_fence || !value.is_number() && !value.is_boolean() && !value.is_null() {
                prop_assert_eq!(whole.as_deref().map(RawValue::get), text::find(&text).map(RawValue::get));
            }
        }

        #[test]
        fn best_value_is_well_formed(text in "[`a{}\\[\\]\",:1\\\\u\n\r é-]{0,60}") {
            if let Some(json) = best(&text) {
                prop_assert!(serde_json::from_str::<Value>(json.get()).is_ok());
            }
        }
    }
}
