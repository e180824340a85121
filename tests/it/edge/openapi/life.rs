//! A stack answers as the document tells: whole lives of generations and responses, and every refusal at the door.

use std::collections::BTreeSet;

use longhand::Scope;
use longhand::limits::REQUEST_BYTES_MAX;
use longhand_local::playback::Ending;
use longhand_local::{Options, Playback, Script};
use longhand_tests::contract::{Answer, CONTRACT};
use longhand_tests::receiver::Receiver;
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, IF_NONE_MATCH};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::answers;
use crate::access::keys::key;

const ABSENT: &str = "gen_01arz3ndektsv4rrffq69g5fav";

/// A stack that asks for keys, whose default provider answers in JSON at once, `stall` not to the end, and `large` with more than an
/// answer may have.
struct Scene {
    harness: Harness,
    _providers: [Playback; 4],
    /// Operation, status and media type of what was answered.
    seen: BTreeSet<(String, u16, String)>,
}

impl Scene {
    async fn start(env: &[(&str, &str)]) -> Self {
        let answering = play(Script::new([r#"{"city":"#, r#""Sevilla"}"#])).unwrap();
        let stalling = play(Script { ending: Ending::Stall, ..Script::new(["uno", "dos"]) }).unwrap();
        let large = play(Script::new(["0123456789".repeat(120_000)])).unwrap();
        let answer =
            json!({ "scenario_metadata": { "name": "S" }, "capabilities": [{ "name": "A" }, { "name": "B" }] }).to_string();
        let scenario = play(Script::new([answer])).unwrap();
        let named = [("openai", &answering), ("stall", &stalling), ("large", &large), ("scenario", &scenario)];
        let named =
            named.map(|(name, provider)| (name.to_owned(), json!({ "base_url": provider.base_url(), "models": ["gpt-5"] })));
        let providers = Value::Object(named.into_iter().collect()).to_string();
        let own = [("LONGHAND_PROVIDERS", providers.as_str()), ("LONGHAND_LONG_POLL_MS", "50")];
        let env = environment("", &[&own, env].concat());
        let harness = Harness::with(Options { authorize: true, env, ..Options::default() }).await;
        Self { harness, _providers: [answering, stalling, large, scenario], seen: BTreeSet::new() }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let bearer = format!("Bearer {}", self.harness.stack.key().unwrap().text);
        self.bare(method, path).header(AUTHORIZATION, bearer)
    }

    fn bare(&self, method: &str, path: &str) -> RequestBuilder {
        self.harness.http.request(method.parse().unwrap(), self.harness.url_of(path))
    }

    /// Sends a request, whose answer must be as told.
    async fn ask(&mut self, request: RequestBuilder) -> (StatusCode, HeaderMap, Value) {
        let request = request.build().unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.harness.http.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let answer = Answer { status, headers: &headers, body: &body };
        CONTRACT.check_answer(&method, &path, &answer).unwrap_or_else(|wrong| panic!("{wrong}"));
        let media_type = headers.get(CONTENT_TYPE).map(|given| given.to_str().unwrap().split(';').next().unwrap());
        if let Some(operation) = CONTRACT.operation(&method, &path) {
            let media_type = media_type.filter(|_| method != Method::HEAD && !body.is_empty()).unwrap_or_default();
            self.seen.insert((operation, status.as_u16(), media_type.to_owned()));
        }
        (status, headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn get(&mut self, path: &str) -> Value {
        let (status, _, body) = self.ask(self.request("GET", path)).await;
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    async fn post(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        let (status, _, body) = self.ask(self.request("POST", path).json(body)).await;
        (status, body)
    }

    /// Everything there is to read of a generation that has ended.
    async fn read_all(&mut self, id: &str) {
        let record = format!("/v1/generations/{id}");
        let (_, headers, _) = self.ask(self.request("GET", &record)).await;
        self.ask(self.request("HEAD", &record)).await;
        for method in ["GET", "HEAD"] {
            let again = self.request(method, &record).header(IF_NONE_MATCH, &headers["etag"]);
            assert_eq!(self.ask(again).await.0, StatusCode::NOT_MODIFIED);
        }
        let text = self.request("GET", &format!("{record}/output")).header(ACCEPT, "text/plain");
        assert_eq!(self.ask(text).await.0, StatusCode::OK);
        for rest in
            ["/validation_issues", "/progress", "/progress?partial=json", "/events", "/events?after=1&limit=2&wait=1", "/output"]
        {
            self.get(&format!("/v1/generations/{id}{rest}")).await;
        }
        for (after, expected) in [("", StatusCode::OK), ("?after=99", StatusCode::NO_CONTENT)] {
            let request = self.request("GET", &format!("/v1/generations/{id}/events{after}"));
            assert_eq!(self.ask(request.header(ACCEPT, "text/event-stream")).await.0, expected);
        }
        let stream = format!("/v1/stream/generations/{id}");
        self.ask(self.request("HEAD", &stream)).await;
        for query in ["", "?offset=now", "?offset=0000000000000001&live=sse", "?offset=-1&live=long-poll&cursor=1"] {
            self.get(&format!("{stream}{query}")).await;
        }
        let (_, headers, _) = self.ask(self.request("GET", &stream)).await;
        let again = self.request("GET", &stream).header(IF_NONE_MATCH, &headers["etag"]);
        assert_eq!(self.ask(again).await.0, StatusCode::NOT_MODIFIED);
        let next = headers["stream-next-offset"].to_str().unwrap();
        let (status, ..) = self.ask(self.request("GET", &format!("{stream}?offset={next}&live=long-poll"))).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    async fn life_of_generations(&mut self) {
        let example = |name: &str| {
            let place = format!("/paths/~1v1~1generations/post/requestBody/content/application~1json/examples/{name}/value");
            CONTRACT.document().pointer(&place).unwrap().clone()
        };
        let (status, started) = self.post("/v1/generations", &example("prompt")).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let id = started["id"].as_str().unwrap().to_owned();
        self.get(&format!("/v1/generations/{id}")).await;
        self.harness.ended(&id).await;
        self.read_all(&id).await;
        let (_, json) = self.post("/v1/generations", &example("json")).await;
        let record = self.harness.ended(json["id"].as_str().unwrap()).await;
        assert_eq!(record["llm_response"], json!({ "city": "Sevilla" }), "{record}");
        assert_eq!(self.post("/v1/generations", &example("stream")).await.0, StatusCode::OK);
        let (_, stalling) = self.post("/v1/generations", &json!({ "provider": "stall", "model": "m", "prompt": "p" })).await;
        let stalling = stalling["id"].as_str().unwrap().to_owned();
        self.harness.until(&stalling, |record| record["progress"]["received_chunks"] == 2).await;
        self.get(&format!("/v1/generations/{stalling}/progress?partial=json")).await;
        let next = format!("/v1/stream/generations/{stalling}?offset=now&live=long-poll");
        assert_eq!(self.ask(self.request("GET", &next)).await.0, StatusCode::NO_CONTENT);
        let cancel = format!("/v1/generations/{stalling}/cancel");
        assert_eq!(self.post(&cancel, &Value::Null).await.0, StatusCode::OK);
        self.harness.ended(&stalling).await;
        self.read_all(&stalling).await;
        let cancel = format!("/v1/generations/{id}/cancel");
        assert_eq!(self.post(&cancel, &Value::Null).await.1["code"], "already_ended");
        assert_eq!(self.post(&format!("/v1/generations/{id}/tokens"), &json!({ "expires_in": 60 })).await.0, StatusCode::CREATED);
        self.get("/v1/generations?limit=2&order=asc&status=completed").await;
        self.ask(self.bare("GET", "/healthz")).await;
        let (status, again) = self.post(&format!("/v1/generations/{id}/retry"), &Value::Null).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        self.harness.ended(again["id"].as_str().unwrap()).await;
        assert_eq!(self.ask(self.request("DELETE", &format!("/v1/generations/{id}"))).await.0, StatusCode::OK);
        let (_, large) = self.post("/v1/generations", &json!({ "provider": "large", "model": "m", "prompt": "p" })).await;
        let large = large["id"].as_str().unwrap().to_owned();
        self.harness.ended(&large).await;
        let text = self.request("GET", &format!("/v1/generations/{large}/output")).header(ACCEPT, "text/plain");
        assert_eq!(self.ask(text).await.0, StatusCode::SEE_OTHER);
    }

    async fn put(&mut self, path: &str, body: &Value) -> StatusCode {
        self.ask(self.request("PUT", path).json(body)).await.0
    }

    async fn life_of_subjects(&mut self) {
        let of_city = json!({ "model": "gpt-5", "prompt": "Name a city", "subject": "city", "change_reason": "first" });
        let of_text = json!({ "provider": "large", "model": "m", "prompt": "p", "subject": "text" });
        for (name, body) in [("city", of_city), ("text", of_text)] {
            assert_eq!(self.post("/v1/generations", &body).await.0, StatusCode::ACCEPTED);
            while self.get(&format!("/v1/subjects/{name}")).await["current"] != 1 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        assert_eq!(self.get("/v1/usage?by=day,provider,model").await["object"], "usage");
        for path in ["credential", "quota"] {
            assert_eq!(self.get(&format!("/v1/{path}")).await["object"], path);
        }
        let token = json!({ "scope": "read", "expires_in": 3600 });
        assert_eq!(self.post("/v1/tokens", &token).await.0, StatusCode::CREATED);
        let text = self.request("GET", "/v1/subjects/text/versions/current/output").header(ACCEPT, "text/plain");
        assert_eq!(self.ask(text).await.0, StatusCode::SEE_OTHER);
        let subject = "/v1/subjects/city";
        let (status, edited) =
            self.post(&format!("{subject}/versions"), &json!({ "text": "Córdoba", "reason": "by hand" })).await;
        assert_eq!((status, &edited["number"]), (StatusCode::CREATED, &json!(2)));
        let stale = self.request("POST", &format!("{subject}/versions")).header("if-match", "\"1\"").json(&json!({ "json": {} }));
        let (status, headers, _) = self.ask(stale).await;
        assert_eq!((status, headers["etag"].to_str().unwrap()), (StatusCode::PRECONDITION_FAILED, "\"2\""));
        let (status, restored) = self.post(&format!("{subject}/versions/1/restore"), &json!({})).await;
        assert_eq!((status, &restored["restored_from"]), (StatusCode::CREATED, &json!(1)));
        assert_eq!(self.put(&format!("{subject}/versions/1/labels"), &json!({ "labels": ["published"] })).await, StatusCode::OK);
        assert_eq!(self.put(subject, &json!({ "title": "City", "labels": ["travel"] })).await, StatusCode::OK);
        for way in ["/versions?limit=1", "/versions/1", "/versions/2/output", "/diff?from=1&to=2", "/export"] {
            self.get(&format!("{subject}{way}")).await;
        }
        let text = self.request("GET", &format!("{subject}/versions/2/output")).header(ACCEPT, "text/plain");
        assert_eq!(self.ask(text).await.0, StatusCode::OK);
        for format in ["ndjson", "md", "csv"] {
            self.get(&format!("{subject}/export?format={format}")).await;
        }
        let large = self.request("GET", "/v1/subjects/text/export");
        assert_eq!(self.ask(large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
        self.get("/v1/subjects?prefix=ci&label=travel").await;
        let (status, again) = self.post(&format!("{subject}/regenerate"), &json!({ "reason": "newer" })).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        self.harness.ended(again["id"].as_str().unwrap()).await;
        assert_eq!(self.ask(self.request("DELETE", subject)).await.0, StatusCode::OK);
    }

    async fn life_of_reviews(&mut self) {
        let body = json!({ "provider": "scenario", "model": "m", "prompt": "p", "subject": "scenario:59" });
        let (_, started) = self.post("/v1/generations", &body).await;
        let id = started["id"].as_str().unwrap().to_owned();
        self.harness.ended(&id).await;
        let (status, accepted) = self.post(&format!("/v1/generations/{id}/accept"), &json!({ "import": true })).await;
        assert_eq!(status, StatusCode::CREATED, "{accepted}");
        self.get(&format!("/v1/generations/{id}")).await;
        self.get(&format!("/v1/generations/{id}/import_audit")).await;
        let subject = "/v1/subjects/scenario:59";
        let entities = format!("{subject}/entities");
        let ids: Vec<&str> = accepted["import"]["report"]["capabilities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap())
            .collect();
        let of = |id: &str| json!({ "items": [{ "type": "capability", "id": id }] });
        for way in ["", "/accepted_prompt", "/imports", "/entities", "/entities?format=ndjson", "/entities?format=csv"] {
            self.get(&format!("{subject}{way}")).await;
        }
        let (status, headers, _) = self.ask(self.request("GET", &format!("{entities}/{}", ids[0]))).await;
        assert_eq!((status, headers["etag"].to_str().unwrap()), (StatusCode::OK, "\"1\""));
        let edit = json!({ "name": "C" });
        let path = format!("{entities}/{}", ids[0]);
        assert_eq!(self.ask(self.request("PATCH", &path).json(&edit)).await.0, StatusCode::OK);
        let stale = self.request("PATCH", &path).header("if-match", "\"1\"").json(&edit);
        assert_eq!(self.ask(stale).await.0, StatusCode::PRECONDITION_FAILED);
        assert_eq!(self.post(&format!("{path}/promote"), &Value::Null).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(self.post(&format!("{path}/promote"), &json!({})).await.1["approved_count"], 1);
        assert_eq!(self.ask(self.request("PATCH", &path).json(&edit)).await.0, StatusCode::CONFLICT);
        assert_eq!(self.post(&format!("{entities}/archive"), &of(ids[0])).await.1["archived_count"], 1);
        assert_eq!(self.post(&format!("{entities}/approve"), &of(ids[0])).await.1["success"], false);
        let import = format!("{subject}/imports/{}", accepted["import"]["id"].as_str().unwrap());
        self.get(&import).await;
        assert_eq!(self.post(&format!("{import}/revert"), &json!({ "note": "n" })).await.1["state"], "reverted");
        assert_eq!(self.post(&format!("{entities}/reject"), &of(ids[1])).await.1["results"][0]["status"], 404);
        for way in ["", "?format=ndjson", "?action=archive&order=asc&limit=1"] {
            self.get(&format!("/v1/audit{way}")).await;
        }
        let place = "/paths/~1v1~1importers~1{id}/put/requestBody/content/application~1json/examples/one/value";
        let document = CONTRACT.document().pointer(place).unwrap().clone();
        for expected in [StatusCode::CREATED, StatusCode::OK] {
            assert_eq!(self.put("/v1/importers/glossary", &document).await, expected);
        }
        let wrong = json!({ "longhand": "importer/1", "name": "glossary", "collections": [] });
        assert_eq!(self.put("/v1/importers/glossary", &wrong).await, StatusCode::UNPROCESSABLE_ENTITY);
        for way in ["", "/glossary", "/glossary/versions/1"] {
            self.get(&format!("/v1/importers{way}")).await;
        }
        let check = json!({ "document": document, "generation": id });
        assert_eq!(self.post("/v1/importers/glossary/check", &check).await.0, StatusCode::OK);
    }

    async fn life_of_batches(&mut self) {
        let place = "/paths/~1v1~1batches/post/requestBody/content/application~1json/examples/two/value";
        let mut body = CONTRACT.document().pointer(place).unwrap().clone();
        body["wait"] = json!(60);
        let (status, ended) = self.post("/v1/batches", &body).await;
        assert_eq!((status, &ended["status"]), (StatusCode::OK, &json!("completed")), "{ended}");
        let batch = format!("/v1/batches/{}", ended["id"].as_str().unwrap());
        for way in ["", "/items?limit=1", "/results", "/report", "/report?format=csv", "/events"] {
            self.get(&format!("{batch}{way}")).await;
        }
        let (_, headers, _) = self.ask(self.request("GET", &batch)).await;
        let again = self.request("GET", &batch).header(IF_NONE_MATCH, &headers["etag"]);
        assert_eq!(self.ask(again).await.0, StatusCode::NOT_MODIFIED);
        let all = format!("{batch}/events?after={}", headers["etag"].to_str().unwrap().trim_matches('"'));
        assert_eq!(self.ask(self.request("GET", &all)).await.0, StatusCode::NO_CONTENT);
        self.get("/v1/batches?status=ended&limit=1").await;
        assert_eq!(self.post(&format!("{batch}/tokens"), &json!({ "expires_in": 60 })).await.0, StatusCode::CREATED);
        assert_eq!(self.post("/v1/uploads", &json!({ "purpose": "batch" })).await.0, StatusCode::CREATED);
        assert_eq!(self.post(&format!("{batch}/retry"), &Value::Null).await.0, StatusCode::BAD_REQUEST);
        let update = |of: &str| (format!("/v1/batches/{of}"), json!({ "concurrency": 2 }));
        let (path, concurrency) = update(ended["id"].as_str().unwrap());
        assert_eq!(self.ask(self.request("PATCH", &path).json(&concurrency)).await.2["code"], "already_ended");

        let stalling = json!({ "items": [{}], "defaults": { "provider": "stall", "model": "m", "prompt": "p" } });
        let (status, running) = self.post("/v1/batches", &stalling).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let (path, concurrency) = update(running["id"].as_str().unwrap());
        assert_eq!(self.ask(self.request("PATCH", &path).json(&concurrency)).await.0, StatusCode::OK);
        assert_eq!(self.ask(self.request("DELETE", &path)).await.0, StatusCode::CONFLICT);
        assert_eq!(self.post(&format!("{path}/cancel"), &Value::Null).await.0, StatusCode::OK);
        while self.get(&path).await["status"] != "cancelled" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let retry =
            self.request("POST", &format!("{path}/retry")).header("idempotency-key", "k").json(&json!({ "only": ["cancelled"] }));
        let again = retry.try_clone().unwrap();
        let (status, _, repeated) = self.ask(retry).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let repeated = format!("/v1/batches/{}", repeated["id"].as_str().unwrap());
        assert_eq!(self.post(&format!("{repeated}/cancel"), &Value::Null).await.0, StatusCode::OK);
        while self.get(&repeated).await["status"] != "cancelled" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(self.ask(again).await.0, StatusCode::OK);
        assert_eq!(self.ask(self.request("DELETE", &repeated)).await.0, StatusCode::OK);
    }

    async fn life_of_pipelines(&mut self) {
        let place = "/paths/~1v1~1pipelines~1{id}~1check/post/requestBody/content/application~1json/examples/one/value";
        let body = CONTRACT.document().pointer(place).unwrap().clone();
        let (status, checked) = self.post("/v1/pipelines/greeting/check", &body).await;
        assert_eq!((status, &checked["rehearsal"]["steps"][0]["request"]["prompt"]), (StatusCode::OK, &json!("Greet Ada.")));
        for expected in [StatusCode::CREATED, StatusCode::OK] {
            assert_eq!(self.put("/v1/pipelines/greeting", &body["document"]).await, expected);
        }
        assert_eq!(self.put("/v1/pipelines/farewell", &body["document"]).await, StatusCode::UNPROCESSABLE_ENTITY);
        for path in ["", "/greeting", "/greeting/versions/1"] {
            self.get(&format!("/v1/pipelines{path}")).await;
        }
    }

    async fn life_of_runs(&mut self) {
        let step = json!({ "id": "A", "model": "gpt-5", "prompt": "{{ input.text }}" });
        let input = json!({ "type": "object", "required": ["text"], "properties": { "text": { "type": "string" } } });
        let mut document = json!({ "longhand": "pipeline/1", "name": "r", "input": input, "steps": [step], "result": { "a": "steps.A.output" } });
        assert_eq!(self.put("/v1/pipelines/r", &document).await, StatusCode::CREATED);
        let (status, started) = self.post("/v1/runs", &json!({ "pipeline": "r", "input": { "text": "uno" } })).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let run = format!("/v1/runs/{}", started["id"].as_str().unwrap());
        while self.get(&run).await["status"] != "completed" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        for way in ["/steps", "/steps/A", "/report", "/events"] {
            self.get(&format!("{run}{way}")).await;
        }
        let (_, headers, _) = self.ask(self.request("GET", &run)).await;
        let again = self.request("GET", &run).header(IF_NONE_MATCH, &headers["etag"]);
        assert_eq!(self.ask(again).await.0, StatusCode::NOT_MODIFIED);
        let all = format!("{run}/events?after={}", headers["etag"].to_str().unwrap().trim_matches('"'));
        assert_eq!(self.ask(self.request("GET", &all)).await.0, StatusCode::NO_CONTENT);
        self.get("/v1/runs?pipeline=r@1&status=completed&limit=1").await;
        assert_eq!(self.post(&format!("{run}/tokens"), &json!({ "expires_in": 1 })).await.0, StatusCode::CREATED);
        assert_eq!(self.post("/v1/runs", &json!({ "pipeline": "r" })).await.0, StatusCode::UNPROCESSABLE_ENTITY);
        let (status, again) = self.post(&format!("{run}/redrive"), &json!({})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{again}");
        assert_eq!(self.ask(self.request("DELETE", &run)).await.0, StatusCode::OK);

        document["steps"][0]["provider"] = "stall".into();
        document["steps"][0]["model"] = "m".into();
        assert_eq!(self.put("/v1/pipelines/r", &document).await, StatusCode::CREATED);
        let post = self.request("POST", "/v1/runs").header("idempotency-key", "k");
        let (status, _, started) = self.ask(post.json(&json!({ "pipeline": "r", "input": { "text": "uno" } }))).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let run = format!("/v1/runs/{}", started["id"].as_str().unwrap());
        assert_eq!(self.ask(self.request("DELETE", &run)).await.0, StatusCode::CONFLICT);
        assert_eq!(self.post(&format!("{run}/redrive"), &json!({})).await.0, StatusCode::CONFLICT);
        assert_eq!(self.post(&format!("{run}/cancel"), &Value::Null).await.0, StatusCode::OK);
        while self.get(&run).await["status"] != "cancelled" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn life_of_webhooks(&mut self) {
        let receiver = Receiver::start().await;
        let (status, made) = self.post("/v1/webhooks", &json!({ "url": receiver.url() })).await;
        assert_eq!(status, StatusCode::CREATED);
        let webhook = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
        self.get("/v1/webhooks").await;
        self.get(&webhook).await;
        assert_eq!(self.ask(self.request("PATCH", &webhook).json(&json!({ "events": ["batch.*"] }))).await.0, StatusCode::OK);
        let (status, sent) = self.post(&format!("{webhook}/test"), &Value::Null).await;
        assert_eq!((status, &sent["type"]), (StatusCode::ACCEPTED, &json!("test.ping")));
        while self.get(&format!("{webhook}/deliveries")).await["data"][0]["status"] != "succeeded" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        for (path, body, expected) in [
            (format!("/v1/deliveries/{}/resend", sent["id"].as_str().unwrap()), Value::Null, StatusCode::ACCEPTED),
            (format!("{webhook}/recover"), json!({ "since": "2026-11-21T00:00:00Z" }), StatusCode::ACCEPTED),
            (format!("{webhook}/rotate"), Value::Null, StatusCode::OK),
            ("/v1/notifications/read".to_owned(), json!({ "all": true }), StatusCode::OK),
            ("/v1/notifications/tokens".to_owned(), json!({ "user": "ada", "expires_in": 60 }), StatusCode::CREATED),
        ] {
            let (status, told) = self.post(&path, &body).await;
            assert_eq!(status, expected, "{path}: {told}");
        }
        assert_eq!(self.put("/v1/notifications/preferences", &json!({ "inbox": ["batch.*"] })).await, StatusCode::OK);
        for path in ["/v1/notifications?unread=true", "/v1/notifications/preferences?user=ada"] {
            self.get(path).await;
        }
        for path in ["/v1/notifications", &webhook] {
            assert_eq!(self.ask(self.request("DELETE", path)).await.0, StatusCode::OK);
        }
    }

    async fn life_of_completions(&mut self) {
        let place = "/paths/~1v1~1chat~1completions/post/requestBody/content/application~1json/examples/text/value";
        let mut body = CONTRACT.document().pointer(place).unwrap().clone();
        for stream in [true, false] {
            body["stream"] = stream.into();
            assert_eq!(self.post("/v1/chat/completions", &body).await.0, StatusCode::OK);
        }
    }

    async fn life_of_responses(&mut self) {
        let models = self.get("/v1/models").await;
        assert_eq!(models["data"][1]["id"], "openai/gpt-5", "{models}");
        self.get("/v1/models/openai%2Fgpt-5").await;
        let place = "/paths/~1v1~1responses/post/requestBody/content/application~1json/examples";
        for example in CONTRACT.document().pointer(place).unwrap().as_object().unwrap().values() {
            assert_eq!(self.post("/v1/responses", &example["value"]).await.0, StatusCode::OK);
        }
        let body = json!({ "model": "gpt-5", "input": "Hola", "background": true, "stream": true });
        assert_eq!(self.post("/v1/responses", &body).await.0, StatusCode::OK);
        let page = self.get("/v1/generations?limit=1").await;
        let id = page["data"][0]["id"].as_str().unwrap().replace("gen_", "resp_");
        for rest in ["", "?stream=true&starting_after=2", "/input_items?order=asc&limit=1"] {
            self.get(&format!("/v1/responses/{id}{rest}")).await;
        }
        let body = json!({ "model": "stall/m", "input": "Hola", "background": true });
        let (_, stalling) = self.post("/v1/responses", &body).await;
        let stalling = format!("/v1/responses/{}", stalling["id"].as_str().unwrap());
        let delete = self.request("DELETE", &stalling);
        assert_eq!(self.ask(delete).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(self.post(&format!("{stalling}/cancel"), &Value::Null).await.1["status"], "cancelled");
        assert_eq!(self.ask(self.request("DELETE", &stalling)).await.0, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_lives_of_generations_and_responses_are_answered_as_told() {
    let mut scene = Scene::start(&[("LONGHAND_IMPORT_GENERATION", "true")]).await;
    scene.life_of_generations().await;
    scene.life_of_subjects().await;
    scene.life_of_reviews().await;
    scene.life_of_batches().await;
    scene.life_of_pipelines().await;
    scene.life_of_runs().await;
    scene.life_of_webhooks().await;
    scene.life_of_completions().await;
    scene.life_of_responses().await;
    let mut missing = Vec::new();
    for (.., operation) in CONTRACT.operations() {
        for (status, place) in answers(&operation).into_iter().filter(|(status, _)| status.as_str() < "400") {
            let content = CONTRACT.document().pointer(&format!("{place}/content")).and_then(Value::as_object);
            let media_types = content.map_or_else(|| vec![String::new()], |content| content.keys().cloned().collect());
            let told = media_types.into_iter().map(|media_type| (operation.clone(), status.parse().unwrap(), media_type));
            missing.extend(told.filter(|told| !scene.seen.contains(told)));
        }
    }
    assert!(missing.is_empty(), "never answered: {missing:#?}");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_as_told() {
    let mut scene = Scene::start(&[]).await;
    let (_, reading) = key(&scene.harness, "local", &[Scope::Read], None).await;
    let (_, starting) = key(&scene.harness, "local", &[Scope::Start], None).await;
    let headers: HeaderMap = (0..110).map(|n| (format!("x-{n}").parse().unwrap(), "1".parse().unwrap())).collect();
    for (method, path, operation) in CONTRACT.operations() {
        let kind =
            [("responses", "resp_"), ("batches", "bat_"), ("/runs", "run_")].into_iter().find(|(noun, _)| path.contains(noun));
        let id = ABSENT.replace("gen_", kind.map_or("gen_", |(_, prefix)| prefix));
        let path = path.replace("{id}", &id).replace("{subject}", "absent").replace("{number}", "1");
        let path = path.replace("{import}", &ABSENT.replace("gen_", "imp_")).replace("{entity}", &ABSENT.replace("gen_", "ent_"));
        let is_reading =
            ["GET", "HEAD"].contains(&method.as_str()) || path.ends_with("/tokens") || path.starts_with("/v1/notifications/");
        let powerless = if is_reading { &starting } else { &reading };
        let mut rows = vec![(scene.bare(&method, &path), 401), (scene.bare(&method, &path).bearer_auth(powerless.reveal()), 403)];
        if CONTRACT.document().pointer(&format!("{operation}/security")).is_some_and(|ways| *ways == json!([])) {
            rows.clear();
        }
        rows.extend([
            (scene.request(&method, &format!("{path}?q={}", "q".repeat(5_000))), 414),
            (scene.request(&method, &path).headers(headers.clone()), 431),
        ]);
        if path.contains(&id) {
            // A body that is needed is checked first.
            let body = if path.contains("batches") { json!({ "concurrency": 1 }) } else { json!({}) };
            let request = |path: &str| {
                let request = scene.request(&method, path);
                if method == "PATCH" { request.json(&body) } else { request }
            };
            rows.push((request(&path), 404));
            rows.push((request(&path.replace(&id, "%FF")), 404));
        }
        if path.contains("absent") && ["GET", "DELETE"].contains(&method.as_str()) {
            rows.push((scene.request(&method, &path), 404));
            rows.push((scene.request(&method, &path.replace("absent", "%FF")), 404));
        }
        let told = answers(&operation);
        if method != "GET" && told.iter().any(|(status, _)| status == "413") {
            rows.push((scene.request(&method, &path).body(" ".repeat(REQUEST_BYTES_MAX + 1)), 413));
        }
        for (request, expected) in rows {
            let (status, _, body) = scene.ask(request).await;
            assert_eq!(status.as_u16(), expected, "{method} {path}: {body}");
        }
    }
    for path in ["/v1/generations", "/v1/responses"] {
        let body = |text: &str| json!({ "model": "m", "prompt": text, "input": text });
        for (text, expected) in [("a", None), ("b", Some(409))] {
            let mut body = body(text);
            body.as_object_mut().unwrap().remove(if path.ends_with("responses") { "prompt" } else { "input" });
            let (status, ..) = scene.ask(scene.request("POST", path).header("idempotency-key", path).json(&body)).await;
            assert_eq!(Some(status.as_u16()).filter(|_| !status.is_success()), expected);
        }
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_at_once_are_refused_as_told() {
    let mut scene = Scene::start(&[("LONGHAND_MAX_RUNNING", "1")]).await;
    let body = json!({ "provider": "stall", "model": "m", "prompt": "p" });
    let (_, started) = scene.post("/v1/generations", &body).await;
    assert_eq!(scene.post("/v1/generations", &body).await.1["code"], "too_many_running");
    let (status, _) = scene.post("/v1/responses", &json!({ "model": "m", "input": "p" })).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let id = started["id"].as_str().unwrap();
    scene.post(&format!("/v1/generations/{id}/cancel"), &Value::Null).await;
    scene.harness.ended(id).await;
    scene.harness.finish().await;
}
