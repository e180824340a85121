//! `longhand migrate stratos`: generations of the field's database as generations of this deployment, as if they had been written here.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Content, DataChange, Units, Verification, View};
use crate::acceptance::{self, Acceptance, AcceptedFor, Prompt};
use crate::app::App;
use crate::audit::{Action, Actor, Entry, Object};
use crate::aws::{ArchiveWriter, Blobs, ImportedRow, Outcome, RecordRow, Records};
use crate::clock::{millis_of, rfc3339};
use crate::error::Error;
use crate::generation::Status;
use crate::generation::request::Request;
use crate::ids::{GenerationKey, SubjectKey};
use crate::limits::REQUEST_INLINE_BYTES_MAX;
use crate::migrations::stratos::convert::{IMPORTED_BY, Imported, Options, convert};
use crate::migrations::stratos::source::{Cell, SourceGeneration};
use crate::migrations::{Attributes, Change, Finding, Planned, RowChange, RowKey, Verdict};
use crate::subjects::Subject;
use crate::subjects::version::{self, Origin, Version};

const PLAIN: &str = "text/plain; charset=utf-8";
const GZIP: &str = "application/gzip";
const JSON: &str = "application/json";

/// The rows of a database, wherever it is.
pub trait Source: Send + Sync {
    /// What it is, for people.
    fn describe(&self) -> String;

    /// The ids of the generations behind one, in their order, at most `limit`.
    ///
    /// # Errors
    /// It cannot be read.
    fn ids(&self, after: Option<i64>, limit: usize) -> Result<Vec<i64>, Error>;

    /// Rows that no id names, each in a few words.
    ///
    /// # Errors
    /// It cannot be read.
    fn nameless(&self) -> Result<Vec<String>, Error>;

    /// A generation, with its chunk rows.
    ///
    /// # Errors
    /// It cannot be read, or is gone.
    fn read(&self, id: i64) -> Result<SourceGeneration, Error>;
}

/// The migration of one database.
#[derive(Clone)]
pub struct Stratos {
    source: Arc<dyn Source>,
    options: Options,
}

/// Units of one page.
const PAGE: usize = 25;

impl Stratos {
    /// Of this database, with these settings.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, options: Options) -> Self {
        Self { source, options }
    }

    fn read(&self, unit: &str) -> Result<(SourceGeneration, Imported), Error> {
        let id = unit.parse().map_err(|_| Error::Configuration(NAMELESS.into()))?;
        let source = self.source.read(id)?;
        let imported = convert(&source, &self.options);
        Ok((source, imported))
    }
}

/// What was found of a row that was imported before.
enum Before {
    /// It is not here, and was not.
    New,
    /// It is here.
    Here(Box<RecordRow>),
    /// It is here under another key: other settings were told, or the row says that it was created at another time.
    Elsewhere(GenerationKey),
    /// It was here, and was purged.
    Purged(GenerationKey),
}

/// What is known here of a row.
async fn before(app: &App, imported: &Imported) -> Result<Before, Error> {
    // The record first: a purge deletes it and leaves the note.
    let record = app.records.find(&imported.key).await?;
    let note = app.records.stored_row(&Records::imported_key(&origin(imported))).await?;
    let note: Option<ImportedRow> = note.as_ref().map(Records::read_row).transpose()?;
    let key = note.map(|note| GenerationKey::new(note.imported_by, note.imported_as));
    Ok(match (record, key) {
        (Some(record), _) => Before::Here(Box::new(record)),
        (None, None) => Before::New,
        (None, Some(key)) if key == imported.key || app.records.find(&key).await?.is_none() => Before::Purged(key),
        (None, Some(key)) => Before::Elsewhere(key),
    })
}

/// What names a row among those of all databases.
fn origin(imported: &Imported) -> Vec<&str> {
    imported.origin.iter().map(String::as_str).collect()
}

impl Stratos {
    /// What is to become of a row that was imported before; `None`: it was not.
    async fn held(
        &self,
        app: &App,
        source: &SourceGeneration,
        imported: &Imported,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<Verdict>, Error> {
        Ok(Some(match before(app, imported).await? {
            Before::New => return Ok(None),
            Before::Here(record) if source_of(&record).as_deref() == Some(&source.sha256()) => Verdict::AlreadyRight,
            Before::Here(record) => {
                let detail = format!("the row has changed there since {} was imported", record.generation);
                findings.push(Finding::new("changed_since", detail));
                Verdict::Cannot(format!("{} was imported from another state of this row", record.generation))
            }
            Before::Purged(key) => {
                findings.push(Finding::new("purged_here", format!("it was imported as {key}, which was deleted here: it stays so")));
                Verdict::AlreadyRight
            }
            Before::Elsewhere(key) => {
                let detail = format!("it is here as {key}, and would become {}: give the flags of the first run", imported.key);
                findings.push(Finding::new("imported_elsewhere", detail));
                Verdict::Cannot(format!("it is here as {key}"))
            }
        }))
    }
}

#[async_trait]
impl DataChange for Stratos {
    fn name(&self) -> &'static str {
        "migrate-stratos"
    }

    fn about(&self) -> String {
        let map: Vec<String> = self.options.organizations.iter().map(|(id, name)| format!("{id}={name}")).collect();
        let zone = self.options.zone.iana_name().map_or_else(|| format!("{:?}", self.options.zone), str::to_owned);
        format!(
            "{} as {}; organizations {}; times of {zone}; subjects {}N",
            self.source.describe(),
            self.options.database,
            map.join(","),
            self.options.subject_prefix
        )
    }

    async fn units(&self, _: &App, after: Option<&str>) -> Result<Units, Error> {
        let units = self.source.ids(after.and_then(|after| after.parse().ok()), PAGE)?;
        let next = units.last().filter(|_| units.len() == PAGE).map(i64::to_string);
        let mut units: Vec<String> = units.iter().map(i64::to_string).collect();
        if next.is_none() {
            units.extend(self.source.nameless()?);
        }
        Ok(Units { units, next })
    }

    async fn plan(&self, view: &View<'_>, unit: &str) -> Result<Planned, Error> {
        let (source, imported) = match self.read(unit) {
            Ok(read) => read,
            // One row that cannot be read keeps no other from being imported.
            Err(error) => {
                let verdict = Verdict::Cannot(error.to_string());
                return Ok(Planned { unit: unit.to_owned(), verdict, findings: Vec::new() });
            }
        };
        let mut findings = imported.findings.clone();
        if let Some(verdict) = self.held(view.app(), &source, &imported, &mut findings).await? {
            return Ok(Planned { unit: unit.to_owned(), verdict, findings });
        }
        let placed = place(view, &imported, &mut findings).await?;
        let subject = placed.as_ref().map(|placed| (&placed.key, placed.version.is_some()));
        let contents = contents(&source, &imported, subject)?;
        let objects = match view.objects(&contents).await? {
            Ok(objects) => objects,
            Err(object) => {
                let verdict = Verdict::Cannot(format!("there is another object {object}"));
                return Ok(Planned { unit: unit.to_owned(), verdict, findings });
            }
        };
        let mut rows = rows(view.app(), &source, &imported, placed)?;
        let note = ImportedRow {
            imported_by: imported.key.organization.clone(),
            imported_as: imported.key.generation.clone(),
        };
        let (key, note) = Records::imported_row(&origin(&imported), &note)?;
        rows.extend(RowChange::between(key, None, &note));
        let verdict = Verdict::Change(Change { unit: unit.to_owned(), rows, objects });
        Ok(Planned { unit: unit.to_owned(), verdict, findings })
    }

    async fn contents(&self, _: &App, unit: &str) -> Result<Vec<Content>, Error> {
        let (source, imported) = self.read(unit)?;
        // All that there may be: the change names those that it needs.
        let subject = imported.subject.clone().map(|subject| SubjectKey::new(imported.key.organization.clone(), subject));
        contents(&source, &imported, subject.as_ref().map(|subject| (subject, imported.status == Status::Completed)))
    }

    fn is_shared(&self, key: &str) -> bool {
        key.contains("#subject:") || key.contains("/subjects/")
    }

    async fn verify(&self, app: &App) -> Result<Verification, Error> {
        let (mut counted, mut after) = (Counted::default(), None);
        loop {
            let ids = self.source.ids(after, PAGE)?;
            for id in &ids {
                match self.read(&id.to_string()) {
                    Ok((source, imported)) => counted.count(app, *id, &source, &imported).await?,
                    Err(error) => counted.wrong(&id.to_string(), error),
                }
            }
            after = ids.last().copied();
            if ids.len() < PAGE {
                for row in self.source.nameless()? {
                    counted.wrong(&row, NAMELESS);
                }
                return Ok(counted.verification());
            }
        }
    }
}

/// What is said of a row that no id names.
const NAMELESS: &str = "it has no whole number as its id, or another row has the same";

/// The counts of a verification.
#[derive(Default)]
struct Counted {
    there: u64,
    here: u64,
    accepted: u64,
    with_prompt: u64,
    accepted_there: u64,
    taken: u64,
    wrong: Vec<String>,
}

impl Counted {
    fn wrong(&mut self, unit: &str, why: impl std::fmt::Display) {
        self.there += 1;
        self.wrong.push(format!("generation {unit}: {why}"));
    }

    async fn count(&mut self, app: &App, id: i64, source: &SourceGeneration, imported: &Imported) -> Result<(), Error> {
        let record = match before(app, imported).await? {
            Before::Here(record) => record,
            // It was deleted here, and is to stay so.
            Before::Purged(_) => return Ok(()),
            Before::New => return Ok(self.wrong(&id.to_string(), "it is not here")),
            Before::Elsewhere(key) => return Ok(self.wrong(&id.to_string(), format!("it is here as {key}"))),
        };
        match check(app, &record, source, imported).await? {
            Ok(()) => (self.there, self.here) = (self.there + 1, self.here + 1),
            Err(why) => self.wrong(&id.to_string(), why),
        }
        if let Some(of) = &record.accepted {
            self.accepted += 1;
            let subject = SubjectKey::new(imported.key.organization.clone(), of.accepted_subject.clone());
            let held = app.records.subject(&subject).await?.and_then(|subject| subject.accepted);
            self.with_prompt += u64::from(
                held.is_some_and(|held| held.generation == imported.key.generation && !held.prompt_sha256.is_empty()),
            );
        }
        let (Some(_), Some(subject)) = (&imported.accepted, &imported.subject) else { return Ok(()) };
        self.accepted_there += 1;
        // In its place another may stand, which was there before it or was accepted since; and the subject may have been deleted.
        let subject = app.records.subject(&SubjectKey::new(imported.key.organization.clone(), subject.clone())).await?;
        let stands = subject.is_none_or(|subject| subject.deleting || subject.accepted.is_some());
        if record.accepted.is_some() || stands {
            self.taken += 1;
        } else {
            self.wrong.push(format!("generation {id}: it was accepted there, and nothing is accepted here"));
        }
        Ok(())
    }

    fn verification(self) -> Verification {
        let counts = [
            ("generations in the file", self.there, "generations here with the same text", self.here),
            ("accepted generations", self.accepted, "subjects with an accepted prompt", self.with_prompt),
            ("scenarios accepted in the file", self.accepted_there, "subjects that stand on a generation", self.taken),
        ];
        let counts = counts.map(|(one, of_one, other, of_other)| (one.to_owned(), of_one, other.to_owned(), of_other));
        Verification { counts: counts.into(), wrong: self.wrong }
    }
}

/// The hash of the row that a record was imported from.
fn source_of(record: &RecordRow) -> Option<String> {
    let metadata: Value = serde_json::from_str(&record.outcome.as_ref()?.metadata).ok()?;
    metadata["imported"]["sha256"].as_str().map(str::to_owned)
}

/// Whether the text here is the one there, byte for byte.
async fn check(
    app: &App,
    record: &RecordRow,
    source: &SourceGeneration,
    imported: &Imported,
) -> Result<Result<(), String>, Error> {
    if source_of(record).as_deref() != Some(&source.sha256()) {
        return Ok(Err("it was imported from another state of its row".into()));
    }
    Ok(match app.blobs.digest(&Blobs::output_key(&imported.key)).await? {
        Some((sha256, _)) if sha256 == imported.text_sha256 => Ok(()),
        Some(_) => Err("its text is another one".into()),
        None => Err("its text is not in the bucket".into()),
    })
}

/// What a generation becomes of its subject.
struct Placed {
    key: SubjectKey,
    /// The row as it is; `None`: there is none.
    row: Option<Attributes>,
    /// The subject as it will be.
    next: Subject,
    version: Option<Version>,
    acceptance: Option<Acceptance>,
    before: Option<Acceptance>,
}

/// Finds the generation's place in its subject: which version it is, and whether the subject stands on it.
async fn place(view: &View<'_>, imported: &Imported, findings: &mut Vec<Finding>) -> Result<Option<Placed>, Error> {
    let Some(subject) = imported.subject.clone() else {
        if imported.accepted.is_some() {
            findings
                .push(Finding::new("accepted_without_subject", "it was accepted, and names no scenario: nothing stands on it"));
        }
        return Ok(None);
    };
    let key = SubjectKey::new(imported.key.organization.clone(), subject);
    let row = view.row(&Records::subject_key(&key)).await?;
    let held: Subject = row.as_ref().map(Records::read_row).transpose()?.unwrap_or_default();
    if held.deleting {
        findings.push(Finding::new("subject_deleted", format!("the subject {:?} is being deleted", key.subject.as_str())));
        return Ok(None);
    }
    let at = rfc3339(imported.completed_ms);
    let mut next =
        Subject { last_generation: held.last_generation.clone().max(Some(imported.key.generation.clone())), ..held.clone() };
    if next.created_at.is_empty() {
        next.created_at = rfc3339(imported.created_ms);
        next.updated_at.clone_from(&at);
    }
    let mut version = None;
    if imported.status == Status::Completed {
        let newest = if held.current == 0 { None } else { view.row(&Records::version_key(&key, held.current)).await? };
        let newest: Option<Version> = newest.as_ref().map(Records::read_row).transpose()?;
        if newest.as_ref().and_then(|newest| millis_of(&newest.created_at)).is_some_and(|newest| newest > imported.completed_ms) {
            let detail = format!("the subject {:?} has a newer version: it becomes none of it", key.subject.as_str());
            findings.push(Finding::new("older_than_current", detail));
        } else {
            let change = version::Change::Generation(imported.key.generation.clone());
            let changed_at = if next.updated_at > at { next.updated_at.clone() } else { at.clone() };
            // A generation is never stale.
            let Ok((with, change_type)) = next.with_version(&change, imported.text.len() as u64, &changed_at) else {
                return Ok(None);
            };
            version = Some(made(imported, with.current, change_type, at));
            next = with;
        }
    }
    let mut placed = Placed { key, row, next, version, acceptance: None, before: held.accepted.clone() };
    accept(imported, &mut placed, findings);
    // A completed one that is neither a version nor accepted is nothing of the subject.
    let is_placed = imported.status != Status::Completed || placed.version.is_some() || placed.acceptance.is_some();
    Ok(Some(placed).filter(|_| is_placed))
}

fn made(imported: &Imported, number: u64, change_type: version::ChangeType, created_at: String) -> Version {
    let by_hand =
        Version::by_hand(imported.text_sha256.clone(), imported.text.len() as u64, None, imported.created_by.clone(), created_at);
    Version {
        number,
        change_type,
        generation: Some(imported.key.generation.clone()),
        provider: Some(imported.request.provider.clone()),
        model: Some(imported.request.model.clone()),
        duration_ms: u64::try_from(imported.completed_ms - imported.created_ms).ok(),
        prompt_sha256: Some(imported.request.prompt_sha256()),
        ..by_hand
    }
}

fn accept(imported: &Imported, placed: &mut Placed, findings: &mut Vec<Finding>) {
    let Some(there) = &imported.accepted else { return };
    if let Some(other) = &placed.before {
        let detail = format!("the subject {:?} stands on {} already", placed.key.subject.as_str(), other.generation);
        findings.push(Finding::new("accepted_other", detail));
        return;
    }
    let prompt = Prompt::of(&imported.request);
    placed.acceptance = Some(Acceptance {
        generation: imported.key.generation.clone(),
        version: placed.version.as_ref().map(|version| version.number),
        prompt: prompt.is_inline().then(|| prompt.text.clone()),
        prompt_bytes: prompt.text.len() as u64,
        prompt_sha256: prompt.sha256,
        redacted: imported.is_redacted,
        provider: imported.request.provider.clone(),
        model: imported.request.model.clone(),
        accepted_by: None,
        accepted_at: there.at.clone(),
        instruction_source: prompt.instruction_source,
        note: there.by.as_ref().map(|by| format!("accepted in Stratos by user {by}")),
        revision: 1,
    });
}

/// The rows: all that the product would have written.
fn rows(app: &App, source: &SourceGeneration, imported: &Imported, placed: Option<Placed>) -> Result<Vec<RowChange>, Error> {
    let mut rows = Vec::new();
    let new = |(key, row): (RowKey, Attributes)| RowChange::between(key, None, &row);
    let accepted = placed.as_ref().and_then(|subject| Some((subject, subject.acceptance.as_ref()?)));
    let of = accepted.map(|(subject, acceptance)| AcceptedFor {
        accepted_subject: subject.key.subject.clone(),
        accepted_at: acceptance.accepted_at.clone(),
        accepted_by: None,
    });
    let request = Request { subject: placed.as_ref().map(|subject| subject.key.subject.clone()), ..imported.request.clone() };
    let origin = placed.as_ref().map(|_| Origin {
        reason: None,
        created_by: imported.created_by.clone(),
        temperature: None,
        prompt_sha256: request.prompt_sha256(),
    });
    let outcome = outcome(app, source, imported);
    let record = RecordRow::ended(&imported.key, &request, imported.created_ms, imported.status, origin, of, outcome);
    let (key, mut row) = Records::record_row(&record)?;
    // A change of it is not its end: it is counted in no statistics.
    row.insert("revised_at".into(), serde_dynamo::AttributeValue::S(rfc3339(imported.compacted_ms)));
    rows.extend(new((key, row)));
    let Some(subject) = placed else { return Ok(rows) };
    let mut after = subject.row.clone().unwrap_or_default();
    after.extend(Records::subject_attributes(&subject.key, &subject.next)?);
    if let Some(last) = &subject.next.last_generation {
        after.insert("last_generation".into(), serde_dynamo::AttributeValue::S(last.to_string()));
    }
    if let Some(acceptance) = &subject.acceptance {
        after.insert("accepted".into(), Records::accepted_attribute(acceptance)?);
        rows.extend(new(audit(imported, &subject, acceptance)?));
    }
    rows.extend(RowChange::between(Records::subject_key(&subject.key), subject.row.as_ref(), &after));
    if let Some(version) = &subject.version {
        rows.extend(Records::version_rows(&subject.key, version, &imported.key.generation)?.into_iter().filter_map(new));
    }
    Ok(rows)
}

fn audit(imported: &Imported, subject: &Placed, acceptance: &Acceptance) -> Result<(RowKey, Attributes), Error> {
    let object = Object {
        kind: "subject",
        id: subject.key.subject.as_str(),
        subject: &subject.key.subject,
        generation: Some(&imported.key.generation),
        revision: acceptance.revision,
    };
    let by = imported.accepted.as_ref().and_then(|accepted| format!("stratos:{}", accepted.by.as_deref()?).parse().ok());
    let actor = Actor { user: by, ..Actor::default() };
    let at_ms = millis_of(&acceptance.accepted_at).unwrap_or(imported.completed_ms);
    let change = acceptance::audited(subject.before.as_ref(), acceptance);
    let entry = Entry::new(&imported.key.organization, at_ms, &actor, Action::Accept, &object, change);
    Records::audit_row(&imported.key.organization, &entry)
}

fn outcome(app: &App, source: &SourceGeneration, imported: &Imported) -> Outcome {
    let received = if source.chunks.is_empty() { imported.chunk_count } else { source.chunks.len() as u64 };
    Outcome {
        completed_at: rfc3339(imported.completed_ms),
        reason: imported.failure.as_ref().map(|failure| failure.code.clone()),
        error: imported.failure.clone(),
        compacted: Some(app.blobs.url(&Blobs::output_key(&imported.key))),
        finish_reason: None,
        compacted_at: rfc3339(imported.compacted_ms),
        compacted_by: IMPORTED_BY.to_owned(),
        chunk_count: imported.chunk_count,
        received_chunks: received,
        received_bytes: imported.text.len() as u64,
        last_seq: imported.events.len() as u64 - 1,
        sha256: Some(imported.text_sha256.clone()),
        bytes: imported.text.len() as u64,
        has_other_output: false,
        usage: None,
        attempts: None,
        cost: None,
        metadata: Value::Object(imported.metadata.clone()).to_string(),
        llm_response: imported.llm_response.clone(),
        last_validation_issue_id: None,
    }
}

/// The objects: the text, the event log, what the generation was made from, and, where the subject has a version of it, that one's text.
fn contents(source: &SourceGeneration, imported: &Imported, subject: Option<(&SubjectKey, bool)>) -> Result<Vec<Content>, Error> {
    let key = &imported.key;
    let failed = |error: std::io::Error| Error::Configuration(format!("an object of {key} cannot be made: {error}"));
    let request = serde_json::to_vec(&imported.request).map_err(|error| failed(error.into()))?;
    let mut archive = ArchiveWriter::default();
    let is_large = request.len() > REQUEST_INLINE_BYTES_MAX;
    if !is_large {
        archive.request(&imported.request).map_err(failed)?;
    }
    for (seq, event) in (0..).zip(&imported.events) {
        archive.event(seq, event).map_err(failed)?;
    }
    let mut contents = vec![
        Content { object: Blobs::output_key(key), content_type: PLAIN, bytes: imported.text.clone().into_bytes() },
        Content { object: Blobs::events_key(key), content_type: GZIP, bytes: archive.finish().map_err(failed)? },
        Content { object: Blobs::source_key(key), content_type: GZIP, bytes: kept(source, imported).map_err(failed)? },
    ];
    if is_large {
        contents.push(Content { object: Blobs::request_key(key), content_type: JSON, bytes: request });
    }
    if let Some(subject) = subject {
        contents.extend(of_subject(imported, subject)?);
    }
    Ok(contents)
}

/// The text of a version, and a prompt that is too long for the subject's row.
fn of_subject(imported: &Imported, (subject, has_version): (&SubjectKey, bool)) -> Result<Vec<Content>, Error> {
    let mut contents = Vec::new();
    if has_version {
        contents.push(Content::of_text(subject, &imported.text_sha256, &imported.text)?);
    }
    let prompt = Prompt::of(&imported.request);
    if imported.accepted.is_some() && !prompt.is_inline() {
        contents.push(Content::of_text(subject, &prompt.sha256, &prompt.text)?);
    }
    Ok(contents)
}

/// The row and its chunk rows, whole. What is the text itself is not repeated.
fn kept(source: &SourceGeneration, imported: &Imported) -> std::io::Result<Vec<u8>> {
    let mut source = source.clone();
    let text = imported.text.as_bytes();
    let same = || Cell::Text(b"base64 of output.txt".to_vec());
    let is_text = |cell: &Cell| {
        cell.bytes()
            .is_some_and(|encoded| !encoded.is_empty() && BASE64_STANDARD.decode(encoded).is_ok_and(|bytes| bytes == text))
    };
    let mut omitted = Vec::new();
    if is_text(source.cell("compacted")) {
        source.columns.insert("compacted".into(), same());
        omitted.push("compacted");
    }
    if source.chunk_texts().is_some_and(|texts| texts.concat() == text) {
        for chunk in &mut source.chunks {
            let bytes = chunk.get("chunk").map_or(0, |cell| cell.written().len());
            chunk.insert("chunk".into(), Cell::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)));
        }
        omitted.push("chunks.chunk");
    }
    let whole = json!({ "system": "stratos", "omitted": omitted, "columns": source.columns, "chunks": source.chunks });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut gzip, &whole)?;
    gzip.write_all(b"\n")?;
    gzip.finish()
}
