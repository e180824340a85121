//! Tests that load the whole machine run one at a time, also where they share a process (`cargo test`).
//!
//! Under nextest each test has a process of its own, and the group `processes` of `.config/nextest.toml` does the same.

use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other test of this process holds the turn, and takes it.
pub async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}
