//! What is said while the suite is recorded (`LONGHAND_RECORDINGS`): prompts, outputs and secrets, for the check that no log has
//! them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};

use longhand_local::Playback;
use longhand_local::playback::Script;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::logs;

/// Shorter ones are found in anything.
pub const CHARS_MIN: usize = 12;
/// Of longer ones the beginning stands for all.
const CHARS_MAX: usize = 64 * 1024;

/// Where a text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A request to a provider.
    Prompt,
    /// What the provider answered.
    Output,
    /// A key or a token.
    Secret,
}

/// One text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Said {
    /// Where it comes from.
    pub kind: Kind,
    /// It.
    pub text: String,
}

static TOLD: LazyLock<Mutex<HashSet<u64>>> = LazyLock::new(Mutex::default);

/// Notes a text, if the suite is recorded.
pub fn note(kind: Kind, text: &str) {
    if logs::recordings().is_none() || text.chars().count() < CHARS_MIN {
        return;
    }
    let said = Said { kind, text: text.chars().take(CHARS_MAX).collect() };
    let mut hasher = DefaultHasher::new();
    (kind, &said.text).hash(&mut hasher);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(hasher.finish())
        && let Some(mut file) = logs::file("said", "test.jsonl")
    {
        let line = serde_json::to_string(&said).expect("a text");
        writeln!(file, "{line}").expect("a line of the recording");
    }
}

/// Notes a request to a provider: every text in it, and the key in its header.
pub fn note_request(body: &Value, authorization: Option<&str>) {
    if logs::recordings().is_some() {
        strings(&body["messages"], &mut |text| note(Kind::Prompt, text));
        note(Kind::Secret, authorization.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default());
    }
}

/// Notes an answer in the dialect of chat completions, as it is on the wire.
pub fn note_answer(body: &[u8]) {
    if logs::recordings().is_none() {
        return;
    }
    let body = String::from_utf8_lossy(body);
    let chunks =
        body.split(['\n', '\r']).filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?.trim()).ok());
    let (mut answer, mut thoughts, mut arguments) = (String::new(), String::new(), String::new());
    for chunk in chunks {
        let delta = &chunk["choices"][0]["delta"];
        answer.push_str(delta["content"].as_str().or(delta["refusal"].as_str()).unwrap_or_default());
        thoughts.push_str(delta["reasoning_content"].as_str().or(delta["reasoning"].as_str()).unwrap_or_default());
        strings(&delta["tool_calls"], &mut |text| arguments.push_str(text));
    }
    for text in [answer, thoughts, arguments] {
        note(Kind::Output, &text);
    }
}

/// A provider that plays `script`, of which the recording has what it hears and says.
pub fn play(script: Script) -> anyhow::Result<Playback> {
    note(Kind::Output, &script.text());
    Playback::start_heard(script, note_request)
}

fn strings(value: &Value, told: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => told(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, told)),
        Value::Object(members) => members.values().for_each(|value| strings(value, told)),
        _ => {}
    }
}
