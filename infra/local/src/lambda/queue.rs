//! Unfinished async invocations, stored in one file each so that they survive a crash.

use std::{fs, path::PathBuf, time::SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::folder;

/// An accepted async invocation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Event {
    /// The request id, which all attempts share.
    pub request_id: String,
    /// The function's logical id.
    pub function: String,
    /// The payload as sent.
    pub payload: Value,
    /// When the event was accepted.
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
            tracing::warn!(%error, request_id = event.request_id, "a finished invocation could not be removed from the queue and may run again");
        }
    }

    /// Every event, oldest first. Files that do not parse (a crash while writing leaves one) are skipped.
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
