//! DynamoDB Streams as the triggers read them: without the SDK, because on AWS it is Lambda that reads a stream, not the product.

use dynoxide::{
    Database, Result,
    actions::{
        describe_stream::{DescribeStreamRequest, StreamDescription},
        get_records::{GetRecordsRequest, GetRecordsResponse},
        get_shard_iterator::GetShardIteratorRequest,
        list_streams::ListStreamsRequest,
    },
};

use super::workers::Workers;

/// The streams of one database. Clones share it.
#[derive(Clone)]
pub struct Streams(pub(super) Workers);

impl Streams {
    /// The ARN of the stream of `table`, if the table has one.
    pub async fn list(&self, table: &str) -> Result<Option<String>> {
        let request = ListStreamsRequest { table_name: Some(table.to_owned()), ..Default::default() };
        let listed = self.run(|database| database.list_streams(request)).await?;
        Ok(listed.streams.into_iter().next().map(|stream| stream.stream_arn))
    }

    /// The shards of a stream.
    pub async fn describe(&self, arn: &str) -> Result<StreamDescription> {
        let request = DescribeStreamRequest { stream_arn: arn.to_owned(), ..Default::default() };
        Ok(self.run(|database| database.describe_stream(request)).await?.stream_description)
    }

    /// Where to read: at the record after the sequence number `after`, or at the oldest one.
    pub async fn iterator(&self, arn: &str, shard: &str, after: Option<&str>) -> Result<Option<String>> {
        let kind = if after.is_some() { "AFTER_SEQUENCE_NUMBER" } else { "TRIM_HORIZON" };
        let request = GetShardIteratorRequest {
            stream_arn: arn.to_owned(),
            shard_id: shard.to_owned(),
            shard_iterator_type: kind.to_owned(),
            sequence_number: after.map(str::to_owned),
        };
        Ok(self.run(|database| database.get_shard_iterator(request)).await?.shard_iterator)
    }

    /// At most `limit` records from there on, and where the next ones are.
    pub async fn records(&self, iterator: String, limit: usize) -> Result<GetRecordsResponse> {
        let request = GetRecordsRequest { shard_iterator: iterator, limit: Some(limit) };
        self.run(|database| database.get_records(request)).await
    }

    async fn run<A: Send + 'static>(&self, operation: impl FnOnce(&Database) -> Result<A> + Send + 'static) -> Result<A> {
        self.0.note_request();
        self.0.reader().run(operation).await
    }
}
