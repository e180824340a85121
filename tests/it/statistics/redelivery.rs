//! Records of the stream that come again, in other batches, beside each other, and from several shards.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{Scene, counted, generate, nothing_but_counts, usage};

/// A record with its outcome, as the records table's stream tells it to `meter`.
const EVENT: &str = include_str!("../../../infra/events/meter.json");

/// What is told of the days of [`EVENT`].
const DAY: &str = "?from=2024-11-18&to=2024-11-18&by=model";

/// A batch of a shard: for each number, the end of a generation of acme's, of one of two models.
fn batch(shard: &str, numbers: &[u64]) -> Value {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    let sample = event["Records"][0].clone();
    let record = |number: &u64| {
        let mut record = sample.clone();
        let change = &mut record["dynamodb"];
        // Of other lengths, so that their order as text is another one.
        change["SequenceNumber"] = json!(format!("{}", 99_999_999_999_999_999_990_u128 + u128::from(*number)));
        change["NewImage"]["organization"] = json!({ "S": "acme" });
        change["NewImage"]["model"] = json!({ "S": if number.is_multiple_of(2) { "even" } else { "odd" } });
        record
    };
    event["Records"] = numbers.iter().map(record).collect();
    event["shardId"] = json!(shard);
    event
}

async fn groups(scene: &Scene) -> Vec<Value> {
    usage(&scene.acme, DAY).await["data"].as_array().unwrap().iter().map(nothing_but_counts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_is_counted_once_however_it_is_delivered() {
    let scene = Scene::without(&["EndedRecords", "EveryMinute"]).await;
    let deliver = async |shard: &str, numbers: &[u64]| {
        let answer = scene.harness.stack.invoke("meter", batch(shard, numbers)).await.unwrap();
        assert_eq!(answer, json!({ "state": {} }));
    };
    deliver("shardId-1-a", &[1, 2, 3]).await;
    assert_eq!(groups(&scene).await, [json!(["even", 1, 1]), json!(["odd", 2, 2])]);
    let before = scene.harness.stack.write_units();
    deliver("shardId-1-a", &[1, 2, 3]).await;
    deliver("shardId-1-a", &[]).await;
    assert_eq!(scene.harness.stack.write_units(), before, "a delivery again writes nothing");
    // Partly known, cut in two, longer, and with a record twice.
    deliver("shardId-1-a", &[2, 3, 4, 5]).await;
    deliver("shardId-1-a", &[2, 3]).await;
    deliver("shardId-1-a", &[4, 5, 8, 9]).await;
    deliver("shardId-1-a", &[8, 8, 9, 9, 12]).await;
    assert_eq!(groups(&scene).await, [json!(["even", 4, 4]), json!(["odd", 4, 4])]);
    // Another shard has numbers and a mark of its own, also where they are below those of the first.
    deliver("shardId-2-b", &[1, 2]).await;
    deliver("shardId-2-b", &[1, 2, 3]).await;
    assert_eq!(groups(&scene).await, [json!(["even", 5, 5]), json!(["odd", 6, 6])]);
    // The same batch of several shards at once, and each of them twice.
    let at_once = ["c", "d", "e", "c", "d", "e"].map(|shard| scene.harness.stack.invoke("meter", batch(shard, &[20, 21])));
    join_all(at_once).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(groups(&scene).await, [json!(["even", 8, 8]), json!(["odd", 9, 9])]);
    let told = usage(&scene.acme, DAY).await;
    assert_eq!((&told["total"]["usage"]["output_tokens"], &told["total"]["cost"]), (&json!(17 * 300), &json!(17 * 3_150)));
    assert_eq!(told["total"]["duration_ms"], json!({ "count": 17, "median": 4991, "p95": 4991 }), "5,109 ms");
    assert_eq!(told["total"]["first_text_ms"], json!({ "count": 17, "median": 1183, "p95": 1183 }), "1,200 ms");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_written_after_its_end_is_not_counted_again() {
    let scene = Scene::without(&[]).await;
    let record = generate(&scene.acme, json!({ "model": "m", "prompt": "uno" })).await;
    counted(&scene.acme, 1, "").await;
    let (clients, config) = (scene.harness.clients().await, scene.harness.config("api"));
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let update = clients.dynamodb.update_item().table_name(&config.records_table);
    let update = update.key("pk", text(&format!("acme#{}", record["id"].as_str().unwrap()))).key("sk", text("record"));
    let update =
        update.update_expression("SET revised_at = :at").expression_attribute_values(":at", text("2026-11-21T09:30:00Z"));
    update.send().await.unwrap();
    generate(&scene.acme, json!({ "model": "m", "prompt": "dos" })).await;
    let told = counted(&scene.acme, 2, "").await;
    assert_eq!(told["total"]["generations"]["total"], 2);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_counted_holds_up_nothing_else_and_what_names_no_shard_is_refused() {
    let scene = Scene::without(&["EndedRecords", "EveryMinute"]).await;
    let mut event = batch("s", &[1, 2, 3]);
    event["Records"][1]["dynamodb"]["NewImage"]["status"] = json!({ "S": "unheard of" });
    scene.harness.stack.invoke("meter", event).await.unwrap();
    assert_eq!(groups(&scene).await, [json!(["odd", 2, 2])]);
    let mut event = batch("s", &[4]);
    event.as_object_mut().unwrap().remove("shardId");
    assert!(scene.harness.stack.invoke("meter", event).await.is_err());
    scene.harness.finish().await;
}
