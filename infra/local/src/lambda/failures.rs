//! On-failure records, as Lambda would send them to a destination: a file each in the data folder.

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

    /// Keeps a record.
    pub fn add(&self, record: &Value) {
        let function = record["requestContext"]["functionArn"].as_str().unwrap_or_default();
        let condition = record["requestContext"]["condition"].as_str().unwrap_or_default();
        tracing::error!(function, condition, "given up: {condition} of {function}; the record is in failures/");
        let path = self.folder.join(format!("{}.json", ulid::Ulid::generate()));
        let written = serde_json::to_vec_pretty(record).map_err(Into::into).and_then(|bytes| folder::write(&path, &bytes));
        if let Err(error) = written {
            tracing::error!(error = format!("{error:#}"), record = record.to_string(), "an on-failure record cannot be kept");
        }
    }

    /// Every record, oldest first. What cannot be read is left out.
    pub fn all(&self) -> Vec<Value> {
        self.named().into_iter().map(|(_, record)| record).collect()
    }

    /// The same, each with its name.
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

    /// Forgets the record of that name. One that is not there is no error.
    ///
    /// # Errors
    /// The name is none, or the file cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        name.parse::<ulid::Ulid>().with_context(|| format!("{name:?} is no record's name"))?;
        match fs::remove_file(self.folder.join(format!("{name}.json"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("the record cannot be removed"),
            _ => Ok(()),
        }
    }
}

/// Now, as AWS writes it: `2026-11-21T00:00:00.000Z`.
pub fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// The record of an async invocation that was given up.
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
