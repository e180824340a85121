//! `meter`: counts generations that have ended in the rows of statistics.
//!
//! May run twice, late, or beside itself: a row has a mark for each shard of the stream, up to which everything is counted, and is replaced
//! only if nobody has changed it since it was read. What is counted already is neither counted nor written again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tokio::time::sleep;

use crate::app::App;
use crate::aws::{Outcome, RecordRow};
use crate::clock::millis_of;
use crate::error::Error;
use crate::quota;
use crate::retry::{self, BackoffBuilder};
use crate::statistics::{EndRecord, Ended, Mark, TallyKey};

/// Rows that are counted side by side.
const CONCURRENCY: usize = 16;
/// The waits between tries to replace a row that other shards replace: 640 ms at the longest, 5 s in all.
const CHANGED_WAIT: Duration = Duration::from_millis(10);
const CHANGED_WAIT_MAX: Duration = Duration::from_millis(640);
const CHANGED_RETRIES: usize = 14;

/// A record of the records table's stream.
#[derive(Debug, Clone)]
pub struct StreamRecord {
    /// Its number, and when it was written.
    pub mark: Mark,
    /// The generation's record as it was then.
    pub record: RecordRow,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metered {
    /// Generations that are counted now, and were not before.
    pub counted: u64,
    /// Rows that were written.
    pub rows: u64,
}

/// What of an outcome's metadata is counted.
#[derive(Deserialize)]
struct Times {
    #[serde(default)]
    first_chunk_at: Option<String>,
}

impl App {
    /// Counts the generations that records of one shard tell the end of, each once. The records are in the order of the shard, and all
    /// before them were given to this, once at least.
    ///
    /// # Errors
    /// [`Error::Internal`]: others changed a row for as long as this tried; [`Error::Aws`]. The same call counts the rest.
    pub async fn meter_ends(&self, shard: &str, records: Vec<StreamRecord>) -> Result<Metered, Error> {
        let mut groups: BTreeMap<TallyKey, Vec<EndRecord>> = BTreeMap::new();
        for StreamRecord { mark, record } in records {
            if let Some((key, ended)) = ended(&record) {
                groups.entry(key).or_default().push(EndRecord { mark, ended });
            }
        }
        // What all names of shards begin with is not stored in every row.
        let shard = shard.strip_prefix("shardId-").unwrap_or(shard);
        let counted = stream::iter(groups).map(|(key, ends)| async move { self.count_in(&key, shard, &ends).await });
        counted
            .buffer_unordered(CONCURRENCY)
            .try_fold(Metered::default(), async |sum, counted| {
                Ok(Metered { counted: sum.counted + counted, rows: sum.rows + u64::from(counted > 0) })
            })
            .await
    }

    /// Counts ends of one row, and returns how many were not counted before.
    async fn count_in(&self, key: &TallyKey, shard: &str, ends: &[EndRecord]) -> Result<u64, Error> {
        let mut waits = retry::exponential(CHANGED_WAIT, CHANGED_WAIT_MAX, CHANGED_RETRIES).build();
        loop {
            let tally = self.records.tally(key).await?;
            let Some(next) = tally.count(shard, ends) else { return Ok(0) };
            if self.records.store_tally(key, &next).await? {
                return Ok(next.sums.generations().saturating_sub(tally.sums.generations()));
            }
            let contended = || Error::Internal(format!("the statistics of {} were being changed all the time", key.day));
            sleep(waits.next().ok_or_else(contended)?).await;
        }
    }
}

/// The row that a generation is counted in, and what is counted of it; `None`: it has not ended.
fn ended(record: &RecordRow) -> Option<(TallyKey, Ended)> {
    let outcome = record.outcome.as_ref()?;
    let [created, completed] = [&record.created_at, &outcome.completed_at].map(|at| millis_of(at));
    let since_created = |at: Option<i64>| u64::try_from(at? - created?).ok();
    let tokens = outcome.usage.map(|usage| usage.total).unwrap_or_default();
    let key = TallyKey {
        organization: record.organization.clone(),
        day: quota::day(completed.or(created)?).0,
        provider: record.provider.clone(),
        model: record.model.clone(),
    };
    let ended = Ended {
        status: record.status,
        duration_ms: since_created(completed),
        first_text_ms: since_created(first_text_at(outcome)),
        input_tokens: tokens.input_tokens,
        output_tokens: tokens.output_tokens,
        cost: outcome.cost,
    };
    Some((key, ended))
}

fn first_text_at(outcome: &Outcome) -> Option<i64> {
    let times: Times = serde_json::from_str(&outcome.metadata).ok()?;
    millis_of(&times.first_chunk_at?)
}
