//! Others write while a migration does: a refused unit is planned anew, once; and one run at a time has the lock.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use longhand::aws::MigrationStatus;
use longhand::ids::MigrationId;
use longhand::migrations::{Change, ObjectChange, Planned, RowChange, RowKey, RowState, UnitReason, Verdict};
use longhand::{App, Clock, Content, DataChange, Error, Maintenance, MigrationRun, RunOptions, Units, Verification, View};
use longhand_tests::Harness;
use sha2::{Digest, Sha256};

const UNITS: usize = 60;
const TEXT: &[u8] = b"an object of a unit";

/// Adds `seen` to rows, and puts an object for each.
struct AddSeen {
    harness: Harness,
    /// Units whose row somebody changes just before it is written, and how often.
    disturbed: Mutex<Vec<(usize, u32)>>,
    /// Units that cannot be read.
    unreadable: Mutex<Vec<usize>>,
    /// Units whose object is another one each time.
    unsteady: Mutex<Vec<usize>>,
}

fn key(unit: &str) -> RowKey {
    RowKey { pk: format!("acme#test-{unit}"), sk: "row".into() }
}

impl AddSeen {
    fn table(&self) -> String {
        self.harness.config("api").records_table
    }

    /// Sets `other` of a row, which the change reads.
    async fn disturb(&self, unit: &str, value: u32) {
        let key = key(unit);
        let put = self.harness.clients().await.dynamodb.put_item().table_name(self.table());
        let put = put.item("pk", AttributeValue::S(key.pk)).item("sk", AttributeValue::S(key.sk));
        put.item("seen", AttributeValue::N(value.to_string())).send().await.unwrap();
    }
}

#[async_trait]
impl DataChange for AddSeen {
    fn name(&self) -> &'static str {
        "add-seen"
    }

    fn about(&self) -> String {
        "rows of a test".into()
    }

    async fn units(&self, _: &App, after: Option<&str>) -> Result<Units, Error> {
        let from = after.map_or(0, |after| after.parse().unwrap());
        let to = (from + 25).min(UNITS);
        Ok(Units { units: (from..to).map(|unit| unit.to_string()).collect(), next: (to < UNITS).then(|| to.to_string()) })
    }

    async fn plan(&self, view: &View<'_>, unit: &str) -> Result<Planned, Error> {
        if self.unreadable.lock().unwrap().contains(&unit.parse().unwrap()) {
            return Err(Error::LogGone(unit.to_owned()));
        }
        let row = view.row(&key(unit)).await?.unwrap();
        let mut after = row.clone();
        after.insert("marked".into(), serde_dynamo::AttributeValue::Bool(true));
        after.insert("seen".into(), serde_dynamo::AttributeValue::S("done".into()));
        let rows: Vec<RowChange> = RowChange::between(key(unit), Some(&row), &after).into_iter().collect();
        let contents = self.contents(view.app(), unit).await?;
        let objects: Vec<ObjectChange> = view.objects(&contents).await?.unwrap();
        let verdict = if rows.is_empty() {
            Verdict::AlreadyRight
        } else {
            Verdict::Change(Change { unit: unit.to_owned(), rows, objects })
        };
        Ok(Planned { unit: unit.to_owned(), verdict, findings: Vec::new() })
    }

    async fn contents(&self, _: &App, unit: &str) -> Result<Vec<Content>, Error> {
        let number: usize = unit.parse().unwrap();
        let value = {
            let mut disturbed = self.disturbed.lock().unwrap();
            let found = disturbed.iter_mut().find(|(unit, left)| *unit == number && *left > 0);
            found.map(|(_, left)| std::mem::replace(left, *left - 1))
        };
        // Called for a plan too, where it changes what is read just as well.
        if let Some(value) = value {
            self.disturb(unit, 1_000 + value).await;
        }
        let is_unsteady = self.unsteady.lock().unwrap().contains(&number);
        let bytes = if is_unsteady { fastrand::u64(..).to_be_bytes().to_vec() } else { TEXT.to_vec() };
        Ok(vec![Content { object: format!("acme/test/{unit}.txt"), content_type: "text/plain", bytes }])
    }

    async fn verify(&self, _: &App) -> Result<Verification, Error> {
        Ok(Verification::default())
    }
}

async fn start() -> (AddSeen, App) {
    let harness = Harness::with(longhand_local::Options::default()).await;
    let app = harness.app(harness.config("api"), Clock::system()).await;
    let change = AddSeen { harness, disturbed: Mutex::default(), unreadable: Mutex::default(), unsteady: Mutex::default() };
    for unit in 0..UNITS {
        change.disturb(&unit.to_string(), 0).await;
    }
    (change, app)
}

fn options() -> RunOptions {
    RunOptions { lease: Duration::from_secs(2), write_units_per_second: 40_000, maintenance: None }
}

/// Plans and writes.
async fn run(change: &AddSeen, app: &App, options: &RunOptions) -> Result<MigrationRun, Error> {
    let plan = app.plan_migration(change).await.unwrap().hash();
    app.run_migration(change, MigrationId::new(app.now_ms()), plan, "none".into(), options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_takes_nothing_back_that_a_later_run_has_written() {
    let (change, app) = start().await;
    let one = run(&change, &app, &options()).await.unwrap().id;
    let undo = async |id| app.undo_migration("add-seen", id, &options()).await;
    assert_eq!(undo(&one).await.unwrap().undone, UNITS as u64);
    let again = undo(&one).await.unwrap();
    assert_eq!((again.undone, again.not_written), (0, UNITS as u64), "an undo can be repeated");
    let two = run(&change, &app, &options()).await.unwrap().id;
    let message = undo(&one).await.unwrap_err().to_string();
    assert!(message.contains(&format!("undo {two} first")), "{message}");
    let right = app.plan_migration(&change).await.unwrap();
    assert_eq!(right.counts.already_right, UNITS as u64, "nothing was taken back");
    assert_eq!(undo(&two).await.unwrap().undone, UNITS as u64);
    assert_eq!(undo(&one).await.unwrap().undone, 0);
    change.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_cannot_be_read_or_changes_is_told_and_the_others_are_written() {
    let (change, app) = start().await;
    *change.unreadable.lock().unwrap() = vec![3, 4, 5, 59];
    let mut told = Vec::new();
    let mut tell = |planned: &Planned| {
        told.push(planned.clone());
        Ok(())
    };
    let plan = app.plan_migration_and_tell(&change, &mut tell).await.unwrap();
    assert_eq!((told.len(), plan.counts.changed, plan.counts.cannot), (UNITS, UNITS as u64 - 4, 4));
    assert_eq!(plan.cannot[0], UnitReason::new("3", "it cannot be read: the log of generation 3 has expired or was deleted"));
    let id = MigrationId::new(app.now_ms());
    let done = app.run_migration(&change, id.clone(), plan.hash(), "none".into(), &options()).await.unwrap();
    assert_eq!((done.row.counts.changed, done.row.counts.cannot, done.row.status), (UNITS as u64 - 4, 4, MigrationStatus::Done));
    app.undo_migration("add-seen", &id, &options()).await.unwrap();

    change.unreadable.lock().unwrap().clear();
    let message = app.run_migration(&change, MigrationId::new(app.now_ms()), plan.hash(), "none".into(), &options()).await;
    let message = message.unwrap_err().to_string();
    assert!(message.contains("the data has changed since, look at it again"), "{message}");
    assert_eq!(app.plan_migration(&change).await.unwrap().counts.changed, UNITS as u64, "nothing was written");

    *change.unreadable.lock().unwrap() = vec![3, 4, 5, 6];
    let gone = app.plan_migration(&change).await.unwrap_err();
    assert!(matches!(gone, Error::LogGone(_)), "four in a row are a store that does not answer: {gone}");
    change.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_come_out_the_same_blocks_no_run() {
    let (change, app) = start().await;
    let slow = RunOptions { write_units_per_second: 1, ..options() };
    let id = MigrationId::new(app.now_ms());
    let plan = app.plan_migration(&change).await.unwrap().hash();
    // It is interrupted behind its first unit, and then another one comes out differently.
    tokio::select! {
        _ = app.run_migration(&change, id.clone(), plan, "none".into(), &slow) => panic!("it ended"),
        () = async { while is_new(&change, "0").await { tokio::task::yield_now().await; } } => {}
    }
    *change.unsteady.lock().unwrap() = vec![7];
    let done = app.resume_migration(&change, id.clone(), &options()).await.unwrap();
    let why = "what it is made from has changed since it was planned";
    assert_eq!(done.row.refused, [UnitReason::new("7", why)]);
    assert_eq!((done.row.status, done.row.counts.changed), (MigrationStatus::Done, UNITS as u64 - 1));
    let undone = app.undo_migration("add-seen", &id, &options()).await.unwrap();
    assert_eq!((undone.undone, undone.changed_since), (UNITS as u64 - 1, Vec::new()));
    change.harness.finish().await;
}

async fn stored(change: &AddSeen, pk: &str, sk: &str) -> Option<HashMap<String, AttributeValue>> {
    let get = change.harness.clients().await.dynamodb.get_item().table_name(change.table()).consistent_read(true);
    let key = [("pk", pk), ("sk", sk)].map(|(name, text)| (name.to_owned(), AttributeValue::S(text.to_owned())));
    get.set_key(Some(key.into())).send().await.unwrap().item
}

/// Whether a unit's row was not changed yet.
async fn is_new(change: &AddSeen, unit: &str) -> bool {
    let key = key(unit);
    !stored(change, &key.pk, &key.sk).await.unwrap().contains_key("marked")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_is_set_under_the_lock_and_goes_with_the_run_and_its_undo() {
    let (change, app) = start().await;
    let acme: longhand::Organization = "acme".parse().unwrap();
    let maintenance = Some(Maintenance { organizations: vec![acme.clone()], wait: Duration::ZERO });
    let (slow, quiet) = (RunOptions { write_units_per_second: 1, ..options() }, RunOptions { maintenance, ..options() });
    let is_set = async || {
        let row = stored(&change, "acme#settings", "quota").await;
        row.is_some_and(|row| row.contains_key("maintenance_until_ms"))
    };
    let (id, plan) = (MigrationId::new(app.now_ms()), app.plan_migration(&change).await.unwrap().hash());
    tokio::select! {
        _ = app.run_migration(&change, id.clone(), plan, "none".into(), &slow) => panic!("it ended"),
        refused = async {
            while is_new(&change, "0").await { tokio::task::yield_now().await; }
            run(&change, &app, &quiet).await
        } => assert!(refused.unwrap_err().to_string().contains("holds the lock of migrations")),
    }
    assert!(!is_set().await, "a run that does not get the lock sets no switch");

    // At this rate each of them takes a while.
    let quiet = RunOptions { write_units_per_second: 200, lease: Duration::from_secs(30), ..quiet };
    let until_set = async || while !is_set().await {};
    let (done, ()) = tokio::join!(app.resume_migration(&change, id.clone(), &quiet), until_set());
    assert!(done.is_ok() && !is_set().await, "{done:?}");
    let (undone, ()) = tokio::join!(app.undo_migration("add-seen", &id, &quiet), until_set());
    assert_eq!((undone.unwrap().changed_since, is_set().await), (Vec::new(), false));
    change.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_unit_is_planned_anew_once_and_then_told() {
    let (change, app) = start().await;
    let plan = app.plan_migration(&change).await.unwrap();
    assert_eq!((plan.counts.changed, plan.hash()), (UNITS as u64, app.plan_migration(&change).await.unwrap().hash()));
    // `contents` is called when a unit is planned, and again when it is written: 2 disturbs the first write, 4 the second one too.
    change.disturbed.lock().unwrap().extend([(3, 2), (30, 2), (40, 4)]);
    let id = MigrationId::new(app.now_ms());
    let run = app.run_migration(&change, id.clone(), plan.hash(), "none".into(), &options()).await.unwrap();
    assert_eq!(run.row.status, MigrationStatus::Done);
    assert_eq!(run.row.refused, [UnitReason::new("40", "others have changed its rows")], "{run:?}");
    assert_eq!((run.row.counts.changed, run.row.counts.cannot), (UNITS as u64 - 1, 1));
    let resumed = app.resume_migration(&change, id.clone(), &options()).await.unwrap();
    assert_eq!(resumed.row, run.row, "a run that is done stays so");
    let again = app.plan_migration(&change).await.unwrap();
    assert_eq!((again.counts.changed, again.counts.already_right), (1, UNITS as u64 - 1));

    let undone = app.undo_migration("add-seen", &id, &options()).await.unwrap();
    assert_eq!((undone.undone, undone.changed_since), (UNITS as u64 - 1, Vec::new()), "what was not written is not to be undone");
    let left = app.plan_migration(&change).await.unwrap();
    assert_eq!((left.counts.changed, left.objects), (UNITS as u64, UNITS as u64), "no object is left over");
    assert_eq!(left.samples[0].objects[0].sha256, format!("{:x}", Sha256::digest(TEXT)));
    change.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_at_a_time_has_the_lock_and_a_backup_that_cannot_be_checked_is_an_error() {
    let (change, app) = start().await;
    let slow = RunOptions { write_units_per_second: 1, ..options() };
    let (one, other) = (MigrationId::new(app.now_ms()), MigrationId::new(app.now_ms()));
    let plan = app.plan_migration(&change).await.unwrap().hash();
    let first = app.run_migration(&change, one.clone(), plan, "none".into(), &slow);
    let second = async {
        while app.known_migration(&one).await.is_err() {
            tokio::task::yield_now().await;
        }
        app.run_migration(&change, other, String::new(), "none".into(), &options()).await
    };
    // The first one is dropped when the second has been answered: it is as if its process had been killed.
    let refused = tokio::select! {
        _ = first => panic!("the first run ended"),
        refused = second => refused,
    };
    let message = refused.unwrap_err().to_string();
    assert!(message.contains(&format!("run {one} holds the lock of migrations until")), "{message}");
    let resumed = app.resume_migration(&change, one.clone(), &options()).await.unwrap();
    assert_eq!((resumed.row.status, resumed.row.counts.changed), (MigrationStatus::Done, UNITS as u64));
    let message = app.undo_migration("another", &one, &options()).await.unwrap_err().to_string();
    assert!(message.contains("is of add-seen, not of another"), "{message}");

    // The embedded DynamoDB has no backups: what cannot be checked is an error, and never a backup.
    assert!(app.has_point_in_time_recovery().await.is_err() && app.create_backup("x").await.is_err());
    assert!(app.table_facts().await.unwrap().arn.contains(&app.config().records_table));
    assert!(matches!(RowChange::between(key("x"), None, &[].into()).unwrap().state(None), RowState::Before));
    change.harness.finish().await;
}
