//! Subjects: begun, read, described, listed and deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::Tries;
use crate::acceptance::audited_deletion;
use crate::app::App;
use crate::audit::{Action, Entry, Object, moment};
use crate::aws::{RecordRow, SubjectDeletion};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::{Organization, SubjectId, SubjectKey};
use crate::limits::{LABEL_CHARS_MAX, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_SCAN_MAX, SUBJECT_CHARS_MAX};
use crate::notifications::notify::Notify;
use crate::notifications::subscriptions::Topic;
use crate::notifications::{EventType, Notification};
use crate::subjects::version::Origin;
use crate::subjects::{Details, SubjectView};
use crate::verbs::generations::list::page_limit;

/// A page of subjects, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubjectList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them. With a label, a page may have fewer than there are, and none.
    pub data: Vec<SubjectView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page: the name of the last subject that was looked at.
    pub last_id: Option<SubjectId>,
}

const fn list() -> &'static str {
    "list"
}

impl App {
    /// The record of a new generation, with what its subject adds: the subject appears, and earlier versions tell how long the text may
    /// become, where the request does not. The subject of a batch's item is read alone, and appears with its first version: the batch itself
    /// tells what was started.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn about_subject(&self, request: &Request, mut record: RecordRow) -> Result<RecordRow, Error> {
        let Some(subject) = &request.subject else { return Ok(record) };
        let key = SubjectKey::new(record.organization.clone(), subject.clone());
        let head = match record.parent {
            Some(_) => self.records.subject(&key).await?,
            None => self.records.note_start(&key, &record.generation, &record.created_at).await?,
        };
        record.origin = Some(Origin {
            reason: request.change_reason.clone(),
            created_by: self.caller_name(),
            temperature: request.temperature,
            prompt_sha256: request.prompt_sha256(),
        });
        if record.expected_total_chunks.is_none() && record.expected_total_bytes.is_none() {
            record.expected_total_bytes = head.and_then(|head| head.expected_bytes());
        }
        Ok(record)
    }

    /// A subject.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::Aws`].
    pub async fn subject(&self, key: &SubjectKey) -> Result<SubjectView, Error> {
        Ok(self.known_subject(key).await?.view(key.subject.clone()))
    }

    /// Describes a subject, in place of what was said of it before. It appears, where there was none.
    ///
    /// # Errors
    /// [`Error::SubjectContended`], [`Error::Aws`].
    pub async fn describe_subject(&self, key: &SubjectKey, details: Details) -> Result<SubjectView, Error> {
        let mut tries = Tries::new(key);
        loop {
            let subject = self.records.subject(key).await?.unwrap_or_default();
            let next = subject.with_details(details.clone(), &rfc3339(self.clock.now_ms()));
            if self.records.change_subject(key, subject.revision, &next).await? {
                return Ok(next.view(key.subject.clone()));
            }
            tries.again().await?;
        }
    }

    /// A page of the subjects whose names begin with `prefix` and which have the label, those behind `after`. A label looks at
    /// [`LIST_SCAN_MAX`] subjects at most.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `prefix`, `label` or `limit` is out of bounds. [`Error::Aws`].
    pub async fn subjects(
        &self,
        organization: &Organization,
        prefix: &str,
        label: Option<&str>,
        after: Option<SubjectId>,
        limit: Option<usize>,
    ) -> Result<SubjectList, Error> {
        for (name, given, most) in [("prefix", prefix, SUBJECT_CHARS_MAX), ("label", label.unwrap_or_default(), LABEL_CHARS_MAX)]
        {
            if given.chars().count() > most {
                return Err(Error::invalid(name, format!("must have at most {most} characters")));
            }
        }
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        let mut page = SubjectList { object: "list", data: Vec::new(), has_more: true, last_id: after };
        let mut scanned = 0;
        while page.has_more && page.data.len() < limit && scanned < LIST_SCAN_MAX {
            let most = if label.is_some() { LIST_LIMIT_MAX } else { limit - page.data.len() };
            let found = self.records.subjects(organization, prefix, page.last_id.as_ref(), most).await?;
            (page.has_more, scanned) = (found.has_more, scanned + most);
            page.last_id = found.last.or(page.last_id);
            let has_label = |labels: &BTreeSet<String>| label.is_none_or(|label| labels.contains(label));
            let mut selected = found.subjects.into_iter().filter(|(_, subject)| has_label(&subject.details.labels));
            page.data.extend(selected.by_ref().take(limit - page.data.len()).map(|(name, subject)| subject.view(name)));
            if selected.next().is_some() {
                page.has_more = true;
                page.last_id = page.data.last().map(|subject| subject.id.clone());
            }
        }
        page.last_id = page.last_id.filter(|_| page.has_more || !page.data.is_empty());
        Ok(page)
    }

    /// Deletes a subject with all its versions; its generations stay. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::SubjectContended`], [`Error::Aws`].
    pub async fn delete_subject(&self, key: &SubjectKey) -> Result<(), Error> {
        // First, so that no version is made meanwhile, whose rows would be left over.
        self.begin_deletion(key).await?;
        self.records.delete_subject_rows(key, false).await?;
        let objects = self.blobs.of_subject(key, Duration::ZERO, self.clock.now_ms()).await?;
        self.blobs.delete_objects(&objects).await?;
        self.records.delete_subject_rows(key, true).await?;
        tracing::info!(subject = %key.subject, organization = %key.organization, "A subject was deleted.");
        Ok(())
    }

    /// Marks a subject as being deleted, with the entry in the audit, and what receivers are told. One that is marked is gone on with.
    async fn begin_deletion(&self, key: &SubjectKey) -> Result<(), Error> {
        let mut tries = Tries::new(key);
        loop {
            let absent = || Error::SubjectNotFound(key.subject.to_string());
            let subject = self.records.subject(key).await?.ok_or_else(absent)?;
            if subject.deleting {
                return Ok(());
            }
            let accepted = subject.accepted.as_ref();
            let at_ms = moment(self.clock.now_ms(), accepted.map(|accepted| accepted.accepted_at.as_str()));
            let revision = accepted.map_or(0, |accepted| accepted.revision) + 1;
            let id = key.subject.as_str();
            let object = Object { kind: "subject", id, subject: &key.subject, generation: None, revision };
            let change = audited_deletion(accepted);
            let entry = Entry::new(&key.organization, at_ms, &self.actor(), Action::Delete, &object, change);
            let generation = self.still_accepted(key, accepted.map(|accepted| accepted.generation.clone())).await?;
            let told = if self.settings(&key.organization).await?.topics.contains(&Topic::Subjects) {
                let data = Map::from_iter([("subject".to_owned(), json!(id)), ("status".to_owned(), json!("deleted"))]);
                let (event, to) = (EventType::SubjectDeleted, Notify::default());
                Some(Notification::at_moment(&key.organization, event, id, at_ms, data, &to))
            } else {
                None
            };
            let deletion = SubjectDeletion {
                accepted: accepted.map(|accepted| accepted.revision),
                generation: generation.as_ref(),
                entry: &entry,
                told: told.as_ref(),
            };
            if self.records.mark_deleting(key, deletion).await? {
                return Ok(());
            }
            tries.again().await?;
        }
    }
}
