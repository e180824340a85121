//! Maintenance that dynoxide leaves to its host: indexes over stream records, trimming them, and deleting expired items.
//!
//! The indexes and the trimming depend on dynoxide's table `_stream_records`, so its version is pinned.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use dynoxide::Database;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

/// Each write to a table with a stream queries the table's highest sequence number, which without an index scans every record.
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS longhand_stream_by_table ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS longhand_stream_by_shard ON _stream_records (table_name, shard_id, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS longhand_stream_by_age ON _stream_records (created_at);";

const PERIOD: Duration = Duration::from_mins(1);
/// How long DynamoDB keeps stream records.
const RECORD_RETENTION: Duration = Duration::from_hours(24);
const TRIM_BATCH: u32 = 1000;
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

fn connect(path: &str) -> Result<Connection> {
    let connection = Connection::open(path).context("the database cannot be opened a second time")?;
    connection.busy_timeout(LOCK_TIMEOUT)?;
    Ok(connection)
}

/// Adds the indexes that are missing.
pub fn index(path: &str) -> Result<()> {
    connect(path)?.execute_batch(INDEXES).context("the stream records of this version of dynoxide cannot be indexed")
}

/// Runs maintenance every minute until `stop` is cancelled. The first run comes a minute after the start, so that triggers first
/// read the records that an earlier stack left undelivered.
pub async fn run(database: Database, path: String, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        let (database, path) = (database.clone(), path.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || round(&database, &path)).await {
            tracing::warn!(error = format!("{error:#}"), "maintenance of the embedded DynamoDB failed");
        }
    }
}

/// Deletes expired items and stream records that are older than a day.
pub fn round(database: &Database, path: &str) -> Result<()> {
    database.sweep_ttl().map_err(|error| anyhow::anyhow!("expired items cannot be deleted: {error}"))?;
    // A database in memory ends with its stack, and a second connection to it would lock the table for writers.
    if path.starts_with("file:") {
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    trim(path, now.saturating_sub(RECORD_RETENTION).as_secs())
}

/// Deletes the stream records older than `before` (epoch seconds), in batches so that writers are not blocked.
pub fn trim(path: &str, before: u64) -> Result<()> {
    let connection = connect(path)?;
    let trim = "DELETE FROM _stream_records WHERE id IN (SELECT id FROM _stream_records WHERE created_at < ?1 LIMIT ?2)";
    while connection.execute(trim, (i64::try_from(before)?, TRIM_BATCH))? > 0 {}
    Ok(())
}
