//! The same with a real inference server: llama.cpp, killed in the middle and started again.
//!
//! `LONGHAND_LLAMA`: a Python with `xllamacpp` and `gguf`. A variable that is set is a promise; `.ci/run` sets it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longhand_tests::serial::turn;
use longhand_tests::{Harness, PATIENCE, assert_whole};
use serde_json::{Value, json};

use super::*;
use crate::operate::runtime::background::{Background, free_ports};

/// How long the server stays away.
const AWAY: Duration = Duration::from_secs(5);

struct Llama {
    python: PathBuf,
    model: PathBuf,
    port: u16,
}

impl Llama {
    /// Waits until the model is loaded: the server answers 503 until then.
    async fn loaded(&self) {
        let began = Instant::now();
        let health = format!("http://127.0.0.1:{}/health", self.port);
        while !reqwest::get(&health).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(began.elapsed() < PATIENCE, "the model is not loaded");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn start(&self) -> Background {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/llama.py");
        let arguments = [script.to_str().unwrap(), self.model.to_str().unwrap(), &self.port.to_string()];
        Background::start(&self.python, &arguments, [("PYTHONUNBUFFERED", "1")], self.port)
    }
}

/// Forty names, which no reader takes for whole if anything is missing, doubled or of another answer.
fn names() -> Value {
    let name = json!({ "type": "string", "pattern": "^[a-z ]{10,20}$" });
    let names = json!({ "type": "array", "minItems": 40, "maxItems": 40, "items": name });
    let schema =
        json!({ "type": "object", "required": ["names"], "additionalProperties": false, "properties": { "names": names } });
    json!({ "type": "json_schema", "json_schema": { "name": "names", "strict": true, "schema": schema } })
}

#[tokio::test(flavor = "multi_thread")]
async fn llama_cpp_killed_in_the_middle_and_started_again_goes_on_and_completes() {
    let _turn = turn().await;
    let Some(python) = std::env::var_os("LONGHAND_LLAMA").map(PathBuf::from) else {
        eprintln!(
            "SKIPPED: LONGHAND_LLAMA must name a Python with llama.cpp: pip install xllamacpp==2026.10.11549 gguf==0.19.0."
        );
        return;
    };
    let (folder, [port]) = (tempfile::tempdir().unwrap(), free_ports());
    let llama = Llama { python, model: folder.path().join("tiny.gguf"), port };
    let server = llama.start();
    llama.loaded().await;
    let settings = json!({ "test": {
        "base_url": format!("http://127.0.0.1:{port}/v1"),
        "continuation": "trailing_assistant",
        "continues_response_format": true,
    } });
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &settings.to_string())]).await;
    let free = json!({ "max_output_tokens": 2_000, "temperature": 1, "seed": 7, "provider_options": { "ignore_eos": true } });
    let shaped = json!({ "response_format": names(), "temperature": 1, "seed": 7, "validation": "strict" });
    let (free, shaped) = (harness.start_generation(free).await, harness.start_generation(shaped).await);
    for id in [&free, &shaped] {
        harness.until(id, |record| record["progress"]["received_chunks"].as_u64() > Some(100)).await;
    }
    drop(server);
    let shown = harness.events(&shaped).await;
    tokio::time::sleep(AWAY).await;
    let _server = llama.start();

    let record = harness.ended(&shaped).await;
    assert_eq!((&record["status"], &record["metadata"]["validation_errors"]), (&json!("completed"), &Value::Null), "{record}");
    assert_eq!(record["llm_response"]["names"].as_array().unwrap().len(), 40);
    let events = harness.events(&shaped).await;
    assert_eq!(events[..shown.len()], shown[..], "what a reader saw has not changed");
    let record = harness.ended(&free).await;
    assert_eq!((&record["status"], &record["reason"]), (&json!("incomplete"), &json!("max_output_tokens")), "{record}");
    for id in [&free, &shaped] {
        let events = harness.events(id).await;
        assert_whole(&events);
        assert_eq!((attempts(&events), count(&events, "output_item.added")), (vec![1, 2], 1));
        let before = text_before(&events, 2);
        assert!(!before.is_empty() && harness.text(id).await.starts_with(&before));
    }
    harness.finish().await;
}
