//! Bodies of the requests about runs that exist, each with all its errors at once.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::json;

use crate::error::Error;
use crate::json::body::{object, read};
use crate::json::schema::Schema;

static REDRIVE: LazyLock<Schema> = LazyLock::new(|| {
    let from = json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,31}$" });
    object(&json!({ "from": from, "version": { "enum": ["same", "latest"] } }), &[])
});

/// How a run is repeated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redrive {
    /// This step and those behind it are generated anew, though they have completed.
    pub from: Option<String>,
    /// By the newest version of the pipeline, as far as its steps are the same.
    pub latest: bool,
}

/// How a run is to be repeated; without a body, from what has not completed, by the same version of its pipeline.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn redrive(body: &[u8]) -> Result<Redrive, Error> {
    #[derive(Deserialize)]
    struct Body {
        from: Option<String>,
        version: Option<String>,
    }
    if body.trim_ascii().is_empty() {
        return Ok(Redrive::default());
    }
    read(body, &REDRIVE).map(|Body { from, version }| Redrive { from, latest: version.as_deref() == Some("latest") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_and_checked() {
        assert_eq!(redrive(b"").unwrap(), Redrive::default());
        let told = redrive(br#"{"from":"E5","version":"latest"}"#).unwrap();
        assert_eq!(told, Redrive { from: Some("E5".into()), latest: true });
        for wrong in ["{", "[]", r#"{"from":"5"}"#, r#"{"version":"3"}"#, r#"{"also":1}"#] {
            assert!(matches!(redrive(wrong.as_bytes()), Err(Error::InvalidRequest(_))), "{wrong}");
        }
    }
}
