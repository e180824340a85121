//! The threads of the database, whose operations block: one writes, and one reads beside it, so that a read does not wait for
//! a write's `fsync`.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context, Result};
use dynoxide::{Database, DynoxideError, storage::Storage};
use futures::FutureExt;
use tokio::sync::oneshot;

use super::group::{Group, WRITES_MAX, Write, Written};
use super::interests::Interests;

type Job = Box<dyn FnOnce(&Database) + Send>;

/// The threads of one database. Clones share them.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

/// What a database has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, those of stream triggers included.
    pub requests: u64,
    /// Requests that have written.
    pub writes: u64,
    /// Of these, those that shared the transaction of another one.
    pub joined: u64,
}

struct Inner {
    requests: AtomicU64,
    /// Writes that shared the transaction of another one.
    joined: Arc<AtomicU64>,
    writes: AtomicU64,
    interests: Interests,
    writer: Worker,
    /// Whether the writer stores writes in groups.
    groups: OnceLock<()>,
    reader: OnceLock<Worker>,
}

impl Workers {
    /// One thread, which writes and reads.
    pub fn start(database: Database) -> Result<Self> {
        let joined = Arc::new(AtomicU64::new(0));
        let writer = Worker::start(database, joined.clone())?;
        Ok(Self(Arc::new(Inner {
            requests: AtomicU64::new(0),
            joined,
            writes: AtomicU64::new(0),
            interests: Interests::default(),
            writer,
            groups: OnceLock::new(),
            reader: OnceLock::new(),
        })))
    }

    /// Adds a thread that reads, over a connection of its own. A read that begins after a write has been answered sees that write,
    /// because SQLite reads the newest commit.
    pub fn add_reader(&self, database: Database) -> Result<()> {
        let reader = Worker::start(database, Arc::default())?;
        let _ = self.0.reader.set(reader);
        Ok(())
    }

    /// Lets the writer store writes of single items in groups, over this connection.
    pub fn add_group(&self, group: Group) -> Result<()> {
        self.0.writer.send(Message::Group(Box::new(group))).context("the database has stopped")?;
        let _ = self.0.groups.set(());
        Ok(())
    }

    pub fn writer(&self) -> &Worker {
        &self.0.writer
    }

    pub fn reader(&self) -> &Worker {
        self.0.reader.get().unwrap_or(&self.0.writer)
    }

    /// Whether [`Worker::write`] may be called.
    pub fn has_groups(&self) -> bool {
        self.0.groups.get().is_some()
    }

    /// Counts a request.
    pub fn note_request(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let Inner { requests, writes, joined, .. } = &*self.0;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { requests: count(requests), writes: count(writes), joined: count(joined) }
    }

    /// Counts a request that has written, and tells those who wait for its stream records.
    pub fn note_write(&self, body: &[u8]) {
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        self.0.interests.note(body);
    }

    /// Who waits for writes.
    pub fn interests(&self) -> &Interests {
        &self.0.interests
    }

    /// Ends the threads after the jobs that they already have. The receivers are ready once they have ended.
    pub fn stop(&self) -> Vec<oneshot::Receiver<()>> {
        [Some(&self.0.writer), self.0.reader.get()].into_iter().flatten().map(Worker::stop).collect()
    }
}

/// A thread with its own connection.
pub struct Worker {
    jobs: mpsc::Sender<Message>,
}

enum Message {
    Run(Job),
    Write(Write),
    Group(Box<Group>),
    /// The sender is dropped when the thread has closed its connection.
    Stop(oneshot::Sender<()>),
}

impl Worker {
    fn start(database: Database, joined: Arc<AtomicU64>) -> Result<Self> {
        let (jobs, received) = mpsc::channel();
        let work = move || {
            let stopped = work(&database, &received, &joined);
            drop(database);
            drop(stopped);
        };
        thread::Builder::new().name("dynamodb".to_owned()).spawn(work).context("a thread of DynamoDB cannot start")?;
        Ok(Self { jobs })
    }

    /// Runs `work` on the thread. Work whose caller has given up before it begins is dropped, like a request that never arrived.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> dynoxide::Result<T> + Send + 'static,
    ) -> dynoxide::Result<T> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |database: &Database| {
            if !answer.is_closed() {
                let _ = answer.send(work(database));
            }
        });
        self.send(Message::Run(job))?;
        answered.await.map_err(|_| stopped())?
    }

    /// The same for a write of a single item, in one transaction with those that wait beside it.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&Storage) -> dynoxide::Result<T> + Send + 'static,
    ) -> dynoxide::Result<T> {
        let (answer, answered) = oneshot::channel();
        let write: Write = Box::new(move |storage| {
            if answer.is_closed() {
                return Written { is_kept: false, answer: Box::new(|_| {}) };
            }
            // dynoxide's futures over SQLite never wait.
            let done = work(storage).now_or_never().unwrap_or_else(|| Err(internal("an operation waits")));
            let is_kept = done.is_ok();
            let answer = move |error: Option<&str>| {
                let _ = answer.send(error.map_or(done, |error| Err(internal(error))));
            };
            Written { is_kept, answer: Box::new(answer) }
        });
        self.send(Message::Write(write))?;
        answered.await.map_err(|_| stopped())?
    }

    fn send(&self, message: Message) -> dynoxide::Result<()> {
        self.jobs.send(message).map_err(|_| stopped())
    }

    fn stop(&self) -> oneshot::Receiver<()> {
        let (stopping, stopped) = oneshot::channel();
        let _ = self.send(Message::Stop(stopping));
        stopped
    }
}

/// Works until it is told to stop, or until nobody can send any more.
fn work(database: &Database, received: &mpsc::Receiver<Message>, joined: &AtomicU64) -> Option<oneshot::Sender<()>> {
    let (mut group, mut next) = (None, None);
    while let Some(message) = next.take().or_else(|| received.recv().ok()) {
        match message {
            Message::Run(job) => job(database),
            Message::Group(added) => group = Some(added),
            Message::Stop(stopping) => return Some(stopping),
            Message::Write(first) => {
                let mut writes = vec![first];
                while writes.len() < WRITES_MAX && next.is_none() {
                    match received.try_recv() {
                        Ok(Message::Write(write)) => writes.push(write),
                        Ok(other) => next = Some(other),
                        Err(_) => break,
                    }
                }
                joined.fetch_add(writes.len() as u64 - 1, Ordering::Relaxed);
                // Without a group there is no `Write`, and its caller would notice that it is dropped.
                if let Some(group) = &group {
                    Group::run(group, writes);
                }
            }
        }
    }
    None
}

fn stopped() -> DynoxideError {
    internal("the embedded DynamoDB has stopped, or dropped this request after the failure of another one")
}

fn internal(message: &str) -> DynoxideError {
    DynoxideError::InternalServerError(message.to_owned())
}
