//! Token counts, as providers report them.

use serde::{Deserialize, Serialize};

/// The tokens of one generation, under the names that the Responses API gives them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Prompt tokens that the provider read from its cache; part of `input_tokens`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Tokens of the output, including reasoning.
    pub output_tokens: u64,
    /// Tokens of reasoning; part of `output_tokens`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// The total that the provider reported; without a report, input and output together.
    pub total_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
