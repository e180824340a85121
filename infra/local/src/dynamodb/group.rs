//! Writes that wait at the same time are stored in one transaction, so that they share its `fsync` and the pages that all of them
//! change. Each is answered after that `fsync`, and one that fails changes nothing.
//!
//! dynoxide begins and ends a transaction in each operation. An authorizer, by which SQLite lets its host leave out parts of a
//! statement, leaves these out within a group.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dynoxide::{DynoxideError, storage::Storage};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::options::Durability;

/// Writes in one transaction, at most: the first waits for the last.
pub const WRITES_MAX: usize = 64;

/// One operation on its way to the database.
pub type Write = Box<dyn FnOnce(&Storage) -> Written + Send>;

/// What an operation has done within a transaction that is not committed yet.
pub struct Written {
    /// Whether its changes are kept.
    pub is_kept: bool,
    /// Answers the caller; with the message of an error where the transaction has failed.
    pub answer: Answer,
}

type Answer = Box<dyn FnOnce(Option<&str>)>;

/// A connection that stores writes in groups.
pub struct Group {
    storage: Storage,
    /// Whether a transaction of this file is open, within which the operations begin and end none.
    is_open: Arc<AtomicBool>,
}

impl Group {
    /// Opens the database, whose tables must exist: dynoxide remembers their definitions for each connection.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn open(path: &str, durability: Durability) -> dynoxide::Result<Self> {
        let storage = Storage::new(path)?;
        let level = if durability == Durability::Full { "FULL" } else { "NORMAL" };
        storage.conn().pragma_update(None, "synchronous", level)?;
        let is_open = Arc::new(AtomicBool::new(false));
        let is_left_out = is_open.clone();
        storage.conn().authorizer(Some(move |context: AuthContext<'_>| match context.action {
            AuthAction::Transaction { .. } if is_left_out.load(Ordering::Relaxed) => Authorization::Ignore,
            _ => Authorization::Allow,
        }));
        Ok(Self { storage, is_open })
    }

    /// Runs the writes in order, and answers them once they are stored.
    pub fn run(&self, mut writes: Vec<Write>) {
        let mut written = Vec::with_capacity(writes.len());
        let error = if writes.len() == 1 {
            // Its own transaction, without a savepoint.
            written.extend(writes.pop().map(|write| write(&self.storage)));
            None
        } else {
            self.together(writes, &mut written).err().map(|error| format!("the transaction of several writes failed: {error}"))
        };
        for it in written {
            (it.answer)(error.as_deref());
        }
    }

    /// Runs the writes in one transaction. After an error those that have not run are dropped, which their callers notice.
    fn together(&self, writes: Vec<Write>, written: &mut Vec<Written>) -> Result<(), DynoxideError> {
        let connection = self.storage.conn();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        self.is_open.store(true, Ordering::Relaxed);
        let run = writes.into_iter().try_for_each(|write| self.within_savepoint(write, written));
        self.is_open.store(false, Ordering::Relaxed);
        let ended = run.and_then(|()| Ok(connection.execute_batch("COMMIT")?));
        // After some errors, a full disk among them, SQLite has ended the transaction itself.
        if ended.is_err() && !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        ended
    }

    fn within_savepoint(&self, write: Write, written: &mut Vec<Written>) -> Result<(), DynoxideError> {
        let connection = self.storage.conn();
        let run = |sql| connection.prepare_cached(sql)?.execute(()).map(drop);
        run("SAVEPOINT one")?;
        let it = write(&self.storage);
        let is_kept = it.is_kept;
        written.push(it);
        if !is_kept {
            run("ROLLBACK TO one")?;
        }
        Ok(run("RELEASE one")?)
    }
}

#[cfg(test)]
mod tests;
