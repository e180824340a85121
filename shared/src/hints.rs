//! Hints within one process: "look again". They carry no data and may be lost; whoever waits for one also polls.
//!
//! On a laptop every function runs in one process, and a hint saves a reader or a writer its next poll. On Lambda nobody else
//! is there to hear it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ids::GenerationKey;

/// What to look at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// For readers: the log has grown.
    Log,
    /// For the writer: meta has changed, by a reader or by a cancel.
    Meta,
}

type Listeners = HashMap<(String, Topic), watch::Sender<u64>>;

static LISTENERS: LazyLock<Mutex<Listeners>> = LazyLock::new(Mutex::default);

fn listeners() -> MutexGuard<'static, Listeners> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hints about one buffer table: two stacks in one process do not hear each other.
#[derive(Debug, Clone)]
pub struct Hints {
    scope: String,
}

impl Hints {
    /// `scope` names the table: its endpoint and its name.
    #[must_use]
    pub const fn new(scope: String) -> Self {
        Self { scope }
    }

    /// Wakes everybody in this process who listens for it.
    pub fn tell(&self, key: &GenerationKey, topic: Topic) {
        if let Some(sender) = listeners().get(&(self.name(key), topic)) {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self, key: &GenerationKey, topic: Topic) -> Hint {
        let name = (self.name(key), topic);
        let hint = listeners().entry(name.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe();
        Hint { name, hint }
    }

    fn name(&self, key: &GenerationKey) -> String {
        format!("{}#{}", self.scope, key.partition())
    }
}

/// A listener. Dropping the last one of a topic forgets it.
#[derive(Debug)]
pub struct Hint {
    name: (String, Topic),
    hint: watch::Receiver<u64>,
}

impl Hint {
    /// Waits for the next hint, or returns at once if one came since the last wait.
    pub async fn heard(&mut self) {
        if self.hint.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether any hint has ever come: whoever gives them is in this process.
    #[must_use]
    pub fn is_near(&self) -> bool {
        *self.hint.borrow() > 0
    }
}

impl Drop for Hint {
    fn drop(&mut self) {
        let mut listeners = listeners();
        if listeners.get(&self.name).is_some_and(|sender| sender.receiver_count() <= 1) {
            listeners.remove(&self.name);
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
    async fn a_hint_wakes_who_listens_and_nobody_of_another_table() {
        let (key, hints) = (key(), Hints::new("a".into()));
        let (mut mine, mut also_mine) = (hints.listen(&key, Topic::Log), hints.listen(&key, Topic::Log));
        let other = Hints::new("b".into()).listen(&key, Topic::Log);
        hints.tell(&key, Topic::Meta);
        assert!(!mine.is_near());
        hints.tell(&key, Topic::Log);
        mine.heard().await;
        also_mine.heard().await;
        assert!(mine.is_near() && !other.is_near());
    }

    #[test]
    fn nothing_is_kept_of_what_nobody_listens_for() {
        let (key, hints) = (key(), Hints::new("forgotten".into()));
        let (first, second) = (hints.listen(&key, Topic::Log), hints.listen(&key, Topic::Log));
        drop(first);
        assert!(listeners().keys().any(|(name, _)| name.starts_with("forgotten#")));
        drop(second);
        assert!(!listeners().keys().any(|(name, _)| name.starts_with("forgotten#")));
    }
}
