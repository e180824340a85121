//! Stream triggers end to end: items written with the SDK, batches delivered to a test function.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Data, Stack,
    environment::Connection,
    testing::{Functions, Seen, stack, until},
};

const TEMPLATE: &str = r#"
Resources:
  Log:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      StreamSpecification: { StreamViewType: NEW_IMAGE }
  Compact:
    Type: AWS::Serverless::Function
    Properties:
      Handler: compact
      Events:
        Ended:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Log.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 10
            MaximumRetryAttempts: 1
            FunctionResponseTypes: [ReportBatchItemFailures]
            FilterCriteria: { Filters: [{ Pattern: '{"eventName":["INSERT"],"dynamodb":{"NewImage":{"end":{"S":[{"exists":true}]}}}}' }] }
"#;

async fn put(stack: &Stack, key: &str, end: bool) {
    let client = Connection::unsigned(stack.endpoints().clone(), stack.services().clone()).dynamodb();
    let put = client.put_item().table_name("Log").item("pk", AttributeValue::S(key.to_owned()));
    let put = if end { put.item("end", AttributeValue::S("completed".to_owned())) } else { put };
    put.send().await.unwrap();
}

fn keys(payload: &Value) -> Vec<String> {
    let records = payload["Records"].as_array().unwrap();
    records.iter().map(|record| record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap().to_owned()).collect()
}

/// The keys of each batch, joined by spaces.
fn batches(seen: &Seen) -> Vec<String> {
    seen.all().iter().map(|payload| keys(payload).join(" ")).collect()
}

/// A function that records its batches and passes each to `handle`.
fn recording(seen: &Seen, handle: impl Fn(usize, &Value) -> Result<Value, &'static str> + Send + Sync + 'static) -> Functions {
    let seen = seen.clone();
    Functions::default().event("compact", move |event| {
        let count = seen.add(event.payload.clone());
        handle(count, &event.payload).map_err(Into::into)
    })
}

/// The template with the trigger disabled.
fn disabled(template: &str) -> String {
    template.replace("StartingPosition", "Enabled: false\n            StartingPosition")
}

/// A stack whose table already holds these ends when the trigger starts, so that they arrive in one batch.
async fn stack_with_ends(temporary: &TempDir, template: &str, functions: Functions, keys: &[&str]) -> Stack {
    let data = || Data::Folder(temporary.path().to_owned());
    let before = stack(&disabled(template), functions.clone(), data()).await;
    for key in keys {
        put(&before, key, true).await;
    }
    before.shutdown().await;
    stack(template, functions, data()).await
}

#[tokio::test]
async fn matching_records_arrive_in_lambda_form() {
    let seen = Seen::default();
    let stack = stack(TEMPLATE, recording(&seen, |_, _| Ok(Value::Null)), Data::Memory).await;
    put(&stack, "chunk", false).await;
    put(&stack, "end", true).await;
    until(async || !seen.all().is_empty()).await;
    let record = &seen.all()[0]["Records"][0];
    assert_eq!(batches(&seen), ["end"]);
    assert_eq!(
        (&record["eventName"], &record["eventSource"], &record["awsRegion"]),
        (&json!("INSERT"), &json!("aws:dynamodb"), &json!("us-east-1"))
    );
    assert_eq!(record["dynamodb"]["NewImage"], json!({ "pk": { "S": "end" }, "end": { "S": "completed" } }));
    assert_eq!(record["dynamodb"]["StreamViewType"], "NEW_IMAGE");
    assert!(
        record["eventSourceARN"].as_str().unwrap().starts_with("arn:aws:dynamodb:us-east-1:000000000000:table/Log/stream/"),
        "{record}"
    );
}

#[tokio::test]
async fn partial_failure_resumes_at_the_failed_record() {
    let seen = Seen::default();
    let functions = recording(&seen, |count, payload| match count {
        1 => Ok(json!({ "batchItemFailures": [{ "itemIdentifier": payload["Records"][1]["dynamodb"]["SequenceNumber"] }] })),
        _ => Ok(json!({ "batchItemFailures": [] })),
    });
    let temporary = tempfile::tempdir().unwrap();
    let stack = stack_with_ends(&temporary, TEMPLATE, functions, &["a", "b", "c"]).await;
    until(async || seen.all().len() == 2).await;
    assert_eq!(batches(&seen), ["a b c", "b c"]);
    assert!(stack.failures().await.is_empty());
}

#[tokio::test]
async fn failing_batch_is_discarded_and_the_next_delivered() {
    let seen = Seen::default();
    let functions =
        recording(&seen, |_, payload| if keys(payload).contains(&"a".to_owned()) { Err("no") } else { Ok(Value::Null) });
    let stack = stack(TEMPLATE, functions, Data::Memory).await;
    put(&stack, "a", true).await;
    until(async || !stack.failures().await.is_empty()).await;
    put(&stack, "b", true).await;
    until(async || batches(&seen).contains(&"b".to_owned())).await;
    assert_eq!(batches(&seen), ["a", "a", "b"]);
    let record = stack.failures().await.remove(0);
    assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(record["DDBStreamBatchInfo"]["batchSize"], 1);
    assert_eq!(record["DDBStreamBatchInfo"]["startSequenceNumber"], seen.all()[0]["Records"][0]["dynamodb"]["SequenceNumber"]);
}

#[tokio::test]
async fn bisecting_isolates_the_failing_record() {
    let seen = Seen::default();
    let functions =
        recording(&seen, |_, payload| if keys(payload).contains(&"c".to_owned()) { Err("no") } else { Ok(Value::Null) });
    let template = TEMPLATE.replace("BatchSize: 10", "BatchSize: 10\n            BisectBatchOnFunctionError: true");
    let temporary = tempfile::tempdir().unwrap();
    let stack = stack_with_ends(&temporary, &template, functions, &["a", "b", "c", "d"]).await;
    until(async || batches(&seen).contains(&"d".to_owned())).await;
    assert_eq!(batches(&seen), ["a b c d", "a b", "c d", "c", "c", "d"]);
    assert_eq!(stack.failures().await.len(), 1);
}

/// A stack that delivers `a`, and then one whose trigger is off and that stores `b`.
async fn leave_b_undelivered(data: impl Fn() -> Data, seen: &Seen) {
    let first = stack(TEMPLATE, recording(seen, |_, _| Ok(Value::Null)), data()).await;
    put(&first, "a", true).await;
    until(async || !seen.all().is_empty()).await;
    first.shutdown().await;
    let between = stack(&disabled(TEMPLATE), recording(seen, |_, _| Ok(Value::Null)), data()).await;
    put(&between, "b", true).await;
    between.shutdown().await;
}

#[tokio::test]
async fn restart_delivers_only_undelivered_records() {
    let temporary = tempfile::tempdir().unwrap();
    let data = || Data::Folder(temporary.path().to_owned());
    let (first_seen, second_seen) = (Seen::default(), Seen::default());
    leave_b_undelivered(data, &first_seen).await;
    let second = stack(TEMPLATE, recording(&second_seen, |_, _| Ok(Value::Null)), data()).await;
    until(async || !second_seen.all().is_empty()).await;
    assert_eq!((batches(&first_seen), batches(&second_seen)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    second.shutdown().await;
}

/// The position holds, and what was written before the change is read as it was.
#[tokio::test]
async fn another_view_keeps_the_position() {
    let temporary = tempfile::tempdir().unwrap();
    let data = || Data::Folder(temporary.path().to_owned());
    let (first_seen, second_seen) = (Seen::default(), Seen::default());
    leave_b_undelivered(data, &first_seen).await;
    let template = TEMPLATE.replace("StreamViewType: NEW_IMAGE", "StreamViewType: NEW_AND_OLD_IMAGES");
    assert_ne!(template, TEMPLATE);
    let second = stack(&template, recording(&second_seen, |_, _| Ok(Value::Null)), data()).await;
    put(&second, "c", true).await;
    until(async || batches(&second_seen).join(" ").contains('c')).await;
    assert_eq!(batches(&second_seen).join(" "), "b c");
    second.shutdown().await;
}

#[tokio::test]
async fn latest_skips_existing_records() {
    let seen = Seen::default();
    let template = TEMPLATE.replace("TRIM_HORIZON", "LATEST");
    let temporary = tempfile::tempdir().unwrap();
    let stack = stack_with_ends(&temporary, &template, recording(&seen, |_, _| Ok(Value::Null)), &["past"]).await;
    put(&stack, "new", true).await;
    until(async || !seen.all().is_empty()).await;
    assert_eq!(batches(&seen), ["new"]);
}

#[tokio::test]
async fn interrupted_batch_is_delivered_on_the_next_stack() {
    let temporary = tempfile::tempdir().unwrap();
    let data = || Data::Folder(temporary.path().to_owned());
    let seen = Seen::default();
    let hangs = Functions::default().later("compact", {
        let seen = seen.clone();
        move |event| {
            seen.add(event.payload);
            std::future::pending()
        }
    });
    let first =
        stack(&TEMPLATE.replace("Properties:\n      Events", "Properties:\n      Timeout: 900\n      Events"), hangs, data())
            .await;
    put(&first, "a", true).await;
    until(async || !seen.all().is_empty()).await;
    first.shutdown().await;
    let second = stack(TEMPLATE, recording(&seen, |_, _| Ok(Value::Null)), data()).await;
    until(async || seen.all().len() == 2).await;
    assert_eq!(batches(&seen), ["a", "a"]);
    assert!(second.failures().await.is_empty());
}

/// On AWS too, an answer without a state fails the batch.
#[tokio::test]
async fn tumbling_window_names_the_shard_and_needs_a_state() {
    let seen = Seen::default();
    let functions = recording(&seen, |count, _| Ok(if count == 1 { Value::Null } else { json!({ "state": {} }) }));
    let template = TEMPLATE.replace("BatchSize: 10", "BatchSize: 10\n            TumblingWindowInSeconds: 900");
    let stack = stack(&template, functions, Data::Memory).await;
    put(&stack, "a", true).await;
    until(async || seen.all().len() == 2).await;
    assert_eq!(batches(&seen), ["a", "a"]);
    let payload = &seen.all()[1];
    assert!(payload["shardId"].as_str().unwrap().starts_with("shardId-"), "{payload}");
    let moment = |name: &str| payload["window"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!((moment("start") % 900, moment("end") - moment("start")), (0, 900));
    assert_eq!((&payload["state"], &payload["isFinalInvokeForWindow"]), (&json!({}), &json!(false)));
    assert!(stack.failures().await.is_empty());
}
