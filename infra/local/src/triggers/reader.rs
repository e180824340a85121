//! Reads one stream in order. In the embedded DynamoDB, each stream has one shard that never closes.

use anyhow::{Context, Result};
use aws_sdk_dynamodbstreams::{Client, types::ShardIteratorType};

use super::{Record, records};

/// The maximum number of records in one read. An image may have 400 KB.
const READ_RECORDS_MAX: i32 = 100;
/// After a larger read, the next one is smaller: AWS limits a read to 1 MB.
const READ_BYTES_MAX: i64 = 1024 * 1024;

/// A sequence number below any of the embedded DynamoDB's, which start with the microseconds since the epoch.
const BEFORE_ALL: &str = "100000000000000000001";

/// A position in a stream.
pub struct Reader {
    client: Client,
    stream: Stream,
    iterator: Option<String>,
    after: Option<String>,
    limit: i32,
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
    pub async fn open(client: &Client, table: &str) -> Result<Self> {
        let listed = client.list_streams().table_name(table).send().await.with_context(|| format!("the streams of {table}"))?;
        let arn = listed.streams().iter().find_map(|stream| stream.stream_arn());
        let arn = arn.with_context(|| format!("the table {table} has no stream to trigger a function"))?;
        let described = client.describe_stream().stream_arn(arn).send().await?;
        let shard = described.stream_description().and_then(|stream| stream.shards().first()).and_then(|shard| shard.shard_id());
        let shard = shard.with_context(|| format!("the stream of {table} has no shard"))?;
        let stream = Stream { arn: arn.to_owned(), shard: shard.to_owned() };
        Ok(Self { client: client.clone(), stream, iterator: None, after: None, limit: READ_RECORDS_MAX, is_behind: false })
    }

    pub fn stream(&self) -> Stream {
        self.stream.clone()
    }

    /// The sequence number of the newest record, or one below any.
    pub async fn last(&self) -> Result<String> {
        let described = self.client.describe_stream().stream_arn(&self.stream.arn).send().await?;
        let shard = described.stream_description().and_then(|stream| stream.shards().first());
        let range = shard.and_then(|shard| shard.sequence_number_range());
        Ok(range.and_then(|range| range.ending_sequence_number()).unwrap_or(BEFORE_ALL).to_owned())
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
        let answer = self
            .client
            .get_records()
            .shard_iterator(iterator)
            .limit(self.limit)
            .send()
            .await
            .context("a stream cannot be read")?;
        self.is_behind = usize::try_from(self.limit).is_ok_and(|limit| answer.records().len() >= limit);
        let bytes: i64 = answer.records().iter().filter_map(|record| record.dynamodb()?.size_bytes()).sum();
        self.limit = if bytes > READ_BYTES_MAX { (self.limit / 2).max(1) } else { (self.limit * 2).min(READ_RECORDS_MAX) };
        let read: Vec<_> = answer.records().iter().filter_map(|record| records::read(record, &self.stream.arn)).collect();
        if let Some(last) = read.last() {
            self.after = Some(last.sequence_number.clone());
        }
        self.iterator = answer.next_shard_iterator;
        Ok(read)
    }

    async fn iterator(&self) -> Result<String> {
        let kind = if self.after.is_some() { ShardIteratorType::AfterSequenceNumber } else { ShardIteratorType::TrimHorizon };
        let request = self.client.get_shard_iterator().stream_arn(&self.stream.arn).shard_id(&self.stream.shard);
        let answer = request.shard_iterator_type(kind).set_sequence_number(self.after.clone()).send().await;
        answer.context("a stream iterator cannot be opened")?.shard_iterator.context("a stream returned no iterator")
    }
}
