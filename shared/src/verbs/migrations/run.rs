//! A run: writes what is planned, segment by segment, each of them first into the journal.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lock::{Held, lost};
use super::maintenance::Maintenance;
use super::{Content, DataChange, Planner, View};
use crate::app::App;
use crate::aws::{Blobs, MigrationRow, MigrationStatus};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::hash::sha256_hex;
use crate::ids::MigrationId;
use crate::migrations::journal::{Segment, SegmentHead, kept_key, segment_key};
use crate::migrations::plan::Counts;
use crate::migrations::{Change, RowState, UnitReason, Verdict, pace};

/// The media type of what the journal keeps.
const KEPT: &str = "application/octet-stream";

/// How a run writes.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How long the lock is held without being renewed.
    pub lease: Duration,
    /// Write units in a second, on average.
    pub write_units_per_second: u32,
    /// Whether nothing new is started meanwhile.
    pub maintenance: Option<Maintenance>,
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
    /// It was not written, for this reason.
    Refused(String),
}

/// A run in this process.
struct Run<'a> {
    app: &'a App,
    change: &'a dyn DataChange,
    id: &'a MigrationId,
    held: &'a Held,
    options: &'a RunOptions,
    began: Instant,
}

impl App {
    /// Begins a run and writes everything. `plan` is the hash of the plan that a person has seen, `backup` names the backup. The plan is made
    /// again under the lock, and must have the same hash.
    ///
    /// # Errors
    /// [`Error::Configuration`]: another run is going on, the plan is another one by now, or this run has lost its lock; [`Error::Aws`]. It
    /// can be resumed.
    pub async fn run_migration(
        &self,
        change: &dyn DataChange,
        id: MigrationId,
        plan: String,
        backup: String,
        options: &RunOptions,
    ) -> Result<MigrationRun, Error> {
        let now = rfc3339(self.clock.now_ms());
        let mut row = MigrationRow {
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
        let work = async {
            held.put_migration(&row).await?;
            let now = app.plan_migration(change).await?.hash();
            if now != row.plan {
                app.set_migration_status(&held, &mut row, MigrationStatus::Undone).await?;
                let message =
                    format!("the plan has the hash {now}, not {}: the data has changed since, look at it again", row.plan);
                return Err(Error::Configuration(message));
            }
            let run = Run { app: &app, change, id: &id, held: &held, options, began: Instant::now() };
            Box::pin(run.go_on(row)).await
        };
        let result = Box::pin(app.in_maintenance(options.maintenance.as_ref(), work)).await;
        held.release_after(result).await
    }

    /// Goes on with a run that was interrupted.
    ///
    /// # Errors
    /// As [`Self::run_migration`]; and [`Error::Configuration`] where there is no such run, it is another migration's, it is undone, or another
    /// run of the same migration was begun after it.
    pub async fn resume_migration(
        &self,
        change: &dyn DataChange,
        id: MigrationId,
        options: &RunOptions,
    ) -> Result<MigrationRun, Error> {
        let app = self.metered();
        let held = app.lock_migration(&id, options.lease).await?;
        let result = Box::pin(app.resume(change, &id, options, &held)).await;
        held.release_after(result).await
    }

    async fn resume(
        &self,
        change: &dyn DataChange,
        id: &MigrationId,
        options: &RunOptions,
        held: &Held,
    ) -> Result<MigrationRun, Error> {
        let row = self.known_migration(id).await?;
        let refuse = |message| Err(Error::Configuration(message));
        if row.migration != change.name() || row.about != change.about() {
            return refuse(format!(
                "run {id} is {} of {}, not {} of {}",
                row.migration,
                row.about,
                change.name(),
                change.about()
            ));
        }
        match row.status {
            MigrationStatus::Running => {}
            MigrationStatus::Done => return Ok(MigrationRun { id: id.clone(), row, write_units: 0 }),
            MigrationStatus::Undoing | MigrationStatus::Undone => {
                return refuse(format!("run {id} is undone, and cannot be resumed: begin another"));
            }
        }
        let after = self.records.migrations_after(id).await?;
        let is_other = |other: &MigrationRow| other.migration == row.migration && other.status != MigrationStatus::Undone;
        if let Some((other, _)) = after.iter().find(|(_, other)| is_other(other)) {
            return refuse(format!("run {other} was begun after {id}, which cannot be resumed: undo {id}, or leave it as it is"));
        }
        let run = Run { app: self, change, id, held, options, began: Instant::now() };
        Box::pin(self.in_maintenance(options.maintenance.as_ref(), run.go_on(row))).await
    }

    /// Stores another status of a run.
    pub(super) async fn set_migration_status(
        &self,
        held: &Held,
        row: &mut MigrationRow,
        status: MigrationStatus,
    ) -> Result<(), Error> {
        row.status = status;
        row.updated_at = rfc3339(self.clock.now_ms());
        held.put_migration(row).await
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
            let segment = match self.app.journal_segment(self.change.name(), self.id, number).await? {
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
                self.held.put_migration(&row).await?;
            }
            if segment.head.is_last {
                let write_units = self.app.meter().reading().write_units;
                return Ok(MigrationRun { id: self.id.clone(), row, write_units });
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
        let mut changes = Vec::new();
        let mut planner = Planner { change: self.change, view: View::new(self.app, self.change), failures: 0 };
        for unit in &page.units {
            let planned = planner.plan(unit).await?;
            head.counts.add(&planned.verdict);
            if let Verdict::Change(change) = planned.verdict {
                changes.push(change);
            }
        }
        let segment = Segment { head, changes };
        if segment.changes.is_empty() { Ok(segment) } else { self.put_segment(segment).await }
    }

    /// Puts a segment into the journal, and returns the one that is there: a segment that was put is never replaced.
    async fn put_segment(&self, segment: Segment) -> Result<Segment, Error> {
        self.held.check().await?;
        let number = segment.head.number;
        let key = segment_key(self.change.name(), self.id.as_str(), number);
        let bytes = segment.render().map_err(|error| Error::Configuration(format!("the journal cannot be rendered: {error}")))?;
        if self.app.blobs.put_new(&key, "application/gzip", bytes).await? {
            return Ok(segment);
        }
        let gone = || Error::Configuration(format!("the journal {key} is gone"));
        self.app.journal_segment(self.change.name(), self.id, number).await?.ok_or_else(gone)
    }

    /// Writes the changes of a segment, and returns those that were refused, with the reason.
    async fn apply_all(&self, segment: &Segment) -> Result<Vec<(Change, String)>, Error> {
        let mut refused = Vec::new();
        for change in &segment.changes {
            if let Applied::Refused(why) = self.apply(change).await? {
                refused.push((change.clone(), why));
            }
            #[expect(clippy::cast_precision_loss, reason = "an average")]
            let units = self.app.meter().reading().write_units as f64;
            sleep(pace::pause(units, self.began.elapsed(), self.options.write_units_per_second)).await;
        }
        Ok(refused)
    }

    /// Plans refused changes anew, once, as a segment of their own. What is refused again is noted.
    async fn retry(&self, row: &mut MigrationRow, segment: &Segment, refused: Vec<(Change, String)>) -> Result<(), Error> {
        let number = row.segments;
        let known = self.app.journal_segment(self.change.name(), self.id, number).await?.filter(|known| known.head.is_retry);
        let again = match known {
            Some(known) => known,
            None if refused.is_empty() => return Ok(()),
            None => {
                let head = SegmentHead { number, is_retry: true, ..segment.head.clone() };
                let mut again = Segment { head, changes: Vec::new() };
                let new = refused.iter().flat_map(|(change, _)| change.new_objects());
                let own: HashSet<String> = new.map(|object| object.object.clone()).collect();
                let view = View::new(self.app, self.change).without(own);
                let mut planner = Planner { change: self.change, view, failures: 0 };
                for (change, _) in refused {
                    let planned = planner.plan(&change.unit).await?;
                    match planned.verdict {
                        Verdict::Change(change) => again.changes.push(change),
                        Verdict::AlreadyRight => {}
                        Verdict::Cannot(why) => again.head.cannot.push(UnitReason::new(&planned.unit, why)),
                    }
                    again.head.refused.push(planned.unit);
                }
                self.put_segment(again).await?
            }
        };
        row.refused.extend(again.head.cannot.iter().cloned());
        let refused = self.apply_all(&again).await?;
        row.refused.extend(refused.into_iter().map(|(change, why)| UnitReason { unit: change.unit, why }));
        row.segments = number + 1;
        Ok(())
    }

    /// Puts the objects of a change, and then writes its rows in one transaction. Where that is refused, what was replaced is put back.
    async fn apply(&self, change: &Change) -> Result<Applied, Error> {
        self.held.check().await?;
        let applied = self.put_and_write(change).await?;
        if let Applied::Refused(_) = applied {
            self.app.put_objects_back(self.change.name(), self.id, change).await?;
        }
        Ok(applied)
    }

    async fn put_and_write(&self, change: &Change) -> Result<Applied, Error> {
        let contents = match self.change.contents(self.app, &change.unit).await {
            Ok(contents) => contents,
            Err(Error::Configuration(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        for object in change.objects.iter().filter(|object| object.is_new || object.replaces.is_some()) {
            let content = contents.iter().find(|content| content.object == object.object);
            let Some(content) = content.filter(|content| sha256_hex(&content.bytes) == object.sha256) else {
                // Where it was written, its objects were put before.
                let is_written = self.app.is_applied(change).await?;
                let refused = || Applied::Refused("what it is made from has changed since it was planned".into());
                return Ok(if is_written { Applied::Written } else { refused() });
            };
            if let Some(former) = &object.replaces
                && !self.keep(&object.object, former).await?
            {
                return Ok(Applied::Refused("others have changed its objects".into()));
            }
            self.put(content).await?;
        }
        self.write(change).await
    }

    /// Keeps an object that is about to be replaced. `false`: it is another one than it was.
    async fn keep(&self, object: &str, former: &str) -> Result<bool, Error> {
        let kept = kept_key(self.change.name(), self.id.as_str(), object);
        let digest = async |object| Ok::<_, Error>(self.app.blobs.digest(object).await?.map(|(sha256, _)| sha256));
        if digest(&kept).await?.as_deref() == Some(former) {
            return Ok(true);
        }
        Ok(digest(object).await?.as_deref() == Some(former) && self.app.blobs.copy(object, &kept, KEPT).await?)
    }

    /// Writes the rows of a change in one transaction.
    async fn write(&self, change: &Change) -> Result<Applied, Error> {
        match self.app.records.write_changes(&change.rows, self.held.holder()).await {
            Ok(true) => return Ok(Applied::Written),
            Ok(false) => {}
            // What DynamoDB does not take by itself, it will never take.
            Err(Error::Aws { message, .. }) if message.contains("ValidationException") => return Ok(Applied::Refused(message)),
            Err(error) => return Err(error),
        }
        if self.app.is_applied(change).await? {
            return Ok(Applied::Written);
        }
        let has_lock = self.app.records.holds_migrations_lock(self.held.holder()).await?;
        if has_lock { Ok(Applied::Refused("others have changed its rows".into())) } else { Err(lost()) }
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
    /// Puts the objects back that a change has replaced. Those that others have replaced since stay.
    pub(super) async fn put_objects_back(&self, name: &str, id: &MigrationId, change: &Change) -> Result<(), Error> {
        for object in change.replacing_objects() {
            let is_ours = self.blobs.digest(&object.object).await?.is_some_and(|(sha256, _)| sha256 == object.sha256);
            let content_type = Blobs::content_type(&object.object);
            if is_ours {
                self.blobs.copy(&kept_key(name, id.as_str(), &object.object), &object.object, content_type).await?;
            }
        }
        Ok(())
    }

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
}
