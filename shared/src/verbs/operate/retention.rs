//! `retention`: reports and removes what is older than it is kept, one organization at a time, and never what is in use.
//!
//! What expires by itself is not looked for: buffer and idempotency rows by their TTL, old versions and unfinished uploads by the
//! bucket's lifecycle.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use crate::app::App;
use crate::aws::Blobs;
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::limits::ORPHAN_AGE_MIN;

/// Generations in one page of the index.
const PAGE: i32 = 100;
/// Generations that are looked up side by side.
const CONCURRENCY: usize = 16;

/// What is kept, and how thoroughly the rest is looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionRules {
    /// How long a generation is kept after its end; `None`: for ever.
    pub keep: Option<Duration>,
    /// Whether rows without a record are looked for too, for which the whole table is read.
    pub rows: bool,
    /// Whether to remove what is found; otherwise it is only reported.
    pub apply: bool,
}

/// What was older than it is kept.
#[derive(Debug, Default)]
pub struct Retention {
    /// Generations that ended longer ago than they are kept.
    pub expired: Vec<GenerationId>,
    /// Generations that have objects and no record: a create or a purge died half-way.
    pub objects: Vec<GenerationId>,
    /// Generations that have rows and no record.
    pub rows: Vec<GenerationId>,
    /// Objects that are not of this product's form. They are reported, and never removed.
    pub foreign: Vec<String>,
    /// What could not be removed, and why.
    pub failed: Vec<(GenerationId, Error)>,
}

impl App {
    /// The organizations that have objects in the bucket: all that ever had output.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn organizations(&self) -> Result<Vec<Organization>, Error> {
        Ok(self.blobs.organizations().await?.into_iter().collect())
    }

    /// Finds, and with `apply` removes, what an organization has longer than it is kept. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Aws`] where something could not be looked up. What could not be removed is reported.
    pub async fn retention(&self, organization: &Organization, rules: RetentionRules) -> Result<Retention, Error> {
        let mut found = Retention::default();
        if let Some(keep) = rules.keep {
            self.expire(organization, keep, rules.apply, &mut found).await?;
        }
        let stored = self.blobs.stored(organization).await?;
        found.foreign = stored.foreign;
        // An imported generation's id is as old as its row there, while its objects are being put.
        let newest = self.clock.now_ms() - millis(ORPHAN_AGE_MIN);
        let settled = stored.generations.into_iter().filter(|(_, put_ms)| *put_ms <= newest).map(|(id, _)| id).collect();
        for key in self.orphans(organization, settled).await? {
            let removed = if rules.apply { self.delete_orphan(&key).await } else { Ok(()) };
            report(&mut found.objects, &mut found.failed, key.generation, removed);
        }
        let with_rows = if rules.rows { self.records.with_rows(organization).await? } else { BTreeSet::new() };
        for key in self.orphans(organization, with_rows).await? {
            let removed = if rules.apply { self.records.delete_rows(&key).await } else { Ok(()) };
            report(&mut found.rows, &mut found.failed, key.generation, removed);
        }
        Ok(found)
    }

    /// Deletes the objects of a generation that has no record: an import that was interrupted has left its source too.
    async fn delete_orphan(&self, key: &GenerationKey) -> Result<(), Error> {
        self.blobs.delete(key).await?;
        self.blobs.delete_objects(&[Blobs::source_key(key)]).await
    }

    async fn expire(&self, organization: &Organization, keep: Duration, apply: bool, found: &mut Retention) -> Result<(), Error> {
        let before_ms = self.clock.now_ms() - millis(keep);
        let before = GenerationId::first_at(before_ms);
        let mut after: Option<GenerationId> = None;
        loop {
            let page = self.records.older(organization, after.as_ref(), &before, PAGE).await?;
            let Some(last) = page.last().cloned() else { return Ok(()) };
            let records = stream::iter(page).map(|id| {
                let key = GenerationKey::new(organization.clone(), id);
                async move { Ok::<_, Error>((self.records.find(&key).await?, key)) }
            });
            let records: Vec<_> = records.buffered(CONCURRENCY).try_collect().await?;
            for (record, key) in records {
                let outcome = record.and_then(|record| record.outcome);
                if !is_past(outcome.as_ref().map(|outcome| outcome.completed_at.as_str()), before_ms) {
                    continue;
                }
                let removed = if apply { self.purge(&key).await.map(drop) } else { Ok(()) };
                report(&mut found.expired, &mut found.failed, key.generation, removed);
            }
            after = Some(last);
        }
    }

    /// Those of `ids` that have no record and cannot get one any more: a create with a key may be repeated for a day, and stores
    /// its request first.
    async fn orphans(&self, organization: &Organization, ids: BTreeSet<GenerationId>) -> Result<Vec<GenerationKey>, Error> {
        let newest = self.clock.now_ms() - millis(ORPHAN_AGE_MIN);
        let old = ids.into_iter().filter(|id| id.created_ms() <= newest).map(|id| GenerationKey::new(organization.clone(), id));
        stream::iter(old)
            .map(|key| async move { Ok::<_, Error>(self.records.find(&key).await?.is_none().then_some(key)) })
            .buffered(CONCURRENCY)
            .try_filter_map(|orphan| std::future::ready(Ok(orphan)))
            .try_collect()
            .await
    }
}

/// Whether something ended before this moment. What goes on is in use, however old it is, and what has an end that cannot be read is kept.
pub(in crate::verbs) fn is_past(ended_at: Option<&str>, before_ms: i64) -> bool {
    ended_at.and_then(millis_of).is_some_and(|ended| ended < before_ms)
}

/// Notes what was past its time, or that it could not be removed.
pub(in crate::verbs) fn report<I>(found: &mut Vec<I>, failed: &mut Vec<(I, Error)>, id: I, removed: Result<(), Error>) {
    match removed {
        Ok(()) => found.push(id),
        Err(error) => failed.push((id, error)),
    }
}
