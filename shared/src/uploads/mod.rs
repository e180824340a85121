//! Uploads: files that are too large for a body, put into the bucket by a URL. The rules are pure; [`crate::aws`] stores what they say.

pub mod body;
pub mod split;

use serde::{Deserialize, Serialize};

/// What an upload is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The items of a batch.
    Batch,
}
