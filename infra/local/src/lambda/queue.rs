//! Async invocations that are not finished, a file each, so that a crash loses none.

use std::{fs, path::PathBuf, time::SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::folder;

/// An accepted async invocation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Event {
    /// The same for all its attempts.
    pub request_id: String,
    /// The function's logical id.
    pub function: String,
    /// As it was sent.
    pub payload: Value,
    /// Its age counts from here.
    pub accepted_at: SystemTime,
}

/// The events of a data folder.
pub struct Queue {
    folder: PathBuf,
}

impl Queue {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub fn put(&self, event: &Event) -> Result<()> {
        folder::write(&self.path(event), &serde_json::to_vec(event)?)
    }

    pub fn remove(&self, event: &Event) {
        if let Err(error) = fs::remove_file(self.path(event)) {
            tracing::warn!(%error, request_id = event.request_id, "a finished invocation stays queued and may run again");
        }
    }

    /// Every event, oldest first. A file that is no event (the machine stopped while it was written) is left alone.
    pub fn all(&self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for entry in fs::read_dir(&self.folder).context("queued invocations cannot be read")? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match serde_json::from_slice::<Event>(&fs::read(&path)?) {
                Ok(event) => events.push(event),
                Err(error) => tracing::warn!(%error, "{} is not a queued invocation", path.display()),
            }
        }
        events.sort_by_key(|event| event.accepted_at);
        Ok(events)
    }

    fn path(&self, event: &Event) -> PathBuf {
        self.folder.join(format!("{}.json", event.request_id))
    }
}
