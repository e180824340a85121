//! The lock of migrations: one run at a time in a deployment. It is held for a while, and renewed in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::app::App;
use crate::aws::{MigrationLock, MigrationRow};
use crate::clock::{millis, rfc3339};
use crate::error::Error;
use crate::ids::MigrationId;

/// The pause before the lock of the same run is asked for again.
const WAIT: Duration = Duration::from_millis(100);

const LOST: i64 = i64::MIN;

/// The lock, while it is held.
pub(super) struct Held {
    app: App,
    lock: MigrationLock,
    lease: Duration,
    /// Until when it is held for certain; [`LOST`]: somebody else has it.
    until_ms: Arc<AtomicI64>,
    renewing: AbortOnDropHandle<()>,
}

impl Held {
    /// Who holds it: this process.
    pub(super) fn holder(&self) -> &str {
        &self.lock.holder
    }

    /// Whether it is still held. Asks the table where the lease has ended: this process stood still.
    ///
    /// # Errors
    /// [`Error::Configuration`]: somebody else has taken it. [`Error::Aws`].
    pub(super) async fn check(&self) -> Result<(), Error> {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        if until_ms == LOST {
            return Err(lost());
        }
        let now_ms = self.app.clock.now_ms();
        if now_ms < until_ms {
            return Ok(());
        }
        let lock = MigrationLock { until_ms: now_ms + millis(self.lease), ..self.lock.clone() };
        if !self.app.records.renew_migrations_lock(&lock).await? {
            return Err(lost());
        }
        self.until_ms.fetch_max(lock.until_ms, Ordering::Relaxed);
        Ok(())
    }

    /// Stores the state of the run that it is held for.
    ///
    /// # Errors
    /// [`Error::Configuration`]: somebody else has taken the lock. [`Error::Aws`].
    pub(super) async fn put_migration(&self, row: &MigrationRow) -> Result<(), Error> {
        let is_stored = self.app.records.put_migration(&self.lock.run, row, self.holder()).await?;
        if is_stored { Ok(()) } else { Err(lost()) }
    }

    /// Gives it back after some work, and returns the work's result.
    ///
    /// # Errors
    /// Those of the work; then those of [`Self::release`].
    pub(super) async fn release_after<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        let released = self.release().await;
        let value = result?;
        released.map(|()| value)
    }

    /// Gives it back.
    ///
    /// # Errors
    /// [`Error::Aws`]; it ends by itself then.
    async fn release(self) -> Result<(), Error> {
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
                    let until_ms = Arc::new(AtomicI64::new(lock.until_ms));
                    let renewing =
                        AbortOnDropHandle::new(tokio::spawn(renew(self.clone(), lock.clone(), lease, until_ms.clone())));
                    return Ok(Held { app: self.clone(), lock, lease, until_ms, renewing });
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

async fn renew(app: App, mut lock: MigrationLock, lease: Duration, until_ms: Arc<AtomicI64>) {
    loop {
        sleep(lease / 3).await;
        lock.until_ms = app.clock.now_ms() + millis(lease);
        match app.records.renew_migrations_lock(&lock).await {
            Ok(true) => drop(until_ms.fetch_max(lock.until_ms, Ordering::Relaxed)),
            Ok(false) => return until_ms.store(LOST, Ordering::Relaxed),
            // Each write checks the lock itself.
            Err(error) => tracing::warn!(%error, "The lock of migrations could not be renewed."),
        }
    }
}
