//! JSON that is still being written: its best value so far, and the first thing in it that a schema will never accept.
//!
//! The reader is our own, byte by byte, because one answer is needed twice: what is certain so far. The crate `jiter`, which
//! reads unfinished JSON too, takes `12` for a number where `129.99` is on its way, rounds long numbers, and does not say what
//! is still open. Where JSON lies in a text is decided by the same rules as in [`crate::json::text`].

mod checker;
mod finder;
mod rules;
mod scanner;

use serde_json::value::RawValue;

pub use checker::{Checker, Violation};
use finder::Finder;
use scanner::Visitor;

/// The best well-formed JSON in a text that goes on: what is certain, with its open strings, arrays and objects closed. Names
/// without a value, and numbers and words that may go on, are left out. `None`: there is no JSON (yet), or none that is certain.
#[must_use]
pub fn best(text: &str) -> Option<Box<RawValue>> {
    let mut finder = Finder::default();
    finder.feed(text.as_bytes(), &mut Unchecked);
    let json = finder.scanner()?.closed()?;
    RawValue::from_string(json).ok()
}

/// A visitor that looks at nothing.
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
    fn what_is_certain_is_shown_and_nothing_else() {
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
        fn no_text_makes_it_panic(text in "[`a{}\\[\\]\",:1\\\\u\n\r é-]{0,60}") {
            if let Some(json) = best(&text) {
                prop_assert!(serde_json::from_str::<Value>(json.get()).is_ok());
            }
        }
    }
}
