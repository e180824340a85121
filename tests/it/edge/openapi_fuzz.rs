//! Schemathesis over the project's own `OpenAPI` document: whatever it asks, the answer is one that the document tells of.
//!
//! `LONGHAND_SCHEMATHESIS`: the tool. `LONGHAND_SEED` repeats its dice.

use std::path::Path;
use std::time::Duration;

use longhand_local::{Options, Script};
use longhand_tests::contract::CONTRACT;
use longhand_tests::sampling::rounds;
use longhand_tests::sensitive::play;
use longhand_tests::serial::turn;
use longhand_tests::{Harness, environment, seed};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

/// Requests made up for each operation in a full run and in a sampled one, beside those that follow from the document.
const EXAMPLES: (u64, u64) = (40, 8);
/// How long it may take in all.
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn answers_conform_to_the_document() {
    let _turn = turn().await;
    let Ok(tool) = std::env::var("LONGHAND_SCHEMATHESIS") else {
        eprintln!("SKIPPED: fuzzing the HTTP door. Set LONGHAND_SCHEMATHESIS to the command `schemathesis` (PyPI).");
        return;
    };
    let (seed, examples) = (seed(), rounds(EXAMPLES.0, EXAMPLES.1));
    let provider = play(Script::new([r#"{"city":"#, r#""Sevilla"}"#])).unwrap();
    let providers = json!({ "openai": { "base_url": provider.base_url() } }).to_string();
    let env = [
        ("LONGHAND_PROVIDERS", providers.as_str()),
        ("LONGHAND_MAX_RUNNING", "100000"),
        ("LONGHAND_LONG_POLL_MS", "100"),
        ("LONGHAND_SSE_CONNECTION_MS", "100"),
    ];
    let options = Options { authorize: true, env: environment("", &env), ..Options::default() };
    let harness = Harness::with(options).await;
    let folder = tempfile::tempdir().unwrap();
    let (document, report) = (folder.path().join("openapi.json"), folder.path().join("report.json"));
    std::fs::write(&document, document_for(&["openai"]).to_string()).unwrap();
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let run = Command::new(tool)
        .arg("--config-file")
        .arg(clients.join("schemathesis.toml"))
        .arg("run")
        .arg(&document)
        .args([
            "--url",
            harness.stack.url(),
            "--seed",
            &seed.to_string(),
            "--max-examples",
            &examples.to_string(),
            "--continue-on-failure",
        ])
        .arg("--report-json-path")
        .arg(&report)
        .env("LONGHAND_API_KEY", &harness.stack.key().unwrap().text)
        .env("SCHEMATHESIS_HOOKS", clients.join("schemathesis_hooks.py"))
        .current_dir(folder.path())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    let (told, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "seed {seed}\n{told}\n{wrong}");
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let (operations, cases) = (&report["operations"], &report["test_cases"]);
    assert_eq!(operations["tested"], CONTRACT.operations().len());
    assert_eq!((&report["failures"], &report["errors"]), (&json!([]), &json!([])));
    for (phase, result) in report["phases"].as_object().unwrap() {
        assert_eq!(result["status"], "success", "{phase}");
    }
    let generated = cases["generated"].as_u64().unwrap();
    assert!(generated > 12 * examples, "{cases}");
    eprintln!("schemathesis, seed {seed}: {} operations, {generated} cases, 0 failures", operations["tested"]);
    harness.finish().await;
}

/// The document, with the providers that this deployment knows.
fn document_for(providers: &[&str]) -> Value {
    let mut document = CONTRACT.document().clone();
    document["components"]["schemas"]["GenerationRequest"]["properties"]["provider"]["enum"] = json!(providers);
    document
}
