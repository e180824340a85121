//! Crash walks: each outside call of a life meets each fault.

use std::time::Instant;

use futures::StreamExt;

use crate::faults::Mode;
use crate::sampling::{number, sample, seed_from};
use crate::serial::turn;

/// Lives once without a fault, and then once for each call and each mode: a sample of so many by the seed `LONGHAND_FAULT_SEED`, unless
/// `LONGHAND_FAULT_RUNS` or a full run asks for all of them. `live` tells how many calls a life made, and what did not hold after it.
///
/// # Panics
/// Something did not hold.
pub async fn walk<F>(what: &str, (sampled, side_by_side): (usize, usize), live: impl Fn(Option<(usize, Mode)>) -> F)
where
    F: Future<Output = (usize, Vec<String>)> + Send + 'static,
{
    let _turn = turn().await;
    let began = Instant::now();
    let (calls, wrong) = live(None).await;
    assert_eq!(wrong, Vec::<String>::new());
    let every: Vec<_> = (0..calls).flat_map(|call| Mode::ALL.into_iter().map(move |mode| (call, mode))).collect();
    let has_all = number("LONGHAND_FAULT_RUNS").is_some();
    let plans = if has_all { every } else { sample(seed_from("LONGHAND_FAULT_SEED"), every, sampled) };
    let count = plans.len();
    let lives = futures::stream::iter(plans).map(|plan| {
        let life = tokio::spawn(live(Some(plan)));
        async move { (plan, life.await.expect("a life does not panic").1) }
    });
    let bad: Vec<_> =
        lives.buffer_unordered(side_by_side).filter(|(_, wrong)| std::future::ready(!wrong.is_empty())).collect().await;
    println!("{what}: {calls} calls, {count} runs, {} violations, {:.1} s", bad.len(), began.elapsed().as_secs_f64());
    assert!(bad.is_empty(), "{bad:#?}");
}
