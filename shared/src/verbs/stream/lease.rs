//! The writer's lease on meta: a task that looks who is watching, and renews the lease while nothing is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::interval;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::app::App;
use crate::aws::Meta;
use crate::clock::millis;
use crate::hints::{Hint, Topic};
use crate::ids::GenerationKey;
use crate::limits;

/// What the writer is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// Until when somebody is watching, in milliseconds.
    pub watched_until: i64,
    /// Another writer has begun: this one need not try its slot.
    pub taken_over: bool,
    /// The caller wants it to end.
    pub cancel_requested: bool,
}

/// Held by the writer; dropping it lets the lease run out.
pub struct Lease {
    view: watch::Receiver<LeaseView>,
    last_stored_ms: Arc<AtomicI64>,
    _keeper: AbortOnDropHandle<()>,
}

impl Lease {
    /// Keeps the lease that `meta` has claimed.
    pub fn keep(app: &App, key: &GenerationKey, meta: &Meta) -> Self {
        let first = LeaseView { watched_until: meta.watched_until.unwrap_or(0), ..LeaseView::default() };
        let (sender, view) = watch::channel(first);
        let last_stored_ms = Arc::new(AtomicI64::new(app.clock.now_ms()));
        let keeper = Keeper {
            hint: app.hints.listen(key, Topic::Meta),
            app: app.clone(),
            key: key.clone(),
            meta: meta.clone(),
            last_stored_ms: Arc::clone(&last_stored_ms),
        };
        Self { view, last_stored_ms, _keeper: AbortOnDropHandle::new(tokio::spawn(keeper.run(sender).in_current_span())) }
    }

    /// The newest view.
    pub fn view(&self) -> LeaseView {
        *self.view.borrow()
    }

    /// Waits for another view.
    pub async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A chunk is a sign of life too.
    pub fn stored(&self, at_ms: i64) {
        self.last_stored_ms.store(at_ms, Ordering::Relaxed);
    }
}

/// How often the keeper of a lease looks at meta.
pub fn look_every(lease: Duration) -> Duration {
    limits::META_READ_EVERY.min(lease / 3)
}

/// It renews the lease when nothing else has been stored for this long.
pub fn renew_after(lease: Duration) -> Duration {
    limits::META_WRITE_AFTER.min(lease / 3)
}

struct Keeper {
    hint: Hint,
    app: App,
    key: GenerationKey,
    meta: Meta,
    last_stored_ms: Arc<AtomicI64>,
}

impl Keeper {
    async fn run(mut self, view: watch::Sender<LeaseView>) {
        let mut ticks = interval(look_every(self.app.config.lease));
        loop {
            tokio::select! {
                // The first tick is now: whoever announced himself while meta was being claimed is not in it.
                _ = ticks.tick() => {}
                () = self.hint.heard() => {}
            }
            let looked = self.app.buffer.meta(&self.key).await;
            // A look that failed changes nothing: the slot decides who writes, not the lease.
            if let Ok(Some(held)) = &looked {
                let seen = LeaseView {
                    watched_until: held.watched_until.unwrap_or(0),
                    taken_over: held.attempt > self.meta.attempt,
                    cancel_requested: held.cancel_requested,
                };
                view.send_if_modified(|view| std::mem::replace(view, seen) != seen);
            }
            let now = self.app.clock.now_ms();
            // Where there is no meta, the log was ended by others and deleted, or the look came before the claim: a renewal tells.
            let is_gone = matches!(looked, Ok(None));
            if is_gone || now - self.last_stored_ms.load(Ordering::Relaxed) >= millis(renew_after(self.app.config.lease)) {
                self.renew(now, &view).await;
            }
        }
    }

    async fn renew(&self, now: i64, view: &watch::Sender<LeaseView>) {
        match self.app.buffer.renew(&self.key, &self.meta, now + millis(self.app.config.lease)).await {
            Ok(true) => self.last_stored_ms.store(now, Ordering::Relaxed),
            Ok(false) => view.send_modify(|view| view.taken_over = true),
            Err(error) => tracing::warn!(%error, "The lease could not be renewed."),
        }
    }
}
