//! Maintenance that dynoxide leaves to its host: indexes over stream records, trimming them, and deleting expired items.
//!
//! The indexes and the trimming depend on dynoxide's table `_stream_records`, so its version is pinned.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use dynoxide::Database;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

/// Each write to a table with a stream queries the table's highest sequence number, which without an index scans every record. Reads
/// of a stream use the same index, because a table has one shard. Each index more is another page that each write stores, so those
/// of earlier versions are dropped.
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS longhand_stream_by_table ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    DROP INDEX IF EXISTS longhand_stream_by_shard;
    DROP INDEX IF EXISTS longhand_stream_by_age;";

/// The oldest records come first by `id`, so a batch with a record that is kept is the last one.
const TRIM: &str = "
    DELETE FROM _stream_records WHERE id IN (
        SELECT id FROM (SELECT id, created_at FROM _stream_records ORDER BY id LIMIT ?2) WHERE created_at < ?1
    )";

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

/// Adds the index if it is missing.
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
    while connection.execute(TRIM, (i64::try_from(before)?, TRIM_BATCH))? > 0 {}
    Ok(())
}
