//! What a dialect sends.

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;

/// A request in a dialect.
pub(super) struct Outgoing {
    /// The path behind the base URL.
    pub path: String,
    /// Header fields of the dialect.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Value,
}
