//! Hints within one process: "read again". They carry no data and may be lost; every reader of hints also polls.
//!
//! On a laptop every function runs in one process, and a hint saves a reader or a writer its next poll. On Lambda a function is
//! alone in its process, and no hint ever comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ids::GenerationKey;

/// What to read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// For readers: the log has grown.
    Log,
    /// For the writer: a reader or a cancel has changed meta.
    Meta,
}

type Senders = HashMap<(GenerationKey, Topic), watch::Sender<u64>>;

/// Passes hints between the [`App`](crate::App)s that share it: those of one process over the same tables. Clones are the same
/// hub.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    senders: Arc<Mutex<Senders>>,
}

impl Hints {
    /// Wakes every listener of `topic`.
    pub fn send(&self, key: &GenerationKey, topic: Topic) {
        if let Some(sender) = self.senders().get(&(key.clone(), topic)) {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self, key: &GenerationKey, topic: Topic) -> Hint {
        let listened = (key.clone(), topic);
        let received = self.senders().entry(listened.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe();
        Hint { hints: self.clone(), listened, received }
    }

    fn senders(&self) -> MutexGuard<'_, Senders> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener. Dropping the last one of a topic removes the topic from the hub.
#[derive(Debug)]
pub struct Hint {
    hints: Hints,
    listened: (GenerationKey, Topic),
    received: watch::Receiver<u64>,
}

impl Hint {
    /// Waits for the next hint, or returns at once if one came since the last wait.
    pub async fn received(&mut self) {
        if self.received.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether any hint has ever been sent: then the sender is in this process.
    #[must_use]
    pub fn has_been_sent(&self) -> bool {
        *self.received.borrow() > 0
    }
}

impl Drop for Hint {
    fn drop(&mut self) {
        let mut senders = self.hints.senders();
        if senders.get(&self.listened).is_some_and(|sender| sender.receiver_count() <= 1) {
            senders.remove(&self.listened);
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
    async fn hints_wake_listeners_of_their_topic_and_hub_only() {
        let (key, hints) = (key(), Hints::default());
        let (mut one, mut other) = (hints.listen(&key, Topic::Log), hints.listen(&key, Topic::Log));
        let of_another_hub = Hints::default().listen(&key, Topic::Log);
        hints.send(&key, Topic::Meta);
        assert!(!one.has_been_sent());
        hints.clone().send(&key, Topic::Log);
        one.received().await;
        other.received().await;
        assert!(one.has_been_sent() && !of_another_hub.has_been_sent());
    }

    #[test]
    fn topics_without_listeners_are_removed() {
        let (key, hints) = (key(), Hints::default());
        let (first, second) = (hints.listen(&key, Topic::Log), hints.listen(&key, Topic::Log));
        drop(first);
        assert_eq!(hints.senders().len(), 1);
        drop(second);
        assert!(hints.senders().is_empty());
    }
}
