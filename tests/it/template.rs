//! `template.yaml` and the code agree.

mod deployer;
mod settings;
mod watching;
pub mod wiring;

use std::collections::BTreeSet;

use longhand::log::reason::REASONS;
use longhand::providers::Fault;
use longhand_local::{TEMPLATE, Template};
use serde_norway::Value;

/// Every code of an error.
pub const CODES: [longhand::ErrorCode; 31] = [
    longhand::ErrorCode::InvalidRequest,
    longhand::ErrorCode::RequestTooLarge,
    longhand::ErrorCode::Unauthorized,
    longhand::ErrorCode::Forbidden,
    longhand::ErrorCode::NotFound,
    longhand::ErrorCode::VersionChanged,
    longhand::ErrorCode::TextTooLarge,
    longhand::ErrorCode::IdempotencyConflict,
    longhand::ErrorCode::TooManyRunning,
    longhand::ErrorCode::Maintenance,
    longhand::ErrorCode::QuotaGenerations,
    longhand::ErrorCode::QuotaOutputBytes,
    longhand::ErrorCode::QuotaSpend,
    longhand::ErrorCode::UriTooLong,
    longhand::ErrorCode::HeadersTooLarge,
    longhand::ErrorCode::NotEnded,
    longhand::ErrorCode::EndpointDisabled,
    longhand::ErrorCode::InvalidPipeline,
    longhand::ErrorCode::InvalidImporter,
    longhand::ErrorCode::InvalidAnswer,
    longhand::ErrorCode::NotCompleted,
    longhand::ErrorCode::InvalidOutput,
    longhand::ErrorCode::AlreadyAccepted,
    longhand::ErrorCode::ImportsOff,
    longhand::ErrorCode::NotReverted,
    longhand::ErrorCode::EntityDecided,
    longhand::ErrorCode::AlreadyEnded,
    longhand::ErrorCode::LogGone,
    longhand::ErrorCode::Internal,
    longhand::ErrorCode::Contended,
    longhand::ErrorCode::Unavailable,
];

/// The template as a tree. `!Ref X` is the text X, tagged.
pub fn tree() -> Value {
    serde_norway::from_str(TEMPLATE).unwrap()
}

/// The resources of a type, by logical id.
pub fn resources<'a>(tree: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let resources = tree["Resources"].as_mapping().unwrap();
    let of_kind = resources.iter().filter(|(_, resource)| resource["Type"] == kind);
    of_kind.map(|(id, resource)| (id.as_str().unwrap(), resource)).collect()
}

pub fn hosted() -> Template {
    Template::read(TEMPLATE).unwrap()
}

/// The words that stand behind `marker`.
fn values_after<'a>(text: &'a str, marker: &str) -> BTreeSet<&'a str> {
    let word = |rest: &'a str| rest.split(|end: char| !end.is_ascii_alphanumeric() && end != '_').next().unwrap_or_default();
    text.match_indices(marker).map(|(at, _)| word(&text[at + marker.len()..])).collect()
}

#[test]
fn error_codes_are_documented() {
    let list = include_str!("../../docs/errors.md");
    for code in CODES {
        let word = serde_json::to_value(code).unwrap();
        assert!(list.contains(&format!("`{}`", word.as_str().unwrap())), "{word} is not documented");
    }
    let reasons = REASONS.iter().copied().chain(Fault::ALL.map(Fault::code));
    for reason in reasons {
        assert!(list.contains(&format!("`{reason}`")), "{reason} is not documented");
    }
}
