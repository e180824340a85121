//! Payloads of asynchronous invocations.

use serde::{Deserialize, Serialize};

use crate::ids::{GenerationId, GenerationKey, Organization};

/// The payload of `stream`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamJob {
    /// The organization.
    pub organization: Organization,
    /// The generation.
    pub generation: GenerationId,
    /// The response at the provider that is to be cancelled, if the generation has ended without its writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
}

impl StreamJob {
    /// The job for a generation.
    #[must_use]
    pub fn new(key: &GenerationKey) -> Self {
        Self { organization: key.organization.clone(), generation: key.generation.clone(), upstream: None }
    }

    /// The generation's key.
    #[must_use]
    pub fn key(&self) -> GenerationKey {
        GenerationKey::new(self.organization.clone(), self.generation.clone())
    }
}
