//! `settle`: what an ended generation changes beyond itself. A completed one with a subject becomes the subject's next version, and whoever
//! is to be told of the end is told.
//!
//! May run twice, late, or beside itself: the version and the note of which generation it came from are written in one transaction, which
//! the note refuses the second time. Where nothing is to be changed, nothing is written.

use serde::Serialize;
use tracing::Instrument;

use crate::app::App;
use crate::aws::{Outcome, RecordRow};
use crate::clock::{millis_of, rfc3339};
use crate::error::Error;
use crate::generation::Status;
use crate::generation::list_query::{ListQuery, Order};
use crate::ids::{GenerationKey, Organization, SubjectKey};
use crate::limits::LIST_LIMIT_MAX;
use crate::subjects::version::{Change, ChangeType, Version};
use crate::telemetry::{generation_span, record_span_fields};

/// What an ended generation has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// Nothing: it has no subject or no result, or it is gone.
    Nothing,
    /// It has become the version of this number.
    Version(u64),
    /// It had become that version before.
    HadVersion(u64),
}

impl Settled {
    /// The version's number.
    pub(in crate::verbs) const fn number(self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Version(number) | Self::HadVersion(number) => Some(number),
        }
    }
}

impl App {
    /// Settles a generation that has ended.
    ///
    /// # Errors
    /// [`Error::SubjectContended`], [`Error::Aws`]: it may be done again. [`Error::LogDamaged`].
    pub async fn settle(&self, key: &GenerationKey) -> Result<Settled, Error> {
        let span = generation_span!("settle", key);
        Box::pin(self.settle_within(key)).instrument(span).await
    }

    /// Settles one of those. Whether it had no version yet.
    async fn settle_again(&self, organization: &Organization, record: &RecordRow, apply: bool) -> Result<bool, Error> {
        let is_missing = match (record.status, record.subject.clone()) {
            (Status::Completed, Some(subject)) => {
                let subject = SubjectKey::new(organization.clone(), subject);
                self.records.version_of(&subject, &record.generation).await?.is_none()
            }
            _ => false,
        };
        // Told again, an end is known already.
        let is_to_be_told = record.outcome.is_some() && record.on_end().is_some();
        if !apply || !is_missing && !is_to_be_told {
            return Ok(is_missing);
        }
        Ok(matches!(self.settle(&record.key()).await?, Settled::Version(_)))
    }

    async fn settle_within(&self, key: &GenerationKey) -> Result<Settled, Error> {
        let Some(record) = self.records.find(key).await? else { return Ok(Settled::Nothing) };
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        let settled = self.settle_version(key, &record).await?;
        // Last, so that what is told is there to be read. Told again, it is known already.
        self.tell_end(&record, settled.number()).await?;
        Ok(settled)
    }

    async fn settle_version(&self, key: &GenerationKey, record: &RecordRow) -> Result<Settled, Error> {
        let (Status::Completed, Some(outcome), Some(subject)) = (record.status, &record.outcome, record.subject.clone()) else {
            return Ok(Settled::Nothing);
        };
        let (Some(sha256), Some(_)) = (&outcome.sha256, &outcome.compacted) else { return Ok(Settled::Nothing) };
        let subject = SubjectKey::new(key.organization.clone(), subject);
        if let Some(number) = self.records.version_of(&subject, &key.generation).await? {
            return Ok(Settled::HadVersion(number));
        }
        if !self.blobs.adopt_text(&subject, key, sha256, outcome.bytes).await? {
            // It was purged in the meantime.
            return Ok(Settled::Nothing);
        }
        let version = generated(record, outcome, sha256, rfc3339(self.clock.now_ms()));
        let settled = match self.add_version(&subject, &Change::Generation(key.generation.clone()), version).await? {
            Some(version) => Settled::Version(version.number),
            None => match self.records.version_of(&subject, &key.generation).await? {
                Some(number) => Settled::HadVersion(number),
                None => Settled::Nothing,
            },
        };
        tracing::info!(subject = %subject.subject, settled = ?settled, "A generation was settled.");
        Ok(settled)
    }

    /// Settles the generations of an organization that were created from `since_ms` on and have completed, oldest first; without `apply`
    /// only tells how many have no version yet.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub async fn settle_since(&self, organization: &Organization, since_ms: i64, apply: bool) -> Result<u64, Error> {
        let query = ListQuery { since_ms: Some(since_ms), order: Order::Ascending, ..ListQuery::default() };
        let (mut settled, mut after) = (0, None);
        loop {
            let page = self.records.list(organization, after.as_ref(), &query, LIST_LIMIT_MAX).await?;
            for record in &page.records {
                settled += u64::from(self.settle_again(organization, record, apply).await?);
            }
            after = page.records.last().map(|record| record.generation.clone());
            if !page.has_more || after.is_none() {
                return Ok(settled);
            }
        }
    }
}

fn generated(record: &RecordRow, outcome: &Outcome, sha256: &str, created_at: String) -> Version {
    let origin = record.origin.clone().unwrap_or_default();
    let [created, completed] = [&record.created_at, &outcome.completed_at].map(|at| millis_of(at));
    Version {
        number: 0,
        change_type: ChangeType::AutomaticRegeneration,
        reason: origin.reason,
        created_by: origin.created_by,
        created_at,
        generation: Some(record.generation.clone()),
        run: None,
        restored_from: None,
        provider: Some(record.provider.clone()),
        model: Some(record.model.clone()),
        temperature: origin.temperature,
        duration_ms: completed.zip(created).and_then(|(completed, created)| u64::try_from(completed - created).ok()),
        usage: outcome.usage,
        cost: outcome.cost,
        prompt_sha256: Some(origin.prompt_sha256).filter(|sha256| !sha256.is_empty()),
        sha256: sha256.to_owned(),
        bytes: outcome.bytes,
    }
}
