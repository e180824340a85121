//! The lock of migrations: one run at a time in a deployment. It is held for a while, and renewed in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::app::App;
use crate::aws::MigrationLock;
use crate::clock::{millis, rfc3339};
use crate::error::Error;
use crate::ids::MigrationId;

/// The pause before the lock of the same run is asked for again.
const WAIT: Duration = Duration::from_millis(100);

/// The lock, while it is held.
pub(super) struct Held {
    app: App,
    lock: MigrationLock,
    is_lost: Arc<AtomicBool>,
    renewing: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Held {
    /// Who holds it: this process.
    pub(super) fn holder(&self) -> &str {
        &self.lock.holder
    }

    /// Whether it is still held.
    ///
    /// # Errors
    /// [`Error::Configuration`]: somebody else has taken it.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.is_lost.load(Ordering::Relaxed) { Err(lost()) } else { Ok(()) }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// [`Error::Aws`]; it ends by itself then.
    pub(super) async fn release(self) -> Result<(), Error> {
        self.renewing.abort();
        self.app.records.unlock_migrations(&self.lock).await
    }
}

pub(super) fn lost() -> Error {
    Error::Configuration("another process has taken the lock of migrations: this run is to be resumed".into())
}

impl App {
    /// Takes the lock for a run, for `lease`, which is renewed. A lock of the same run is waited for: its process was interrupted.
    ///
    /// # Errors
    /// [`Error::Configuration`]: another run holds it. [`Error::Aws`].
    pub(super) async fn lock_migration(&self, run: &MigrationId, lease: Duration) -> Result<Held, Error> {
        let holder = format!("{run}/{:016x}", fastrand::u64(..));
        loop {
            let now = self.clock.now_ms();
            let lock = MigrationLock { holder: holder.clone(), run: run.clone(), until_ms: now + millis(lease) };
            match self.records.lock_migrations(&lock, now).await? {
                None => {
                    let is_lost = Arc::new(AtomicBool::new(false));
                    let renewing = tokio::spawn(renew(self.clone(), lock.clone(), lease, is_lost.clone()));
                    return Ok(Held { app: self.clone(), lock, is_lost, renewing });
                }
                Some(held) if held.run == *run => sleep(WAIT).await,
                Some(held) => {
                    let message = format!("run {} holds the lock of migrations until {}", held.run, rfc3339(held.until_ms));
                    return Err(Error::Configuration(message));
                }
            }
        }
    }
}

async fn renew(app: App, mut lock: MigrationLock, lease: Duration, is_lost: Arc<AtomicBool>) {
    loop {
        sleep(lease / 3).await;
        lock.until_ms = app.clock.now_ms() + millis(lease);
        match app.records.renew_migrations_lock(&lock).await {
            Ok(true) => {}
            Ok(false) => return is_lost.store(true, Ordering::Relaxed),
            // Each write checks the lock itself.
            Err(error) => tracing::warn!(%error, "The lock of migrations could not be renewed."),
        }
    }
}
