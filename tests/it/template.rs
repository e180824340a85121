//! `template.yaml` and the code agree.

use std::collections::BTreeSet;

use longhand_local::{TEMPLATE, Template};

fn values_after<'a>(text: &'a str, marker: &str) -> BTreeSet<&'a str> {
    let word = |rest: &'a str| rest.split(|end: char| !end.is_ascii_alphanumeric() && end != '_').next().unwrap_or_default();
    text.match_indices(marker).map(|(at, _)| word(&text[at + marker.len()..])).collect()
}

#[test]
fn every_function_of_the_template_has_a_handler_of_its_own_and_every_handler_a_function() {
    let template = Template::read(TEMPLATE).unwrap();
    let mut asked: Vec<&str> = template.functions.iter().map(|function| function.handler.as_str()).collect();
    let mut known: Vec<&str> = longhand_functions::handlers().collect();
    asked.sort_unstable();
    known.sort_unstable();
    assert_eq!(asked, known);
}

#[test]
fn every_variable_that_the_template_sets_is_one_that_the_code_reads() {
    let config = include_str!("../../shared/src/config.rs");
    let set = values_after(TEMPLATE, "LONGHAND_");
    assert!(set.len() > 10, "{set:?}");
    for name in set {
        assert!(config.contains(&format!("\"LONGHAND_{name}\"")), "LONGHAND_{name} is not read");
    }
}

#[test]
fn every_error_that_a_caller_can_meet_is_in_the_list_of_errors() {
    let list = include_str!("../../docs/errors.md");
    let codes = [
        longhand::ErrorCode::InvalidRequest,
        longhand::ErrorCode::RequestTooLarge,
        longhand::ErrorCode::Unauthorized,
        longhand::ErrorCode::NotFound,
        longhand::ErrorCode::IdempotencyConflict,
        longhand::ErrorCode::TooManyRunning,
        longhand::ErrorCode::UriTooLong,
        longhand::ErrorCode::HeadersTooLarge,
        longhand::ErrorCode::NotEnded,
        longhand::ErrorCode::AlreadyEnded,
        longhand::ErrorCode::LogGone,
        longhand::ErrorCode::Internal,
        longhand::ErrorCode::Unavailable,
    ];
    for code in codes {
        let word = serde_json::to_value(code).unwrap();
        assert!(list.contains(&format!("`{}`", word.as_str().unwrap())), "{word} is not told of");
    }
    // The reasons that the writer and the compaction give, by the words in their source.
    let sources =
        [include_str!("../../shared/src/verbs/stream/writer/ending.rs"), include_str!("../../shared/src/provider/fault.rs")];
    let reasons = sources.iter().flat_map(|source| {
        source
            .match_indices("=> (\"")
            .chain(source.match_indices("=> \""))
            .map(|(at, mark)| source[at + mark.len()..].split('"').next().unwrap_or_default())
    });
    let reasons: BTreeSet<&str> = reasons.filter(|word| word.contains('_') && !word.contains(' ')).collect();
    assert!(reasons.len() > 10, "{reasons:?}");
    for reason in reasons {
        assert!(list.contains(&format!("`{reason}`")), "{reason} is not told of");
    }
}
