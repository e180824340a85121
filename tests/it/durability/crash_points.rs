//! Every call that leaves the functions in a generation's life fails once, in every way that calls fail; and then two of them
//! at random. Whatever happens, retries and the sweep bring it to its end with all that the provider said.

mod caller;
mod invariants;
mod kind;
mod scenario;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use futures::StreamExt;
use kind::Kind;
use longhand_tests::faults::{Made, Mode};
use scenario::{Life, live};

/// Lives side by side: most of a life is waiting.
const SIDE_BY_SIDE: usize = 16;
/// Random runs, unless `LONGHAND_FAULT_RUNS` says otherwise.
const RANDOM_RUNS: u64 = 300;
/// Modes that each call of the other kinds of life meets, drawn by lot, unless that variable is set: then it meets them all.
const MODES_DRAWN: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_every_invariant_holds_and_no_sweep_is_needed() {
    use Kind::{Attached, BrokenOff, Cancelled, Counted, Deleted, HandedOver, Plain};
    for kind in [Plain, Cancelled, Deleted, Counted, BrokenOff, Attached, HandedOver] {
        let life = live(kind, &[]).await;
        println!("{kind:?}");
        for (number, made) in life.made.iter().enumerate() {
            println!("{number:3}  {made} {}", made.call.resource);
        }
        assert_eq!(life.violations, Vec::<String>::new(), "{kind:?}");
        assert!(life.sweeps == 0 || kind == Attached, "{kind:?}: {} sweeps", life.sweeps);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crash_point_in_every_mode_leaves_every_invariant_whole() {
    let began = Instant::now();
    let calls = live(Kind::Plain, &[]).await.made.len();
    // Beyond the calls of an untroubled life come those of its recovery, which fail in the random runs.
    let lives = all(Kind::Plain, drawn(0..calls, Mode::ALL.len(), 0)).await;
    report("crash points", calls, Mode::ALL.len(), &lives, began);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crash_point_of_one_that_is_cancelled_in_the_middle_leaves_every_invariant_whole() {
    walk("cancelled", Kind::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crash_point_of_one_whose_buffer_is_deleted_leaves_every_invariant_whole() {
    walk("delete_after", Kind::Deleted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crash_point_of_one_that_is_counted_leaves_every_invariant_whole() {
    walk("counted", Kind::Counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crash_point_of_one_whose_provider_breaks_off_leaves_every_invariant_whole() {
    walk("broken off and continued", Kind::BrokenOff).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crash_point_of_an_attached_start_leaves_every_invariant_whole() {
    walk("attached", Kind::Attached).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crash_point_of_a_hand_over_leaves_every_invariant_whole() {
    walk("handed over", Kind::HandedOver).await;
}

/// Each call meets some modes, or all.
async fn walk(what: &str, kind: Kind) {
    let began = Instant::now();
    let seed = variable("LONGHAND_FAULT_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let modes = if variable("LONGHAND_FAULT_RUNS").is_some() { Mode::ALL.len() } else { MODES_DRAWN };
    println!("seed {seed}");
    let made = live(kind, &[]).await.made;
    let lives = all(kind, drawn(own_calls(kind, &made), modes, seed)).await;
    report(&format!("crash points, {what}, seed {seed}"), made.len(), modes, &lives, began);
}

/// The calls that are this kind's own. A hand-over is waited for, so what any life has before and behind it is left out.
fn own_calls(kind: Kind, made: &[Made]) -> Range<usize> {
    if kind != Kind::HandedOver {
        return 0..made.len();
    }
    let gives_up = |made: &Made| made.function == "stream" && made.call.service == "lambda";
    let claim = made.iter().position(gives_up).expect("a hand-over") - 1;
    claim..made.iter().position(|made| made.function == "compact").expect("a compaction")
}

/// Each call with each of so many modes.
fn drawn(calls: Range<usize>, modes: usize, seed: u64) -> Vec<Vec<(usize, Mode)>> {
    let plans = calls.flat_map(|number| {
        let mut drawn = Mode::ALL;
        fastrand::Rng::with_seed(seed.wrapping_add(number as u64)).shuffle(&mut drawn);
        drawn.into_iter().take(modes).map(move |mode| vec![(number, mode)])
    });
    plans.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_faults_at_random_leave_every_invariant_whole() {
    let began = Instant::now();
    let seed = variable("LONGHAND_FAULT_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let runs = variable("LONGHAND_FAULT_RUNS").unwrap_or(RANDOM_RUNS);
    println!("seed {seed}");
    let calls = live(Kind::Plain, &[]).await.made.len();
    let plans = (0..runs).map(|run| {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(run));
        // The second may hit what mends the first.
        let first = random.usize(..calls);
        let second = first + 1 + random.usize(..calls);
        [first, second].map(|number| (number, random.choice(Mode::ALL).expect("a mode"))).to_vec()
    });
    let lives = all(Kind::Plain, plans.collect()).await;
    report(&format!("pairs at random, seed {seed}"), calls, Mode::ALL.len(), &lives, began);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {value:?}")))
}

async fn all(kind: Kind, plans: Vec<Vec<(usize, Mode)>>) -> Vec<(Vec<(usize, Mode)>, Life)> {
    let lives = futures::stream::iter(plans).map(|plan| async move {
        let life = tokio::spawn({
            let plan = plan.clone();
            async move { live(kind, &plan).await }
        });
        (plan, life.await.expect("a life does not panic"))
    });
    lives.buffer_unordered(SIDE_BY_SIDE).collect().await
}

/// Prints the table, and fails with the plans under which something did not hold.
fn report(what: &str, calls: usize, modes: usize, lives: &[(Vec<(usize, Mode)>, Life)], began: Instant) {
    let mut rows: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    for (_, life) in lives {
        for made in life.made.iter().filter(|made| made.met.is_some()) {
            let row = rows.entry(made.to_string()).or_default();
            *row = (row.0 + 1, row.1 + life.sweeps, row.2 + life.violations.len());
        }
    }
    println!("{:44} {:>6} {:>7} {:>10}", "call", "faults", "sweeps", "violations");
    for (call, (faults, sweeps, violations)) in &rows {
        println!("{call:44} {faults:6} {sweeps:7} {violations:10}");
    }
    let bad: Vec<_> = lives.iter().filter(|(_, life)| !life.violations.is_empty()).collect();
    println!(
        "{what}: {calls} calls, {modes} modes, {} runs, {} violations, {:.1} s",
        lives.len(),
        bad.len(),
        began.elapsed().as_secs_f64()
    );
    for (plan, life) in &bad {
        println!("{plan:?}: {:?}", life.violations);
    }
    assert!(bad.is_empty(), "{} of {} runs", bad.len(), lives.len());
}
