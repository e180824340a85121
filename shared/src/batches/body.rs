//! Bodies of the requests about batches that exist, each with all its errors at once.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::json;

use super::ItemStatus;
use crate::error::Error;
use crate::json::body::{object, read};
use crate::json::schema::Schema;
use crate::limits::BATCH_CONCURRENCY_MAX;

static ONLY: LazyLock<Schema> = LazyLock::new(|| {
    let statuses = json!({ "enum": ["failed", "cancelled"] });
    object(&json!({ "only": { "type": "array", "minItems": 1, "uniqueItems": true, "items": statuses } }), &[])
});
static CONCURRENCY: LazyLock<Schema> = LazyLock::new(|| {
    let concurrency = json!({ "type": "integer", "minimum": 1, "maximum": BATCH_CONCURRENCY_MAX });
    object(&json!({ "concurrency": concurrency }), &["concurrency"])
});

/// The statuses of the items that are to be started again; without a body, those that failed.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn only(body: &[u8]) -> Result<Vec<ItemStatus>, Error> {
    #[derive(Deserialize)]
    struct Body {
        only: Option<Vec<ItemStatus>>,
    }
    let only = if body.trim_ascii().is_empty() { None } else { read(body, &ONLY).map(|Body { only }| only)? };
    Ok(only.unwrap_or_else(|| vec![ItemStatus::Failed]))
}

/// How many items are to have a place at once.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn concurrency(body: &[u8]) -> Result<u32, Error> {
    #[derive(Deserialize)]
    struct Body {
        concurrency: u32,
    }
    read(body, &CONCURRENCY).map(|Body { concurrency }| concurrency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_and_checked() {
        assert_eq!(only(b" ").unwrap(), [ItemStatus::Failed]);
        assert_eq!(only(br#"{"only":["cancelled","failed"]}"#).unwrap(), [ItemStatus::Cancelled, ItemStatus::Failed]);
        assert_eq!(concurrency(br#"{"concurrency":1000}"#).unwrap(), BATCH_CONCURRENCY_MAX);
        for wrong in ["{", "[]", r#"{"only":[]}"#, r#"{"only":["completed"]}"#, r#"{"also":1}"#] {
            assert!(matches!(only(wrong.as_bytes()), Err(Error::InvalidRequest(_))), "{wrong}");
        }
        for wrong in ["", "{}", r#"{"concurrency":0}"#, r#"{"concurrency":1001}"#, r#"{"concurrency":1.5}"#] {
            assert!(matches!(concurrency(wrong.as_bytes()), Err(Error::InvalidRequest(_))), "{wrong}");
        }
    }
}
