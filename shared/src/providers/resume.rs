//! Where an attempt begins to read.

use serde::{Deserialize, Serialize};

/// Where an attempt begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Resume {
    /// At the beginning.
    #[default]
    Fresh,
    /// Behind this text, which the provider continues and does not repeat. It is not empty.
    Prefix(String),
    /// Within a response that the provider keeps.
    Upstream(Upstream),
}

impl Resume {
    /// The text that the provider is to continue; empty where it is not told any.
    #[must_use]
    pub fn prefix(&self) -> &str {
        if let Self::Prefix(prefix) = self { prefix } else { "" }
    }

    /// The response that is read on in.
    #[must_use]
    pub const fn upstream(&self) -> Option<&Upstream> {
        if let Self::Upstream(upstream) = self { Some(upstream) } else { None }
    }
}

/// A response that the provider keeps and works on without a reader, and how far it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The provider's id of the response.
    pub id: String,
    /// The `sequence_number` of the last event that was read. `None`: the response is read from its beginning, because nothing of it
    /// was read, or because what was stored ends where another stream cannot continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
}
