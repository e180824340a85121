//! Live logs within one process: one poll of the store serves every reader of a generation, and a writer in the same process hands its
//! chunks over once they are stored.
//!
//! Readers share what is known of a log's end ([`Recent`]). One of them at a time polls, for all; where it leaves, another one takes its
//! turn. On Lambda a function has one reader, which always has the turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{self, watch};
use tokio::time::{Instant, sleep_until};

use crate::ids::GenerationKey;
use crate::limits;
use crate::log::chunk::Chunk;
use crate::log::pace::{first_pause, next_pause};
use crate::log::recent::{Found, Recent};

/// The logs that have readers. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feeds {
    feeds: Arc<Mutex<HashMap<GenerationKey, Weak<Feed>>>>,
}

/// One log, as its readers share it.
#[derive(Debug)]
struct Feed {
    shared: Mutex<State>,
    /// Counts the changes of `shared`.
    changes: watch::Sender<u64>,
    turn: Arc<sync::Mutex<Turn>>,
}

#[derive(Debug, Default)]
struct State {
    recent: Recent,
    /// When a writer in this process last handed a chunk over. Polls then only make up for what it does not.
    fed_at: Option<Instant>,
    /// The log is no longer in the buffer.
    has_moved: bool,
}

/// When the next poll is due, and the pause after it where it brings nothing.
#[derive(Debug)]
struct Turn {
    due: Instant,
    pause: Duration,
}

impl Feeds {
    /// Follows a log. `watched` is the writer's window for a watched log.
    pub fn follow(&self, key: &GenerationKey, watched: Duration) -> Reader {
        let mut feeds = self.lock();
        let feed = feeds.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let pause = first_pause(watched);
            let turn = Arc::new(sync::Mutex::new(Turn { due: Instant::now() + pause, pause }));
            let feed = Arc::new(Feed { shared: Mutex::default(), changes: watch::Sender::new(0), turn });
            feeds.insert(key.clone(), Arc::downgrade(&feed));
            feed
        });
        Reader { feeds: self.clone(), key: key.clone(), seen: feed.changes.subscribe(), feed, first_pause: first_pause(watched) }
    }

    /// Hands over a chunk that was stored, to those who follow its log in this process.
    pub fn stored(&self, key: &GenerationKey, chunk: &Chunk) {
        // Locked until the feed is let go of: a reader that leaves meanwhile would find it in use, and not remove it.
        if let Some(feed) = self.lock().get(key).and_then(Weak::upgrade) {
            feed.change(|state| {
                state.fed_at = Some(Instant::now());
                state.recent.add(&Arc::new(chunk.clone()));
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GenerationKey, Weak<Feed>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changes.send_modify(|count| *count += 1);
    }
}

/// One that follows a log. Dropping the last one of a log forgets what was known of it.
#[derive(Debug)]
pub(crate) struct Reader {
    feeds: Feeds,
    key: GenerationKey,
    feed: Arc<Feed>,
    seen: watch::Receiver<u64>,
    first_pause: Duration,
}

impl Reader {
    /// The slot of the chunk that holds event `seq`, where that is known.
    pub fn slot_of(&self, seq: u64) -> Option<u64> {
        self.feed.state().recent.slot_of(seq)
    }

    /// What is known from `slot` on. [`Self::changed`] waits for changes after this.
    pub fn find(&mut self, slot: u64) -> Found {
        self.seen.mark_unchanged();
        self.feed.state().recent.from(slot)
    }

    /// Whether the log is known to be no longer in the buffer.
    pub fn has_moved(&self) -> bool {
        self.feed.state().has_moved
    }

    /// Tells the others that the log is no longer in the buffer.
    pub fn mark_moved(&self) {
        if !self.has_moved() {
            self.feed.change(|state| state.has_moved = true);
        }
    }

    /// Tells the others what was read from the store: consecutive chunks.
    pub fn share(&self, chunks: &[Arc<Chunk>]) {
        let mut is_new = false;
        {
            let mut state = self.feed.state();
            for chunk in chunks {
                is_new |= state.recent.add(chunk);
            }
        }
        if is_new {
            self.feed.changes.send_modify(|count| *count += 1);
        }
    }

    /// Waits for a change since [`Self::find`].
    pub fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut seen = self.seen.clone();
        async move {
            if seen.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for the turn to poll for all readers, and until the next poll is due.
    pub fn turn(&self) -> impl Future<Output = PollTurn> + use<> {
        let (feed, first_pause) = (Arc::clone(&self.feed), self.first_pause);
        async move {
            let turn = Arc::clone(&feed.turn).lock_owned().await;
            let fed_at = feed.state().fed_at;
            sleep_until(fed_at.map_or(turn.due, |at| turn.due.max(at + limits::TAIL_PAUSE_MAX))).await;
            PollTurn { turn, first_pause }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut feeds = self.feeds.lock();
        if Arc::strong_count(&self.feed) == 1 {
            feeds.remove(&self.key);
        }
    }
}

/// The turn to poll. Dropped before [`Self::polled`], another reader polls at once.
pub(crate) struct PollTurn {
    turn: sync::OwnedMutexGuard<Turn>,
    first_pause: Duration,
}

impl PollTurn {
    /// Passes the turn on. The next poll is due sooner where this one found something.
    pub fn polled(mut self, has_found: bool) {
        self.turn.pause = if has_found { self.first_pause } else { next_pause(self.turn.pause) };
        self.turn.due = Instant::now() + self.turn.pause;
    }
}
