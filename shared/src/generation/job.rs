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
}

impl StreamJob {
    /// The job of a generation.
    #[must_use]
    pub fn new(key: &GenerationKey) -> Self {
        Self { organization: key.organization.clone(), generation: key.generation.clone() }
    }

    /// The generation that it is about.
    #[must_use]
    pub fn key(&self) -> GenerationKey {
        GenerationKey::new(self.organization.clone(), self.generation.clone())
    }
}
