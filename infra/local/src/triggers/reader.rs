//! Reads one stream in order. In the embedded DynamoDB, each stream has one shard that never closes.

use anyhow::{Context, Result};

use super::{Record, records};
use crate::dynamodb::Streams;

/// The maximum number of records in one read. An image may have 400 KB.
const READ_RECORDS_MAX: usize = 100;
/// After a larger read, the next one is smaller: AWS limits a read to 1 MB.
const READ_BYTES_MAX: i64 = 1024 * 1024;

/// A sequence number below any of the embedded DynamoDB's, which start with the microseconds since the epoch.
const BEFORE_ALL: &str = "100000000000000000001";

/// A position in a stream.
pub struct Reader {
    streams: Streams,
    stream: Stream,
    iterator: Option<String>,
    after: Option<String>,
    limit: usize,
    is_behind: bool,
}

/// A stream and its shard.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The ARN in the embedded DynamoDB.
    pub arn: String,
    /// Its only shard.
    pub shard: String,
}

impl Reader {
    /// Opens the stream of `table` at its oldest record.
    ///
    /// # Errors
    /// The table has no stream.
    pub async fn open(streams: Streams, table: &str) -> Result<Self> {
        let listed = streams.list(table).await.with_context(|| format!("the streams of {table}"))?;
        let arn = listed.with_context(|| format!("the table {table} has no stream to trigger a function"))?;
        let shard = streams.describe(&arn).await?.shards.into_iter().next();
        let shard = shard.with_context(|| format!("the stream of {table} has no shard"))?.shard_id;
        let stream = Stream { arn, shard };
        Ok(Self { streams, stream, iterator: None, after: None, limit: READ_RECORDS_MAX, is_behind: false })
    }

    pub fn stream(&self) -> Stream {
        self.stream.clone()
    }

    /// The sequence number of the newest record, or one below any.
    pub async fn last(&self) -> Result<String> {
        let shard = self.streams.describe(&self.stream.arn).await?.shards.into_iter().next();
        Ok(shard.and_then(|shard| shard.sequence_number_range.ending_sequence_number).unwrap_or_else(|| BEFORE_ALL.to_owned()))
    }

    /// Moves to the record after `position`, or to the oldest one.
    pub fn seek(&mut self, position: Option<&str>) {
        self.iterator = None;
        self.after = position.map(str::to_owned);
    }

    /// Whether the last read reached its limit.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Reads the next records. The list is empty if there are none yet.
    pub async fn read(&mut self) -> Result<Vec<Record>> {
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => self.iterator().await?,
        };
        let answer = self.streams.records(iterator, self.limit).await.context("a stream cannot be read")?;
        self.is_behind = answer.records.len() >= self.limit;
        let bytes: i64 = answer.records.iter().map(|record| record.dynamodb.size_bytes).sum();
        self.limit = if bytes > READ_BYTES_MAX { (self.limit / 2).max(1) } else { (self.limit * 2).min(READ_RECORDS_MAX) };
        let read: Vec<_> = answer.records.iter().map(|record| records::read(record, &self.stream.arn)).collect::<Result<_>>()?;
        if let Some(last) = read.last() {
            self.after = Some(last.sequence_number.clone());
        }
        self.iterator = answer.next_shard_iterator;
        Ok(read)
    }

    async fn iterator(&self) -> Result<String> {
        let Stream { arn, shard } = &self.stream;
        let iterator = self.streams.iterator(arn, shard, self.after.as_deref()).await;
        iterator.context("a stream iterator cannot be opened")?.context("a stream returned no iterator")
    }
}
