//! Versions: read, made by hand, restored, and labelled.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Tries;
use crate::app::App;
use crate::aws::{Added, VersionSource};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::SubjectKey;
use crate::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, OUTPUT_INLINE_BYTES_MAX, OUTPUT_URL_TTL, VERSION_LABELS_MAX};
use crate::subjects::body::Edit;
use crate::subjects::version::{Change, Version, VersionView};
use crate::subjects::{Stale, Subject};
use crate::verbs::generations::list::page_limit;

/// A page of versions, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them.
    pub data: Vec<VersionView>,
    /// Whether there are more.
    pub has_more: bool,
    /// The `before` of the next page: the last version's number.
    pub last_number: Option<u64>,
}

/// A version's text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionOutput {
    /// Always `version_output`.
    #[serde(skip_deserializing, default = "output")]
    pub object: &'static str,
    /// The version.
    pub number: u64,
    /// The text; `None` where it is larger than [`OUTPUT_INLINE_BYTES_MAX`].
    pub text: Option<String>,
    /// The text's length in bytes.
    pub bytes: u64,
    /// The text's SHA-256 in hex.
    pub sha256: String,
    /// A presigned URL for a larger text; valid for [`OUTPUT_URL_TTL`].
    pub url: Option<String>,
}

const fn list() -> &'static str {
    "list"
}

const fn output() -> &'static str {
    "version_output"
}

impl App {
    /// A page of versions, newest first, those before the number `before` if it is given.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::SubjectNotFound`], [`Error::Aws`].
    pub async fn versions(&self, key: &SubjectKey, before: Option<u64>, limit: Option<usize>) -> Result<VersionList, Error> {
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        let subject = self.known_subject(key).await?;
        let newest = before.map_or(subject.current, |before| before.saturating_sub(1).min(subject.current));
        let mut found = self.records.versions(key, (1, newest), false, limit + 1).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let data: Vec<VersionView> = found.into_iter().map(|version| view(key, &subject, version)).collect();
        let last_number = data.last().map(|version| version.version.number);
        Ok(VersionList { object: "list", data, has_more, last_number })
    }

    /// One version; `None`: the current one.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::VersionNotFound`], [`Error::Aws`].
    pub async fn version(&self, key: &SubjectKey, number: Option<u64>) -> Result<VersionView, Error> {
        let Some(number) = number else {
            let subject = self.known_subject(key).await?;
            let version = self.stored_version(key, subject.current).await?;
            return Ok(view(key, &subject, version));
        };
        // The version first: a subject that was read before it may not know of it yet.
        let version = self.stored_version(key, number).await;
        let subject = self.known_subject(key).await?;
        Ok(view(key, &subject, version?))
    }

    /// The text of a version; `None`: of the current one.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::VersionNotFound`], [`Error::Aws`].
    pub async fn version_output(&self, key: &SubjectKey, number: Option<u64>) -> Result<VersionOutput, Error> {
        let subject = self.known_subject(key).await?;
        let Version { number, bytes, sha256, .. } = self.stored_version(key, number.unwrap_or(subject.current)).await?;
        let (text, url) = if bytes > OUTPUT_INLINE_BYTES_MAX {
            (None, Some(self.blobs.text_url(key, &sha256, bytes, OUTPUT_URL_TTL).await?))
        } else {
            let text = self.blobs.text(key, &sha256, bytes).await?;
            (Some(text.ok_or_else(|| Error::VersionNotFound(key.subject.to_string(), number.to_string()))?), None)
        };
        Ok(VersionOutput { object: "version_output", number, text, bytes, sha256, url })
    }

    /// Makes a version by hand. `made_from` is the number that the current version must have.
    ///
    /// # Errors
    /// [`Error::VersionChanged`], [`Error::SubjectContended`], [`Error::Aws`].
    pub async fn edit_subject(&self, key: &SubjectKey, edit: Edit, made_from: Option<u64>) -> Result<VersionView, Error> {
        let current = self.records.subject(key).await?.unwrap_or_default().current;
        if made_from.is_some_and(|from| from != current) {
            return Err(Error::VersionChanged(key.subject.to_string(), current));
        }
        let bytes = edit.text.len() as u64;
        let sha256 = self.blobs.put_text(key, edit.text.into_bytes()).await?;
        let version = Version::by_hand(sha256, bytes, edit.reason, self.caller_name(), rfc3339(self.clock.now_ms()));
        made(key, self.add_version(key, &Change::Edit { made_from }, version).await?)
    }

    /// Makes a version with the text of an earlier one; `None`: of the current one.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::VersionNotFound`], [`Error::VersionChanged`], [`Error::SubjectContended`], [`Error::Aws`].
    pub async fn restore_version(
        &self,
        key: &SubjectKey,
        number: Option<u64>,
        reason: Option<String>,
        made_from: Option<u64>,
    ) -> Result<VersionView, Error> {
        let current = self.known_subject(key).await?.current;
        if made_from.is_some_and(|from| from != current) {
            return Err(Error::VersionChanged(key.subject.to_string(), current));
        }
        let source = self.stored_version(key, number.unwrap_or(current)).await?;
        let version = source.restored(reason, self.caller_name(), rfc3339(self.clock.now_ms()));
        made(key, self.add_version(key, &Change::Restoration { made_from }, version).await?)
    }

    /// Sets the labels of a version, `None`: of the current one, in place of its own. A label that another version had moves.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::VersionNotFound`], [`Error::InvalidRequest`]: the subject would have too many.
    /// [`Error::SubjectContended`], [`Error::Aws`].
    pub async fn label_version(
        &self,
        key: &SubjectKey,
        number: Option<u64>,
        labels: BTreeSet<String>,
    ) -> Result<VersionView, Error> {
        let mut tries = Tries::new(key);
        loop {
            let subject = self.known_subject(key).await?;
            let number = number.unwrap_or(subject.current);
            let version = self.stored_version(key, number).await?;
            let next = subject.with_labels(number, labels.clone(), &rfc3339(self.clock.now_ms()));
            if next.version_labels.len() > VERSION_LABELS_MAX {
                let expected = format!("must leave the subject with at most {VERSION_LABELS_MAX} labels on its versions");
                return Err(Error::invalid("/labels", expected));
            }
            // Nothing is written where nothing changes.
            if next.version_labels == subject.version_labels || self.records.change_subject(key, subject.revision, &next).await? {
                return Ok(view(key, &next, version));
            }
            tries.again().await?;
        }
    }

    /// Stores a version under the next number, and returns it with that. `None`: the generation has a version already, or the version
    /// that is to be restored is gone.
    ///
    /// # Errors
    /// [`Error::VersionChanged`], [`Error::SubjectContended`], [`Error::Aws`].
    pub(in crate::verbs) async fn add_version(
        &self,
        key: &SubjectKey,
        change: &Change,
        version: Version,
    ) -> Result<Option<Version>, Error> {
        let source = VersionSource::of(change);
        let mut tries = Tries::new(key);
        loop {
            let subject = self.records.subject(key).await?.unwrap_or_default();
            let stale = |Stale(current)| Error::VersionChanged(key.subject.to_string(), current);
            let (next, change_type) = subject.with_version(change, version.bytes, &version.created_at).map_err(stale)?;
            let numbered = Version { number: next.current, change_type, ..version.clone() };
            // Of a generation's version `settle` tells itself, if its record says so.
            let is_of_generation = matches!(change, Change::Generation(_));
            let told = if is_of_generation { None } else { self.version_told(key, &numbered).await? };
            match self.records.add_version(key, subject.revision, &next, &numbered, source, told.as_ref()).await? {
                Added::Stored => return Ok(Some(numbered)),
                Added::Known | Added::SourceGone => return Ok(None),
                Added::Changed => tries.again().await?,
            }
        }
    }

    /// The subject, which exists and is not being deleted.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::Aws`].
    pub(in crate::verbs) async fn known_subject(&self, key: &SubjectKey) -> Result<Subject, Error> {
        let found = self.records.subject(key).await?.filter(|subject| !subject.deleting);
        found.ok_or_else(|| Error::SubjectNotFound(key.subject.to_string()))
    }

    /// The version of this number.
    ///
    /// # Errors
    /// [`Error::VersionNotFound`], [`Error::Aws`].
    pub(super) async fn stored_version(&self, key: &SubjectKey, number: u64) -> Result<Version, Error> {
        let absent = || Error::VersionNotFound(key.subject.to_string(), number.to_string());
        self.records.version(key, number).await?.ok_or_else(absent)
    }

    /// The id of the caller's key, for what it makes.
    pub(in crate::verbs) fn caller_name(&self) -> Option<String> {
        self.caller.as_ref().map(ToString::to_string)
    }
}

/// A version that was made by hand, as callers see it.
fn made(key: &SubjectKey, version: Option<Version>) -> Result<VersionView, Error> {
    let version = version.ok_or_else(|| Error::VersionNotFound(key.subject.to_string(), "that is to be restored".into()))?;
    tracing::info!(
        subject = %key.subject, organization = %key.organization, number = version.number, change = ?version.change_type,
        "A version was made by hand."
    );
    Ok(VersionView { object: "version", subject: key.subject.clone(), labels: BTreeSet::new(), is_current: true, version })
}

/// A version of `subject` as callers see it.
pub(super) fn view(key: &SubjectKey, subject: &Subject, version: Version) -> VersionView {
    VersionView {
        object: "version",
        subject: key.subject.clone(),
        labels: subject.labels_of(version.number),
        is_current: version.number == subject.current,
        version,
    }
}
