//! The embedded DynamoDB, driven by the SDK.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use rusqlite::Connection;

use super::*;
use crate::{
    options::{Data, Durability},
    template::Template,
};

const TABLES: &str = r"
Resources:
  Log:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      StreamSpecification: { StreamViewType: NEW_IMAGE }
      TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
";

async fn put(dynamodb: &DynamoDb, key: &str) {
    let client = dynamodb.client();
    client.put_item().table_name("Log").item("pk", AttributeValue::S(key.to_owned())).send().await.unwrap();
}

/// The error message of a rejected call.
fn error_message<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    answer: Result<T, SdkError<E, R>>,
) -> String {
    answer.unwrap_err().message().unwrap_or_default().to_owned()
}

fn stream_records(connection: &Connection) -> u32 {
    connection.query_row("SELECT count(*) FROM _stream_records", (), |row| row.get(0)).unwrap()
}

async fn each_kind(test: impl AsyncFn(&Folder, &DynamoDb)) {
    let temporary = tempfile::tempdir().unwrap();
    for data in [Data::Folder(temporary.path().to_owned()), Data::Memory] {
        let folder = Folder::open(&data).unwrap();
        let dynamodb = DynamoDb::start(&folder, &Template::read(TABLES).unwrap().tables, Durability::Full).await.unwrap();
        test(&folder, &dynamodb).await;
        dynamodb.shutdown().await;
    }
}

#[tokio::test]
async fn next_sequence_number_uses_an_index() {
    each_kind(async |folder, dynamodb| {
        put(dynamodb, "a").await;
        let connection = Connection::open(folder.database()).unwrap();
        for query in [
            "SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = 'Log'",
            "SELECT id FROM _stream_records WHERE table_name = 'Log' AND shard_id = 's' AND CAST(sequence_number AS INTEGER) > 1
             ORDER BY CAST(sequence_number AS INTEGER) LIMIT 1",
        ] {
            let plan: String = connection.query_row(&format!("EXPLAIN QUERY PLAN {query}"), (), |row| row.get(3)).unwrap();
            assert!(plan.contains("USING") && plan.contains("INDEX longhand_stream_by_table"), "{plan}");
        }
    })
    .await;
}

#[tokio::test]
async fn trimming_allows_writes() {
    each_kind(async |folder, dynamodb| {
        put(dynamodb, "a").await;
        upkeep::trim(folder.database(), 1).unwrap();
        let connection = Connection::open(folder.database()).unwrap();
        assert_eq!(stream_records(&connection), 1);
        upkeep::trim(folder.database(), u64::from(u32::MAX)).unwrap();
        assert_eq!(stream_records(&connection), 0);
        put(dynamodb, "b").await;
        assert_eq!(stream_records(&connection), 1);
    })
    .await;
}

#[tokio::test]
async fn restart_keeps_items_and_settings() {
    let temporary = tempfile::tempdir().unwrap();
    let data = Data::Folder(temporary.path().to_owned());
    let tables = Template::read(TABLES).unwrap().tables;
    let first = DynamoDb::start(&Folder::open(&data).unwrap(), &tables, Durability::Full).await.unwrap();
    put(&first, "kept").await;
    first.shutdown().await;
    let second = DynamoDb::start(&Folder::open(&data).unwrap(), &tables, Durability::Full).await.unwrap();
    let client = second.client();
    let answer = client.get_item().table_name("Log").key("pk", AttributeValue::S("kept".into())).send().await.unwrap();
    assert!(answer.item.is_some());
    let ttl = client.describe_time_to_live().table_name("Log").send().await.unwrap().time_to_live_description.unwrap();
    assert_eq!(ttl.attribute_name(), Some("expires_at"));
}

/// The table with an index over `kind`, and another view.
fn with_index(projection: &str) -> String {
    let kind = "AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }, { AttributeName: kind, AttributeType: S }]";
    let index = format!(
        "GlobalSecondaryIndexes: [{{ IndexName: by_kind, KeySchema: [{{ AttributeName: kind, KeyType: HASH }}], Projection: {projection} }}]"
    );
    let attributes = "AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]";
    TABLES.replace(attributes, &format!("{kind}\n      {index}")).replace("NEW_IMAGE", "NEW_AND_OLD_IMAGES")
}

#[tokio::test]
async fn table_of_an_earlier_version_is_migrated() {
    let temporary = tempfile::tempdir().unwrap();
    let data = Data::Folder(temporary.path().to_owned());
    let start = async |yaml: &str| {
        DynamoDb::start(&Folder::open(&data).unwrap(), &Template::read(yaml).unwrap().tables, Durability::Full).await
    };
    let first = start(TABLES).await.unwrap();
    for (key, kind) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let put = first.client().put_item().table_name("Log").item("pk", AttributeValue::S(key.to_owned()));
        put.item("kind", AttributeValue::S(kind.to_owned())).item("other", AttributeValue::N("1".into())).send().await.unwrap();
    }
    first.shutdown().await;
    for (projection, has_other) in [("{ ProjectionType: KEYS_ONLY }", false), ("{ ProjectionType: ALL }", true)] {
        let yaml = with_index(projection);
        // The second start finds nothing to do.
        for _ in 0..2 {
            let running = start(&yaml).await.unwrap();
            let query = running.client().query().table_name("Log").index_name("by_kind");
            let query = query.key_condition_expression("kind = :kind");
            let found = query.expression_attribute_values(":kind", AttributeValue::S("x".into())).send().await.unwrap();
            let mut keys: Vec<_> = found.items().iter().map(|item| item["pk"].as_s().unwrap().as_str()).collect();
            keys.sort_unstable();
            assert_eq!(keys, ["a", "c"]);
            assert!(found.items().iter().all(|item| item.contains_key("other") == has_other));
            let described = running.client().describe_table().table_name("Log").send().await.unwrap().table.unwrap();
            let view = described.stream_specification().unwrap().stream_view_type().unwrap().as_str();
            assert_eq!(view, "NEW_AND_OLD_IMAGES");
            running.shutdown().await;
        }
    }
}

#[tokio::test]
async fn table_of_a_newer_version_is_refused_by_name() {
    let temporary = tempfile::tempdir().unwrap();
    let data = Data::Folder(temporary.path().to_owned());
    let start = async |yaml: &str| {
        DynamoDb::start(&Folder::open(&data).unwrap(), &Template::read(yaml).unwrap().tables, Durability::Full).await
    };
    start(&with_index("{ ProjectionType: ALL }")).await.unwrap().shutdown().await;
    let message = format!("{:#}", start(TABLES).await.err().unwrap());
    assert!(message.contains("Log") && message.contains("the data folder has the index by_kind"), "{message}");
    let message = format!("{:#}", start(&TABLES.replace("pk", "id")).await.err().unwrap());
    assert!(message.contains("other keys"), "{message}");
}

#[tokio::test]
async fn memory_is_separate_per_stack() {
    let tables = Template::read(TABLES).unwrap().tables;
    let (one, two) = (Folder::open(&Data::Memory).unwrap(), Folder::open(&Data::Memory).unwrap());
    let (one, two) = (
        DynamoDb::start(&one, &tables, Durability::Full).await.unwrap(),
        DynamoDb::start(&two, &tables, Durability::Full).await.unwrap(),
    );
    put(&one, "a").await;
    let client = two.client();
    assert_eq!(client.scan().table_name("Log").send().await.unwrap().count(), 0);
}

#[tokio::test]
async fn maintenance_deletes_expired_items_and_keeps_recent_records() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::open(&Data::Folder(temporary.path().to_owned())).unwrap();
    let dynamodb = DynamoDb::start(&folder, &Template::read(TABLES).unwrap().tables, Durability::Full).await.unwrap();
    let client = dynamodb.client();
    for (key, expires_at) in [("old", "1"), ("young", "99999999999")] {
        let put = client.put_item().table_name("Log").item("pk", AttributeValue::S(key.to_owned()));
        put.item("expires_at", AttributeValue::N(expires_at.to_owned())).send().await.unwrap();
    }
    upkeep::round(&Database::new(folder.database()).unwrap(), folder.database()).unwrap();
    let left = client.scan().table_name("Log").send().await.unwrap().items.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["pk"], AttributeValue::S("young".to_owned()));
    assert_eq!(stream_records(&Connection::open(folder.database()).unwrap()), 3);
}

/// Therefore the tests check the product's expressions against DynamoDB's reserved words and naming rules.
#[tokio::test]
async fn invalid_expressions_are_rejected() {
    each_kind(async |_, dynamodb| {
        let client = dynamodb.client();
        let text = || AttributeValue::S("a".to_owned());
        let update = |expression: &str| client.update_item().table_name("Log").key("pk", text()).update_expression(expression);
        let query = || client.query().table_name("Log").expression_attribute_values(":v", text());
        let messages = [
            error_message(update("SET status = :v").expression_attribute_values(":v", text()).send().await),
            error_message(update("ADD hash :v").expression_attribute_values(":v", AttributeValue::N("1".into())).send().await),
            error_message(update("REMOVE ttl").send().await),
            error_message(update("REMOVE x").condition_expression("attribute_exists(role)").send().await),
            error_message(query().key_condition_expression("pk = :v").projection_expression("pk, size").send().await),
            error_message(query().key_condition_expression("pk = :v").filter_expression("zone = :v").send().await),
            error_message(query().key_condition_expression("name = :v").send().await),
        ];
        for message in messages {
            assert!(message.contains("reserved keyword"), "{message}");
        }
        let unused = error_message(update("REMOVE x").expression_attribute_values(":v", text()).send().await);
        assert!(unused.contains("unused in expressions"), "{unused}");
        let twice = error_message(update("SET x = :v REMOVE x").expression_attribute_values(":v", text()).send().await);
        assert!(twice.contains("overlap"), "{twice}");
    })
    .await;
}

#[tokio::test]
async fn writes_that_wait_share_a_transaction() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::open(&Data::Folder(temporary.path().to_owned())).unwrap();
    let tables = Template::read(TABLES).unwrap().tables;
    let dynamodb = DynamoDb::start(&folder, &tables, Durability::Full).await.unwrap();
    let (release, released) = std::sync::mpsc::channel();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let workers = dynamodb.workers.clone();
    let wait = move |_: &Database| Ok(begin.send(()).is_ok() && released.recv().is_ok());
    let busy = tokio::spawn(async move { workers.writer().run(wait).await });
    begun.await.unwrap();
    let puts = async {
        // The keys repeat, and a repeated one is refused.
        futures::future::join_all((0..20).map(|number| {
            let put = dynamodb.client().put_item().table_name("Log").condition_expression("attribute_not_exists(pk)");
            put.item("pk", AttributeValue::S((number % 15).to_string())).send()
        }))
        .await
    };
    let release = async {
        while dynamodb.counts().requests < 20 {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
    };
    let (answers, ()) = tokio::join!(puts, release);
    assert!(busy.await.unwrap().unwrap());
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 15);
    assert_eq!(dynamodb.counts().joined, 19);
    // A refused write leaves no stream record either.
    assert_eq!(stream_records(&Connection::open(folder.database()).unwrap()), 15);
}

#[tokio::test]
async fn only_requests_that_leave_the_process_are_signed() {
    for (endpoint, is_signed) in [(Endpoints::in_process().dynamodb.as_str(), false), ("http://127.0.0.1:1", true)] {
        let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let services = Services::default();
        let router = Router::new().fallback(async move |headers: axum::http::HeaderMap| {
            sender.send(headers.contains_key("authorization")).unwrap();
            "{}"
        });
        services.add(endpoint, router);
        let config = longhand::config::AwsConfig {
            region: Some("us-east-1".to_owned()),
            dynamodb_endpoint: Some(endpoint.to_owned()),
            credentials: Some(("id".to_owned(), "secret".to_owned(), None)),
            ..Default::default()
        };
        let clients = longhand::aws::Clients::new(&config, Some(services.http_client())).await;
        clients.dynamodb.list_tables().send().await.unwrap();
        assert_eq!(seen.recv().await, Some(is_signed), "{endpoint}");
    }
}

/// A client of another process may read the streams, in the protocol of AWS.
#[tokio::test]
async fn streams_are_read_over_http() {
    each_kind(async |_, dynamodb| {
        put(dynamodb, "a").await;
        put(dynamodb, "b").await;
        let router = dynamodb.router();
        let call = async |operation: &str, request: serde_json::Value| -> serde_json::Value {
            let target = format!("DynamoDBStreams_20120810.{operation}");
            let request = axum::extract::Request::post("/")
                .header("x-amz-target", target)
                .body(axum::body::Body::from(request.to_string()))
                .unwrap();
            let response = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            serde_json::from_slice(&body).unwrap()
        };
        let listed = call("ListStreams", serde_json::json!({ "TableName": "Log" })).await;
        let arn = &listed["Streams"][0]["StreamArn"];
        let described = call("DescribeStream", serde_json::json!({ "StreamArn": arn })).await;
        let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
        let at = serde_json::json!({ "StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
        let iterator = call("GetShardIterator", at).await;
        let read = call("GetRecords", serde_json::json!({ "ShardIterator": iterator["ShardIterator"] })).await;
        let keys: Vec<_> =
            read["Records"].as_array().unwrap().iter().map(|record| &record["dynamodb"]["Keys"]["pk"]["S"]).collect();
        assert_eq!(keys, ["a", "b"], "{read}");
        let unknown = call("GetRecords", serde_json::json!({ "ShardIterator": "none" })).await;
        assert!(unknown["message"].as_str().or(unknown["Message"].as_str()).unwrap().contains("iterator"), "{unknown}");
    })
    .await;
}
