//! Undo: takes back what a run has written, the last change first, as far as nobody has changed it since.

use std::collections::HashSet;

use tokio::time::{Instant, sleep};

use super::lock::{Held, lost};
use super::run::RunOptions;
use crate::app::App;
use crate::aws::{MigrationRow, MigrationStatus, Records};
use crate::error::Error;
use crate::ids::MigrationId;
use crate::migrations::journal::{Segment, segment_key};
use crate::migrations::{Change, RowKey, RowState, UnitReason, pace};

/// What an undo has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoneMigration {
    /// Units that are as they were before the run.
    pub undone: u64,
    /// Units that the run had not written.
    pub not_written: u64,
    /// Units that others have changed since, or added something to. They are left as they are.
    pub changed_since: Vec<UnitReason>,
    /// Objects that were deleted.
    pub objects: u64,
}

impl App {
    /// Undoes a run. Interrupted, or where units were left, it can be called again.
    ///
    /// # Errors
    /// [`Error::Configuration`]: there is no such run of this migration, another run is going on, or one that was begun later has changed the
    /// same rows and is not undone. [`Error::Aws`].
    pub async fn undo_migration(&self, name: &str, id: &MigrationId, options: &RunOptions) -> Result<UndoneMigration, Error> {
        let app = self.metered();
        let held = app.lock_migration(id, options.lease).await?;
        let result = Box::pin(app.undo(name, id, options, &held)).await;
        held.release_after(result).await
    }

    async fn undo(&self, name: &str, id: &MigrationId, options: &RunOptions, held: &Held) -> Result<UndoneMigration, Error> {
        let mut row = self.known_migration(id).await?;
        let refuse = |message| Err(Error::Configuration(message));
        if row.migration != name {
            return refuse(format!("run {id} is of {}, not of {name}", row.migration));
        }
        if let Some(number) = self.missing_segment(&row, id).await? {
            return refuse(format!("run {id} cannot be undone: segment {number} of its journal is gone"));
        }
        if let Some((other, unit)) = self.later_run(&row, id).await? {
            return refuse(format!(
                "run {other} was begun after {id} and has written the same rows, of {unit}: undo {other} first"
            ));
        }
        let work = async {
            self.set_migration_status(held, &mut row, MigrationStatus::Undoing).await?;
            let refused: HashSet<String> = row.refused.iter().map(|refused| refused.unit.clone()).collect();
            let undo = Undo { app: self, held, name, id, undone: UndoneMigration::default(), kept: HashSet::new(), refused };
            let undone = Box::pin(undo.segments(&row, options)).await?;
            if undone.changed_since.is_empty() {
                self.set_migration_status(held, &mut row, MigrationStatus::Undone).await?;
            }
            Ok(undone)
        };
        Box::pin(self.in_maintenance(options.maintenance.as_ref(), work)).await
    }

    /// The first run behind this one whose changes of the same rows are there still, and a unit of it.
    async fn later_run(&self, row: &MigrationRow, id: &MigrationId) -> Result<Option<(MigrationId, String)>, Error> {
        let later = self.records.migrations_after(id).await?;
        if later.is_empty() {
            return Ok(None);
        }
        let mut touched = HashSet::<RowKey>::new();
        for number in 0..self.segments(row, id).await? {
            let Some(segment) = self.journal_segment(&row.migration, id, number).await? else { continue };
            touched.extend(segment.changes.into_iter().flat_map(|change| change.rows).map(|row| row.key));
        }
        for (other, row) in later {
            for number in 0..self.segments(&row, &other).await? {
                let Some(segment) = self.journal_segment(&row.migration, &other, number).await? else { continue };
                let same = |change: &&Change| change.rows.iter().any(|row| touched.contains(&row.key));
                for change in segment.changes.iter().filter(same) {
                    if self.is_applied(change).await? {
                        return Ok(Some((other, change.unit.clone())));
                    }
                }
            }
        }
        Ok(None)
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
    held: &'a Held,
    name: &'a str,
    id: &'a MigrationId,
    undone: UndoneMigration,
    /// Objects of units that are left as they are.
    kept: HashSet<String>,
    /// Units that the run was refused for good: it has not written them.
    refused: HashSet<String>,
}

impl Undo<'_> {
    async fn segments(mut self, row: &MigrationRow, options: &RunOptions) -> Result<UndoneMigration, Error> {
        let (began, mut behind) = (Instant::now(), Segment::default());
        for number in (0..self.app.segments(row, self.id).await?).rev() {
            let Some(segment) = self.app.journal_segment(self.name, self.id, number).await? else { continue };
            for change in segment.changes.iter().rev() {
                self.held.check().await?;
                // Refused in this segment, it was not written by it, but by the next one.
                if behind.head.refused.contains(&change.unit) || self.refused.contains(&change.unit) {
                    self.refused(change).await?;
                } else {
                    self.change(change).await?;
                }
                #[expect(clippy::cast_precision_loss, reason = "an average")]
                let units = self.app.meter().reading().write_units as f64;
                sleep(pace::pause(units, began.elapsed(), options.write_units_per_second)).await;
            }
            behind = segment;
        }
        Ok(self.undone)
    }

    /// A change that was not written: its objects go, unless its rows are there all the same, because the answer was lost that said so and
    /// somebody has changed them since.
    async fn refused(&mut self, change: &Change) -> Result<(), Error> {
        for row in &change.rows {
            if row.has_trace(self.app.records.stored_row(&row.key).await?.as_ref()) {
                return self.leave(change, "others have changed it since").await;
            }
        }
        self.take_objects_back(change).await
    }

    async fn change(&mut self, change: &Change) -> Result<(), Error> {
        let records = &self.app.records;
        let mut states = Vec::with_capacity(change.rows.len());
        for row in &change.rows {
            let stored = records.stored_row(&row.key).await?;
            states.push(row.state(stored.map(|row| Records::opened(row).0).as_ref()));
        }
        let has_new = change.rows.iter().any(|row| row.is_new);
        // Of what appeared with the change nothing is there; where nothing was to appear, nothing is changed.
        let mut telling = change.rows.iter().zip(&states).filter(|(row, _)| row.is_new == has_new);
        if states.iter().all(|state| *state == RowState::After) {
            return self.take_back(change).await;
        }
        if telling.all(|(_, state)| *state == RowState::Before) {
            self.undone.not_written += 1;
            return self.take_objects_back(change).await;
        }
        self.leave(change, "others have changed it since").await
    }

    /// Takes a change back whose rows are all as it has left them, unless others have added rows to a generation or a subject that came with
    /// it: they would mean nothing without it. A subject is closed first, so that nothing is added meanwhile.
    async fn take_back(&mut self, change: &Change) -> Result<(), Error> {
        let records = &self.app.records;
        let subject = change.rows.iter().find(|row| row.is_new && Records::is_subject(&row.key));
        if let Some(subject) = subject {
            let stored = records.stored_row(&subject.key).await?;
            let is_closed = stored.is_some_and(|row| Records::opened(row).1);
            if !is_closed && !records.close_subject(subject, true, self.held.holder()).await? {
                return self.leave(change, "others have changed it since").await;
            }
        }
        let left = match self.added(change).await? {
            Some(added) => Some(format!("others have added {added}")),
            None if records.undo_changes(&change.rows, self.held.holder()).await? => None,
            None => Some("others have changed it since".to_owned()),
        };
        if let Some(why) = left {
            if let Some(subject) = subject {
                records.close_subject(subject, false, self.held.holder()).await?;
            }
            return self.leave(change, &why).await;
        }
        self.undone.undone += 1;
        self.take_objects_back(change).await
    }

    /// A row that is there beside those that appeared with a change.
    async fn added(&self, change: &Change) -> Result<Option<String>, Error> {
        let own: HashSet<&RowKey> = change.rows.iter().filter(|row| row.is_new).map(|row| &row.key).collect();
        for head in change.rows.iter().filter(|row| row.is_new && Records::is_head(&row.key)) {
            let keys = self.app.records.row_keys(&head.key.pk).await?;
            if let Some(other) = keys.into_iter().find(|key| !own.contains(key)) {
                return Ok(Some(other.to_string()));
            }
        }
        Ok(None)
    }

    /// Leaves a unit as it is, where it is not this process that stood still for too long.
    async fn leave(&mut self, change: &Change, why: &str) -> Result<(), Error> {
        if !self.app.records.holds_migrations_lock(self.held.holder()).await? {
            return Err(lost());
        }
        if self.undone.changed_since.iter().all(|left| left.unit != change.unit) {
            self.undone.changed_since.push(UnitReason::new(&change.unit, why));
        }
        self.kept.extend(change.objects.iter().map(|object| object.object.clone()));
        Ok(())
    }

    /// Deletes the objects that appeared with a change, but for those that something needs that is left; and puts those back that it has
    /// replaced.
    async fn take_objects_back(&mut self, change: &Change) -> Result<(), Error> {
        self.held.check().await?;
        let gone: Vec<String> =
            change.new_objects().map(|object| object.object.clone()).filter(|object| !self.kept.contains(object)).collect();
        self.app.blobs.delete_objects(&gone).await?;
        self.undone.objects += gone.len() as u64;
        self.app.put_objects_back(self.name, self.id, change).await
    }
}
