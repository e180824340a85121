//! `accept`: a completed generation becomes what its subject stands on.
//!
//! The subject, the records and the audit change in one transaction. The same request again finds it done, and answers the same.

use serde::{Deserialize, Serialize};

use crate::acceptance::body::Accept;
use crate::acceptance::{Acceptance, AcceptedFor, Decision, Prompt, audited, decide};
use crate::app::App;
use crate::audit::{Action, Actor, Entry, Object, moment};
use crate::aws::{AcceptChange, AcceptWritten, RecordRow};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::Status;
use crate::ids::{GenerationId, GenerationKey, SubjectId, SubjectKey};
use crate::imports::ImportView;
use crate::verbs::subjects::Tries;

/// How often an import is planned that others revert in the meantime.
const IMPORT_PLANS_MAX: usize = 5;

/// An accepted generation as callers see it. It has no prompt: that needs the scope `admin`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcceptanceView {
    /// Always `acceptance`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The subject.
    pub subject: SubjectId,
    /// The generation.
    pub generation: GenerationId,
    /// The number of the version that it has become; `None`: it is not about the subject.
    pub version: Option<u64>,
    /// The provider.
    pub provider: String,
    /// The model, as it was requested.
    pub model: String,
    /// The prompt's SHA-256 in hex; `None`: it is not known any more.
    pub prompt_sha256: Option<String>,
    /// The prompt's length in bytes.
    pub prompt_bytes: u64,
    /// Where the instruction came from.
    pub instruction_source: Option<String>,
    /// The id of the API key that accepted it.
    pub accepted_by: Option<String>,
    /// When, RFC 3339.
    pub accepted_at: String,
    /// Why.
    pub note: Option<String>,
    /// Counts the acceptances of the subject, from 1.
    pub revision: u64,
    /// What became of its answer, where it was to be imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportView>,
}

const fn object() -> &'static str {
    "acceptance"
}

impl AcceptanceView {
    /// The view of an acceptance.
    pub(in crate::verbs) fn new(subject: &SubjectId, acceptance: Acceptance) -> Self {
        Self {
            object: object(),
            subject: subject.clone(),
            generation: acceptance.generation,
            version: acceptance.version,
            provider: acceptance.provider,
            model: acceptance.model,
            prompt_sha256: Some(acceptance.prompt_sha256).filter(|sha256| !sha256.is_empty()),
            prompt_bytes: acceptance.prompt_bytes,
            instruction_source: acceptance.instruction_source,
            accepted_by: acceptance.accepted_by,
            accepted_at: acceptance.accepted_at,
            note: acceptance.note,
            revision: acceptance.revision,
            import: None,
        }
    }
}

impl App {
    /// Accepts a generation for a subject, and imports its answer where that is asked for: before anything is written, the answer is
    /// validated.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotCompleted`]; [`Error::InvalidOutput`]; [`Error::AlreadyAccepted`]; [`Error::SubjectNotFound`]: the
    /// subject is being deleted; [`Error::InvalidRequest`]: no subject, or another than the generation's. As
    /// [`Self::import_generation`]. [`Error::SubjectContended`], [`Error::Aws`].
    pub async fn accept_generation(&self, key: &GenerationKey, asked: Accept) -> Result<AcceptanceView, Error> {
        let record = self.records.get(key).await?;
        check_acceptable(&record)?;
        let subject = SubjectKey::new(key.organization.clone(), subject_of(&record, asked.subject.clone())?);
        let planned = if asked.import {
            // First whether it may be accepted: what may not is not imported either.
            let held = self.records.subject(&subject).await?.and_then(|subject| subject.accepted);
            let of = self.accepted_for(&record).await?;
            check(decide(held.as_ref(), of.as_ref(), &subject.subject, &key.generation, asked.replace))?;
            Some(Box::pin(self.plan_import(&subject, &record, asked.importer.as_ref())).await?)
        } else {
            None
        };
        let acceptance = Box::pin(self.write_acceptance(key, &subject, &asked)).await?;
        let mut view = AcceptanceView::new(&subject.subject, acceptance);
        let Some(mut planned) = planned else { return Ok(view) };
        let id = planned.id.clone();
        for _ in 0..IMPORT_PLANS_MAX {
            view.import = Box::pin(self.import_generation(&subject, planned)).await?;
            if view.import.is_some() {
                return Ok(view);
            }
            // It was complete when it was planned, and has been reverted since.
            planned = Box::pin(self.plan_import(&subject, &record, asked.importer.as_ref())).await?;
        }
        Err(Error::ImportContended(id.to_string()))
    }

    async fn write_acceptance(&self, key: &GenerationKey, subject: &SubjectKey, asked: &Accept) -> Result<Acceptance, Error> {
        let mut tries = Tries::new(subject);
        loop {
            let record = self.records.get(key).await?;
            let held = self.records.subject(subject).await?;
            if held.as_ref().is_some_and(|held| held.deleting) {
                return Err(Error::SubjectNotFound(subject.subject.to_string()));
            }
            let held = held.and_then(|held| held.accepted);
            let of = self.accepted_for(&record).await?;
            let decision = decide(held.as_ref(), of.as_ref(), &subject.subject, &key.generation, asked.replace);
            let (revision, replaces) = match (check(decision)?, held.clone()) {
                (Some(accept), _) => accept,
                (None, Some(held)) => return Ok(held),
                (None, None) => return Err(Error::NotFound(key.generation.to_string())),
            };
            let at_ms = moment(self.clock.now_ms(), held.as_ref().map(|held| held.accepted_at.as_str()));
            let acceptance = self.acceptance(&record, subject, asked, (revision, at_ms)).await?;
            let entry = self.acceptance_entry(subject, held.as_ref(), &acceptance, at_ms);
            let replaced = self.still_accepted(subject, replaces).await?;
            let change = AcceptChange {
                held: held.map(|held| held.revision),
                of: record.accepted.as_ref().map_or(&subject.subject, |of| &of.accepted_subject),
                replaced: replaced.as_ref(),
                entry: &entry,
            };
            match self.records.accept(subject, &acceptance, change).await? {
                AcceptWritten::Stored => {
                    tracing::info!(
                        generation = %key.generation, organization = %key.organization, subject = %subject.subject, revision,
                        "A generation was accepted."
                    );
                    return Ok(acceptance);
                }
                AcceptWritten::Changed => tries.again().await?,
            }
        }
    }

    async fn acceptance(
        &self,
        record: &RecordRow,
        subject: &SubjectKey,
        asked: &Accept,
        (revision, at_ms): (u64, i64),
    ) -> Result<Acceptance, Error> {
        let key = record.key();
        // A version that the trigger has not made yet is made now.
        let version = match &record.subject {
            Some(_) => match self.records.version_of(subject, &key.generation).await? {
                None => self.settle(&key).await?.number(),
                number => number,
            },
            None => None,
        };
        let prompt = self.request_of_completed(&key).await?.as_ref().map(Prompt::of);
        if let Some(prompt) = prompt.as_ref().filter(|prompt| !prompt.is_inline()) {
            self.blobs.put_text(subject, prompt.text.clone().into_bytes()).await?;
        }
        Ok(Acceptance {
            generation: key.generation,
            version,
            prompt: prompt.as_ref().filter(|prompt| prompt.is_inline()).map(|prompt| prompt.text.clone()),
            prompt_bytes: prompt.as_ref().map_or(0, |prompt| prompt.text.len() as u64),
            prompt_sha256: prompt.as_ref().map(|prompt| prompt.sha256.clone()).unwrap_or_default(),
            redacted: false,
            provider: record.provider.clone(),
            model: record.model.clone(),
            accepted_by: self.caller_name(),
            accepted_at: rfc3339(at_ms),
            instruction_source: prompt.and_then(|prompt| prompt.instruction_source),
            note: asked.note.clone(),
            revision,
        })
    }

    fn acceptance_entry(&self, subject: &SubjectKey, held: Option<&Acceptance>, acceptance: &Acceptance, at_ms: i64) -> Entry {
        let object = Object {
            kind: "subject",
            id: subject.subject.as_str(),
            subject: &subject.subject,
            generation: Some(&acceptance.generation),
            revision: acceptance.revision,
        };
        let change = audited(held, acceptance);
        Entry::new(&subject.organization, at_ms, &self.actor(), Action::Accept, &object, change)
    }

    /// What the record tells of its acceptance, unless the subject is gone, or has another generation since.
    async fn accepted_for(&self, record: &RecordRow) -> Result<Option<AcceptedFor>, Error> {
        let Some(of) = record.accepted.clone() else { return Ok(None) };
        let subject = SubjectKey::new(record.organization.clone(), of.accepted_subject.clone());
        let held = self.records.subject(&subject).await?.filter(|subject| !subject.deleting);
        let is_held = held.and_then(|held| held.accepted).is_some_and(|held| held.generation == record.generation);
        Ok(Some(of).filter(|_| is_held))
    }

    /// The generation, where its record still tells that it is accepted for the subject.
    pub(in crate::verbs) async fn still_accepted(
        &self,
        subject: &SubjectKey,
        replaced: Option<GenerationId>,
    ) -> Result<Option<GenerationId>, Error> {
        let Some(replaced) = replaced else { return Ok(None) };
        let record = self.records.find(&GenerationKey::new(subject.organization.clone(), replaced.clone())).await?;
        let of = record.and_then(|record| record.accepted).filter(|of| of.accepted_subject == subject.subject);
        Ok(of.map(|_| replaced))
    }

    /// Who acts, for the audit.
    pub(in crate::verbs) fn actor(&self) -> Actor {
        Actor { key: self.caller_name(), user: self.user.clone(), request_id: self.request_id.as_deref().map(str::to_owned) }
    }
}

/// The revision and what is replaced; `None`: it is accepted already.
fn check(decision: Decision) -> Result<Option<(u64, Option<GenerationId>)>, Error> {
    match decision {
        Decision::Same => Ok(None),
        Decision::Accept { revision, replaces } => Ok(Some((revision, replaces))),
        Decision::OtherAccepted(other) => {
            let told = format!("generation {other} is accepted for this subject; `replace` puts this one in its place");
            Err(Error::AlreadyAccepted(told))
        }
        Decision::OtherSubject(other) => {
            Err(Error::AlreadyAccepted(format!("this generation is accepted for the subject {:?}", other.as_str())))
        }
    }
}

fn check_acceptable(record: &RecordRow) -> Result<(), Error> {
    let id = record.generation.to_string();
    let Some(outcome) = record.outcome.as_ref().filter(|_| record.status == Status::Completed) else {
        let status = if record.outcome.is_some() { record.status.as_str() } else { "not ended" };
        return Err(Error::NotCompleted(id, status));
    };
    match &outcome.last_validation_issue_id {
        Some(issue) => Err(Error::InvalidOutput(id, issue.clone())),
        None => Ok(()),
    }
}

/// The subject that is asked for, or else the one that the generation is about, which no other may take the place of.
fn subject_of(record: &RecordRow, asked: Option<SubjectId>) -> Result<SubjectId, Error> {
    match (asked, record.subject.clone()) {
        (Some(asked), Some(own)) if asked != own => {
            Err(Error::invalid("/subject", format!("must be {:?}, which the generation is about, or absent", own.as_str())))
        }
        (Some(subject), _) | (None, Some(subject)) => Ok(subject),
        (None, None) => Err(Error::invalid("/subject", "must be given, because the generation is about none")),
    }
}
