//! The record, its list, and what is done to it: filters, conditional reads, retry, delete, validation issues.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use longhand::Clock;
use longhand_local::playback::Ending;
use longhand_local::{Options, Playback, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment};
use reqwest::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const PRICES: &str = r#"{"test":{"m":{"input":1000000,"output":2000000}}}"#;

async fn harness(env: &[(&str, &str)]) -> (Harness, Playback) {
    Harness::playing(Script::new(["Ho", "la"]), env).await
}

async fn call(harness: &Harness, method: Method, path: &str) -> (StatusCode, Value) {
    harness.send(harness.http.request(method, harness.url_of(path)).build().unwrap()).await
}

async fn raw(harness: &Harness, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = harness.http.request(method, harness.url_of(path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    harness.execute(request.build().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_metadata_is_kept_apart_from_the_contract() {
    let (harness, _playback) = harness(&[("LONGHAND_PRICES", PRICES)]).await;
    // Every key that the contract has too, with a value that it would not allow.
    let own = json!({ "provider": 7, "progress": "mine", "error": [], "validation_errors": null, "sent_at": "never", "deep": { "a": [1] } });
    let asked = json!({ "metadata": own, "initiator": 12, "used_instruction": { "content": "Write.", "source": "tenant", "language": "es" } });
    let id = harness.start_generation(asked).await;
    let (_, first) = harness.get(&format!("generations/{id}")).await;
    assert_eq!(first["request_metadata"], own, "from the first moment");
    let record = harness.ended(&id).await;
    assert_eq!(record["request_metadata"], own);
    let metadata = &record["metadata"];
    assert_eq!((&metadata["provider"], &metadata["initiator"], &metadata["deep"]), (&json!("test"), &json!(12), &Value::Null));
    assert_eq!(metadata["used_instruction"], json!({ "content": "Write.", "source": "tenant", "language": "es" }));
    assert_eq!(metadata.get("validation_errors"), None, "{metadata}");
    assert_eq!((&record["attempts"], &record["retry_of"], &record["finalizing"]), (&json!(1), &Value::Null, &json!(false)));
    assert!(record["cost"].as_u64().unwrap() > 0, "{record}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn percent_follows_what_the_request_expects() {
    let script = Script { ending: Ending::Stall, ..Script::new(["12345", "67890"]) };
    let (harness, _playback) = Harness::playing(script, &[]).await;
    for (expects, percent) in [
        (json!({ "expected_total_bytes": 40 }), json!(25)),
        (json!({ "expected_total_chunks": 4 }), json!(50)),
        (json!({ "expected_total_bytes": 5 }), json!(99)),
        (json!({}), Value::Null),
    ] {
        let id = harness.start_generation(expects.clone()).await;
        harness.until(&id, |record| record["progress"]["received_chunks"] == 2).await;
        let (_, record) = harness.get(&format!("generations/{id}")).await;
        assert_eq!(record["progress"]["percent"], percent, "{expects}");
        assert_eq!(record["progress"]["expected_total_bytes"], expects["expected_total_bytes"]);
        assert_eq!(harness.cancel(&id).await.0, StatusCode::OK);
        let ended = harness.ended(&id).await;
        assert_eq!(ended["metadata"]["progress"]["percent"], percent, "{ended}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminal_status_without_its_outcome_is_finalizing() {
    let script = Script { ending: Ending::Stall, ..Script::new(["Hola"]) };
    let playback = play(script).unwrap();
    let options = Options { env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended", "EveryMinute"], options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 1).await;
    let (_, cancelled) = harness.cancel(&id).await;
    assert_eq!((&cancelled["status"], &cancelled["finalizing"]), (&json!("cancelled"), &json!(true)), "{cancelled}");
    assert!(cancelled["completed_at"].is_string() && cancelled["sha256"].is_null(), "{cancelled}");
    harness.stack.app().await.unwrap().compact(&longhand_tests::key_of(&id), "hand").await.unwrap();
    let (_, record) = harness.get(&format!("generations/{id}")).await;
    assert_eq!((&record["finalizing"], &record["completed_at"]), (&json!(false), &cancelled["completed_at"]));
    assert!(record["sha256"].is_string(), "{record}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_own_timeout_ends_it() {
    let script = Script { ending: Ending::Stall, ..Script::new(["Hola"]) };
    let playback = play(script).unwrap();
    let clock = Clock::manual();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["EveryMinute"], options).await;
    let id = harness.start_generation(json!({ "timeout": 2 })).await;
    let record = harness.ended(&id).await;
    let told = (&record["status"], &record["reason"], &record["error"]["message"]);
    assert_eq!(told, (&json!("failed"), &json!("timeout"), &json!("it took longer than 2 s")), "{record}");
    let (status, refused) = harness.post(&json!({ "provider": "test", "model": "m", "prompt": "p", "timeout": 9_999_999 })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(refused["errors"][0]["detail"], "must be at most 1800, the deployment's limit in seconds", "{refused}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_selects_by_status_model_time_and_metadata_in_both_orders() {
    let clock = Clock::manual();
    let playback = play(Script::new(["Hola"])).unwrap();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::with(options).await;
    let mut ids = Vec::new();
    let mut moments = Vec::new();
    for number in 0..6 {
        moments.push(longhand::clock::rfc3339(clock.now_ms()));
        let model = if number % 2 == 0 { "even" } else { "odd" };
        let id = harness
            .start_generation(json!({ "model": model, "metadata": { "n": number, "team": format!("t{}", number % 3) } }))
            .await;
        harness.ended(&id).await;
        ids.push(id);
        clock.advance(Duration::from_secs(1));
    }
    let list = async |query: &str| {
        let (status, page) = call(&harness, Method::GET, &format!("/v1/generations?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {page}");
        let found = page["data"].as_array().unwrap().iter();
        let found: Vec<usize> = found.map(|one| ids.iter().position(|id| one["id"] == id.as_str()).unwrap()).collect();
        (found, page)
    };
    assert_eq!(list("").await.0, [5, 4, 3, 2, 1, 0]);
    assert_eq!(list("order=asc&limit=2").await.0, [0, 1]);
    assert_eq!(list(&format!("order=asc&after={}", ids[3])).await.0, [4, 5]);
    assert_eq!(list("model=even").await.0, [4, 2, 0]);
    assert_eq!(list("model=even&metadata.team=t1").await.0, [4]);
    assert_eq!(list("metadata.n=3").await.0, [3], "by its JSON");
    assert_eq!(list("metadata.n=three").await.0, [0; 0]);
    assert_eq!(list("status=completed&provider=test").await.0.len(), 6);
    assert_eq!(list("status=failed").await.0, [0; 0]);
    assert_eq!(list(&format!("since={}&until={}", moments[1], moments[3])).await.0, [2, 1]);
    assert_eq!(list(&format!("since={}&order=asc&limit=1", moments[4])).await.0, [4]);
    // Page after page finds each once.
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let (found, page) = list(&format!("model=odd&limit=1{after}")).await;
        all.extend(found);
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(all, [5, 3, 1]);
    for (query, detail) in [
        ("status=done", "must be `pending`, `running`, `completed`, `incomplete`, `failed` or `cancelled`"),
        ("order=up", "must be `desc` (newest first) or `asc`"),
        ("since=yesterday", "must be a time like 2026-11-21T09:30:00Z (RFC 3339)"),
        (
            "before=x",
            "is not a parameter of this route; known: after, limit, order, since, until, status, provider, model, subject, batch, metadata.",
        ),
    ] {
        let (status, refused) = call(&harness, Method::GET, &format!("/v1/generations?{query}")).await;
        assert_eq!((status, &refused["errors"][0]["detail"]), (StatusCode::BAD_REQUEST, &json!(detail)), "{query}: {refused}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_are_refused_by_our_own_routes_alone() {
    let (harness, _playback) = harness(&[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    for path in ["", "/progress", "/output", "/events", "/validation_issues"] {
        let (status, refused) = call(&harness, Method::GET, &format!("/v1/generations/{id}{path}?nosuch=1")).await;
        assert_eq!((status, &refused["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("nosuch")), "{path}: {refused}");
    }
    let stream = raw(&harness, Method::GET, &format!("/v1/stream/generations/{id}?nosuch=1"), &[]).await;
    assert_eq!(stream.status(), StatusCode::OK, "the Durable Streams protocol ignores them");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn record_is_read_again_only_if_it_has_changed() {
    let (harness, _playback) = harness(&[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let path = format!("/v1/generations/{id}");
    let whole = raw(&harness, Method::GET, &path, &[]).await;
    let etag = whole.headers()[ETAG].to_str().unwrap().to_owned();
    for (known, status) in
        [(etag.clone(), 304), (format!("\"x\", W/{etag}"), 304), ("*".to_owned(), 304), ("\"x\"".to_owned(), 200)]
    {
        let again = raw(&harness, Method::GET, &path, &[(IF_NONE_MATCH.as_str(), &known)]).await;
        assert_eq!((again.status().as_u16(), again.headers()[ETAG].to_str().unwrap()), (status, etag.as_str()), "{known}");
    }
    let head = raw(&harness, Method::HEAD, &path, &[]).await;
    assert_eq!((head.status(), head.headers()[ETAG].to_str().unwrap()), (StatusCode::OK, etag.as_str()));
    assert_eq!(head.bytes().await.unwrap(), "");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_given_as_plain_text_too() {
    let (harness, _playback) = harness(&[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let path = format!("/v1/generations/{id}/output");
    for (accept, is_text) in
        [("text/plain", true), ("Text/PLAIN; charset=utf-8, */*", true), ("application/json", false), ("text/plainer", false)]
    {
        let answer = raw(&harness, Method::GET, &path, &[(ACCEPT.as_str(), accept)]).await;
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let body = answer.text().await.unwrap();
        assert_eq!((content_type == "text/plain; charset=utf-8", body == "Hola"), (is_text, is_text), "{accept}: {body}");
    }
    let live =
        raw(&harness, Method::GET, &format!("/v1/generations/{id}/events"), &[(ACCEPT.as_str(), "TEXT/Event-Stream")]).await;
    assert_eq!(live.headers()["content-type"], "text/event-stream; charset=utf-8");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_repeats_the_request_and_names_the_first() {
    let (harness, playback) = harness(&[]).await;
    let id = harness.start_generation(json!({ "metadata": { "k": "v" } })).await;
    let first = harness.ended(&id).await;
    let retry = async |key: &str| {
        let request = harness.http.post(harness.url_of(&format!("/v1/generations/{id}/retry"))).header("idempotency-key", key);
        harness.send(request.build().unwrap()).await
    };
    let (status, started) = retry("one").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    let again = started["id"].as_str().unwrap();
    let record = harness.ended(again).await;
    assert_eq!((&record["retry_of"], &record["request_metadata"]), (&json!(id), &json!({ "k": "v" })), "{record}");
    assert_eq!((&record["sha256"], &first["retry_of"]), (&first["sha256"], &Value::Null));
    assert_eq!(retry("one").await.1["id"], again, "the same key, the same retry");
    assert_ne!(retry("two").await.1["id"], again);
    drop(playback);
    harness.stack.shutdown().await;
}

/// `DynamoDB` deletes the row when it has expired; the bucket has the request from the end on.
#[tokio::test(flavor = "multi_thread")]
async fn request_outlives_its_row() {
    let (harness, playback) = harness(&[]).await;
    let table = &harness.stack.environment("compact")["LONGHAND_RECORDS_TABLE"];
    let dynamodb = harness.clients().await.dynamodb;
    // The middle ones have requests of some bytes to either side of what a row takes.
    let near = (8_000..8_200).step_by(9).map(|letters| "a".repeat(letters));
    for prompt in ["short".to_owned(), "long ".repeat(4_000)].into_iter().chain(near) {
        let id = harness.start_generation(json!({ "prompt": prompt })).await;
        harness.ended(&id).await;
        let partition = AttributeValue::S(format!("local#{id}"));
        let delete = dynamodb.delete_item().table_name(table).key("pk", partition).key("sk", AttributeValue::S("request".into()));
        let deleted = delete.return_values(ReturnValue::AllOld).send().await.unwrap();
        let expires_at = deleted.attributes().and_then(|row| row["expires_at"].as_n().ok()).unwrap().parse::<i64>().unwrap();
        let fifteen_days = jiff::Timestamp::now().as_second() + 15 * 86_400;
        assert!((fifteen_days - 3_600..=fifteen_days).contains(&expires_at), "{expires_at}");
        let (status, started) = call(&harness, Method::POST, &format!("/v1/generations/{id}/retry")).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        harness.ended(started["id"].as_str().unwrap()).await;
        let asked = playback.stats().last_request.unwrap();
        assert_eq!(asked["messages"], json!([{ "role": "user", "content": prompt }]));
        let (_, events) = harness.get(&format!("generations/{id}/events?limit=1")).await;
        assert_eq!(events["data"][0]["seq"], 0, "{events}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_neither_retried_nor_deleted() {
    let script = Script { ending: Ending::Stall, ..Script::new(["Hola"]) };
    let (harness, _playback) = Harness::playing(script, &[]).await;
    let id = harness.start_generation(json!({})).await;
    for (method, path, detail) in
        [(Method::POST, "/retry", "only what has ended can be retried"), (Method::DELETE, "", "cancel it first")]
    {
        let (status, refused) = call(&harness, method, &format!("/v1/generations/{id}{path}")).await;
        assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("not_ended")), "{refused}");
        assert!(refused["detail"].as_str().unwrap().ends_with(detail), "{refused}");
    }
    assert_eq!(harness.cancel(&id).await.0, StatusCode::OK);
    let (status, deleted) = call(&harness, Method::DELETE, &format!("/v1/generations/{id}")).await;
    assert_eq!((status, deleted), (StatusCode::OK, json!({ "id": id, "object": "generation", "deleted": true })));
    assert_eq!(harness.get(&format!("generations/{id}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(call(&harness, Method::DELETE, &format!("/v1/generations/{id}")).await.0, StatusCode::NOT_FOUND);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_issues_are_listed_with_their_places() {
    let (harness, _playback) = Harness::playing(Script::new([r#"{"price": "free"}"#]), &[]).await;
    let schema = json!({ "type": "object", "properties": { "price": { "type": "number" } } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": schema } });
    let id = harness.start_generation(json!({ "response_format": format })).await;
    let record = harness.ended(&id).await;
    let (status, issues) = call(&harness, Method::GET, &format!("/v1/generations/{id}/validation_issues")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(issues["data"][0]["id"], record["last_validation_issue_id"]);
    assert_eq!(issues["data"][0]["errors"], json!([{ "path": "output/price", "message": "must be a number" }]), "{issues}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_key_and_reads_nothing() {
    let options = Options { env: environment("http://127.0.0.1:9", &[]), authorize: true, ..Options::default() };
    let harness = Harness::with(options).await;
    let before = harness.stack.read_units("api");
    let answer = harness.http.get(harness.url_of("/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "status": "ok" }));
    assert_eq!(harness.http.get(harness.url_of("/v1/generations")).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!((harness.stack.read_units("api") - before).abs() < f64::EPSILON);
    harness.finish().await;
}
