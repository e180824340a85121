//! The body of `POST /v1/uploads`.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::json;

use super::Purpose;
use crate::error::Error;
use crate::json::body::{object, read};
use crate::json::schema::Schema;
use crate::limits::UPLOAD_BYTES_MAX;

/// The media type of lines of JSON, and what a file has by default.
pub const NDJSON: &str = "application/x-ndjson";

static NEW_UPLOAD: LazyLock<Schema> = LazyLock::new(|| {
    let fields = json!({
        "purpose": { "enum": ["batch"] },
        "bytes": { "type": "integer", "minimum": 1, "maximum": UPLOAD_BYTES_MAX },
        "content_type": { "enum": [NDJSON, "application/json"] },
    });
    object(&fields, &["purpose"])
});

/// An upload that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NewUpload {
    /// What it is for.
    pub purpose: Purpose,
    /// The length of the file; another one is refused by the bucket. `None`: any up to [`UPLOAD_BYTES_MAX`].
    pub bytes: Option<i64>,
    /// The media type, which is sent with the file.
    #[serde(default = "ndjson")]
    pub content_type: String,
}

fn ndjson() -> String {
    NDJSON.to_owned()
}

impl NewUpload {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        read(body, &NEW_UPLOAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_and_checked() {
        let upload = NewUpload::parse(br#"{"purpose":"batch","bytes":7}"#).unwrap();
        assert_eq!((upload.purpose, upload.bytes, upload.content_type.as_str()), (Purpose::Batch, Some(7), NDJSON));
        for wrong in
            ["", "{}", r#"{"purpose":"all"}"#, r#"{"purpose":"batch","bytes":0}"#, r#"{"purpose":"batch","bytes":67108865}"#]
        {
            assert!(matches!(NewUpload::parse(wrong.as_bytes()), Err(Error::InvalidRequest(_))), "{wrong}");
        }
    }
}
