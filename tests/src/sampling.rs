//! How much of a long test runs: a sample, or with `LONGHAND_FULL=1` everything.

/// Whether long tests run whole: `LONGHAND_FULL=1`.
#[must_use]
pub fn is_full() -> bool {
    std::env::var("LONGHAND_FULL").is_ok_and(|value| value == "1")
}

/// The seed of a test that draws at random: `LONGHAND_SEED`, or a new one. It is printed with the way to repeat the run.
pub fn seed() -> u64 {
    seed_from("LONGHAND_SEED")
}

/// The same, from this variable.
pub fn seed_from(variable: &str) -> u64 {
    let seed = number(variable).unwrap_or_else(|| fastrand::u64(0..1_000_000));
    println!(
        "{variable}={seed} repeats this run{}",
        if is_full() { "; it is full" } else { "; LONGHAND_FULL=1 runs everything" }
    );
    seed
}

/// A variable that holds a whole number.
#[must_use]
pub fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, not {value:?}")))
}

/// `n` of `all` in their order, drawn with `seed`; all of them in a full run.
#[must_use]
pub fn sample<T>(seed: u64, all: Vec<T>, n: usize) -> Vec<T> {
    if is_full() { all } else { draw(seed, all, n) }
}

/// `sampled` rounds, or `full` in a full run.
#[must_use]
pub fn rounds(full: u64, sampled: u64) -> u64 {
    if is_full() { full } else { sampled }
}

fn draw<T>(seed: u64, all: Vec<T>, n: usize) -> Vec<T> {
    let mut places: Vec<usize> = (0..all.len()).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut places);
    places.truncate(n);
    let drawn = all.into_iter().enumerate().filter(|(place, _)| places.contains(place));
    drawn.map(|(_, item)| item).collect()
}
