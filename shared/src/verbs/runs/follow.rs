//! How the outcomes of steps' generations reach their runs, and how a result reaches its subject: from `settle`.

use crate::app::App;
use crate::aws::{Blobs, RecordRow};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::{Organization, RunKey, SubjectKey};
use crate::limits::LIST_LIMIT_MAX;
use crate::runs::plan::Act;
use crate::runs::{News, RunStatus};
use crate::subjects::version::{Change, ChangeType, Version};
use crate::verbs::runs::advance::told;
use crate::verbs::subjects::settle::Settled;

impl App {
    /// Counts ended generations in the run that they are tries of steps of, and starts what can be then. What was counted before changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Aws`]; [`Error::RunContended`]. The same call may be made again.
    pub async fn settle_steps(&self, run: &RunKey, records: &[RecordRow]) -> Result<(), Error> {
        let news: Vec<News> = records.iter().filter_map(|record| told(record).map(|(_, news)| news)).collect();
        Box::pin(self.take_on(run, &news, Act::GoOn)).await
    }

    /// Makes the result of a run that has completed the next version of its subject, once.
    ///
    /// # Errors
    /// [`Error::SubjectContended`], [`Error::Aws`]: it may be done again.
    pub async fn settle_run(&self, key: &RunKey) -> Result<Settled, Error> {
        let Some(row) = self.records.run(key).await?.filter(|row| row.progress.status == RunStatus::Completed) else {
            return Ok(Settled::Nothing);
        };
        let Some(subject) = row.result_subject.clone() else { return Ok(Settled::Nothing) };
        let subject = SubjectKey::new(key.organization.clone(), subject);
        if let Some(number) = self.records.version_of_run(&subject, &key.run).await? {
            return Ok(Settled::HadVersion(number));
        }
        // It was deleted in the meantime.
        let Some(result) = self.blobs.get(&Blobs::run_result_key(key)).await? else { return Ok(Settled::Nothing) };
        let bytes = result.len() as u64;
        let sha256 = self.blobs.put_text(&subject, result).await?;
        let version = Version {
            number: 0,
            change_type: ChangeType::InitialGeneration,
            reason: None,
            created_by: row.created_by.as_ref().map(ToString::to_string),
            created_at: rfc3339(self.clock.now_ms()),
            generation: None,
            run: Some(key.run.clone()),
            restored_from: None,
            provider: None,
            model: None,
            temperature: None,
            duration_ms: duration_ms(row.started_at.as_deref(), row.ended_at.as_deref()),
            usage: None,
            cost: Some(row.progress.cost),
            prompt_sha256: None,
            sha256,
            bytes,
        };
        let settled = match self.add_version(&subject, &Change::Run(key.run.clone()), version).await? {
            Some(version) => Settled::Version(version.number),
            None => match self.records.version_of_run(&subject, &key.run).await? {
                Some(number) => Settled::HadVersion(number),
                None => Settled::Nothing,
            },
        };
        tracing::info!(run = %key.run, subject = %subject.subject, settled = ?settled, "A run was settled.");
        Ok(settled)
    }

    /// Settles the runs of an organization that were created from `since_ms` on and have completed; without `apply` only tells how many have
    /// a subject and no version yet.
    ///
    /// # Errors
    /// As [`Self::settle_run`].
    pub(in crate::verbs) async fn settle_runs_since(
        &self,
        organization: &Organization,
        since_ms: i64,
        apply: bool,
    ) -> Result<u64, Error> {
        let (mut settled, mut after) = (0, None);
        loop {
            let page = self.records.runs(organization, after.as_ref(), LIST_LIMIT_MAX).await?;
            for row in page.runs.iter().filter(|row| row.id().created_ms() >= since_ms) {
                let Some(subject) = row.result_subject.clone() else { continue };
                let (key, subject) =
                    (RunKey::new(organization.clone(), row.id().clone()), SubjectKey::new(organization.clone(), subject));
                if self.records.version_of_run(&subject, &key.run).await?.is_none() {
                    settled += u64::from(!apply || matches!(self.settle_run(&key).await?, Settled::Version(_)));
                }
            }
            after = page.last.filter(|last| page.has_more && last.created_ms() >= since_ms);
            if after.is_none() {
                return Ok(settled);
            }
        }
    }
}

/// Milliseconds between two times, RFC 3339.
pub(super) fn duration_ms(from: Option<&str>, to: Option<&str>) -> Option<u64> {
    let [from, to] = [from?, to?].map(crate::clock::millis_of);
    u64::try_from(to? - from?).ok()
}
