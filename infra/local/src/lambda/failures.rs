//! On-failure records in the form that Lambda sends to a destination, one file each in the data folder.

use std::{fs, io, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Hosted, queue::Event};
use crate::folder;

/// The on-failure records of a data folder.
pub struct Failures {
    folder: PathBuf,
}

impl Failures {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Stores a record. If it cannot be stored, it is logged.
    pub fn add(&self, record: &Value) {
        let function = record["requestContext"]["functionArn"].as_str().unwrap_or_default();
        let condition = record["requestContext"]["condition"].as_str().unwrap_or_default();
        tracing::error!(function, condition, "{function} failed for good ({condition}); the record is in failures/");
        let path = self.folder.join(format!("{}.json", ulid::Ulid::generate()));
        let written = serde_json::to_vec_pretty(record).map_err(Into::into).and_then(|bytes| folder::write(&path, &bytes));
        if let Err(error) = written {
            tracing::error!(error = format!("{error:#}"), record = record.to_string(), "an on-failure record cannot be stored");
        }
    }

    /// Every record, oldest first. Unreadable files are skipped.
    pub fn all(&self) -> Vec<Value> {
        self.named().into_iter().map(|(_, record)| record).collect()
    }

    /// Every record with its name, oldest first. Unreadable files are skipped.
    pub fn named(&self) -> Vec<(String, Value)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut paths: Vec<_> =
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
        paths.sort();
        let read = |path: PathBuf| {
            let name = path.file_stem()?.to_str()?.to_owned();
            Some((name, serde_json::from_slice(&fs::read(path).ok()?).ok()?))
        };
        paths.into_iter().filter_map(read).collect()
    }

    /// Removes the record with this name, if it exists.
    ///
    /// # Errors
    /// The name is invalid, or the file cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        name.parse::<ulid::Ulid>().with_context(|| format!("{name:?} is not the name of a record"))?;
        match fs::remove_file(self.folder.join(format!("{name}.json"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("the record cannot be removed"),
            _ => Ok(()),
        }
    }
}

/// The current time in AWS's format: `2026-11-21T00:00:00.000Z`.
pub fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// The record of an async invocation that failed for good.
pub fn of_event(hosted: &Hosted, event: &Event, condition: &str, attempts: u32, error: &Value) -> Value {
    json!({
        "version": "1.0",
        "timestamp": timestamp(),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": format!("{}:$LATEST", hosted.definition.arn()),
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event.payload,
        "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
        "responsePayload": error,
    })
}
