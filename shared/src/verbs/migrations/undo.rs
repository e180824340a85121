//! Undo: takes back what a run has written, the last change first, as far as nobody has changed it since.

use std::collections::HashSet;

use super::lock::lost;
use super::run::RunOptions;
use crate::app::App;
use crate::aws::{MigrationRow, MigrationStatus};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::MigrationId;
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
        app.set_status(id, &mut row, MigrationStatus::Undoing).await?;
        let (mut undone, mut kept, began) = (UndoneMigration::default(), HashSet::new(), tokio::time::Instant::now());
        let mut number = app.segments(&row, id).await?;
        while number > 0 {
            number -= 1;
            let Some(segment) = app.journal_segment(name, id, number).await? else { continue };
            for change in segment.changes.iter().rev() {
                held.check()?;
                app.undo_change(change, held.holder(), &mut undone, &mut kept).await?;
                #[expect(clippy::cast_precision_loss, reason = "an average")]
                let units = app.meter().reading().write_units as f64;
                tokio::time::sleep(pace::pause(units, began.elapsed(), options.write_units_per_second)).await;
            }
        }
        app.set_status(id, &mut row, MigrationStatus::Undone).await?;
        held.release().await?;
        Ok(undone)
    }

    async fn set_status(&self, id: &MigrationId, row: &mut MigrationRow, status: MigrationStatus) -> Result<(), Error> {
        row.status = status;
        row.updated_at = rfc3339(self.clock.now_ms());
        self.records.put_migration(id, row).await
    }

    /// The number of segments that the journal has: those that the row tells, and what was begun behind them.
    async fn segments(&self, row: &MigrationRow, id: &MigrationId) -> Result<u64, Error> {
        let mut number = row.segments;
        while self.journal_segment(&row.migration, id, number).await?.is_some() {
            number += 1;
        }
        Ok(number)
    }

    async fn undo_change(
        &self,
        change: &Change,
        holder: &str,
        undone: &mut UndoneMigration,
        kept: &mut HashSet<String>,
    ) -> Result<(), Error> {
        let mut states = Vec::with_capacity(change.rows.len());
        for row in &change.rows {
            states.push(row.state(self.records.stored_row(&row.key).await?.as_ref()));
        }
        let is_written = states.iter().all(|state| *state == RowState::After);
        let new_rows = change.rows.iter().zip(&states).filter(|(row, _)| row.is_new);
        let is_unwritten = if change.rows.iter().any(|row| row.is_new) {
            new_rows.map(|(_, state)| *state).all(|state| state == RowState::Before)
        } else {
            states.iter().all(|state| *state == RowState::Before)
        };
        if is_written && self.records.undo_changes(&change.rows, holder).await? {
            undone.undone += 1;
        } else if is_unwritten {
            undone.not_written += 1;
        } else if self.records.holds_migrations_lock(holder).await? {
            undone.changed_since.push(change.unit.clone());
            kept.extend(change.objects.iter().map(|object| object.object.clone()));
            return Ok(());
        } else {
            return Err(lost());
        }
        let gone: Vec<String> =
            change.new_objects().map(|object| object.object.clone()).filter(|object| !kept.contains(object)).collect();
        self.blobs.delete_objects(&gone).await?;
        undone.objects += gone.len() as u64;
        Ok(())
    }
}
