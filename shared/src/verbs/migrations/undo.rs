//! Undo: takes back what a run has written, the last change first, as far as nobody has changed it since.

use std::collections::HashSet;

use tokio::time::{Instant, sleep};

use super::lock::lost;
use super::run::RunOptions;
use crate::app::App;
use crate::aws::{MigrationRow, MigrationStatus};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::MigrationId;
use crate::migrations::journal::segment_key;
use crate::migrations::{Change, RowState, pace};

/// What an undo has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoneMigration {
    /// Units that are as they were before the run.
    pub undone: u64,
    /// Units that the run had not written.
    pub not_written: u64,
    /// Units that others have changed since. They are left as they are.
    pub changed_since: Vec<String>,
    /// Objects that were deleted.
    pub objects: u64,
}

impl App {
    /// Undoes a run. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Configuration`]: there is no such run of this migration, or another run is going on. [`Error::Aws`].
    pub async fn undo_migration(&self, name: &str, id: &MigrationId, options: &RunOptions) -> Result<UndoneMigration, Error> {
        let app = self.metered();
        let held = app.lock_migration(id, options.lease).await?;
        let mut row = app.known_migration(id).await?;
        if row.migration != name {
            held.release().await?;
            return Err(Error::Configuration(format!("run {id} is of {}, not of {name}", row.migration)));
        }
        if let Some(number) = app.missing_segment(&row, id).await? {
            held.release().await?;
            let message = format!("run {id} cannot be undone: segment {number} of its journal is gone");
            return Err(Error::Configuration(message));
        }
        app.set_status(id, &mut row, MigrationStatus::Undoing).await?;
        let (undone, kept) = (UndoneMigration::default(), HashSet::new());
        let mut undo = Undo { app: &app, holder: held.holder(), undone, kept };
        let (began, mut refused) = (Instant::now(), Vec::new());
        let mut number = app.segments(&row, id).await?;
        while number > 0 {
            number -= 1;
            let Some(segment) = app.journal_segment(name, id, number).await? else { continue };
            for change in segment.changes.iter().rev() {
                held.check()?;
                // Refused in this segment, it was not written by it, but by the next one.
                if refused.contains(&change.unit) {
                    undo.refused(change).await?;
                } else {
                    undo.change(change).await?;
                }
                #[expect(clippy::cast_precision_loss, reason = "an average")]
                let units = app.meter().reading().write_units as f64;
                sleep(pace::pause(units, began.elapsed(), options.write_units_per_second)).await;
            }
            refused = segment.head.refused;
        }
        let undone = undo.undone;
        app.set_status(id, &mut row, MigrationStatus::Undone).await?;
        held.release().await?;
        Ok(undone)
    }

    async fn set_status(&self, id: &MigrationId, row: &mut MigrationRow, status: MigrationStatus) -> Result<(), Error> {
        row.status = status;
        row.updated_at = rfc3339(self.clock.now_ms());
        self.records.put_migration(id, row).await
    }

    /// The first segment that the row tells, and that the bucket has not.
    async fn missing_segment(&self, row: &MigrationRow, id: &MigrationId) -> Result<Option<u64>, Error> {
        for number in 0..row.segments {
            if self.blobs.read(&segment_key(&row.migration, id.as_str(), number)).await?.is_none() {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// The number of segments that the journal has: those that the row tells, and what was begun behind them.
    async fn segments(&self, row: &MigrationRow, id: &MigrationId) -> Result<u64, Error> {
        let mut number = row.segments;
        while self.journal_segment(&row.migration, id, number).await?.is_some() {
            number += 1;
        }
        Ok(number)
    }
}

/// An undo that is going on.
struct Undo<'a> {
    app: &'a App,
    holder: &'a str,
    undone: UndoneMigration,
    /// Objects of units that are left as they are.
    kept: HashSet<String>,
}

impl Undo<'_> {
    /// A change that was not written: its objects go, unless its rows are there all the same, because the answer was lost that said so and
    /// somebody has changed them since.
    async fn refused(&mut self, change: &Change) -> Result<(), Error> {
        for row in change.rows.iter().filter(|row| row.is_new) {
            if row.state(self.app.records.stored_row(&row.key).await?.as_ref()) == RowState::Before {
                continue;
            }
            self.undone.changed_since.push(change.unit.clone());
            self.kept.extend(change.objects.iter().map(|object| object.object.clone()));
            return Ok(());
        }
        self.delete_objects(change).await
    }

    async fn change(&mut self, change: &Change) -> Result<(), Error> {
        let records = &self.app.records;
        let mut states = Vec::with_capacity(change.rows.len());
        for row in &change.rows {
            states.push(row.state(records.stored_row(&row.key).await?.as_ref()));
        }
        let has_new = change.rows.iter().any(|row| row.is_new);
        // Of what appeared with the change nothing is there; where nothing was to appear, nothing is changed.
        let mut telling = change.rows.iter().zip(&states).filter(|(row, _)| row.is_new == has_new);
        if states.iter().all(|state| *state == RowState::After) && records.undo_changes(&change.rows, self.holder).await? {
            self.undone.undone += 1;
        } else if telling.all(|(_, state)| *state == RowState::Before) {
            self.undone.not_written += 1;
        } else if records.holds_migrations_lock(self.holder).await? {
            self.undone.changed_since.push(change.unit.clone());
            self.kept.extend(change.objects.iter().map(|object| object.object.clone()));
            return Ok(());
        } else {
            return Err(lost());
        }
        self.delete_objects(change).await
    }

    /// Deletes the objects that appeared with a change, but for those that something needs that is left.
    async fn delete_objects(&mut self, change: &Change) -> Result<(), Error> {
        let gone: Vec<String> =
            change.new_objects().map(|object| object.object.clone()).filter(|object| !self.kept.contains(object)).collect();
        self.app.blobs.delete_objects(&gone).await?;
        self.undone.objects += gone.len() as u64;
        Ok(())
    }
}
