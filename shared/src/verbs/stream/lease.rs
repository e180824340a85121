//! The writer's lease on meta: a task that reads meta, reports who watches, and renews the lease while nothing is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::watch;
use tokio::time::interval;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::app::App;
use crate::aws::Meta;
use crate::clock::millis;
use crate::hints::Hint;
use crate::ids::GenerationKey;
use crate::log::pace::{meta_read_every, renew_after};

/// What meta says that concerns the writer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// Until when a reader is watching, in milliseconds.
    pub watched_until: i64,
    /// A later attempt has begun: this writer will lose its slot.
    pub taken_over: bool,
    /// The caller has cancelled the generation.
    pub cancel_requested: bool,
}

/// Held by the writer; dropping it lets the lease run out.
pub struct Lease {
    view: watch::Receiver<LeaseView>,
    last_stored_ms: Arc<AtomicI64>,
    _renewer: AbortOnDropHandle<()>,
}

impl Lease {
    /// Renews the lease that `meta` has claimed, until it is dropped.
    pub fn spawn(app: &App, key: &GenerationKey, meta: &Meta) -> Self {
        let first = LeaseView { watched_until: meta.watched_until.unwrap_or(0), ..LeaseView::default() };
        let (sender, view) = watch::channel(first);
        let last_stored_ms = Arc::new(AtomicI64::new(app.clock.now_ms()));
        let renewer = Renewer {
            hint: app.hints.listen(key),
            app: app.clone(),
            key: key.clone(),
            meta: meta.clone(),
            last_stored_ms: Arc::clone(&last_stored_ms),
        };
        Self { view, last_stored_ms, _renewer: AbortOnDropHandle::new(tokio::spawn(renewer.run(sender).in_current_span())) }
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

    /// Postpones the next renewal: a chunk that was stored at `at_ms` proves that the writer is alive.
    pub fn stored(&self, at_ms: i64) {
        self.last_stored_ms.store(at_ms, Ordering::Relaxed);
    }
}

struct Renewer {
    hint: Hint,
    app: App,
    key: GenerationKey,
    meta: Meta,
    last_stored_ms: Arc<AtomicI64>,
}

impl Renewer {
    async fn run(mut self, view: watch::Sender<LeaseView>) {
        let mut ticks = interval(meta_read_every(self.app.config.lease));
        loop {
            tokio::select! {
                // The first tick is immediate: a reader that announced itself during the claim is not in the claimed meta.
                _ = ticks.tick() => {}
                () = self.hint.received() => {}
            }
            let read = self.app.buffer.meta(&self.key).await;
            // A failed read changes nothing: the slot decides who writes, not the lease.
            if let Ok(Some(held)) = &read {
                let seen = LeaseView {
                    watched_until: held.watched_until.unwrap_or(0),
                    taken_over: held.attempt > self.meta.attempt,
                    cancel_requested: held.cancel_requested,
                };
                view.send_if_modified(|view| std::mem::replace(view, seen) != seen);
            }
            let now = self.app.clock.now_ms();
            // Meta is missing where the log was ended by others and deleted, or the read is older than the claim. A renewal
            // distinguishes the two.
            let is_gone = matches!(read, Ok(None));
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
