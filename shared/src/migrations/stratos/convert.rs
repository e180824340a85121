//! A row of the field's database as a generation of this product: the same result for the same row, whenever it is made.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::choose::{self, Chosen, Place};
use super::source::SourceGeneration;
use super::time;
use crate::clock::rfc3339;
use crate::generation::request::Request;
use crate::generation::{Failure, Status};
use crate::hash::sha256_hex;
use crate::ids::{GenerationId, GenerationKey, Organization, SubjectId};
use crate::json::schema::GENERATION_METADATA;
use crate::json::text;
use crate::limits::{LLM_RESPONSE_BYTES_MAX, LLM_RESPONSE_DEPTH_MAX};
use crate::log::composer::Composer;
use crate::log::event::{End, Event};
use crate::log::reason;
use crate::migrations::Finding;
use crate::providers::Delta;

/// What `compacted_by` of an imported generation says.
pub const IMPORTED_BY: &str = "migrate stratos";
/// Bytes of one event's text, where the chunk rows do not divide it.
const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one entry of the field's metadata that is kept on the record. The row itself has all of them.
const ENTRY_BYTES_MAX: usize = 8 * 1024;
/// The same of all such entries together.
const ENTRIES_BYTES_MAX: usize = 64 * 1024;

/// What a person says about a database.
#[derive(Debug, Clone)]
pub struct Options {
    /// The organization of each number; without one, `stratos-` and the number.
    pub organizations: BTreeMap<String, Organization>,
    /// The name of the database among those that are imported here.
    pub database: String,
    /// The time zone of the stamps.
    pub zone: TimeZone,
    /// What the names of subjects begin with, before the scenario's number.
    pub subject_prefix: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            organizations: BTreeMap::new(),
            database: "stratos".into(),
            zone: TimeZone::UTC,
            subject_prefix: "scenario-".into(),
        }
    }
}

/// That a generation was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedThere {
    /// When, RFC 3339.
    pub at: String,
    /// Who, as the row has it.
    pub by: Option<String>,
}

/// A generation that is to be imported.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Its key, which follows from the row's id, organization and time.
    pub key: GenerationKey,
    /// What names the row: its database, its organization's number there, and its own.
    pub origin: [String; 3],
    /// The request, with the prompt as the row shows it: redacted, where it is.
    pub request: Request,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it ended.
    pub completed_ms: i64,
    /// When its text was compacted there; where it was not, when it ended.
    pub compacted_ms: i64,
    /// `completed` or `failed`.
    pub status: Status,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The text.
    pub text: String,
    /// Its SHA-256 in hex.
    pub text_sha256: String,
    /// Its log.
    pub events: Vec<Event>,
    /// Chunk rows; where there are none, what the row says.
    pub chunk_count: u64,
    /// The metadata of the record, which keeps to the published contract.
    pub metadata: Map<String, Value>,
    /// The JSON of the text, where the record takes it.
    pub llm_response: Option<String>,
    /// What it is about.
    pub subject: Option<SubjectId>,
    /// Who asked for it, as the row has it.
    pub created_by: Option<String>,
    /// That it was accepted.
    pub accepted: Option<AcceptedThere>,
    /// Whether something was removed from the prompt there.
    pub is_redacted: bool,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What is read of a row, and what is found while it is read.
struct Reader<'a> {
    source: &'a SourceGeneration,
    told: Map<String, Value>,
    options: &'a Options,
    findings: Vec<Finding>,
}

/// Converts a row.
#[must_use]
pub fn convert(source: &SourceGeneration, options: &Options) -> Imported {
    let Chosen { text: chosen, is_unreadable, findings } = choose::choose(source);
    let mut reader = Reader { source, told: Map::new(), options, findings };
    reader.read_metadata();
    let organization = reader.organization();
    let created_ms = reader.created();
    let completed_ms =
        reader.first_stamp(&[], &["completed_at"], &["generated_at", "compacted_at", "updated_at"]).unwrap_or(created_ms);
    let completed_ms = reader.in_order(("was created", created_ms), ("ended", completed_ms));
    let compacted_ms = reader.first_stamp(&["compacted_at"], &["compacted_at"], &[]).unwrap_or(completed_ms);
    let compacted_ms = reader.in_order(("ended", completed_ms), ("was compacted", compacted_ms));
    let (place, text) = chosen.map_or((None, String::new()), |(place, text)| (Some(place), text));
    let (status, failure) = reader.status(&text, is_unreadable);
    reader.check_counters(&text);
    let subject = reader.subject();
    let request = reader.request(subject.as_ref());
    let accepted = reader.accepted(status, created_ms, completed_ms);
    let pieces = pieces(source, &text);
    let (events, received) = events(pieces, status, failure.as_ref());
    let chunk_count = match source.chunks.len() as u64 {
        0 => reader.told_chunks().unwrap_or(received),
        rows => rows,
    };
    let origin = [options.database.clone(), reader.organization_id(), source.id().to_string()];
    let key = GenerationKey::new(organization, GenerationId::of(created_ms, &origin.each_ref().map(String::as_str)));
    let parsed = text::find(&text)
        .filter(|json| json.get().len() <= LLM_RESPONSE_BYTES_MAX && text::depth(json) <= LLM_RESPONSE_DEPTH_MAX);
    let llm_response = parsed.filter(|_| status == Status::Completed).map(|json| json.get().to_owned());
    let facts = Facts { created_ms, completed_ms, compacted_ms, chunk_count, bytes: text.len() as u64, status, place };
    let metadata = reader.metadata(&request, &facts, failure.as_ref());
    let created_by = source.text("created_by").map(|by| format!("stratos-user:{by}"));
    Imported {
        key,
        origin,
        request,
        created_ms,
        completed_ms,
        compacted_ms,
        status,
        failure,
        text_sha256: sha256_hex(&text),
        text,
        events,
        chunk_count,
        metadata,
        llm_response,
        subject,
        created_by,
        accepted,
        is_redacted: source.integer("redacted").is_some_and(|redacted| redacted != 0),
        findings: reader.findings,
    }
}

struct Facts {
    created_ms: i64,
    completed_ms: i64,
    compacted_ms: i64,
    chunk_count: u64,
    bytes: u64,
    status: Status,
    place: Option<Place>,
}

impl Reader<'_> {
    fn find(&mut self, code: &str, detail: impl Into<String>) {
        self.findings.push(Finding::new(code, detail));
    }

    fn read_metadata(&mut self) {
        match self.source.metadata() {
            Some(metadata) => self.told = metadata,
            None if self.source.cell("metadata").bytes().is_some_and(|bytes| !bytes.is_empty()) => {
                self.find("metadata_not_json", "metadata is no JSON object");
            }
            None => {}
        }
    }

    fn told_text(&self, name: &str) -> Option<&str> {
        self.told.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The number or text of an entry of the metadata, as text.
    fn told_id(&self, name: &str) -> Option<String> {
        match self.told.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn organization_id(&self) -> String {
        self.source.text("organization_id").unwrap_or_default()
    }

    fn organization(&mut self) -> Organization {
        let id = self.organization_id();
        if let Some(organization) = self.options.organizations.get(&id) {
            return organization.clone();
        }
        if id.is_empty() {
            self.find("no_organization", "the row has no organization_id");
        }
        let name = if id.is_empty() { "stratos-none".to_owned() } else { format!("stratos-{id}") };
        name.parse().unwrap_or_else(|_| {
            self.find("no_organization", "organization_id is no name of an organization");
            Organization::nobody()
        })
    }

    /// The first of these that is a time: columns, entries of the metadata, and columns again.
    fn first_stamp(&mut self, columns: &[&str], entries: &[&str], others: &[&str]) -> Option<i64> {
        let of_column = |name: &&str| self.source.text(name).map(|text| ((*name).to_owned(), text));
        let of_entry = |name: &&str| self.told_text(name).map(|text| (format!("metadata.{name}"), text.to_owned()));
        let all: Vec<(String, String)> = columns
            .iter()
            .filter_map(of_column)
            .chain(entries.iter().filter_map(of_entry))
            .chain(others.iter().filter_map(of_column))
            .collect();
        all.into_iter().find_map(|(name, text)| self.stamp(&name, &text))
    }

    fn stamp(&mut self, name: &str, text: &str) -> Option<i64> {
        let stamp = time::parse(text, &self.options.zone);
        match stamp {
            None => self.find("not_a_time", format!("{name} is no time")),
            Some(stamp) if stamp.is_ambiguous => {
                self.find("ambiguous_time", format!("{name} was shown twice or never by the clocks of its time zone"));
            }
            Some(_) => {}
        }
        stamp.map(|stamp| stamp.at_ms)
    }

    /// The second of two moments; where it is before the first, that one.
    fn in_order(&mut self, (before, first): (&str, i64), (after, second): (&str, i64)) -> i64 {
        if second < first {
            let [at_first, at_second] = [first, second].map(rfc3339);
            let detail = format!("it {after} at {at_second}, before it {before} at {at_first}: that moment is taken");
            self.find("times_out_of_order", detail);
        }
        second.max(first)
    }

    fn created(&mut self) -> i64 {
        let first = self.first_stamp(&["created_at"], &["sent_at"], &["generated_at", "compacted_at", "updated_at"]);
        first.filter(|at| *at >= 0).unwrap_or_else(|| {
            self.find("no_time", "the row says nowhere when it was created: 1970 is taken");
            0
        })
    }

    fn status(&mut self, text: &str, is_unreadable: bool) -> (Status, Option<Failure>) {
        let failed = |code: &str, message: String| (Status::Failed, Some(Failure { code: code.to_owned(), message }));
        let told = self.source.text("status").unwrap_or_default();
        match told.as_str() {
            "complete" if text.is_empty() && is_unreadable => {
                self.find("unreadable", "it is complete, and none of its texts can be read");
                failed(reason::IMPORTED_UNREADABLE, "it was complete, and its text could not be read".into())
            }
            "complete" if text.is_empty() => {
                self.find("empty", "it is complete, and has no text");
                failed(reason::IMPORTED_EMPTY, "it was complete, and had no text".into())
            }
            "complete" => (Status::Completed, None),
            "failed" => {
                let message = self.told_text("message").or_else(|| self.told_text("error")).unwrap_or("it had failed").to_owned();
                failed(reason::IMPORTED_FAILED, message)
            }
            "processing" | "queued" => {
                self.find("stuck", format!("it is {told}, and nobody writes it"));
                failed(reason::IMPORTED_STUCK, format!("it was {told} when it was imported"))
            }
            other => {
                self.find("unknown_status", format!("the field has no status {other:?}"));
                failed(reason::IMPORTED_STUCK, format!("its status was {other:?} when it was imported"))
            }
        }
    }

    fn told_chunks(&self) -> Option<u64> {
        let column = self.source.integer("chunk_count").and_then(|count| u64::try_from(count).ok());
        column.or_else(|| self.told.get("chunk_count").and_then(Value::as_u64))
    }

    /// Counts that the row has in several places, against what is there.
    fn check_counters(&mut self, text: &str) {
        let (rows, bytes) = (self.source.chunks.len() as u64, text.len() as u64);
        let progress = |name: &str| self.told.get("progress").and_then(|progress| progress.get(name)).and_then(Value::as_u64);
        let entry = |name: &str| self.told.get(name).and_then(Value::as_u64);
        let column = self.source.integer("chunk_count").and_then(|count| u64::try_from(count).ok());
        let chunks = [
            ("chunk_count", column),
            ("metadata.chunk_count", entry("chunk_count")),
            ("metadata.received_chunks", entry("received_chunks")),
            ("metadata.progress.received_chunks", progress("received_chunks")),
        ];
        let sizes = [
            ("metadata.received_bytes", entry("received_bytes")),
            ("metadata.progress.received_bytes", progress("received_bytes")),
        ];
        let chunks = chunks.into_iter().filter(|_| rows > 0).map(|(name, told)| (name, told, rows, "chunk rows"));
        let sizes = sizes.into_iter().filter(|_| bytes > 0).map(|(name, told)| (name, told, bytes, "bytes of text"));
        let wrong: Vec<String> = chunks
            .chain(sizes)
            .filter_map(|(name, told, found, what)| {
                told.filter(|told| *told != found).map(|told| format!("{name} is {told}, and there are {found} {what}"))
            })
            .collect();
        if !wrong.is_empty() {
            self.find("counters", wrong.join("; "));
        }
    }

    fn subject(&mut self) -> Option<SubjectId> {
        let scenario = self.told_id("created_scenario_id").or_else(|| self.source.text("scenario_id"))?;
        let name = format!("{}{scenario}", self.options.subject_prefix);
        let subject = name.parse().ok();
        if subject.is_none() {
            self.find("no_subject", format!("{name:?} is no name of a subject"));
        }
        subject
    }

    fn accepted(&mut self, status: Status, created_ms: i64, completed_ms: i64) -> Option<AcceptedThere> {
        let by = self.told_id("accepted_by");
        let at = self.first_stamp(&[], &["accepted_at"], &[]);
        if at.is_none() && by.is_none() && self.told_id("created_scenario_id").is_none() {
            return None;
        }
        if status != Status::Completed {
            self.find("accepted_not_completed", "it was accepted, and is not complete");
            return None;
        }
        if at.is_none() {
            self.find("accepted_without_time", "it was accepted, and the row does not say when: its end is taken");
        }
        let at = self.in_order(("was created", created_ms), ("was accepted", at.unwrap_or(completed_ms)));
        Some(AcceptedThere { at: rfc3339(at), by })
    }

    fn request(&mut self, subject: Option<&SubjectId>) -> Request {
        let provider = self.told_text("provider").map(str::to_owned);
        let model = self.told_text("model").or_else(|| self.told_text("used_provider_model")).map(str::to_owned);
        let model = model.or_else(|| self.source.text("model_version"));
        if provider.is_none() || model.is_none() {
            self.find("no_model", "the row does not say by which provider and model it was generated");
        }
        let prompt = self.source.text("prompt");
        if prompt.is_none() && self.source.cell("prompt").bytes().is_some_and(|bytes| !bytes.is_empty()) {
            self.find("not_utf8", "prompt is not UTF-8");
        }
        let instruction = self.told.get("used_instruction").filter(|instruction| instruction.is_object());
        let content = instruction.and_then(|instruction| instruction.get("content")).and_then(Value::as_str);
        let content = content.map(str::to_owned);
        let options = self.told.get("provider_options");
        let expected = |name: &str| options.and_then(|options| options.get(name)).and_then(Value::as_u64);
        Request {
            provider: provider.unwrap_or_else(|| "unknown".into()),
            model: model.unwrap_or_else(|| "unknown".into()),
            prompt: Some(prompt.unwrap_or_default()),
            instructions: content,
            subject: subject.cloned(),
            used_instruction: instruction.cloned(),
            initiator: self.told.get("initiator").and_then(Value::as_i64),
            expected_total_bytes: expected("expected_total_bytes"),
            expected_total_chunks: expected("expected_total_chunks"),
            ..Request::default()
        }
    }

    /// The metadata of the record: what is known of every generation, what the field says beside it, and where it comes from.
    fn metadata(&mut self, request: &Request, facts: &Facts, failure: Option<&Failure>) -> Map<String, Value> {
        let mut metadata = Map::new();
        let mut kept = 0;
        let skipped = ["compacted", "progress"];
        for (name, value) in std::mem::take(&mut self.told) {
            let bytes = name.len() + value.to_string().len();
            if skipped.contains(&name.as_str()) || bytes > ENTRY_BYTES_MAX || kept + bytes > ENTRIES_BYTES_MAX {
                continue;
            }
            kept += bytes;
            metadata.insert(name, value);
        }
        let mut set = |name: &str, value: Value| drop(metadata.insert(name.to_owned(), value));
        set("provider", request.provider.as_str().into());
        set("model", request.model.as_str().into());
        set("sent_at", rfc3339(facts.created_ms).into());
        set("completed_at", rfc3339(facts.completed_ms).into());
        set("compacted_at", rfc3339(facts.compacted_ms).into());
        set("chunk_count", facts.chunk_count.into());
        set(
            "progress",
            json!({
                "received_chunks": facts.chunk_count,
                "received_bytes": facts.bytes,
                "percent": (facts.status == Status::Completed).then_some(100),
            }),
        );
        if let Some(failure) = failure {
            set("error", failure.code.as_str().into());
            set("message", failure.message.as_str().into());
        }
        for name in ["first_chunk_at", "last_chunk_at"] {
            if let Some(text) = metadata.get(name).and_then(Value::as_str).map(str::to_owned) {
                match self.stamp(name, &text) {
                    Some(at) => drop(metadata.insert(name.to_owned(), rfc3339(at).into())),
                    None => drop(metadata.remove(name)),
                }
            }
        }
        self.keep_to_contract(&mut metadata);
        metadata.insert("imported".into(), self.provenance(facts));
        metadata
    }

    /// Takes away the field's own entries that the published contract does not allow. The row, which is kept, has them.
    fn keep_to_contract(&mut self, metadata: &mut Map<String, Value>) {
        let errors = GENERATION_METADATA.errors(&Value::Object(metadata.clone()));
        let names: std::collections::BTreeSet<String> = errors
            .iter()
            .filter_map(|error| error.pointer.split('/').nth(1))
            .map(|name| name.replace("~1", "/").replace("~0", "~"))
            .collect();
        for name in names {
            metadata.remove(&name);
            self.find("metadata_entry", format!("metadata.{name} is not what the contract of the metadata expects there"));
        }
    }

    fn provenance(&self, facts: &Facts) -> Value {
        let codes: std::collections::BTreeSet<&str> = self.findings.iter().map(|finding| finding.code.as_str()).collect();
        json!({
            "system": "stratos",
            "id": self.source.id(),
            "organization_id": self.source.text("organization_id"),
            "status": self.source.text("status"),
            "text_from": facts.place.map(Place::as_str),
            "findings": codes,
            "sha256": self.source.sha256(),
        })
    }
}

/// The text as the chunk rows divide it, each cut at the end of a character; where they have another text, whole.
fn pieces<'a>(source: &SourceGeneration, text: &'a str) -> Vec<&'a str> {
    let rows = source.chunk_texts().unwrap_or_default();
    let is_same = rows.iter().map(|row| row.len()).sum::<usize>() == text.len() && rows.concat() == text.as_bytes();
    let (mut pieces, mut from, mut to) = (Vec::new(), 0, 0);
    for row in rows.iter().filter(|_| is_same) {
        to += row.len();
        let end = text.floor_char_boundary(to);
        pieces.extend(text.get(from..end).filter(|piece| !piece.is_empty()));
        from = end.max(from);
    }
    pieces.extend(text.get(from..).filter(|rest| !rest.is_empty()));
    pieces
}

/// The log: its events, and how many pieces it has.
fn events(pieces: Vec<&str>, status: Status, failure: Option<&Failure>) -> (Vec<Event>, u64) {
    let mut composer = Composer::default();
    let mut events = Vec::new();
    composer.event(Event::Created);
    composer.event(Event::InProgress { attempt: 1, used: None });
    for piece in pieces {
        composer.delta(Delta::Text(piece.to_owned()));
        while composer.has_pending() {
            events.extend(composer.take(EVENT_BYTES_MAX));
        }
    }
    composer.close(status == Status::Completed);
    let end = End {
        reason: failure.map(|failure| failure.code.clone()),
        message: failure.map(|failure| failure.message.clone()),
        ..End::default()
    };
    composer.event(if status == Status::Completed { Event::Completed(end) } else { Event::Failed(end) });
    let received = composer.received_chunks();
    while composer.has_pending() {
        events.extend(composer.take(EVENT_BYTES_MAX));
    }
    (events, received)
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
