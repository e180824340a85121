//! `retention`: tells and removes what is past its window, one organization at a time, and never what is in use.
//!
//! What ends by itself is not looked for: the buffer and the idempotency rows by their TTL, old versions and uploads that were
//! not finished by the bucket's lifecycle.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::app::App;
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::limits::ORPHAN_AGE_MIN;

/// Records read at once.
const PAGE: i32 = 100;

/// What is kept, and how thoroughly the rest is looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionRules {
    /// How long a generation is kept after its end; `None`: for ever.
    pub keep: Option<Duration>,
    /// Also rows without a record are looked for, for which the whole table is read.
    pub rows: bool,
    /// Remove what is found; otherwise it is only told.
    pub apply: bool,
}

/// What was past its window.
#[derive(Debug, Default)]
pub struct Retention {
    /// Generations that ended longer ago than they are kept.
    pub expired: Vec<GenerationId>,
    /// Generations without a record of which objects were left: by a create or a purge that died half-way.
    pub objects: Vec<GenerationId>,
    /// The same, of which rows were left.
    pub rows: Vec<GenerationId>,
    /// Objects that are not this product's. They are told, and stay.
    pub foreign: Vec<String>,
    /// What could not be removed, and why.
    pub failed: Vec<(GenerationId, Error)>,
}

impl App {
    /// The organizations that have something in the bucket, as all have that ever had output.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn organizations(&self) -> Result<Vec<Organization>, Error> {
        Ok(self.blobs.organizations().await?.into_iter().collect())
    }

    /// Finds, and with `apply` removes, what an organization has beyond its time. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Aws`]: it could not be looked for. What only could not be removed is told.
    pub async fn retention(&self, organization: &Organization, rules: RetentionRules) -> Result<Retention, Error> {
        let mut found = Retention::default();
        if let Some(keep) = rules.keep {
            self.expire(organization, keep, rules.apply, &mut found).await?;
        }
        let stored = self.blobs.stored(organization).await?;
        found.foreign = stored.foreign;
        for id in stored.generations {
            let key = GenerationKey::new(organization.clone(), id);
            if !self.is_orphan(&key).await? {
                continue;
            }
            let removed = if rules.apply { self.blobs.delete(&key).await } else { Ok(()) };
            note(&mut found.objects, &mut found.failed, key.generation, removed);
        }
        let with_rows = if rules.rows { self.records.with_rows(organization).await? } else { BTreeSet::new() };
        for id in with_rows {
            let key = GenerationKey::new(organization.clone(), id);
            if !self.is_orphan(&key).await? {
                continue;
            }
            let removed = if rules.apply { self.records.delete_rows(&key).await } else { Ok(()) };
            note(&mut found.rows, &mut found.failed, key.generation, removed);
        }
        Ok(found)
    }

    async fn expire(&self, organization: &Organization, keep: Duration, apply: bool, found: &mut Retention) -> Result<(), Error> {
        let before_ms = self.clock.now_ms() - millis(keep);
        let before = GenerationId::first_at(before_ms);
        let mut after: Option<GenerationId> = None;
        loop {
            let page = self.records.older(organization, after.as_ref(), &before, PAGE).await?;
            let Some(last) = page.last().cloned() else { return Ok(()) };
            for id in page {
                let key = GenerationKey::new(organization.clone(), id);
                // It counts from the end; what has none is in use, however old it is.
                let record = self.records.find(&key).await?;
                let ended = record.and_then(|record| record.outcome).and_then(|outcome| millis_of(&outcome.completed_at));
                if ended.is_none_or(|ended| ended >= before_ms) {
                    continue;
                }
                let removed = if apply { self.purge(&key).await.map(drop) } else { Ok(()) };
                note(&mut found.expired, &mut found.failed, key.generation, removed);
            }
            after = Some(last);
        }
    }

    /// Whether a generation has no record and can get none any more: a create with a key may be repeated for a day, and
    /// stores its request first.
    async fn is_orphan(&self, key: &GenerationKey) -> Result<bool, Error> {
        if key.generation.created_ms() > self.clock.now_ms() - millis(ORPHAN_AGE_MIN) {
            return Ok(false);
        }
        Ok(self.records.find(key).await?.is_none())
    }
}

fn note(found: &mut Vec<GenerationId>, failed: &mut Vec<(GenerationId, Error)>, id: GenerationId, removed: Result<(), Error>) {
    match removed {
        Ok(()) => found.push(id),
        Err(error) => failed.push((id, error)),
    }
}
