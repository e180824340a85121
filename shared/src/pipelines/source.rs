//! A document as people write it: YAML or JSON, as a value.

use serde_json::{Map, Number, Value};
use serde_norway::Value as Yaml;

use super::document::Violation;
use crate::limits::PIPELINE_BYTES_MAX;

/// Reads JSON.
pub(super) fn read_json(text: &[u8]) -> Result<Value, Violation> {
    check_size(text)?;
    serde_json::from_slice(text).map_err(|error| Violation::new("", format!("must be JSON: {error}")))
}

/// Reads YAML, of which JSON is a part, as JSON. Nothing but what JSON has: no tags, and no names but text.
///
/// # Errors
/// It is neither, or has more than 256 KiB.
pub fn read_yaml(text: &[u8]) -> Result<Value, Violation> {
    check_size(text)?;
    // Faster, and with messages of its own.
    if let Ok(value) = serde_json::from_slice(text) {
        return Ok(value);
    }
    let told = |error: serde_norway::Error| Violation::new("", format!("must be YAML or JSON: {error}"));
    let yaml: Yaml = serde_norway::from_slice(text).map_err(told)?;
    as_json(yaml, "")
}

fn check_size(text: &[u8]) -> Result<(), Violation> {
    if text.len() <= PIPELINE_BYTES_MAX {
        return Ok(());
    }
    Err(Violation::new("", format!("must have at most {PIPELINE_BYTES_MAX} bytes; it has {}", text.len())))
}

fn as_json(yaml: Yaml, at: &str) -> Result<Value, Violation> {
    match yaml {
        Yaml::Null => Ok(Value::Null),
        Yaml::Bool(is) => Ok(is.into()),
        Yaml::String(text) => Ok(text.into()),
        Yaml::Number(number) => {
            let whole = number.as_u64().map(Number::from).or_else(|| number.as_i64().map(Number::from));
            let number = whole.or_else(|| number.as_f64().and_then(Number::from_f64));
            number.map(Value::Number).ok_or_else(|| Violation::new(at, "must be a number that JSON has"))
        }
        Yaml::Sequence(items) => {
            let item = |(index, item): (usize, Yaml)| as_json(item, &format!("{at}/{index}"));
            items.into_iter().enumerate().map(item).collect()
        }
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (name, value) in fields {
                let Yaml::String(name) = name else {
                    return Err(Violation::new(at, "must have text as the names of its fields; quote them"));
                };
                let value = as_json(value, &crate::json::schema::child(at, &name))?;
                object.insert(name, value);
            }
            Ok(Value::Object(object))
        }
        Yaml::Tagged(tagged) => Err(Violation::new(at, format!("must be without the tag `{}`", tagged.tag))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_as_json() {
        let text = b"a: [1, -2, 1.5, yes, 'no', null, true]\nb: {c: 2026-11-30, 'd~/': \"\\u00e9\"}\n";
        let expected = json!({ "a": [1, -2, 1.5, "yes", "no", null, true], "b": { "c": "2026-11-30", "d~/": "é" } });
        assert_eq!(read_yaml(text).unwrap(), expected);
        assert_eq!(read_yaml(br#"{"a": 1}"#).unwrap(), json!({ "a": 1 }));
    }

    #[test]
    fn what_json_does_not_have_is_refused() {
        for (text, path, message) in [
            ("a: {1: x}", "/a", "quote them"),
            ("a: [!x 1]", "/a/0", "tag"),
            ("a: .nan", "/a", "number"),
            ("a: 1\na: 2", "", "duplicate entry"),
            ("a: [", "", "must be YAML or JSON"),
            ("--- 1\n--- 2", "", "more than one document"),
        ] {
            let violation = read_yaml(text.as_bytes()).unwrap_err();
            assert_eq!(violation.path, path, "{text}: {violation:?}");
            assert!(violation.message.contains(message), "{text}: {violation:?}");
        }
    }

    #[test]
    fn repetition_and_depth_are_bounded() {
        let level = |level: usize| match level {
            0 => "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
            _ => format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(9)),
        };
        let bomb: Vec<String> = (0..12).map(level).collect();
        assert!(read_yaml(bomb.concat().as_bytes()).is_err());
        assert!(read_yaml("[".repeat(10_000).as_bytes()).is_err());
        assert!(read_yaml(&vec![b' '; PIPELINE_BYTES_MAX + 1]).is_err());
    }
}
