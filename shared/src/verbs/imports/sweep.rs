//! `sweep` of imports: one that was begun, and whose process is gone, is gone on with. What it must not or cannot make is told by its state.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};

use super::step::Step;
use crate::app::App;
use crate::audit::moment;
use crate::aws::OpenImport;
use crate::clock::{millis, millis_of, rfc3339};
use crate::documents::DocumentRef;
use crate::error::Error;
use crate::imports::{AttemptResult, Import, ImportState};
use crate::limits::{IMPORT_STALLED, IMPORT_SWEPT_MAX};
use crate::verbs::batches::sweep::SweptJobs;

/// Imports that are gone on with side by side.
const CONCURRENCY: usize = 4;

impl App {
    /// Goes on with every import that is `started`, and has not changed for [`IMPORT_STALLED`]. No check begins once `is_time` says no; an
    /// error of one does not affect the others.
    pub(in crate::verbs) async fn sweep_imports(&self, open: Vec<OpenImport>, is_time: impl Fn() -> bool + Sync) -> SweptJobs {
        let mut swept = SweptJobs { open: open.len() as u64, ..SweptJobs::default() };
        let checks = open.into_iter().take_while(|_| is_time()).map(|open| {
            async move {
                let checked = self.sweep_import(&open).await;
                checked
                    .inspect_err(|error| tracing::error!(import = %open.import, %error, "An import could not be swept."))
                    .is_err()
            }
            .boxed()
        });
        let mut checks = stream::iter(checks).buffer_unordered(CONCURRENCY);
        while let Some(has_failed) = checks.next().await {
            swept.errors += u64::from(has_failed);
        }
        swept
    }

    async fn sweep_import(&self, open: &OpenImport) -> Result<(), Error> {
        let held = self.records.import(&open.subject, &open.import).await?;
        let Some(held) = held.filter(|held| held.state == ImportState::Started) else { return Ok(()) };
        let since = |at: &str| self.clock.now_ms() - millis_of(at).unwrap_or_default();
        if since(&held.updated_at) < millis(IMPORT_STALLED) {
            return Ok(());
        }
        // What it makes is made for who asked for it.
        let app = self.clone().by(held.by.as_ref().and_then(|by| by.parse().ok()), None);
        match app.resume_import(open, &held).await {
            Ok(()) | Err(Error::SubjectNotFound(_) | Error::ImportContended(_)) => Ok(()),
            // The store is away: the next sweep tries again.
            Err(error @ Error::Aws { .. }) if since(&held.begun_at) < millis(IMPORT_SWEPT_MAX) => Err(error),
            Err(error) => app.give_up_import(open, &error.public_detail()).await,
        }
    }

    async fn resume_import(&self, open: &OpenImport, held: &Import) -> Result<(), Error> {
        let key = crate::ids::GenerationKey::new(open.subject.organization.clone(), held.generation.clone());
        let record = self.records.get(&key).await?;
        let importer = DocumentRef { name: held.importer.clone(), version: held.importer_version };
        let planned = Box::pin(self.plan_import(&open.subject, &record, Some(&importer))).await?;
        if planned.id != held.id {
            return Err(Error::ImporterNotFound(format!("{}, as it was when the import began", held.importer)));
        }
        tracing::warn!(
            import = %held.id, organization = %open.subject.organization, subject = %open.subject.subject,
            "An import has stalled, and is gone on with."
        );
        Box::pin(self.import_generation(&open.subject, planned)).await.map(drop)
    }

    /// Tells that an import broke off, unless it has changed since.
    async fn give_up_import(&self, open: &OpenImport, why: &str) -> Result<(), Error> {
        let held = self.records.import(&open.subject, &open.import).await?;
        let Some(held) = held.filter(|held| held.state == ImportState::Started) else { return Ok(()) };
        let at_ms = moment(self.clock.now_ms(), Some(&held.updated_at));
        let next = held.next(ImportState::Failed, held.by.clone(), &rfc3339(at_ms));
        let (result, error) = (Some(AttemptResult::Failed), Some(why.to_owned()));
        let step = Step { state: next.state, result, error, ..Step::default() };
        self.write_step(&open.subject, Some(&held), &next, step, at_ms).await.map(drop)
    }
}

/// A sweep must not go on with what a request still writes.
const _: () = assert!(IMPORT_STALLED.as_secs() > Duration::from_secs(29).as_secs(), "`api` works for 29 seconds at most");
