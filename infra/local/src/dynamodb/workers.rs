//! The threads of the database, whose operations block: one writes, and one reads beside it, so that a read does not wait for
//! a write's `fsync`.

use std::{
    sync::{Arc, OnceLock, mpsc},
    thread,
};

use anyhow::{Context, Result};
use dynoxide::{Database, DynoxideError};
use tokio::sync::{oneshot, watch};

type Job = Box<dyn FnOnce(&Database) + Send>;

/// The threads of one database. Clones share them.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    /// Counts the writes that have been made.
    written: watch::Sender<u64>,
    writer: Worker,
    reader: OnceLock<Worker>,
}

impl Workers {
    /// One thread, which writes and reads.
    pub fn start(database: Database) -> Result<Self> {
        let writer = Worker::start(database)?;
        Ok(Self(Arc::new(Inner { written: watch::Sender::new(0), writer, reader: OnceLock::new() })))
    }

    /// Adds a thread that reads, over a connection of its own. A read that begins after a write has been answered sees that write,
    /// because SQLite reads the newest commit.
    pub fn add_reader(&self, database: Database) -> Result<()> {
        let reader = Worker::start(database)?;
        let _ = self.0.reader.set(reader);
        Ok(())
    }

    pub fn writer(&self) -> &Worker {
        &self.0.writer
    }

    pub fn reader(&self) -> &Worker {
        self.0.reader.get().unwrap_or(&self.0.writer)
    }

    /// Tells those who wait for stream records that there may be new ones.
    pub fn note_write(&self) {
        self.0.written.send_modify(|count| *count += 1);
    }

    /// Changes after each write.
    pub fn writes(&self) -> watch::Receiver<u64> {
        self.0.written.subscribe()
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
    /// The sender is dropped when the thread has closed its connection.
    Stop(oneshot::Sender<()>),
}

impl Worker {
    fn start(database: Database) -> Result<Self> {
        let (jobs, received) = mpsc::channel();
        let work = move || {
            let mut stopped = None;
            for message in &received {
                match message {
                    Message::Run(job) => job(&database),
                    Message::Stop(stopping) => {
                        stopped = Some(stopping);
                        break;
                    }
                }
            }
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
        let stopped = || DynoxideError::InternalServerError("the embedded DynamoDB has stopped".to_owned());
        self.jobs.send(Message::Run(job)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    fn stop(&self) -> oneshot::Receiver<()> {
        let (stopping, stopped) = oneshot::channel();
        let _ = self.jobs.send(Message::Stop(stopping));
        stopped
    }
}
