//! `kill -9` at random points of a migration, and of its undo; resumed, it ends the same.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::clock::millis_of;
use longhand_tests::sampling::rounds;
use longhand_tests::seed;
use tokio::time::sleep;

use super::{Place, database, migrate};

/// Kills in a full run and in a sampled one.
const KILLS: (u64, u64) = (20, 4);
const LARGE: usize = 300_000;

/// A row of the partition of migrations.
type Row = HashMap<String, AttributeValue>;

/// The run that was begun and the lock, as far as there are.
async fn migration(place: &Place) -> (Option<Row>, Option<Row>) {
    let client = place.harness.clients().await.dynamodb;
    let query = client.query().table_name(place.harness.config("api").records_table).key_condition_expression("pk = :pk");
    let rows =
        query.expression_attribute_values(":pk", AttributeValue::S("#migrations".into())).consistent_read(true).send().await;
    let (locks, runs): (Vec<Row>, Vec<Row>) =
        rows.unwrap().items.unwrap_or_default().into_iter().partition(|row| row["sk"].as_s().unwrap() == "lock");
    (runs.into_iter().next_back(), locks.into_iter().next())
}

fn word(row: &Row, name: &str) -> String {
    row[name].as_s().unwrap().clone()
}

/// Runs the command until it has taken the lock and then for so long, and kills it. Whether it still ran.
async fn kill(place: &Place, arguments: &[&str], after: Duration) -> bool {
    let holder = async || migration(place).await.1.map(|lock| word(&lock, "holder"));
    let before = holder().await;
    let mut child = place.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        let now = holder().await;
        if now.is_some() && now != before {
            sleep(after).await;
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    let still_ran = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    still_ran
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_and_resumed_a_migration_ends_the_same_and_its_undo_too() {
    let (mut dice, kills) = (fastrand::Rng::with_seed(seed()), rounds(KILLS.0, KILLS.1));
    let (_database, path, _) = database(LARGE);
    let migrate = migrate(&path);
    let undisturbed = Place::new().await;
    let whole = undisturbed.say(&[&migrate[..], &["--apply", "--backup", &undisturbed.backup()]].concat()).await;
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let row = migration(&undisturbed).await.0.unwrap();
    let [began, ended] = ["started_at", "updated_at"].map(|name| millis_of(&word(&row, name)).unwrap());
    let takes = Duration::from_millis(u64::try_from(ended - began).unwrap());
    let expected = undisturbed.everything().await;
    undisturbed.harness.finish().await;

    let place = Place::new().await;
    let empty = place.everything().await;
    let mut within = 0;
    for _ in 0..kills {
        let run = migration(&place).await.0.map(|run| word(&run, "sk"));
        let span = takes.mul_f64(dice.f64() * 2.0) / u32::try_from(kills).unwrap();
        let backup = place.backup();
        let arguments = match &run {
            None => [&migrate[..], &["--apply", "--backup", &backup]].concat(),
            Some(run) => [&migrate[..], &["--resume", run]].concat(),
        };
        within += u64::from(kill(&place, &arguments, span).await);
    }
    let run = word(&migration(&place).await.0.unwrap(), "sk");
    let resumed = place.say(&[&migrate[..], &["--resume", &run]].concat()).await;
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
    place.everything().await.assert_same(&expected);

    for _ in 0..kills / 2 {
        within += u64::from(kill(&place, &[&migrate[..], &["--undo", &run]].concat(), takes.mul_f64(dice.f64()) / 10).await);
    }
    let undone = place.say(&[&migrate[..], &["--undo", &run]].concat()).await;
    assert_eq!(undone.code, Some(0), "{}", undone.stderr);
    place.everything().await.assert_same(&empty);
    println!("{within} of {} kills before the end; undisturbed it took {:.1} s", kills + kills / 2, takes.as_secs_f64());
    assert!(within >= kills, "most kills come too late to tell anything");
    place.harness.finish().await;
}
