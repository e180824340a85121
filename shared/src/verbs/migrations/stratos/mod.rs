//! `longhand migrate stratos`: generations of the field's database as generations of this deployment, as if they had been written here.

mod before;
mod objects;
mod place;
mod verify;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use self::before::{Before, before, mark, origin, source_of, why_not};
use self::objects::contents;
use self::place::{Placed, place};
use self::verify::{Counted, NAMELESS};
use super::{Content, DataChange, Units, Verification, View};
use crate::acceptance::{self, Acceptance};
use crate::app::App;
use crate::audit::{Action, Actor, Entry, Object};
use crate::aws::{Blobs, ImportedRow, Outcome, RecordRow, Records};
use crate::clock::{millis_of, rfc3339};
use crate::error::Error;
use crate::generation::Status;
use crate::generation::request::Request;
use crate::ids::SubjectKey;
use crate::migrations::stratos::convert::{IMPORTED_BY, Imported, Options, convert};
use crate::migrations::stratos::source::SourceGeneration;
use crate::migrations::{Attributes, Change, Finding, Planned, RowChange, RowKey, Verdict};
use crate::subjects::version::Origin;

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

impl Stratos {
    /// What is to become of a row that was imported before; `None`: it was not.
    async fn held(
        &self,
        view: &View<'_>,
        (source, imported): (&SourceGeneration, &Imported),
        findings: &mut Vec<Finding>,
    ) -> Result<Option<Verdict>, Error> {
        Ok(Some(match before(view.app(), imported).await? {
            Before::New => return Ok(None),
            Before::Here(record, _) if source_of(&record).as_deref() == Some(&source.sha256()) => Verdict::AlreadyRight,
            Before::Here(record, row) => {
                let detail = format!("the row has changed there since {} was imported", record.generation);
                findings.push(Finding::new("changed_since", detail));
                self.change(view, (source, imported), Some((&record, &row)), findings).await?
            }
            Before::Purged(key) => {
                findings
                    .push(Finding::new("purged_here", format!("it was imported as {key}, which was deleted here: it stays so")));
                Verdict::AlreadyRight
            }
            Before::Elsewhere(key) => {
                let detail = format!("it is here as {key}, and would become {}: give the flags of the first run", imported.key);
                findings.push(Finding::new("imported_elsewhere", detail));
                Verdict::Cannot(format!("it is here as {key}"))
            }
        }))
    }

    /// The change that makes a row a generation here, in place of what it was imported as before, where it was.
    async fn change(
        &self,
        view: &View<'_>,
        (source, imported): (&SourceGeneration, &Imported),
        held: Option<(&RecordRow, &Attributes)>,
        findings: &mut Vec<Finding>,
    ) -> Result<Verdict, Error> {
        let placed = place(view, imported, held.map(|(record, _)| record), findings).await?;
        let subject = placed.as_ref().map(|placed| (&placed.key, placed.version.is_some()));
        let contents = contents(source, imported, subject)?;
        if let Some(held) = held
            && let Some(why) = why_not(view, imported, held, &contents).await?
        {
            return Ok(Verdict::Cannot(format!("{} stays as it was imported: {why}", imported.key.generation)));
        }
        let folder = held.map(|_| format!("{}/", imported.key));
        let objects = match view.objects_in_place(&contents, folder.as_deref()).await? {
            Ok(objects) => objects,
            Err(object) => return Ok(Verdict::Cannot(format!("there is another object {object}"))),
        };
        let mut rows = rows(view.app(), source, imported, placed, held.map(|(_, row)| row))?;
        let note = ImportedRow { imported_by: imported.key.organization.clone(), imported_as: imported.key.generation.clone() };
        let (key, note) = Records::imported_row(&origin(imported), &note)?;
        if held.is_none() || view.row(&key).await?.is_none() {
            rows.extend(RowChange::between(key, None, &note));
        }
        Ok(Verdict::Change(Change { unit: source.id().to_string(), rows, objects }))
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
        let verdict = match self.held(view, (&source, &imported), &mut findings).await? {
            Some(verdict) => verdict,
            None => self.change(view, (&source, &imported), None, &mut findings).await?,
        };
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

/// The rows: all that the product would have written.
fn rows(
    app: &App,
    source: &SourceGeneration,
    imported: &Imported,
    placed: Option<Placed>,
    held: Option<&Attributes>,
) -> Result<Vec<RowChange>, Error> {
    let mut rows = Vec::new();
    let new = |(key, row): (RowKey, Attributes)| RowChange::between(key, None, &row);
    let of = placed.as_ref().and_then(|subject| subject.of.clone());
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
    mark(&mut row);
    rows.extend(RowChange::between(key, held, &row));
    let Some(subject) = placed else { return Ok(rows) };
    let mut after = subject.row.clone().unwrap_or_default();
    after.extend(Records::subject_attributes(&subject.key, &subject.next)?);
    if let Some(last) = &subject.next.last_generation {
        after.insert("last_generation".into(), serde_dynamo::AttributeValue::S(last.to_string()));
    }
    if let Some(acceptance) = &subject.acceptance {
        after.insert("accepted".into(), Records::accepted_attribute(acceptance)?);
        rows.extend(audit(imported, &subject, acceptance)?.into_iter().filter_map(new));
    }
    rows.extend(RowChange::between(Records::subject_key(&subject.key), subject.row.as_ref(), &after));
    if let Some(version) = &subject.version {
        rows.extend(Records::version_rows(&subject.key, version, &imported.key.generation)?.into_iter().filter_map(new));
    }
    Ok(rows)
}

fn audit(imported: &Imported, subject: &Placed, acceptance: &Acceptance) -> Result<Vec<(RowKey, Attributes)>, Error> {
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
    Records::audit_rows(&imported.key.organization, &entry)
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
        event_places: Vec::new(),
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
