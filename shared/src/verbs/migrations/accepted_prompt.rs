//! `longhand backfill accepted-prompt`: gives each subject that stands on a generation the prompt of that generation.

use async_trait::async_trait;

use super::{Content, DataChange, Units, Verification, View};
use crate::acceptance::Prompt;
use crate::app::App;
use crate::aws::{RecordRow, Records};
use crate::error::Error;
use crate::ids::{GenerationKey, SubjectKey};
use crate::migrations::accepted_prompt::{Known, change};
use crate::migrations::{Change, Planned, RowChange, RowKey, Verdict};
use crate::subjects::Subject;

/// Rows of the table that are looked at for one page of units.
const PAGE: i32 = 250;

/// The backfill. It needs no settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct AcceptedPrompts;

/// What is read for one unit.
struct Read {
    record: RecordRow,
    subject: SubjectKey,
    prompt: Option<Prompt>,
}

impl AcceptedPrompts {
    /// `None`: the generation is not accepted any more.
    async fn read(app: &App, key: &GenerationKey) -> Result<Option<Read>, Error> {
        let Some(record) = app.records.find(key).await? else { return Ok(None) };
        let Some(of) = &record.accepted else { return Ok(None) };
        let subject = SubjectKey::new(key.organization.clone(), of.accepted_subject.clone());
        let prompt = app.request(key).await?.map(|request| Prompt::of(&request));
        Ok(Some(Read { record, subject, prompt }))
    }

    /// The object of a prompt that is too long for the row.
    fn object(subject: &SubjectKey, prompt: &Prompt) -> Result<Option<Content>, Error> {
        if prompt.is_inline() {
            return Ok(None);
        }
        Content::of_text(subject, &prompt.sha256, &prompt.text).map(Some)
    }
}

fn parse(unit: &str) -> Result<GenerationKey, Error> {
    GenerationKey::from_partition(unit).map_err(|error| Error::Configuration(format!("a unit of the backfill: {error}")))
}

#[async_trait]
impl DataChange for AcceptedPrompts {
    fn name(&self) -> &'static str {
        "backfill-accepted-prompt"
    }

    fn about(&self) -> String {
        "subjects with an accepted generation".into()
    }

    async fn units(&self, app: &App, after: Option<&str>) -> Result<Units, Error> {
        let from: Option<RowKey> =
            after.map(serde_json::from_str).transpose().map_err(|error| Error::Configuration(error.to_string()))?;
        let page = app.records.accepted_records(from.as_ref(), PAGE).await?;
        let next = page.next.map(|next| serde_json::to_string(&next)).transpose();
        Ok(Units {
            units: page.keys.iter().map(GenerationKey::partition).collect(),
            next: next.map_err(|error| Error::Configuration(error.to_string()))?,
        })
    }

    async fn plan(&self, view: &View<'_>, unit: &str) -> Result<Planned, Error> {
        let key = parse(unit)?;
        let planned = |verdict| Planned { unit: unit.to_owned(), verdict, findings: Vec::new() };
        let Some(Read { record, subject, prompt }) = Self::read(view.app(), &key).await? else {
            return Ok(planned(Verdict::AlreadyRight));
        };
        let Some(of) = &record.accepted else { return Ok(planned(Verdict::AlreadyRight)) };
        let row_key = Records::subject_key(&subject);
        let Some(row) = view.row(&row_key).await? else {
            return Ok(planned(Verdict::Cannot(format!("there is no subject {:?}", subject.subject.as_str()))));
        };
        let held: Subject = Records::read_row(&row)?;
        let version = view.app().records.version_of(&subject, &record.generation).await?;
        let known = Known { generation: &record.generation, of, provider: &record.provider, model: &record.model, version };
        let next = match change(held.accepted.as_ref(), known, prompt.as_ref()) {
            Err(why) => return Ok(planned(Verdict::Cannot(why))),
            Ok(None) => return Ok(planned(Verdict::AlreadyRight)),
            Ok(Some(next)) => next,
        };
        let mut after = row.clone();
        after.insert("accepted".into(), Records::accepted_attribute(&next)?);
        let contents: Vec<Content> =
            prompt.iter().filter_map(|prompt| Self::object(&subject, prompt).transpose()).collect::<Result<_, _>>()?;
        let objects = match view.objects(&contents).await? {
            Ok(objects) => objects,
            Err(object) => return Ok(planned(Verdict::Cannot(format!("there is another object {object}")))),
        };
        let rows = RowChange::between(row_key, Some(&row), &after).into_iter().collect();
        Ok(planned(Verdict::Change(Change { unit: unit.to_owned(), rows, objects })))
    }

    async fn contents(&self, app: &App, unit: &str) -> Result<Vec<Content>, Error> {
        let Some(Read { subject, prompt, .. }) = Self::read(app, &parse(unit)?).await? else { return Ok(Vec::new()) };
        prompt.iter().filter_map(|prompt| Self::object(&subject, prompt).transpose()).collect()
    }

    async fn verify(&self, app: &App) -> Result<Verification, Error> {
        let (mut accepted, mut with_prompt, mut wrong, mut after) = (0, 0, Vec::new(), None::<RowKey>);
        loop {
            let page = app.records.accepted_records(after.as_ref(), PAGE).await?;
            for key in &page.keys {
                let Some(of) = app.records.find(key).await?.and_then(|record| record.accepted) else { continue };
                accepted += 1;
                let subject = SubjectKey::new(key.organization.clone(), of.accepted_subject);
                let held = app.records.subject(&subject).await?.and_then(|subject| subject.accepted);
                if held.is_some_and(|held| held.generation == key.generation && !held.prompt_sha256.is_empty()) {
                    with_prompt += 1;
                } else {
                    wrong.push(format!("{key}: the subject {:?} has not its prompt", subject.subject.as_str()));
                }
            }
            after = page.next;
            if after.is_none() {
                let counts =
                    vec![("accepted generations".into(), accepted, "subjects with an accepted prompt".into(), with_prompt)];
                return Ok(Verification { counts, wrong });
            }
        }
    }
}
