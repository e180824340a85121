//! Others write while a migration does: a refused unit is planned anew, once; and one run at a time has the lock.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use longhand::aws::MigrationStatus;
use longhand::ids::MigrationId;
use longhand::migrations::{Change, ObjectChange, Planned, RowChange, RowKey, RowState, Verdict};
use longhand::{App, Clock, Content, DataChange, Error, RunOptions, Units, Verification, View};
use longhand_tests::Harness;
use sha2::{Digest, Sha256};

const UNITS: usize = 60;
const TEXT: &[u8] = b"an object of a unit";

/// Adds `seen` to rows, and puts an object for each.
struct AddSeen {
    harness: Harness,
    /// Units whose row somebody changes just before it is written, and how often.
    disturbed: Mutex<Vec<(usize, u32)>>,
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
        Ok(vec![Content { object: format!("acme/test/{unit}.txt"), content_type: "text/plain", bytes: TEXT.to_vec() }])
    }

    async fn verify(&self, _: &App) -> Result<Verification, Error> {
        Ok(Verification::default())
    }
}

async fn start() -> (AddSeen, App) {
    let harness = Harness::with(longhand_local::Options::default()).await;
    let app = harness.app(harness.config("api"), Clock::system()).await;
    let change = AddSeen { harness, disturbed: Mutex::default() };
    for unit in 0..UNITS {
        change.disturb(&unit.to_string(), 0).await;
    }
    (change, app)
}

fn options() -> RunOptions {
    RunOptions { lease: Duration::from_secs(2), write_units_per_second: 40_000 }
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
    assert_eq!(run.row.refused, ["40: others have changed its rows"], "{run:?}");
    assert_eq!((run.row.counts.changed, run.row.counts.cannot), (UNITS as u64 - 1, 1));
    let resumed = app.resume_migration(&change, id.clone(), &options()).await.unwrap();
    assert_eq!(resumed.row, run.row, "a run that is done stays so");
    let again = app.plan_migration(&change).await.unwrap();
    assert_eq!((again.counts.changed, again.counts.already_right), (1, UNITS as u64 - 1));

    let undone = app.undo_migration("add-seen", &id, &options()).await.unwrap();
    assert_eq!((undone.undone, undone.changed_since.len()), (UNITS as u64 - 1, 1), "{undone:?}");
    let left = app.plan_migration(&change).await.unwrap();
    assert_eq!(
        (left.counts.changed, left.objects),
        (UNITS as u64, UNITS as u64 - 1),
        "the object of the unit that was left stays"
    );
    assert_eq!(left.samples[0].objects[0].sha256, format!("{:x}", Sha256::digest(TEXT)));
    change.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_at_a_time_has_the_lock_and_a_backup_that_cannot_be_checked_is_an_error() {
    let (change, app) = start().await;
    let slow = RunOptions { write_units_per_second: 1, ..options() };
    let (one, other) = (MigrationId::new(app.now_ms()), MigrationId::new(app.now_ms()));
    let first = app.run_migration(&change, one.clone(), String::new(), "none".into(), &slow);
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
