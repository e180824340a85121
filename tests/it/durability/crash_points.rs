//! Every outside call of a generation's life fails in each of eight ways, and then pairs of calls at random. Retries and the
//! sweep must bring the generation to its end, with the whole text of the provider.

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
use longhand_tests::sampling::{number, rounds, sample, seed_from};
use longhand_tests::serial::turn;
use scenario::{Life, live};

/// Repeats what was drawn.
const SEED: &str = "LONGHAND_FAULT_SEED";
/// The number of random pairs.
const RUNS: &str = "LONGHAND_FAULT_RUNS";
/// Lives side by side: most of a life is waiting.
const SIDE_BY_SIDE: usize = 16;
/// Faults that are drawn from all those of a walk, unless the run is full.
const FAULTS_SAMPLED: usize = 24;
/// Pairs of faults at random, in a full run and in a sampled one, unless `LONGHAND_FAULT_RUNS` says otherwise.
const PAIRS: (u64, u64) = (300, 40);

/// Each call of a kind of life meets every mode. `LONGHAND_FAULT_RUNS` makes a walk whole, as `LONGHAND_FULL=1` does.
macro_rules! walks {
    ($($name:ident: $kind:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let _turn = turn().await;
            walk($kind).await;
        })*
        const KINDS: &[Kind] = &[$($kind),*];
    };
}

walks! {
    plain: Kind::Plain;
    cancelled: Kind::Cancelled;
    buffer_deleted: Kind::Deleted;
    counted: Kind::Counted;
    versioned: Kind::Versioned;
    provider_breaks_off: Kind::BrokenOff;
    attached_start: Kind::Attached;
    hand_over: Kind::HandedOver;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_faults() {
    let _turn = turn().await;
    for &kind in KINDS {
        let life = live(kind, &[]).await;
        println!("{kind:?}");
        for (number, made) in life.made.iter().enumerate() {
            println!("{number:3}  {made} {}", made.call.resource);
        }
        assert_eq!(life.violations, Vec::<String>::new(), "{kind:?}");
        assert!(life.sweeps == 0 || kind == Kind::Attached, "{kind:?}: {} sweeps", life.sweeps);
    }
}

async fn walk(kind: Kind) {
    let began = Instant::now();
    let seed = seed_from(SEED);
    let made = live(kind, &[]).await.made;
    // The calls of a recovery come behind those of an untroubled life; they fail in the random pairs.
    let every: Vec<_> =
        own_calls(kind, &made).flat_map(|call| Mode::ALL.into_iter().map(move |mode| vec![(call, mode)])).collect();
    let plans = if number(RUNS).is_some() { every } else { sample(seed, every, FAULTS_SAMPLED) };
    let lives = all(kind, plans).await;
    report(&format!("{kind:?}"), made.len(), &lives, began);
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

#[tokio::test(flavor = "multi_thread")]
async fn random_pairs() {
    let _turn = turn().await;
    let began = Instant::now();
    let seed = seed_from(SEED);
    let runs = number(RUNS).unwrap_or_else(|| rounds(PAIRS.0, PAIRS.1));
    let calls = live(Kind::Plain, &[]).await.made.len();
    let plans = (0..runs).map(|run| {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(run));
        // The second may hit what mends the first.
        let first = random.usize(..calls);
        let second = first + 1 + random.usize(..calls);
        [first, second].map(|number| (number, random.choice(Mode::ALL).expect("a mode"))).to_vec()
    });
    let lives = all(Kind::Plain, plans.collect()).await;
    report("random pairs", calls, &lives, began);
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
    println!("{what}: {calls} calls, {} runs, {} violations, {:.1} s", lives.len(), bad.len(), began.elapsed().as_secs_f64());
    for (plan, life) in &bad {
        println!("{plan:?}: {:?}", life.violations);
    }
    assert!(bad.is_empty(), "{} of {} runs", bad.len(), lives.len());
}
