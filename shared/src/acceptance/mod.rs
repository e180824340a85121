//! Acceptance: which generation a subject stands on, whose prompt it was, and who decided that. One generation at a time is accepted for a
//! subject, and a generation for one subject.
//!
//! The subject's row has the [`Acceptance`] as its map `accepted`, the generation's record an [`AcceptedFor`]: both are written in one
//! transaction with the entry of the audit. [`decide`] is the rule.

pub mod body;
pub mod redact;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::audit;
use crate::generation::request::Request;
use crate::hash::sha256_hex;
use crate::ids::{GenerationId, SubjectId};
use crate::limits::ACCEPTED_PROMPT_INLINE_BYTES_MAX;

/// What a subject's row has of its accepted generation, as the map `accepted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The generation.
    pub generation: GenerationId,
    /// The number of the version that it has become; `None`: it is not about the subject, or the version is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The prompt as it was sent, up to [`ACCEPTED_PROMPT_INLINE_BYTES_MAX`]; a longer one is in the bucket under its hash, among the
    /// subject's texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The prompt's length in bytes; 0: it is not known any more.
    pub prompt_bytes: u64,
    /// The prompt's SHA-256 in hex; empty: it is not known any more.
    pub prompt_sha256: String,
    /// Whether something had been removed from the prompt before it was stored here.
    #[serde(default)]
    pub redacted: bool,
    /// The provider.
    pub provider: String,
    /// The model, as it was requested.
    pub model: String,
    /// The id of the API key that accepted it; `None`: the credential was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<String>,
    /// When, RFC 3339.
    pub accepted_at: String,
    /// Where the instruction came from: `used_instruction.source` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction_source: Option<String>,
    /// Why, in the words of who accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Counts the acceptances of the subject, from 1.
    pub revision: u64,
}

/// What the record of an accepted generation has of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedFor {
    /// The subject.
    pub accepted_subject: SubjectId,
    /// When, RFC 3339.
    pub accepted_at: String,
    /// The id of the API key that accepted it; `None`: the credential was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<String>,
}

/// The prompt of an accepted generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// The SHA-256 of the text, in hex.
    pub sha256: String,
    /// Where the instruction came from.
    pub instruction_source: Option<String>,
}

impl Prompt {
    /// That of a request: its `prompt` as it was sent; where it has instructions, messages or input items, the JSON text of all of them.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let source = request.used_instruction.as_ref().and_then(|used| used.get("source")).and_then(Value::as_str);
        Self::new(request.prompt_text(), source.map(str::to_owned))
    }

    /// A text with its hash.
    #[must_use]
    pub fn new(text: String, instruction_source: Option<String>) -> Self {
        let sha256 = sha256_hex(&text);
        Self { text, sha256, instruction_source }
    }

    /// Whether the subject's row holds it; otherwise the bucket has it.
    #[must_use]
    pub const fn is_inline(&self) -> bool {
        self.text.len() <= ACCEPTED_PROMPT_INLINE_BYTES_MAX
    }
}

/// What follows from a request to accept a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is accepted already.
    Same,
    /// It is to be accepted: as this revision, in place of the generation that is named.
    Accept {
        /// The revision of the subject's acceptances.
        revision: u64,
        /// The generation that is accepted no more.
        replaces: Option<GenerationId>,
    },
    /// Another generation is accepted, and was not to be replaced.
    OtherAccepted(GenerationId),
    /// It is accepted for this other subject.
    OtherSubject(SubjectId),
}

/// Whether `generation`, whose record tells `of`, may be accepted for `subject`, which `held` is accepted for.
#[must_use]
pub fn decide(
    held: Option<&Acceptance>,
    of: Option<&AcceptedFor>,
    subject: &SubjectId,
    generation: &GenerationId,
    replace: bool,
) -> Decision {
    if let Some(of) = of.filter(|of| of.accepted_subject != *subject) {
        return Decision::OtherSubject(of.accepted_subject.clone());
    }
    match held {
        None => Decision::Accept { revision: 1, replaces: None },
        Some(held) if held.generation == *generation => Decision::Same,
        Some(held) if !replace => Decision::OtherAccepted(held.generation.clone()),
        Some(held) => Decision::Accept { revision: held.revision + 1, replaces: Some(held.generation.clone()) },
    }
}

/// What the audit tells of an acceptance in place of `before`. Of the prompt it tells nothing: a generation's never changes, and a short one could be
/// guessed from its hash.
#[must_use]
pub fn audited(before: Option<&Acceptance>, after: &Acceptance) -> audit::Change {
    let told = |acceptance: &Acceptance| {
        Map::from_iter([
            ("generation".to_owned(), json!(acceptance.generation)),
            ("version".to_owned(), json!(acceptance.version)),
        ])
    };
    audit::Change { before: before.map(told).unwrap_or_default(), after: told(after), note: after.note.clone() }
}

/// What the audit tells of the deletion of a subject, for which `before` was accepted.
#[must_use]
pub fn audited_deletion(before: Option<&Acceptance>) -> audit::Change {
    let told = |before: &Acceptance| Map::from_iter([("generation".to_owned(), json!(before.generation))]);
    let after = Map::from_iter([("state".to_owned(), json!("deleted"))]);
    audit::Change { before: before.map(told).unwrap_or_default(), after, note: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn acceptance(generation: &GenerationId, revision: u64) -> Acceptance {
        Acceptance {
            generation: generation.clone(),
            version: Some(1),
            prompt: Some("p".into()),
            prompt_bytes: 1,
            prompt_sha256: "5e".into(),
            redacted: false,
            provider: "abacus".into(),
            model: "gpt-5".into(),
            accepted_by: None,
            accepted_at: "2026-11-21T09:30:00.000Z".into(),
            instruction_source: Some("db".into()),
            note: None,
            revision,
        }
    }

    proptest! {
        #[test]
        fn one_generation_at_a_time_is_accepted_for_a_subject_and_each_for_one(
            acts in vec((0_i64..4, 0_usize..3, any::<bool>()), 0..40),
        ) {
            let subjects: Vec<SubjectId> = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
            let mut held: BTreeMap<usize, Acceptance> = BTreeMap::new();
            let mut records: BTreeMap<i64, AcceptedFor> = BTreeMap::new();
            for (number, place, replace) in acts {
                let (generation, subject) = (GenerationId::first_at(number), &subjects[place]);
                let before = held.get(&place).cloned();
                match decide(before.as_ref(), records.get(&number), subject, &generation, replace) {
                    Decision::Same => prop_assert_eq!(&before.unwrap().generation, &generation),
                    Decision::OtherAccepted(other) => {
                        prop_assert!(!replace && other != generation);
                        prop_assert_eq!(before.unwrap().generation, other);
                    }
                    Decision::OtherSubject(other) => prop_assert_eq!(&records[&number].accepted_subject, &other),
                    Decision::Accept { revision, replaces } => {
                        prop_assert_eq!(revision, before.as_ref().map_or(1, |before| before.revision + 1));
                        prop_assert_eq!(&replaces, &before.map(|before| before.generation));
                        records.retain(|other, _| Some(GenerationId::first_at(*other)) != replaces);
                        held.insert(place, acceptance(&generation, revision));
                        let at = "2026-11-21T09:30:00.000Z".to_owned();
                        let of = AcceptedFor { accepted_subject: subject.clone(), accepted_at: at, accepted_by: None };
                        records.insert(number, of);
                    }
                }
                prop_assert_eq!(held.len(), records.len());
                for (place, held) in &held {
                    let of = &records[&held.generation.created_ms()];
                    prop_assert_eq!(&of.accepted_subject, &subjects[*place]);
                }
            }
        }
    }

    #[test]
    fn an_acceptance_reads_back_and_rows_without_the_optional_fields_too() {
        let full = acceptance(&GenerationId::first_at(7), 2);
        let item: serde_dynamo::Item = serde_dynamo::to_item(&full).unwrap();
        assert_eq!(serde_dynamo::from_item::<_, Acceptance>(item).unwrap(), full);
        let least = json!({
            "generation": full.generation, "prompt_bytes": 0, "prompt_sha256": "", "provider": "p", "model": "m",
            "accepted_at": full.accepted_at, "revision": 1,
        });
        let read: Acceptance = serde_json::from_value(least).unwrap();
        assert_eq!((read.version, read.prompt, read.redacted), (None, None, false));
    }

    #[test]
    fn audit_has_the_prompts_hash_and_not_the_prompt() {
        let (one, two) = (acceptance(&GenerationId::first_at(1), 1), acceptance(&GenerationId::first_at(2), 2));
        let change = audited(Some(&one), &two);
        assert_eq!(change.before["generation"], json!(one.generation));
        assert!(!Value::Object(change.after).to_string().contains("\"p\""));
    }
}
