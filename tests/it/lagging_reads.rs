//! A table whose reads lag behind its writes, as DynamoDB's do unless they are asked to be consistent. The embedded one never lags.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::{Client, Config};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Json, Router, routing::post};
use longhand::aws::{Buffer, Meter, Records};
use longhand::{Clock, GenerationId, GenerationKey};
use serde_json::{Value, json};

/// The sort keys of what is stored in the one partition.
type Stored = Arc<Mutex<BTreeSet<String>>>;

/// The newest item is not in a view that lags.
async fn answer(State(stored): State<Stored>, headers: HeaderMap, body: String) -> Json<Value> {
    let body: Value = serde_json::from_str(&body).unwrap();
    let mut stored = stored.lock().unwrap();
    match headers["x-amz-target"].to_str().unwrap().split_once('.').unwrap().1 {
        "Query" => {
            let lag = usize::from(body["ConsistentRead"] != true);
            let seen = stored.iter().take(stored.len().saturating_sub(lag));
            let items: Vec<Value> =
                seen.map(|sk| json!({ "pk": body["ExpressionAttributeValues"][":pk"], "sk": { "S": sk } })).collect();
            Json(json!({ "Count": items.len(), "ScannedCount": items.len(), "Items": items }))
        }
        "BatchWriteItem" => {
            for request in body["RequestItems"]["table"].as_array().unwrap() {
                stored.remove(request["DeleteRequest"]["Key"]["sk"]["S"].as_str().unwrap());
            }
            Json(json!({ "UnprocessedItems": {} }))
        }
        "DeleteItem" => {
            stored.remove(body["Key"]["sk"]["S"].as_str().unwrap());
            Json(json!({}))
        }
        other => panic!("a deletion does not call {other}"),
    }
}

async fn table(sort_keys: &[&str]) -> (Client, Stored) {
    let stored: Stored = Arc::new(Mutex::new(sort_keys.iter().map(|key| (*key).to_owned()).collect()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&stored));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(url);
    (Client::from_conf(config.build()), stored)
}

fn key() -> GenerationKey {
    GenerationKey::new("acme".parse().unwrap(), GenerationId::new(1))
}

#[tokio::test]
async fn what_was_stored_a_moment_ago_is_deleted_with_its_log() {
    let (client, stored) = table(&["000000000000", "000000000007", "meta"]).await;
    let buffer = Buffer::new(client, "table".to_owned(), Clock::system(), Meter::default());
    assert_eq!(buffer.delete(&key()).await.unwrap(), 3);
    assert!(stored.lock().unwrap().is_empty(), "{stored:?}");
}

#[tokio::test]
async fn what_was_stored_a_moment_ago_is_deleted_with_its_record() {
    let (client, stored) = table(&["issue#vi_1", "record", "request"]).await;
    let records = Records::new(client, "table".to_owned(), Meter::default());
    records.delete_rows(&key()).await.unwrap();
    assert!(stored.lock().unwrap().is_empty(), "{stored:?}");
}
