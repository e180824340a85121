//! A run: writes what is planned, segment by segment, each of them first into the journal.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lock::{Held, lost};
use super::{Content, DataChange, View};
use crate::app::App;
use crate::aws::{MigrationRow, MigrationStatus};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::hash::sha256_hex;
use crate::ids::MigrationId;
use crate::migrations::journal::{Segment, SegmentHead, segment_key};
use crate::migrations::plan::Counts;
use crate::migrations::{Change, RowState, Verdict, pace};

/// How a run writes.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How long the lock is held without being renewed.
    pub lease: Duration,
    /// Write units in a second, on average.
    pub write_units_per_second: u32,
}

/// A run that has ended, or is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationRun {
    /// Its id.
    pub id: MigrationId,
    /// Its row.
    pub row: MigrationRow,
    /// Write units that this process has written for it.
    pub write_units: u64,
}

/// What became of a change.
enum Applied {
    Written,
    /// Somebody else has changed what it changes.
    Refused,
}

/// A run in this process.
struct Run<'a> {
    app: &'a App,
    change: &'a dyn DataChange,
    id: MigrationId,
    held: Held,
    options: &'a RunOptions,
    began: Instant,
}

impl App {
    /// Begins a run and writes everything. `plan` is the hash of the plan that a person has seen, `backup` names the backup.
    ///
    /// # Errors
    /// [`Error::Configuration`]: another run is going on, or this one has lost its lock; [`Error::Aws`]. It can be resumed.
    pub async fn run_migration(
        &self,
        change: &dyn DataChange,
        id: MigrationId,
        plan: String,
        backup: String,
        options: &RunOptions,
    ) -> Result<MigrationRun, Error> {
        let now = rfc3339(self.clock.now_ms());
        let row = MigrationRow {
            migration: change.name().to_owned(),
            about: change.about(),
            status: MigrationStatus::Running,
            started_at: now.clone(),
            updated_at: now,
            plan,
            backup,
            segments: 0,
            after: None,
            counts: Counts::default(),
            refused: Vec::new(),
        };
        let app = self.metered();
        let held = app.lock_migration(&id, options.lease).await?;
        app.records.put_migration(&id, &row).await?;
        let run = Run { app: &app, change, id, held, options, began: Instant::now() };
        Box::pin(run.go_on(row)).await
    }

    /// Goes on with a run that was interrupted.
    ///
    /// # Errors
    /// As [`Self::run_migration`]; and [`Error::Configuration`] where there is no such run, it is another migration's, or it is undone.
    pub async fn resume_migration(
        &self,
        change: &dyn DataChange,
        id: MigrationId,
        options: &RunOptions,
    ) -> Result<MigrationRun, Error> {
        let app = self.metered();
        let held = app.lock_migration(&id, options.lease).await?;
        let row = app.known_migration(&id).await?;
        if row.migration != change.name() || row.about != change.about() {
            let message = format!("run {id} is {} of {}, not {} of {}", row.migration, row.about, change.name(), change.about());
            held.release().await?;
            return Err(Error::Configuration(message));
        }
        match row.status {
            MigrationStatus::Running => {}
            MigrationStatus::Done => {
                held.release().await?;
                return Ok(MigrationRun { id, row, write_units: 0 });
            }
            MigrationStatus::Undoing | MigrationStatus::Undone => {
                held.release().await?;
                return Err(Error::Configuration(format!("run {id} is undone, and cannot be resumed: begin another")));
            }
        }
        let run = Run { app: &app, change, id, held, options, began: Instant::now() };
        Box::pin(run.go_on(row)).await
    }

    /// A run, by its id.
    ///
    /// # Errors
    /// [`Error::Configuration`]: there is none. [`Error::Aws`].
    pub async fn known_migration(&self, id: &MigrationId) -> Result<MigrationRow, Error> {
        let row = self.records.migration(id).await?;
        row.ok_or_else(|| Error::Configuration(format!("there is no run {id} of a migration")))
    }

    /// A segment of a run's journal, if it was written.
    pub(super) async fn journal_segment(&self, name: &str, id: &MigrationId, number: u64) -> Result<Option<Segment>, Error> {
        let key = segment_key(name, id.as_str(), number);
        let Some(bytes) = self.blobs.get(&key).await? else { return Ok(None) };
        let damaged = |error| Error::Configuration(format!("the journal {key} cannot be read: {error}"));
        Segment::parse(&bytes).map(Some).map_err(damaged)
    }
}

impl Run<'_> {
    async fn go_on(self, mut row: MigrationRow) -> Result<MigrationRun, Error> {
        loop {
            let number = row.segments;
            let segment = match self.app.journal_segment(self.change.name(), &self.id, number).await? {
                Some(segment) => segment,
                None => self.next_segment(number, &row).await?,
            };
            if !segment.changes.is_empty() {
                let refused = self.apply_all(&segment).await?;
                row.segments = number + 1;
                self.retry(&mut row, &segment, refused).await?;
            }
            let counts = segment.head.counts;
            row.counts = Counts {
                changed: counts.changed - row.refused.len() as u64,
                cannot: counts.cannot + row.refused.len() as u64,
                ..counts
            };
            row.after.clone_from(&segment.head.after);
            row.updated_at = rfc3339(self.app.clock.now_ms());
            if segment.head.is_last {
                row.status = MigrationStatus::Done;
            }
            if segment.head.is_last || !segment.changes.is_empty() {
                self.app.records.put_migration(&self.id, &row).await?;
            }
            if segment.head.is_last {
                self.held.release().await?;
                return Ok(MigrationRun { id: self.id, row, write_units: self.app.meter().reading().write_units });
            }
        }
    }

    /// Plans the next units, and puts what is to be changed into the journal.
    async fn next_segment(&self, number: u64, row: &MigrationRow) -> Result<Segment, Error> {
        let page = self.change.units(self.app, row.after.as_deref()).await?;
        let mut head = SegmentHead { number, is_last: page.next.is_none(), after: page.next, ..SegmentHead::default() };
        // Those of the run's row are without the refused ones, which count as changed until they are refused twice.
        let refused = row.refused.len() as u64;
        head.counts = Counts { changed: row.counts.changed + refused, cannot: row.counts.cannot - refused, ..row.counts };
        let (mut changes, mut view) = (Vec::new(), View::new(self.app));
        for unit in &page.units {
            let planned = self.change.plan(&view, unit).await?;
            view.note(&planned).await?;
            head.counts.add(&planned.verdict);
            if let Verdict::Change(change) = planned.verdict {
                changes.push(change);
            }
        }
        let segment = Segment { head, changes };
        if !segment.changes.is_empty() {
            self.put_segment(&segment).await?;
        }
        Ok(segment)
    }

    async fn put_segment(&self, segment: &Segment) -> Result<(), Error> {
        self.held.check()?;
        let key = segment_key(self.change.name(), self.id.as_str(), segment.head.number);
        let bytes = segment.render().map_err(|error| Error::Configuration(format!("the journal cannot be rendered: {error}")))?;
        self.app.blobs.put(&key, "application/gzip", bytes).await
    }

    /// Writes the changes of a segment, and returns those that were refused.
    async fn apply_all(&self, segment: &Segment) -> Result<Vec<Change>, Error> {
        let mut refused = Vec::new();
        for change in &segment.changes {
            if let Applied::Refused = self.apply(change).await? {
                refused.push(change.clone());
            }
            #[expect(clippy::cast_precision_loss, reason = "an average")]
            let units = self.app.meter().reading().write_units as f64;
            sleep(pace::pause(units, self.began.elapsed(), self.options.write_units_per_second)).await;
        }
        Ok(refused)
    }

    /// Plans refused changes anew, once, as a segment of their own. What is refused again is noted.
    async fn retry(&self, row: &mut MigrationRow, segment: &Segment, refused: Vec<Change>) -> Result<(), Error> {
        let number = row.segments;
        let known = self.app.journal_segment(self.change.name(), &self.id, number).await?.filter(|known| known.head.is_retry);
        let again = match known {
            Some(known) => known,
            None if refused.is_empty() => return Ok(()),
            None => {
                let units = refused.iter().map(|change| change.unit.clone()).collect();
                let own: HashSet<String> =
                    refused.iter().flat_map(Change::new_objects).map(|object| object.object.clone()).collect();
                let (mut changes, mut view) = (Vec::new(), View::new(self.app).without(own));
                for change in refused {
                    let planned = self.change.plan(&view, &change.unit).await?;
                    view.note(&planned).await?;
                    match planned.verdict {
                        Verdict::Change(change) => changes.push(change),
                        Verdict::AlreadyRight => {}
                        Verdict::Cannot(why) => row.refused.push(format!("{}: {why}", planned.unit)),
                    }
                }
                let again =
                    Segment { head: SegmentHead { number, is_retry: true, refused: units, ..segment.head.clone() }, changes };
                self.put_segment(&again).await?;
                again
            }
        };
        for change in self.apply_all(&again).await? {
            row.refused.push(format!("{}: others have changed its rows", change.unit));
        }
        row.segments = number + 1;
        Ok(())
    }

    /// Puts the objects of a change, and then writes its rows in one transaction.
    async fn apply(&self, change: &Change) -> Result<Applied, Error> {
        self.held.check()?;
        let contents = self.change.contents(self.app, &change.unit).await?;
        for object in change.new_objects() {
            let content = contents.iter().find(|content| content.object == object.object);
            let content = content.filter(|content| sha256_hex(&content.bytes) == object.sha256);
            let Some(content) = content else {
                let message = format!("the source of {} has changed since the run began", change.unit);
                return Err(Error::Configuration(message));
            };
            self.put(content).await?;
        }
        if self.app.records.write_changes(&change.rows, self.held.holder()).await? {
            return Ok(Applied::Written);
        }
        if self.app.is_applied(change).await? {
            return Ok(Applied::Written);
        }
        if self.app.has_lock(self.held.holder()).await? { Ok(Applied::Refused) } else { Err(lost()) }
    }

    async fn put(&self, content: &Content) -> Result<(), Error> {
        let mut writer = self.app.blobs.writer(content.object.clone(), content.content_type);
        if let Err(error) = writer.write(&content.bytes).await {
            writer.abort().await;
            return Err(error);
        }
        writer.finish().await.map(drop)
    }
}

impl App {
    /// Whether a change was written, as far as nobody has changed its rows since. Its rows were written together, so one that has appeared
    /// with it tells.
    pub(super) async fn is_applied(&self, change: &Change) -> Result<bool, Error> {
        let has_new = change.rows.iter().any(|row| row.is_new);
        for row in change.rows.iter().filter(|row| row.is_new == has_new) {
            let is_after = row.state(self.records.stored_row(&row.key).await?.as_ref()) == RowState::After;
            if is_after == has_new {
                return Ok(has_new);
            }
        }
        Ok(!has_new)
    }

    async fn has_lock(&self, holder: &str) -> Result<bool, Error> {
        self.records.holds_migrations_lock(holder).await
    }
}
