//! `kill -9` at random points of a migration, and of its undo; resumed, it ends the same.

use std::process::Stdio;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use longhand_tests::sampling::rounds;
use longhand_tests::seed;
use tokio::time::sleep;

use super::{Place, database, migrate};

/// Kills in a full run and in a sampled one.
const KILLS: (u64, u64) = (20, 4);
const LARGE: usize = 300_000;

/// The run that was begun, if one was.
async fn begun(place: &Place) -> Option<String> {
    let client = place.harness.clients().await.dynamodb;
    let query = client.query().table_name(place.harness.config("api").records_table).key_condition_expression("pk = :pk");
    let rows = query.expression_attribute_values(":pk", AttributeValue::S("#migrations".into())).consistent_read(true).send().await.unwrap();
    let runs = rows.items().iter().map(|row| row["sk"].as_s().unwrap().clone()).filter(|sk| sk != "lock");
    runs.last()
}

/// Runs the command for so long, and kills it. Whether it had ended before.
async fn killed(place: &Place, arguments: &[&str], after: Duration) -> bool {
    let mut child = place.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while began.elapsed() < after {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        sleep(Duration::from_millis(1)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_and_resumed_a_migration_ends_the_same_and_its_undo_too() {
    let (mut dice, kills) = (fastrand::Rng::with_seed(seed()), rounds(KILLS.0, KILLS.1));
    let (_database, path, _) = database(LARGE);
    let migrate = migrate(&path);
    let undisturbed = Place::new().await;
    let began = Instant::now();
    let whole = undisturbed.say(&[&migrate[..], &["--apply", "--backup", &undisturbed.backup()]].concat()).await;
    let takes = began.elapsed();
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let expected = undisturbed.everything().await;
    undisturbed.harness.finish().await;

    let place = Place::new().await;
    let empty = place.everything().await;
    let (mut within, mut backup) = (0, String::new());
    for _ in 0..kills {
        let run = begun(&place).await;
        let span = takes.mul_f64(dice.f64() * 2.0 / f64::from(u32::try_from(kills).unwrap()) + 0.2);
        let arguments = match &run {
            None => {
                backup = place.backup();
                [&migrate[..], &["--apply", "--backup", &backup]].concat()
            }
            Some(run) => [&migrate[..], &["--resume", run]].concat(),
        };
        within += u64::from(!killed(&place, &arguments, span).await);
    }
    let run = begun(&place).await.unwrap_or_else(|| panic!("no run was begun; the last backup was {backup}"));
    let resumed = place.say(&[&migrate[..], &["--resume", &run]].concat()).await;
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
    place.everything().await.assert_same(&expected);

    for _ in 0..kills / 2 {
        killed(&place, &[&migrate[..], &["--undo", &run]].concat(), takes.mul_f64(dice.f64() * 0.5 + 0.1)).await;
    }
    let undone = place.say(&[&migrate[..], &["--undo", &run]].concat()).await;
    assert_eq!(undone.code, Some(0), "{}", undone.stderr);
    place.everything().await.assert_same(&empty);
    println!("{within} of {kills} kills before the end; undisturbed it took {:.1} s", takes.as_secs_f64());
    place.harness.finish().await;
}
