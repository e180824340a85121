//! Rows of the field in all their states.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;
use crate::log::assembly::Assembly;
use crate::log::chunk::Outline;
use crate::migrations::stratos::source::Cell;

fn text(text: &str) -> Cell {
    Cell::Text(text.as_bytes().to_vec())
}

fn row(status: &str, columns: &[(&str, Cell)]) -> SourceGeneration {
    let own = [
        ("id", Cell::Integer(59)),
        ("organization_id", Cell::Integer(1)),
        ("status", text(status)),
        ("created_at", text("2026-02-11 09:30:00")),
        ("prompt", text("[redacted] a scenario")),
    ];
    let columns = own.into_iter().chain(columns.iter().cloned()).map(|(name, cell)| (name.to_owned(), cell));
    SourceGeneration { columns: columns.collect(), chunks: Vec::new() }
}

fn codes(imported: &Imported) -> Vec<&str> {
    imported.findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn a_complete_row_arrives_with_its_times_and_its_acceptance() {
    let metadata = json!({
        "provider": "abacus", "model": "gpt-5", "initiator": 7, "progress": { "received_chunks": 2, "received_bytes": 9 },
        "completed_at": "2026-02-11 09:31:00", "accepted_by": 3, "accepted_at": "2026-02-12 08:00:00", "created_scenario_id": 12,
        "first_chunk_at": "2026-02-11 09:30:20", "llm_mappings": { "capabilities": { "a": 1 } }, "errors": "none",
        "used_instruction": { "content": "Be brief", "source": "db", "language": "es" },
    });
    let mut source = row(
        "complete",
        &[
            ("compacted", text(&BASE64_STANDARD.encode("{\"a\":\"ñ\"}"))),
            ("metadata", text(&metadata.to_string())),
            ("chunk_count", Cell::Integer(3)),
        ],
    );
    let chunk = |bytes: &[u8]| [("chunk".to_owned(), Cell::Text(bytes.to_vec()))].into();
    let (one, two) = "{\"a\":\"ñ\"}".as_bytes().split_at(7);
    source.chunks = vec![chunk(one), chunk(two)];
    let options = Options { organizations: [("1".to_owned(), "acme".parse().unwrap())].into(), ..Options::default() };
    let imported = convert(&source, &options);
    assert_eq!((imported.status, imported.text.as_str(), &imported.failure), (Status::Completed, "{\"a\":\"ñ\"}", &None));
    assert_eq!(imported.key.organization.as_str(), "acme");
    assert_eq!(rfc3339(imported.key.generation.created_ms()), "2026-02-11T09:30:00.000Z");
    assert_eq!(rfc3339(imported.completed_ms), "2026-02-11T09:31:00.000Z");
    assert_eq!(imported.accepted, Some(AcceptedThere { at: "2026-02-12T08:00:00.000Z".into(), by: Some("3".into()) }));
    assert_eq!(imported.subject.as_ref().map(SubjectId::as_str), Some("scenario-12"));
    assert_eq!(imported.request.instructions.as_deref(), Some("Be brief"));
    assert_eq!(codes(&imported), ["chunk_sequence", "counters", "metadata_entry"], "{:?}", imported.findings);
    assert_eq!(imported.metadata["llm_mappings"], metadata["llm_mappings"]);
    assert_eq!(imported.metadata["first_chunk_at"], "2026-02-11T09:30:20.000Z");
    assert_eq!(imported.llm_response.as_deref(), Some("{\"a\":\"ñ\"}"));
    assert_eq!(imported, convert(&source, &options), "the same row gives the same");
    // Another organization's row of the same number is another generation.
    let other =
        SourceGeneration { columns: [("organization_id".to_owned(), Cell::Integer(2))].into_iter().collect(), ..source.clone() };
    assert_ne!(convert(&other, &options).key.generation, imported.key.generation);
}

#[test]
fn what_has_not_completed_fails_with_a_reason_and_keeps_its_text() {
    let blob = || [("compacted", text(&BASE64_STANDARD.encode("Hola")))];
    let metadata = text(r#"{"provider":"abacus","model":"m","error":"http_400","message":"HTTP 400 from RouteLLM"}"#);
    for (source, code, message, kept) in [
        (row("processing", &blob()), "imported_stuck", "it was processing when it was imported", "Hola"),
        (row("queued", &[]), "imported_stuck", "it was queued when it was imported", ""),
        (row("failed", &[("metadata", metadata)]), "imported_failed", "HTTP 400 from RouteLLM", ""),
        (row("complete", &[]), "imported_empty", "it was complete, and had no text", ""),
        (
            row("complete", &[("compacted", text("?"))]),
            "imported_unreadable",
            "it was complete, and its text could not be read",
            "",
        ),
        (row("odd", &blob()), "imported_stuck", "its status was \"odd\" when it was imported", "Hola"),
    ] {
        let imported = convert(&source, &Options::default());
        let failure = imported.failure.clone().unwrap();
        assert_eq!((failure.code.as_str(), failure.message.as_str(), imported.text.as_str()), (code, message, kept));
        assert_eq!((imported.status, imported.key.organization.as_str()), (Status::Failed, "stratos-1"));
        assert!(reason::REASONS.contains(&code), "{code}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a row holds: its log is whole and gives the text, and its metadata keeps to the contract.
    #[test]
    fn any_row_becomes_a_whole_generation(
        status in "complete|failed|processing|queued|[a-z]{0,3}",
        chunks in prop::collection::vec("[a0ñ😀{}\"]{0,9}", 0..8),
        cut in 1_usize..5,
        metadata in prop_oneof![
            Just(String::new()),
            Just("{".to_owned()),
            Just(r#"{"provider":7,"progress":"x","errors":[1],"sent_at":"no","initiator":[]}"#.to_owned()),
            Just(r#"{"provider":"p","model":"m","percent":1,"accepted_at":"2026-13-01","scenario_id":5}"#.to_owned()),
        ],
        created in prop_oneof![Just(Cell::Null), Just(text("2026-02-11 09:30:00")), Just(text("x")), Just(Cell::Integer(5))],
    ) {
        let mut source = row(&status, &[("metadata", text(&metadata)), ("created_at", created)]);
        let joined = chunks.concat();
        let rows = joined.as_bytes().chunks(cut).map(|bytes| [("chunk".to_owned(), Cell::Text(bytes.to_vec()))].into());
        source.chunks = rows.collect();
        let imported = convert(&source, &Options::default());
        prop_assert_eq!(&imported.text, &joined);
        let (mut assembly, mut outline, mut assembled) = (Assembly::default(), Outline::default(), String::new());
        for event in &imported.events {
            outline.apply(event);
            assembled.push_str(assembly.event(event).unwrap_or_default());
        }
        prop_assert_eq!(assembled, joined);
        prop_assert!(!outline.is_continued() && imported.events.last().unwrap().end().is_some());
        prop_assert_eq!(GENERATION_METADATA.errors(&Value::Object(imported.metadata.clone())), Vec::new());
        prop_assert_eq!(imported.failure.is_none(), imported.status == Status::Completed);
        prop_assert!(imported.created_ms <= imported.completed_ms && imported.completed_ms <= imported.compacted_ms);
    }
}

#[test]
fn a_time_before_the_one_that_it_follows_is_told_and_not_taken() {
    let metadata = json!({
        "provider": "p", "model": "m", "completed_at": "2026-02-11 09:00:00", "accepted_at": "2026-02-10 09:00:00", "created_scenario_id": 1,
    });
    let columns = [
        ("compacted", text(&BASE64_STANDARD.encode("uno"))),
        ("metadata", text(&metadata.to_string())),
        ("compacted_at", text("2026-02-11 09:10:00")),
    ];
    let imported = convert(&row("complete", &columns), &Options::default());
    assert_eq!(codes(&imported), ["times_out_of_order"; 3]);
    assert_eq!((imported.created_ms, imported.created_ms), (imported.completed_ms, imported.compacted_ms));
    assert_eq!(imported.accepted.unwrap().at, "2026-02-11T09:30:00.000Z");
    let detail = "it ended at 2026-02-11T09:00:00.000Z, before it was created at 2026-02-11T09:30:00.000Z: that moment is taken";
    assert_eq!(imported.findings[0].detail, detail);
}
