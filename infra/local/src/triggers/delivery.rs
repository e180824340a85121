//! Delivers batches by Lambda's rules: partial failures, retries, bisecting, on-failure records.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use longhand::retry::BackoffBuilder;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Record, reader::Stream, records};
use crate::{
    lambda::{Hosted, Invocation, Lambda, timestamp},
    template::StreamTrigger,
};

/// Delivers the batches of one trigger.
pub struct Delivery {
    lambda: Lambda,
    hosted: Arc<Hosted>,
    rules: StreamTrigger,
    stream: Stream,
}

/// Records that are delivered together, and the number of failed deliveries.
struct Batch {
    records: Vec<Record>,
    failures: u32,
}

impl Delivery {
    pub fn new(lambda: Lambda, hosted: Arc<Hosted>, rules: StreamTrigger, stream: Stream) -> Self {
        Self { lambda, hosted, rules, stream }
    }

    /// Returns once each record is processed or discarded. Later records wait, as in a shard on AWS.
    pub async fn deliver(&self, records: Vec<Record>) {
        let mut batches = vec![Batch { records, failures: 0 }];
        while let Some(batch) = batches.pop() {
            let Some(batch) = self.discard_old(batch) else { continue };
            let invocation = self.lambda.invoke(&self.hosted, self.payload(&batch.records)).await;
            let Some(failed_from) = self.failed_from(&batch, &invocation) else { continue };
            self.fail(batch, failed_from, &invocation, &mut batches).await;
        }
    }

    /// The payload of an invocation, with the window of its first record if the trigger has windows.
    fn payload(&self, records: &[Record]) -> Value {
        let mut payload = json!({ "Records": records.iter().map(|record| &record.event).collect::<Vec<_>>() });
        if let Some((tumbling, first)) = self.rules.tumbling.zip(records.first()) {
            let seconds = i64::try_from(tumbling.as_secs()).unwrap_or(i64::MAX);
            let start = first.written_at - first.written_at.rem_euclid(seconds);
            let moment = |at: i64| jiff::Timestamp::from_second(at).map(|at| at.to_string()).unwrap_or_default();
            payload["window"] = json!({ "start": moment(start), "end": moment(start.saturating_add(seconds)) });
            payload["state"] = json!({});
            payload["shardId"] = json!(self.stream.shard);
            payload["eventSourceARN"] = json!(records::arn(&self.stream.arn));
            payload["isFinalInvokeForWindow"] = json!(false);
            payload["isWindowTerminatedEarly"] = json!(false);
        }
        payload
    }

    /// The index of the first record to deliver again; `None` if all succeeded. With windows, an answer without a state is a failure.
    fn failed_from(&self, batch: &Batch, invocation: &Invocation) -> Option<usize> {
        if invocation.error.is_some() || self.rules.tumbling.is_some() && !invocation.response["state"].is_object() {
            return Some(0);
        }
        let failures = invocation.response["batchItemFailures"].as_array().filter(|_| self.rules.reports_failures)?;
        // Lambda treats an unknown identifier as a failure of the whole batch.
        let index =
            |failure: &Value| batch.records.iter().position(|it| failure["itemIdentifier"].as_str() == Some(&it.sequence_number));
        failures.iter().map(|failure| index(failure).unwrap_or(0)).min()
    }

    async fn fail(&self, mut batch: Batch, from: usize, invocation: &Invocation, batches: &mut Vec<Batch>) {
        let partial = from > 0;
        batch.records.drain(..from);
        // After partial progress the count restarts, because another record fails first.
        batch.failures = if partial { 1 } else { batch.failures + 1 };
        let bisects = self.rules.bisect && !partial && batch.records.len() > 1;
        if bisects {
            // Bisecting does not count as a retry.
            batch.failures -= 1;
            let second = batch.records.split_off(batch.records.len() / 2);
            batches.push(Batch { records: second, failures: batch.failures });
        } else if self.rules.retries.is_some_and(|retries| batch.failures > retries) {
            return self.discard(&batch.records, "RetryAttemptsExhausted", batch.failures, Some(invocation));
        }
        let mut pauses = self.lambda.retry_schedule(usize::MAX).build();
        sleep(pauses.nth(batch.failures.saturating_sub(1) as usize).unwrap_or_default()).await;
        batches.push(batch);
    }

    fn discard_old(&self, batch: Batch) -> Option<Batch> {
        let Some(age_max) = self.rules.age_max else { return Some(batch) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest = i64::try_from(now.saturating_sub(age_max).as_secs()).unwrap_or(i64::MAX);
        let (old, young): (Vec<_>, Vec<_>) = batch.records.into_iter().partition(|record| record.written_at < oldest);
        if !old.is_empty() {
            self.discard(&old, "RecordAgeExceeded", batch.failures, None);
        }
        (!young.is_empty()).then_some(Batch { records: young, failures: batch.failures })
    }

    fn discard(&self, records: &[Record], condition: &str, attempts: u32, invocation: Option<&Invocation>) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let arrival =
            |record: &Record| jiff::Timestamp::from_second(record.written_at).map(|at| format!("{at:.3}")).unwrap_or_default();
        let mut record = json!({
            "version": "1.0",
            "timestamp": timestamp(),
            "requestContext": {
                "requestId": invocation.map(|it| &it.request_id),
                "functionArn": self.hosted.definition.arn(),
                "condition": condition,
                "approximateInvokeCount": attempts,
            },
            "DDBStreamBatchInfo": {
                "shardId": self.stream.shard,
                "startSequenceNumber": first.sequence_number,
                "endSequenceNumber": last.sequence_number,
                "approximateArrivalOfFirstRecord": arrival(first),
                "approximateArrivalOfLastRecord": arrival(last),
                "batchSize": records.len(),
                "streamArn": records::arn(&self.stream.arn),
            },
        });
        if let Some(invocation) = invocation {
            record["responseContext"] = json!({ "statusCode": 200, "executedVersion": "$LATEST" });
            if invocation.error.is_some() {
                record["responseContext"]["functionError"] = json!("Unhandled");
            }
        }
        self.lambda.failures().add(&record);
    }
}
