//! Why a provider stopped: its own word, and what the word means.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a finish reason means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishMeaning {
    /// The output is whole.
    Completed,
    /// A limit on tokens cut the output off.
    MaxOutputTokens,
    /// A filter or a refusal of the provider's service cut the output off.
    ContentFilter,
    /// The provider could not finish. Another attempt may succeed.
    Failed,
}

/// A finish reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishReason {
    /// The provider's own word.
    pub word: String,
    /// `None`: neither the dialect nor the provider's settings know the word.
    pub meaning: Option<FinishMeaning>,
    /// It stands in an event without output, and nothing was received after an earlier one, so no output is expected behind it.
    /// Some providers put a finish reason into every event; theirs are not final.
    pub is_final: bool,
}

/// The words of one dialect, in lower case.
pub(super) type FinishWords = [(&'static str, FinishMeaning)];

/// The words that a provider's settings add to its dialect's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, FinishMeaning>")]
pub struct OwnFinishWords(BTreeMap<String, FinishMeaning>);

impl From<BTreeMap<String, FinishMeaning>> for OwnFinishWords {
    fn from(words: BTreeMap<String, FinishMeaning>) -> Self {
        Self(words.into_iter().map(|(word, meaning)| (word.to_lowercase(), meaning)).collect())
    }
}

impl OwnFinishWords {
    /// The meaning of `word`, in any case: as the settings have it, or else the dialect.
    pub(super) fn meaning(&self, word: &str, dialect: &FinishWords) -> Option<FinishMeaning> {
        let word = word.to_lowercase();
        let known = || dialect.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning);
        self.0.get(&word).copied().or_else(known)
    }
}
