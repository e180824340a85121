//! A lock per object: writers of a key wait for one another, and no reader sees half a change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Unused locks are dropped when there are more than this.
const LOCKS_KEPT: usize = 1024;

#[derive(Default)]
pub struct Locks(Mutex<HashMap<String, Arc<RwLock<()>>>>);

impl Locks {
    pub async fn read(&self, bucket: &str, key: &str) -> OwnedRwLockReadGuard<()> {
        self.of(bucket, key).read_owned().await
    }

    pub async fn write(&self, bucket: &str, key: &str) -> OwnedRwLockWriteGuard<()> {
        self.of(bucket, key).write_owned().await
    }

    fn of(&self, bucket: &str, key: &str) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() > LOCKS_KEPT {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        locks.entry(format!("{bucket}/{key}")).or_default().clone()
    }
}
