//! Durations of a document: whole seconds, or text such as `90s`, `30m` or `2h`. Its canonical form has seconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};
use serde_json::Value;

/// What a duration must look like, for messages.
pub const FORM: &str = "must be seconds, or a number with its unit: 90s, 30m, 2h";

/// Reads a duration of at least one second. `None`: it is none.
#[must_use]
pub fn read(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::String(text) => {
            let unit = match text.as_bytes().last()? {
                b's' => 1,
                b'm' => 60,
                b'h' => 3_600,
                _ => return None,
            };
            let digits = &text[..text.len() - 1];
            let number: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
            number.checked_mul(unit)?
        }
        number => number.as_u64()?,
    };
    (seconds > 0).then_some(Duration::from_secs(seconds))
}

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = Value::deserialize(deserializer)?;
    read(&value).ok_or_else(|| serde::de::Error::custom(FORM))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_read() {
        for (value, seconds) in [(json!(5), 5), (json!("90s"), 90), (json!("30m"), 1_800), (json!("2h"), 7_200)] {
            assert_eq!(read(&value), Some(Duration::from_secs(seconds)), "{value}");
        }
        for wrong in [
            json!(0),
            json!("0s"),
            json!(-1),
            json!(1.5),
            json!("5"),
            json!("5d"),
            json!(""),
            json!("+5s"),
            json!(null),
            json!("é"),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
        assert_eq!(read(&json!("99999999999999999999h")), None);
    }
}
