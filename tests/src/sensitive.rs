//! Records prompts, outputs and secrets while the suite is recorded (`LONGHAND_RECORDINGS`), for the check that no log contains
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

/// Shorter texts are not recorded: any log contains them by chance.
pub const CHARS_MIN: usize = 12;
/// Longer texts are cut.
const CHARS_MAX: usize = 64 * 1024;

/// Where a text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A request to a provider.
    Prompt,
    /// A provider's answer.
    Output,
    /// A key or a token.
    Secret,
}

/// A text that no log may contain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SensitiveText {
    /// Where it comes from.
    pub kind: Kind,
    /// The text.
    pub text: String,
}

static RECORDED: LazyLock<Mutex<HashSet<u64>>> = LazyLock::new(Mutex::default);

/// Records a text, if the suite is recorded.
pub fn record(kind: Kind, text: &str) {
    if logs::recordings().is_none() || text.chars().count() < CHARS_MIN {
        return;
    }
    let sensitive = SensitiveText { kind, text: text.chars().take(CHARS_MAX).collect() };
    let mut hasher = DefaultHasher::new();
    (kind, &sensitive.text).hash(&mut hasher);
    let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    if recorded.insert(hasher.finish())
        && let Some(mut file) = logs::file("sensitive", "test.jsonl")
    {
        let line = serde_json::to_string(&sensitive).expect("a text");
        writeln!(file, "{line}").expect("a line of the recording");
    }
}

/// Records every text of a request to a provider, and the key in its header.
pub fn record_request(body: &Value, authorization: Option<&str>) {
    if logs::recordings().is_some() {
        strings(&body["messages"], &mut |text| record(Kind::Prompt, text));
        record(Kind::Secret, authorization.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default());
    }
}

/// Records the texts of a chat completions answer in its wire form.
pub fn record_answer(body: &[u8]) {
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
        record(Kind::Output, &text);
    }
}

/// Starts a provider that plays `script` and records its requests and its output.
pub fn play(script: Script) -> anyhow::Result<Playback> {
    record(Kind::Output, &script.text());
    Playback::start_observed(script, record_request)
}

fn strings(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, visit)),
        Value::Object(members) => members.values().for_each(|value| strings(value, visit)),
        _ => {}
    }
}
