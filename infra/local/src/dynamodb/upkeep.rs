//! What dynoxide leaves to its host: an index over stream records, trimming them, and the deletion of expired items.
//!
//! The index and the trimming rest on its table `_stream_records`, which is why its version is pinned.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use dynoxide::Database;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

/// Each write to a table with a stream asks for the table's highest sequence number; without these it reads every record.
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS longhand_stream_by_table ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS longhand_stream_by_shard ON _stream_records (table_name, shard_id, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS longhand_stream_by_age ON _stream_records (created_at);";

const PERIOD: Duration = Duration::from_mins(1);
/// As on AWS.
const RECORDS_KEPT: Duration = Duration::from_hours(24);
const RECORDS_TRIMMED_AT_ONCE: u32 = 1000;
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

fn connect(path: &str) -> Result<Connection> {
    let connection = Connection::open(path).context("the database cannot be opened a second time")?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    Ok(connection)
}

/// Adds the indexes that are missing.
pub fn index(path: &str) -> Result<()> {
    connect(path)?.execute_batch(INDEXES).context("the stream records of this version of dynoxide cannot be indexed")
}

/// Does a round of upkeep every minute until told to stop. The first one comes a minute after the start, so that triggers
/// first see what a stack that was long off still owes them.
pub async fn run(database: Database, path: String, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        let (database, path) = (database.clone(), path.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || round(&database, &path)).await {
            tracing::warn!(error = format!("{error:#}"), "the embedded DynamoDB's upkeep failed");
        }
    }
}

/// Deletes expired items and stream records that are older than a day.
pub fn round(database: &Database, path: &str) -> Result<()> {
    database.sweep_ttl().map_err(|error| anyhow::anyhow!("expired items stay: {error}"))?;
    // A database in memory goes with its stack, and sharing it would make writers meet a locked table.
    if path.starts_with("file:") {
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    trim(path, now.saturating_sub(RECORDS_KEPT).as_secs())
}

/// Deletes the stream records from before `before` (epoch seconds), a part at a time so that writers get their turn.
pub fn trim(path: &str, before: u64) -> Result<()> {
    let connection = connect(path)?;
    let trim = "DELETE FROM _stream_records WHERE id IN (SELECT id FROM _stream_records WHERE created_at < ?1 LIMIT ?2)";
    while connection.execute(trim, (i64::try_from(before)?, RECORDS_TRIMMED_AT_ONCE))? > 0 {}
    Ok(())
}
