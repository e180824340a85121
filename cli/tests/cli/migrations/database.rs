//! A database of the field, made from its schema, with generations in all their states; and what each of them must become.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

const SCHEMA: &str = "
CREATE TABLE scenario_generations (
    id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL, created_by INTEGER, prompt TEXT, raw_prompt TEXT, llm_response TEXT,
    generated_at TEXT, confidence_score REAL, status VARCHAR NOT NULL, metadata TEXT, model_version VARCHAR, redacted TINYINT DEFAULT 0,
    compacted TEXT, chunk_count INTEGER, compacted_at TEXT, compacted_by INTEGER, last_validation_issue_id INTEGER, scenario_id INTEGER,
    created_at TEXT, updated_at TEXT
);
CREATE TABLE generation_chunks (
    id INTEGER PRIMARY KEY, scenario_generation_id INTEGER NOT NULL, sequence INTEGER NOT NULL, chunk TEXT NOT NULL, created_at TEXT
);";

/// What a generation of the database must become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub id: i64,
    pub status: &'static str,
    pub reason: Option<&'static str>,
    pub text: String,
    pub findings: Vec<&'static str>,
    /// The scenario that stands on it.
    pub accepted: Option<i64>,
}

/// A row that is about to be written.
#[derive(Default)]
struct Row {
    status: &'static str,
    compacted: Option<String>,
    response: Option<String>,
    chunks: Vec<Vec<u8>>,
    metadata: Value,
    scenario: Option<i64>,
    prompt: Option<String>,
}

/// States of a generation, in their order.
pub const STATES: usize = 18;

/// Makes a database with so many generations, of which the largest has `large` bytes.
pub fn make(path: &Path, generations: i64, large: usize) -> Vec<Expected> {
    let mut connection = Connection::open(path).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let transaction = connection.transaction().unwrap();
    let mut all = Vec::new();
    for id in 1..=generations {
        let (row, mut expected) = state(id, large);
        let metadata = if row.metadata.is_null() { None } else { Some(row.metadata.to_string()) };
        let at = |seconds: i64| format!("2026-02-11 {:02}:{:02}:{:02}", 1 + id / 60 % 20, id % 60, seconds);
        transaction
            .execute(
                "INSERT INTO scenario_generations (id, organization_id, created_by, prompt, raw_prompt, llm_response, generated_at, status, metadata,
                 redacted, compacted, chunk_count, scenario_id, created_at, updated_at)
                 VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?11, ?12, ?6)",
                params![
                    id,
                    id % 7,
                    row.prompt.unwrap_or_else(|| format!("[redacted] a scenario of branch {id}")),
                    format!("eyJpdiI6{id}=="),
                    row.response,
                    at(50),
                    row.status,
                    metadata,
                    row.compacted,
                    i64::try_from(row.chunks.len()).ok().filter(|rows| *rows > 0),
                    row.scenario,
                    at(5),
                ],
            )
            .unwrap();
        for (sequence, chunk) in (1_i64..).zip(&row.chunks) {
            // PHP cuts characters in two, and SQLite keeps such text.
            transaction
                .execute(
                    "INSERT INTO generation_chunks (scenario_generation_id, sequence, chunk) VALUES (?1, ?2, CAST(?3 AS TEXT))",
                    params![id, sequence, chunk],
                )
                .unwrap();
        }
        expected.findings.sort_unstable();
        all.push(expected);
    }
    transaction.commit().unwrap();
    all
}

fn answer(id: i64) -> String {
    json!({
        "scenario_metadata": { "name": format!("Año {id}: «cambio» 😀"), "generated_at": "2026-02-11" },
        "confidence_score": 0.05,
        "capabilities": [{ "id": "c1", "name": "Analítica", "competencies": [{ "name": "Datos", "weight": 100, "skills": ["SQL"] }] }],
    })
    .to_string()
}

fn pieces(text: &str) -> Vec<Vec<u8>> {
    text.as_bytes().chunks(17).map(<[u8]>::to_vec).collect()
}

fn doubled(text: &str) -> String {
    text.split_inclusive(' ').flat_map(|piece| [piece, piece]).collect()
}

fn metadata(more: &Value) -> Value {
    let mut metadata = json!({ "provider": "abacus", "model": "gpt-5", "initiator": 3, "completed_at": "2026-02-11 23:59:00" });
    for (name, value) in more.as_object().into_iter().flatten() {
        metadata[name] = value.clone();
    }
    metadata
}

/// What the states have in common.
struct Base {
    id: i64,
    text: String,
}

impl Base {
    fn row(&self) -> Row {
        Row { status: "complete", metadata: metadata(&json!({})), scenario: Some(self.id % 11), ..Row::default() }
    }

    fn completed(&self, text: &str, findings: &[&'static str]) -> Expected {
        let findings = findings.to_vec();
        Expected { id: self.id, status: "completed", reason: None, text: text.to_owned(), findings, accepted: None }
    }

    fn failed(&self, reason: &'static str, text: &str, findings: &[&'static str]) -> Expected {
        Expected { status: "failed", reason: Some(reason), ..self.completed(text, findings) }
    }
}

fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// The row of a number, and what it must become.
fn state(id: i64, large: usize) -> (Row, Expected) {
    let base = Base { id, text: answer(id) };
    match usize::try_from(id).unwrap() % STATES {
        state @ 1..=9 => damaged(&base, state),
        10 => {
            // One of them is as large as it may be.
            let long = long(if id == 10 { large } else { large.min(1_200_000) });
            (Row { compacted: Some(encoded(&long)), ..base.row() }, base.completed(&long, &[]))
        }
        state => other(&base, state),
    }
}

fn damaged(base: &Base, state: usize) -> (Row, Expected) {
    let (row, text) = (base.row(), base.text.as_str());
    match state {
        1 => (Row { chunks: pieces(text), scenario: None, ..row }, base.completed(text, &[])),
        2 => (Row { compacted: Some(encoded(text)), ..row }, base.completed(text, &[])),
        3 => {
            let chunks = pieces(text)[..4].to_vec();
            let cut = String::from_utf8(chunks.concat()).unwrap();
            (Row { status: "processing", chunks, ..row }, base.failed("imported_stuck", &cut, &["not_json", "stuck"]))
        }
        4 => {
            let compacted = Some(encoded(&doubled(text)));
            (Row { compacted, chunks: pieces(text), ..row }, base.completed(text, &["texts_differ", "doubled"]))
        }
        5 => {
            let chunks = pieces(&text.replace('0', ""));
            (Row { compacted: Some(encoded(text)), chunks, ..row }, base.completed(text, &["texts_differ", "zeros_dropped"]))
        }
        6 => {
            let lost = text.replace("0.05", ".5");
            let response = Some(json!({ "content": lost, "raw": null }).to_string());
            (Row { compacted: Some(encoded(&lost)), response, ..row }, base.completed(&lost, &["zeros_dropped"]))
        }
        7 => (Row { compacted: Some("%%%".into()), chunks: pieces(text), ..row }, base.completed(text, &["invalid_base64"])),
        8 => {
            let metadata = metadata(&json!({ "error": "http_400", "message": "HTTP 400 from RouteLLM", "errors": "none" }));
            (Row { status: "failed", metadata, ..row }, base.failed("imported_failed", "", &["metadata_entry"]))
        }
        _ => (Row { status: "queued", ..row }, base.failed("imported_stuck", "", &["stuck"])),
    }
}

fn other(base: &Base, state: usize) -> (Row, Expected) {
    let (row, text, id) = (base.row(), base.text.as_str(), base.id);
    let accepted = json!({ "accepted_by": 3, "accepted_at": "2026-02-12 08:00:00", "created_scenario_id": 1_000 + id });
    match state {
        11 => (Row { metadata: metadata(&json!({ "compacted": encoded(text) })), ..row }, base.completed(text, &[])),
        12 => (Row { response: Some(text.to_owned()), ..row }, base.completed(text, &["only_response"])),
        13 => (row, base.failed("imported_empty", "", &["empty"])),
        14 => {
            let chunks = pieces(text)[..5].to_vec();
            (Row { compacted: Some(encoded(text)), chunks, ..row }, base.completed(text, &["texts_differ", "cut_off"]))
        }
        15 => {
            let compacted = Some(BASE64_STANDARD.encode([0xff_u8, 0xfe]));
            (Row { compacted, ..row }, base.failed("imported_unreadable", "", &["not_utf8", "unreadable"]))
        }
        16 => {
            let progress = json!({ "progress": { "received_chunks": 4536, "received_bytes": 7 } });
            (Row { chunks: pieces(text), metadata: metadata(&progress), ..row }, base.completed(text, &["counters"]))
        }
        17 => {
            let prompt = Some(format!("[redacted] a long prompt {}", "x".repeat(40_000)));
            let row = Row { compacted: Some(encoded(text)), metadata: metadata(&accepted), prompt, ..row };
            (row, Expected { accepted: Some(1_000 + id), ..base.completed(text, &[]) })
        }
        _ => {
            let (compacted, response) = (Some(encoded(text)), Some(text.to_owned()));
            let row = Row { compacted, chunks: pieces(text), response, metadata: metadata(&accepted), ..row };
            (row, Expected { accepted: Some(1_000 + id), ..base.completed(text, &[]) })
        }
    }
}

/// A text of so many bytes, that does not repeat itself.
fn long(bytes: usize) -> String {
    let mut long = String::with_capacity(bytes + 64);
    for line in 0.. {
        writeln!(long, "{line}: línea de un informe muy largo").unwrap();
        if long.len() >= bytes {
            break;
        }
    }
    long
}
