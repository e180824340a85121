//! `retention` tells and removes what is past its window, and never what is in use.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::aws::Clients;
use longhand::{App, Clock, Config, Organization, Retention, RetentionRules};
use longhand_local::{Data, Options};
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);

async fn provider() -> Hostile {
    let stalls = Script::stream([wire::text("uno ")]).ending(Ending::Stall);
    let scripts = vec![Script::stream([wire::whole(&["uno"])]), stalls, Script::stream([wire::whole(&["dos"])])];
    Hostile::start([("test", scripts)]).await
}

fn options(hostile: &Hostile, clock: &Clock) -> Options {
    Options { clock: clock.clone(), env: environment(&hostile.base_url("test"), &[]), ..Options::default() }
}

async fn stores(harness: &Harness) -> (Config, Clients) {
    let config = harness.config("api");
    let clients = harness.clients().await;
    (config, clients)
}

async fn objects(harness: &Harness) -> Vec<String> {
    let (config, clients) = stores(harness).await;
    let listed = clients.s3.list_objects_v2().bucket(&config.bucket).send().await.unwrap();
    listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
}

async fn retain(app: &App, organization: &Organization, rules: RetentionRules) -> Retention {
    let found = app.retention(organization, rules).await.unwrap();
    assert!(found.failed.is_empty(), "{found:?}");
    found
}

fn names(ids: &[longhand::GenerationId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_generations_are_purged_and_others_kept() {
    let (hostile, clock) = (provider().await, Clock::system());
    let harness = Harness::without(&["EveryMinute"], options(&hostile, &clock)).await;
    let old = harness.start_generation(json!({})).await;
    harness.ended(&old).await;
    let runs = harness.start_generation(json!({})).await;
    harness.until(&runs, |record| record["progress"]["received_chunks"] == 1).await;
    clock.advance(31 * DAY);
    let young = harness.start_generation(json!({})).await;
    harness.ended(&young).await;

    let (app, local) = (harness.stack.app().await.unwrap(), "local".parse().unwrap());
    let for_ever = RetentionRules { apply: true, ..RetentionRules::default() };
    assert!(retain(&app, &local, for_ever).await.expired.is_empty(), "without a rule they are kept for ever");
    let tell = RetentionRules { keep: Some(30 * DAY), ..RetentionRules::default() };
    let apply = RetentionRules { apply: true, ..tell };
    let longer = RetentionRules { keep: Some(32 * DAY), ..apply };
    assert!(retain(&app, &local, longer).await.expired.is_empty(), "it is not that old yet");
    assert!(retain(&app, &"other".parse().unwrap(), apply).await.expired.is_empty(), "it is not theirs");
    let before = objects(&harness).await;
    assert_eq!(names(&retain(&app, &local, tell).await.expired), [old.as_str()]);
    assert_eq!(objects(&harness).await, before, "telling removes nothing");
    assert_eq!(harness.get(&format!("generations/{old}")).await.0, StatusCode::OK);

    assert_eq!(names(&retain(&app, &local, apply).await.expired), [old.as_str()]);
    assert_eq!(harness.get(&format!("generations/{old}")).await.0, StatusCode::NOT_FOUND);
    assert!(objects(&harness).await.iter().all(|key| !key.contains(&old)));
    for id in [&runs, &young] {
        assert_eq!(harness.get(&format!("generations/{id}")).await.0, StatusCode::OK);
    }
    assert_eq!(harness.text(&young).await, "dos");
    assert!(retain(&app, &local, apply).await.expired.is_empty(), "once is enough");
    harness.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_removed_after_a_day() {
    let hostile = Hostile::start([("test", vec![Script::stream([wire::whole(&["uno"])])])]).await;
    let (clock, folder) = (Clock::system(), tempfile::tempdir().unwrap());
    let harness = Harness::with(Options { data: Data::Folder(folder.path().to_owned()), ..options(&hostile, &clock) }).await;
    let large = json!({ "prompt": "p".repeat(10_000) });
    let kept = harness.start_generation(large.clone()).await;
    let broken = harness.start_generation(large).await;
    harness.ended(&kept).await;
    harness.ended(&broken).await;
    let (config, clients) = stores(&harness).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let delete = clients.dynamodb.delete_item().table_name(&config.records_table);
    delete.key("pk", text(&format!("local#{broken}"))).key("sk", text("record")).send().await.unwrap();
    let foreign = clients.s3.put_object().bucket(&config.bucket).key("local/readme.txt");
    foreign.body(b"mine".to_vec().into()).send().await.unwrap();
    // As an import does it: the id carries the time of its row there, and its objects come before its record.
    let imported = longhand::GenerationId::first_at(clock.now_ms() - 400 * 24 * 3_600_000).to_string();
    let object = clients.s3.put_object().bucket(&config.bucket).key(format!("local/{imported}/output.txt"));
    object.body(b"uno".to_vec().into()).send().await.unwrap();

    let (app, local): (_, Organization) = (harness.stack.app().await.unwrap(), "local".parse().unwrap());
    assert_eq!(app.organizations().await.unwrap(), std::slice::from_ref(&local));
    let tell = RetentionRules { rows: true, ..RetentionRules::default() };
    let apply = RetentionRules { apply: true, ..tell };
    let found = retain(&app, &local, apply).await;
    assert!(found.objects.is_empty() && found.rows.is_empty(), "its create may be repeated for a day: {found:?}");
    clock.advance(26 * Duration::from_hours(1));
    let before = objects(&harness).await;
    let kept_objects = before.iter().filter(|key| !key.contains(&broken) && !key.contains(&imported)).cloned().collect();
    for (rules, left) in [(tell, before.clone()), (apply, kept_objects)] {
        let found = retain(&app, &local, rules).await;
        assert_eq!((names(&found.objects), names(&found.rows)), (vec![imported.clone(), broken.clone()], vec![broken.clone()]));
        assert_eq!(found.foreign, ["local/readme.txt"]);
        assert_eq!(objects(&harness).await, left);
    }
    let found = retain(&app, &local, apply).await;
    assert!(found.objects.is_empty() && found.rows.is_empty(), "{found:?}");
    assert_eq!(harness.text(&kept).await, "uno");
    let rows = clients.dynamodb.scan().table_name(&config.records_table).send().await.unwrap();
    // `meter` may have counted both by now.
    let others = [text(&format!("local#{kept}")), text("local#statistics")];
    assert!(rows.items().iter().all(|row| others.contains(&row["pk"])), "{rows:?}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_keeps_a_reused_idempotency_key() {
    let hostile = Hostile::start([("test", vec![Script::stream([wire::whole(&["uno"])])])]).await;
    let clock = Clock::system();
    let harness = Harness::with(options(&hostile, &clock)).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
    let (_, old) = harness.post_once("once", &body).await;
    harness.ended(old["id"].as_str().unwrap()).await;
    clock.advance(2 * DAY);
    let (_, new) = harness.post_once("once", &body).await;
    assert_ne!(new["id"], old["id"], "a key is remembered for a day");
    harness.ended(new["id"].as_str().unwrap()).await;

    let (app, local) = (harness.stack.app().await.unwrap(), "local".parse().unwrap());
    let apply = RetentionRules { keep: Some(DAY), apply: true, ..RetentionRules::default() };
    assert_eq!(names(&retain(&app, &local, apply).await.expired), [old["id"].as_str().unwrap()]);
    let (_, again) = harness.post_once("once", &body).await;
    assert_eq!(again["id"], new["id"], "the same request, sent again, is the same generation");
    harness.finish().await;
}

/// Starts a batch of these prompts.
async fn batch_of(harness: &Harness, prompts: &[&str]) -> String {
    let items: Vec<_> = prompts.iter().map(|prompt| json!({ "subject": "s", "request": { "prompt": prompt } })).collect();
    let body = json!({ "items": items, "defaults": { "provider": "test", "model": "m" } });
    harness.done("POST", "batches", &body).await["id"].as_str().unwrap().to_owned()
}

/// Waits until a batch is so.
async fn until(harness: &Harness, id: &str, is_so: impl Fn(&Value) -> bool) {
    while !is_so(&harness.found(&format!("batches/{id}")).await) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_batches_are_deleted_after_their_time_and_nothing_of_their_generations() {
    let hostile = Hostile::improvising("test", |_, body| match body["messages"][0]["content"].as_str() {
        Some("stall") => Script::stream([wire::text("uno ")]).ending(Ending::Stall),
        _ => Script::stream([wire::whole(&["uno"])]),
    })
    .await;
    let clock = Clock::system();
    let harness = Harness::without(&["EveryMinute"], options(&hostile, &clock)).await;
    let (app, local): (App, Organization) = (harness.stack.app().await.unwrap(), "local".parse().unwrap());
    // One of its requests is in the bucket.
    let large = "x".repeat(longhand::limits::REQUEST_INLINE_BYTES_MAX);
    let old = batch_of(&harness, &["uno", &large]).await;
    until(&harness, &old, |batch| !batch["ended_at"].is_null()).await;
    let runs = batch_of(&harness, &["stall"]).await;
    until(&harness, &runs, |batch| batch["counts"]["running"] == 1).await;
    clock.advance(91 * DAY);
    let young = batch_of(&harness, &["uno"]).await;
    until(&harness, &young, |batch| !batch["ended_at"].is_null()).await;

    let ids = |found: longhand::BatchRetention| {
        assert!(found.failed.is_empty(), "{found:?}");
        found.batches.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (_, items) = harness.get(&format!("batches/{old}/items")).await;
    let before = objects(&harness).await;
    assert_eq!(ids(app.retain_batches(&local, 92 * DAY, true).await.unwrap()), [""; 0], "it is not that old yet");
    assert_eq!(ids(app.retain_batches(&"other".parse().unwrap(), 90 * DAY, true).await.unwrap()), [""; 0], "it is not theirs");
    assert_eq!(ids(app.retain_batches(&local, 90 * DAY, false).await.unwrap()), [old.as_str()]);
    assert_eq!(objects(&harness).await, before, "telling removes nothing");
    assert_eq!(harness.get(&format!("batches/{old}")).await.0, StatusCode::OK);
    assert_eq!(ids(app.retain_batches(&local, 90 * DAY, true).await.unwrap()), [old.as_str()]);
    assert_eq!(harness.get(&format!("batches/{old}")).await.0, StatusCode::NOT_FOUND);
    let (config, clients) = stores(&harness).await;
    let rows = clients.dynamodb.query().table_name(&config.records_table).key_condition_expression("pk = :pk");
    let rows = rows.expression_attribute_values(":pk", AttributeValue::S(format!("local#{old}"))).send().await.unwrap();
    assert!(rows.items().is_empty(), "{:?}", rows.items());
    let kept = objects(&harness).await;
    assert!(!kept.iter().any(|object| object.contains(&old)), "{kept:?}");
    for item in items["data"].as_array().unwrap() {
        let generation = item["generation"].as_str().unwrap();
        assert_eq!(harness.get(&format!("generations/{generation}/output")).await.0, StatusCode::OK);
    }
    assert_eq!(harness.get("subjects/s/versions/current/output").await.0, StatusCode::OK);
    for other in [&runs, &young] {
        assert_eq!(harness.get(&format!("batches/{other}")).await.0, StatusCode::OK);
    }
    harness.finish().await;
}
