//! Payloads of the functions that are called with events.

use serde::{Deserialize, Serialize};

use crate::ids::{GenerationId, GenerationKey, Organization};

/// What `stream` is invoked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamJob {
    /// Whose.
    pub organization: Organization,
    /// Which.
    pub generation: GenerationId,
    /// How often the work was handed over before a deadline; 0 at first.
    #[serde(default)]
    pub hop: u32,
}

impl StreamJob {
    /// The first invoke for a generation.
    #[must_use]
    pub fn new(key: &GenerationKey) -> Self {
        Self { organization: key.organization.clone(), generation: key.generation.clone(), hop: 0 }
    }

    /// The generation that it is about.
    #[must_use]
    pub fn key(&self) -> GenerationKey {
        GenerationKey::new(self.organization.clone(), self.generation.clone())
    }
}
