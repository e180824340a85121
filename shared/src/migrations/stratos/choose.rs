//! Which of the texts that a row has is the whole one.
//!
//! A row may have its text four times: in `compacted`, in `metadata.compacted`, in its chunk rows, and in `llm_response`, where the field
//! keeps what is not JSON as it is. One of them is chosen, in this order:
//!
//! 1. a text that is the JSON of `llm_response`;
//! 2. a text that is not damaged in a way that another one shows: doubled, without zeros, or cut off;
//! 3. a text that is JSON; 4. one as long as the metadata says;
//! 5. the first of them.
//!
//! Where none of them is JSON and `llm_response` is, or where the text lacks zeros that `llm_response` has, `llm_response` is the whole
//! one: its column, as the field has encoded it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::damage;
use super::source::{Cell, SourceGeneration};
use crate::hash::sha256_hex;
use crate::json::text;
use crate::migrations::Finding;

/// Where a text stands in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The column `compacted`, base64.
    Compacted,
    /// `compacted` in the column `metadata`, base64.
    MetadataCompacted,
    /// The chunk rows, joined.
    Chunks,
    /// The column `llm_response`.
    Response,
}

impl Place {
    /// Its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compacted => "compacted",
            Self::MetadataCompacted => "metadata.compacted",
            Self::Chunks => "generation_chunks",
            Self::Response => "llm_response",
        }
    }
}

/// The text that was chosen, and what was found on the way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chosen {
    /// The text and its place; `None`: the row has none that can be read.
    pub text: Option<(Place, String)>,
    /// Whether it had one that cannot be read: it is not base64, or not UTF-8.
    pub is_unreadable: bool,
    /// What was found.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    place: Place,
    text: String,
}

impl Candidate {
    fn json(&self) -> Option<Value> {
        serde_json::from_str(text::find(&self.text)?.get()).ok()
    }

    fn describe(&self) -> String {
        let digits = sha256_hex(&self.text);
        format!("{} has {} bytes ({})", self.place.as_str(), self.text.len(), &digits[..8])
    }
}

/// What `llm_response` holds.
enum Response {
    Nothing,
    Text(String),
    /// Its JSON, and the column as it is.
    Json(Value, String),
}

/// Chooses the text of a row.
#[must_use]
pub fn choose(source: &SourceGeneration) -> Chosen {
    let (mut chosen, mut candidates) = (Chosen::default(), Vec::new());
    let metadata = source.metadata().unwrap_or_default();
    let blobs = [
        (Place::Compacted, source.cell("compacted").bytes().map(<[u8]>::to_vec)),
        (Place::MetadataCompacted, metadata.get("compacted").and_then(Value::as_str).map(|text| text.as_bytes().to_vec())),
    ];
    for (place, encoded) in blobs {
        let Some(encoded) = encoded.filter(|encoded| !encoded.is_empty()) else { continue };
        match BASE64_STANDARD.decode(&encoded) {
            Ok(bytes) => add(&mut chosen, &mut candidates, place, bytes),
            Err(error) => {
                chosen.is_unreadable = true;
                chosen.findings.push(Finding::new("invalid_base64", format!("{} is not base64: {error}", place.as_str())));
            }
        }
    }
    if let Some(texts) = source.chunk_texts() {
        check_sequence(source, &mut chosen.findings);
        check_numbers(source, &mut chosen.findings);
        add(&mut chosen, &mut candidates, Place::Chunks, texts.concat());
    }
    let response = response(source.cell("llm_response"), &mut chosen.findings);
    if let Response::Text(text) = &response {
        add(&mut chosen, &mut candidates, Place::Response, text.clone().into_bytes());
    }
    let text = whole(candidates, &response, told_bytes(&metadata), &mut chosen.findings);
    if let Some(Candidate { place, text }) = text {
        describe(&text, place, &mut chosen.findings);
        chosen.text = Some((place, text));
    }
    chosen
}

fn add(chosen: &mut Chosen, candidates: &mut Vec<Candidate>, place: Place, bytes: Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    match String::from_utf8(bytes) {
        Ok(text) => candidates.push(Candidate { place, text }),
        Err(error) => {
            chosen.is_unreadable = true;
            let at = error.utf8_error().valid_up_to();
            chosen.findings.push(Finding::new("not_utf8", format!("{} is not UTF-8 from byte {at} on", place.as_str())));
        }
    }
}

/// The numbers of the chunk rows begin with 1 and have no gaps.
fn check_sequence(source: &SourceGeneration, findings: &mut Vec<Finding>) {
    let numbers: Vec<i64> = source.chunks.iter().filter_map(|chunk| chunk.get("sequence").and_then(Cell::integer)).collect();
    let expected = (1..).take(source.chunks.len());
    if !numbers.iter().copied().eq(expected) {
        let first = (1..).zip(&numbers).find(|(expected, found)| expected != *found);
        let (expected, found) = first.map_or((0, 0), |(expected, found)| (expected, *found));
        let detail = format!("chunk row {expected} of {} has the sequence {found}", source.chunks.len());
        findings.push(Finding::new("chunk_sequence", detail));
    }
}

/// SQLite keeps a number without the zeros around it: `0.10` is 0.1 there, and `007` is 7.
fn check_numbers(source: &SourceGeneration, findings: &mut Vec<Finding>) {
    let numbers = source.chunks.iter().filter(|chunk| chunk.get("chunk").is_some_and(Cell::is_number)).count();
    if numbers > 0 {
        let detail =
            format!("{numbers} of {} chunk rows are numbers, which SQLite keeps without their outer zeros", source.chunks.len());
        findings.push(Finding::new("chunk_numbers", detail));
    }
}

fn told_bytes(metadata: &Map<String, Value>) -> Option<usize> {
    let told = metadata.get("progress")?.get("received_bytes")?.as_u64()?;
    usize::try_from(told).ok()
}

fn response(cell: &Cell, findings: &mut Vec<Finding>) -> Response {
    let Some(column) = cell.text().filter(|text| !text.is_empty()) else { return Response::Nothing };
    match serde_json::from_str::<Value>(&column) {
        Ok(Value::Null) => Response::Nothing,
        Ok(Value::String(text)) => Response::Text(text),
        Ok(Value::Object(object)) if is_wrapped(&object) => {
            object.get("content").and_then(Value::as_str).map_or(Response::Nothing, |text| Response::Text(text.to_owned()))
        }
        Ok(json) => Response::Json(json, column),
        Err(error) => {
            findings.push(Finding::new("response_not_json", format!("llm_response is not JSON: {error}")));
            Response::Text(column)
        }
    }
}

/// `{"content": text, "raw": null}`: what was not JSON.
fn is_wrapped(object: &Map<String, Value>) -> bool {
    object.get("content").is_some_and(Value::is_string) && object.keys().all(|name| name == "content" || name == "raw")
}

fn whole(all: Vec<Candidate>, response: &Response, told: Option<usize>, findings: &mut Vec<Finding>) -> Option<Candidate> {
    let mut texts: Vec<Candidate> = Vec::new();
    for candidate in all {
        if texts.iter().all(|other| other.text != candidate.text) {
            texts.push(candidate);
        }
    }
    if texts.len() > 1 {
        let described: Vec<String> = texts.iter().map(Candidate::describe).collect();
        findings.push(Finding::new("texts_differ", described.join("; ")));
    }
    let json = if let Response::Json(json, _) = response { Some(json) } else { None };
    if let Some(json) = json
        && let Some(place) = texts.iter().position(|text| text.json().as_ref() == Some(json))
    {
        let whole = texts.swap_remove(place);
        note_damage(&texts, &whole, findings);
        return Some(whole);
    }
    let text = best(texts, told, findings);
    let Response::Json(json, column) = response else { return text };
    let parsed = Candidate { place: Place::Response, text: column.clone() };
    let Some(text) = text else {
        findings.push(Finding::new("only_response", "its text is that of llm_response, as the field has encoded it"));
        return Some(parsed);
    };
    let canonical = json.to_string();
    match text.json().map(|json| json.to_string()) {
        None => {
            let detail = format!("{} is not JSON, and llm_response is: that is taken", text.place.as_str());
            findings.push(Finding::new("text_not_response", detail));
            note_damage(&[text], &parsed, findings);
            Some(parsed)
        }
        Some(of_text) if damage::lacks_zeros_of(of_text.as_bytes(), canonical.as_bytes()) => {
            let detail = format!("{} lacks zeros that llm_response has: that is taken", text.place.as_str());
            findings.push(Finding::new("zeros_dropped", detail));
            Some(parsed)
        }
        Some(_) => {
            let detail = format!("llm_response is other JSON than {}, which is taken", text.place.as_str());
            findings.push(Finding::new("response_differs", detail));
            Some(text)
        }
    }
}

/// The best of several texts that all differ.
fn best(mut texts: Vec<Candidate>, told: Option<usize>, findings: &mut Vec<Finding>) -> Option<Candidate> {
    let all = texts.clone();
    let is_whole = |text: &Candidate, other: &Candidate| {
        text.json().is_some() && other.json().is_none() || told == Some(text.text.len()) && told != Some(other.text.len())
    };
    // What is complete by itself is no beginning of a longer text, to which somebody has written more.
    let damage_of =
        |text: &Candidate, whole: &Candidate| damaged(text, whole).filter(|(code, _)| *code != CUT_OFF || !is_whole(text, whole));
    texts.retain(|text| match all.iter().find_map(|whole| Some((whole, damage_of(text, whole)?))) {
        None => true,
        Some((whole, (code, what))) => {
            let detail = format!("{} {what} {}", text.place.as_str(), whole.place.as_str());
            findings.push(Finding::new(code, detail));
            false
        }
    });
    if texts.is_empty() {
        // Each is damaged, seen from another.
        texts = all;
    }
    let is_json = |text: &Candidate| text.json().is_some();
    let has_told = |text: &Candidate| told == Some(text.text.len());
    let place = texts.iter().position(is_json).or_else(|| texts.iter().position(has_told)).unwrap_or(0);
    (place < texts.len()).then(|| texts.swap_remove(place))
}

/// A text that ends too early.
const CUT_OFF: &str = "cut_off";

/// How `text` is damaged, seen from `whole`.
fn damaged(text: &Candidate, whole: &Candidate) -> Option<(&'static str, &'static str)> {
    let (one, other) = (text.text.as_bytes(), whole.text.as_bytes());
    if one == other {
        None
    } else if damage::doubles(one, other) {
        Some(("doubled", "has each piece twice that is once in"))
    } else if damage::lacks_zeros_of(one, other) {
        Some(("zeros_dropped", "lacks zeros that are in"))
    } else if other.starts_with(one) && !damage::doubles(other, one) {
        Some((CUT_OFF, "is only the beginning of"))
    } else {
        None
    }
}

fn note_damage(texts: &[Candidate], whole: &Candidate, findings: &mut Vec<Finding>) {
    for text in texts {
        if let Some((code, what)) = damaged(text, whole) {
            findings.push(Finding::new(code, format!("{} {what} {}", text.place.as_str(), whole.place.as_str())));
        }
    }
}

/// What is strange about a text by itself.
fn describe(text: &str, place: Place, findings: &mut Vec<Finding>) {
    if text::find(text).is_some() {
        return;
    }
    let place = place.as_str();
    let zeros = damage::missing_zeros(text);
    if !zeros.is_empty() {
        let places: Vec<String> = zeros.iter().take(10).map(usize::to_string).collect();
        let detail = format!("{place} would be JSON with {} more zeros, at bytes {}", zeros.len(), places.join(", "));
        findings.push(Finding::new("zeros_dropped", detail));
    } else if damage::looks_doubled(text.as_bytes()) {
        findings.push(Finding::new("doubled", format!("{place} looks as if two writers had written it")));
    } else if text.trim_start().starts_with(['{', '[', '`']) {
        findings.push(Finding::new("not_json", format!("{place} begins like JSON, and is not")));
    }
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
