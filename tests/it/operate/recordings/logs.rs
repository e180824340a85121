//! No key, no prompt and no output text is in the logs of the whole suite.
//!
//! Prompts and outputs of at least 12 characters are cut into pieces of 12, and every stretch of 12 characters of a log is looked up
//! among them: any copy of 23 characters contains a whole piece. Shorter stretches, and pieces of
//! fewer than five different characters, are in any text by chance. A piece that is also in the program's own sources is no evidence: the
//! message of a log may be written in these words.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use longhand_tests::logs;
use longhand_tests::sensitive::{CHARS_MIN, Kind, SensitiveText};
use serde_json::Value;

use crate::documents::architecture;
use crate::operate::runtime::skip;

const DIFFERENT_CHARS_MIN: usize = 5;
/// Prefixes of keys and tokens, and how many characters behind one make it a key.
const KEYS: [(&str, usize); 3] = [("lh_", 16), ("lht_", 16), ("sk-", 8)];
/// Hits that a failure shows.
const SHOWN_MAX: usize = 20;

/// Texts that no log may contain.
#[derive(Default)]
struct Forbidden {
    pieces: HashMap<Vec<char>, Kind>,
    secrets: BTreeSet<String>,
    texts: BTreeMap<Kind, usize>,
    /// The program's own sources.
    sources: String,
}

impl Forbidden {
    fn new() -> Self {
        let of_program = architecture::sources().into_iter().filter(|(name, _)| !name.starts_with("tests/"));
        let sources = of_program.map(|(_, text)| text).collect();
        Self { sources, ..Self::default() }
    }

    fn add(&mut self, sensitive: &SensitiveText) {
        *self.texts.entry(sensitive.kind).or_default() += 1;
        if sensitive.kind == Kind::Secret {
            self.secrets.insert(sensitive.text.clone());
            return;
        }
        let text: Vec<char> = sensitive.text.chars().collect();
        for piece in text.chunks_exact(CHARS_MIN).filter(|piece| is_distinctive(piece)) {
            self.pieces.insert(piece.to_vec(), sensitive.kind);
        }
    }

    /// The forbidden part of a text.
    fn found_in(&self, text: &str) -> Option<String> {
        if let Some((beginning, _)) = KEYS.iter().find(|(beginning, chars)| has_key(text, beginning, *chars)) {
            return Some(format!("a key that begins with {beginning}"));
        }
        if self.secrets.iter().any(|secret| text.contains(secret)) {
            return Some("a secret".to_owned());
        }
        let chars: Vec<char> = text.chars().collect();
        let pieces =
            chars.windows(CHARS_MIN).filter_map(|stretch| Some((stretch.iter().collect::<String>(), self.pieces.get(stretch)?)));
        let piece = pieces.into_iter().find(|(piece, _)| !self.sources.contains(piece));
        piece.map(|(piece, kind)| format!("{kind:?}: {piece:?}"))
    }
}

fn is_distinctive(piece: &[char]) -> bool {
    piece.iter().collect::<BTreeSet<_>>().len() >= DIFFERENT_CHARS_MIN
}

fn has_key(text: &str, beginning: &str, chars: usize) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    text.match_indices(beginning).any(|(at, _)| {
        let is_begun = at == 0 || !is_part(&text.as_bytes()[at - 1]);
        is_begun && text.as_bytes()[at + beginning.len()..].iter().take_while(|byte| is_part(byte)).count() >= chars
    })
}

/// Every text of a line: the names and texts of a JSON object, or else the line.
fn texts(line: &str) -> Vec<String> {
    fn collect(value: Value, texts: &mut Vec<String>) {
        match value {
            Value::String(text) => texts.push(text),
            Value::Array(values) => values.into_iter().for_each(|value| collect(value, texts)),
            Value::Object(members) => members.into_iter().for_each(|(name, value)| {
                texts.push(name);
                collect(value, texts);
            }),
            _ => {}
        }
    }
    let mut found = Vec::new();
    match serde_json::from_str::<Value>(line) {
        Ok(value) if value.is_object() => collect(value, &mut found),
        _ => found.push(line.to_owned()),
    }
    found
}

/// The lines of the files of a folder.
fn lines(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = files.map(|file| fs::read(file.unwrap().path()).unwrap());
    files.flat_map(|bytes| String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are part of the result")]
fn logs_contain_no_sensitive_text() {
    let Some(folder) = logs::recordings() else {
        skip::<()>("LONGHAND_RECORDINGS must name the folder in which the whole suite was recorded; .ci/run does so.");
        return;
    };
    let mut forbidden = Forbidden::new();
    for line in lines(&folder.join("sensitive")) {
        forbidden.add(&serde_json::from_str(&line).unwrap());
    }
    let (mut count, mut seen) = (0, HashSet::new());
    for line in lines(&folder.join("logs")) {
        count += 1;
        seen.extend(texts(&line));
    }
    let hits: Vec<String> = seen.iter().filter_map(|text| Some(format!("{} in {text:?}", forbidden.found_in(text)?))).collect();
    println!(
        "{count} log lines with {} different texts; looked for {} prompts and outputs in {} pieces, {} secrets, and {} kinds of keys: {} hits",
        seen.len(),
        forbidden.texts.values().sum::<usize>() - forbidden.secrets.len(),
        forbidden.pieces.len(),
        forbidden.secrets.len(),
        KEYS.len(),
        hits.len()
    );
    assert!(hits.is_empty(), "{:#?}", &hits[..hits.len().min(SHOWN_MAX)]);
    // A recording of nothing would prove nothing.
    assert!(count > 100 && forbidden.texts.len() == 3, "{:?} in {count} lines", forbidden.texts);
}

#[test]
fn sensitive_text_is_found() {
    let mut forbidden = Forbidden::new();
    let sensitive = |kind, text: &str| SensitiveText { kind, text: text.to_owned() };
    forbidden.add(&sensitive(Kind::Prompt, "Write a strategic scenario about the harbour of Valparaíso, please."));
    forbidden.add(&sensitive(Kind::Secret, "0123-any-form-of-key"));
    let found = [
        "{\"message\":\"asked: a strategic scenario about the harbour\"}",
        "INFO failed: «ic scenario about the harbou»",
        "{\"nested\":[{\"a\":\"x 0123-any-form-of-key y\"}]}",
        "Authorization: Bearer lh_0123456789abcdef0123456789abcdef",
        "token=lht_eyJhIjoxfQ.c2lnbmF0dXJl",
        "OPENAI_API_KEY=sk-0123456789abcdef",
    ];
    for line in found {
        assert!(texts(line).iter().any(|text| forbidden.found_in(text).is_some()), "{line}");
    }
    for line in ["{\"message\":\"A generation has ended.\"}", "about the harb", "lh_ is how a key begins", "task-0123456789"] {
        assert!(texts(line).iter().all(|text| forbidden.found_in(text).is_none()), "{line}");
    }
}
