//! Every call that leaves the functions in a generation's life fails once, in every way that calls fail; and then two of them
//! at random. Whatever happens, retries and the sweep bring it to its end with all that the provider said.

mod invariants;
mod scenario;

use std::collections::BTreeMap;
use std::time::Instant;

use futures::StreamExt;
use longhand_tests::faults::Mode;
use scenario::{Life, live};

/// Lives side by side: most of a life is waiting.
const SIDE_BY_SIDE: usize = 24;
/// Random runs, unless `LONGHAND_FAULT_RUNS` says otherwise.
const RANDOM_RUNS: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_every_invariant_holds_and_no_sweep_is_needed() {
    let life = live(&[]).await;
    for (number, made) in life.made.iter().enumerate() {
        println!("{number:3}  {made} {}", made.call.resource);
    }
    assert_eq!((life.violations, life.sweeps), (Vec::<String>::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crash_point_in_every_mode_leaves_every_invariant_whole() {
    let began = Instant::now();
    let calls = live(&[]).await.made.len();
    // Beyond the calls of an untroubled life come those of its recovery, which fail in the random runs.
    let plans: Vec<Vec<(usize, Mode)>> = (0..calls).flat_map(|number| Mode::ALL.map(|mode| vec![(number, mode)])).collect();
    let lives = all(plans).await;
    report("crash points", calls, &lives, began);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_faults_at_random_leave_every_invariant_whole() {
    let began = Instant::now();
    let seed = variable("LONGHAND_FAULT_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let runs = variable("LONGHAND_FAULT_RUNS").unwrap_or(RANDOM_RUNS);
    println!("seed {seed}");
    let calls = live(&[]).await.made.len();
    let plans = (0..runs).map(|run| {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(run));
        // The second may hit what mends the first.
        let first = random.usize(..calls);
        let second = first + 1 + random.usize(..calls);
        [first, second].map(|number| (number, random.choice(Mode::ALL).expect("a mode"))).to_vec()
    });
    let lives = all(plans.collect()).await;
    report(&format!("pairs at random, seed {seed}"), calls, &lives, began);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {value:?}")))
}

async fn all(plans: Vec<Vec<(usize, Mode)>>) -> Vec<(Vec<(usize, Mode)>, Life)> {
    let lives = futures::stream::iter(plans).map(|plan| async move {
        let life = tokio::spawn({
            let plan = plan.clone();
            async move { live(&plan).await }
        });
        (plan, life.await.expect("a life does not panic"))
    });
    lives.buffer_unordered(SIDE_BY_SIDE).collect().await
}

/// Prints the table, and fails with the plans under which something did not hold.
fn report(what: &str, calls: usize, lives: &[(Vec<(usize, Mode)>, Life)], began: Instant) {
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
        "{what}: {calls} calls, {} modes, {} runs, {} violations, {:.1} s",
        Mode::ALL.len(),
        lives.len(),
        bad.len(),
        began.elapsed().as_secs_f64()
    );
    for (plan, life) in &bad {
        println!("{plan:?}: {:?}", life.violations);
    }
    assert!(bad.is_empty(), "{} of {} runs", bad.len(), lives.len());
}
