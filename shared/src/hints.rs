//! Hints within one process: "read meta again". They carry no data and may be lost; every reader of hints also polls.
//!
//! On a laptop every function runs in one process, and a hint saves a writer its next look at meta. On Lambda a function is alone in its
//! process, and no hint ever comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::feeds::Feeds;
use crate::ids::GenerationKey;

type Senders = HashMap<GenerationKey, watch::Sender<u64>>;

/// What the [`App`](crate::App)s of one process over the same tables tell each other: that a reader or a cancel has changed a generation's
/// meta; and, among readers and writers, the chunks of its log. Clones are the same hub.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    senders: Arc<Mutex<Senders>>,
    pub(crate) feeds: Feeds,
}

impl Hints {
    /// Wakes every listener of this generation.
    pub fn send(&self, key: &GenerationKey) {
        if let Some(sender) = self.senders().get(key) {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self, key: &GenerationKey) -> Hint {
        let received = self.senders().entry(key.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe();
        Hint { hints: self.clone(), key: key.clone(), received }
    }

    fn senders(&self) -> MutexGuard<'_, Senders> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener. Dropping the last one of a generation removes it from the hub.
#[derive(Debug)]
pub struct Hint {
    hints: Hints,
    key: GenerationKey,
    received: watch::Receiver<u64>,
}

impl Hint {
    /// Waits for the next hint, or returns at once if one came since the last wait.
    pub async fn received(&mut self) {
        if self.received.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Hint {
    fn drop(&mut self) {
        let mut senders = self.hints.senders();
        if senders.get(&self.key).is_some_and(|sender| sender.receiver_count() <= 1) {
            senders.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GenerationId;

    fn key() -> GenerationKey {
        GenerationKey::new("acme".parse().unwrap(), GenerationId::new(1))
    }

    #[tokio::test]
    async fn hints_wake_listeners_of_their_hub_only() {
        let (key, hints) = (key(), Hints::default());
        let (mut one, mut other) = (hints.listen(&key), hints.listen(&key));
        let of_another_hub = Hints::default().listen(&key);
        hints.clone().send(&key);
        one.received().await;
        other.received().await;
        assert!(!of_another_hub.received.has_changed().unwrap());
    }

    #[test]
    fn generations_without_listeners_are_removed() {
        let (key, hints) = (key(), Hints::default());
        let (first, second) = (hints.listen(&key), hints.listen(&key));
        drop(first);
        assert_eq!(hints.senders().len(), 1);
        drop(second);
        assert!(hints.senders().is_empty());
    }
}
