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
    /// The provider counted nothing: these are [`Usage::estimate`]'s.
    #[serde(default, skip_serializing_if = "is_false")]
    pub estimated: bool,
}

/// The tokens of all attempts of a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalUsage {
    /// Of all attempts together.
    #[serde(flatten)]
    pub total: Usage,
    /// Of the last one; `None`: the earlier ones used nothing that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<Usage>,
}

impl TotalUsage {
    /// The tokens of earlier attempts and of the last one; `None` where neither are known.
    #[must_use]
    pub fn of(earlier: Option<Usage>, last_attempt: Option<Usage>) -> Option<Self> {
        let Some(earlier) = earlier else { return last_attempt.map(|total| Self { total, last_attempt: None }) };
        let total = last_attempt.map_or(earlier, |last| earlier.plus(last));
        Some(Self { total, last_attempt })
    }
}

/// The bytes of text in a token, roughly.
const BYTES_PER_TOKEN: u64 = 4;

/// The tokens of so much text, roughly: one for every four bytes begun.
#[must_use]
pub const fn estimate_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

impl Usage {
    /// Both together. An estimate with a count is an estimate.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            total_tokens: self.total_tokens.saturating_add(other.total_tokens),
            estimated: self.estimated || other.estimated,
        }
    }

    /// An estimate for a request of `prompt_bytes` and the text that was received; `None` where nothing was received.
    #[must_use]
    pub fn estimate(prompt_bytes: u64, received_bytes: u64) -> Option<Self> {
        let (input_tokens, output_tokens) = (estimate_tokens(prompt_bytes), estimate_tokens(received_bytes));
        let total_tokens = input_tokens.saturating_add(output_tokens);
        let usage = Self { input_tokens, output_tokens, total_tokens, estimated: true, ..Self::default() };
        (received_bytes > 0).then_some(usage)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
