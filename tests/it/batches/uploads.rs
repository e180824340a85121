//! Batches whose items are in a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use longhand::limits::{UPLOAD_BYTES_MAX, UPLOAD_TTL};
use longhand::{Clock, Organization, UploadId};
use longhand_local::Options;
use longhand_tests::faults::{Faults, Mode};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::{ENDLESS, REFUSED, Scene, counts};

impl Scene {
    /// Makes a place for a file.
    async fn upload(&self, fields: Value) -> Value {
        let mut body = json!({ "purpose": "batch" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let upload = self.done("POST", "uploads", &body).await;
        assert_eq!(
            (&upload["object"], &upload["method"], &upload["purpose"]),
            (&json!("upload"), &json!("PUT"), &json!("batch"))
        );
        upload
    }

    /// Sends a file there.
    async fn put(&self, upload: &Value, file: impl Into<reqwest::Body>) -> Response {
        let mut put = self.harness.http.put(upload["url"].as_str().unwrap()).body(file);
        for (name, value) in upload["headers"].as_object().unwrap() {
            put = put.header(name, value.as_str().unwrap());
        }
        put.send().await.unwrap()
    }

    /// Uploads a file.
    async fn uploaded(&self, file: impl Into<reqwest::Body>) -> String {
        let upload = self.upload(json!({})).await;
        let answer = self.put(&upload, file).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
        upload["id"].as_str().unwrap().to_owned()
    }

    async fn start_from(&self, upload: &str, headers: &[(&str, &str)]) -> (StatusCode, Value) {
        let body = json!({ "items_from": upload, "defaults": { "provider": "test", "model": "m" } });
        self.ask("POST", "batches", headers, Some(&body)).await
    }

    /// Why a start is refused: the place, and what was expected there.
    async fn refusal(&self, upload: &str) -> (String, String) {
        let (status, answer) = self.start_from(upload, &[]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let error = &answer["errors"][0];
        (error["pointer"].as_str().unwrap().to_owned(), error["detail"].as_str().unwrap().to_owned())
    }

    async fn files(&self) -> usize {
        let config = self.harness.config("api");
        let listed = self.harness.clients().await.s3.list_objects_v2().bucket(&config.bucket).prefix(".uploads/").send().await;
        listed.unwrap().contents().len()
    }
}

fn lines(prompts: &[&str]) -> String {
    let line = |(index, prompt): (usize, &&str)| json!({ "custom_id": format!("c{index}"), "request": { "prompt": prompt } });
    prompts.iter().enumerate().map(|of| line(of).to_string()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_lines_or_an_array_becomes_a_batch_and_is_deleted() {
    let scene = Scene::start().await;
    let array: Vec<Value> = lines(&["año uno", REFUSED]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for file in [lines(&["año uno", REFUSED]), serde_json::to_string_pretty(&array).unwrap()] {
        let upload = scene.uploaded(file).await;
        assert_eq!(scene.files().await, 1);
        let (status, batch) = scene.start_from(&upload, &[("idempotency-key", &upload)]).await;
        assert_eq!((status, &batch["counts"]["total"]), (StatusCode::ACCEPTED, &json!(2)), "{batch}");
        assert_eq!(scene.files().await, 0, "it is deleted once the batch exists");
        let id = batch["id"].as_str().unwrap();
        assert_eq!(counts(&scene.ended(id).await), json!({ "completed": 1, "failed": 1 }));
        assert_eq!(scene.items(id).await[0]["custom_id"], "c0");
        let results = scene.raw(&format!("batches/{id}/results")).await.text().await.unwrap();
        assert!(results.contains("año uno"), "{results}");
        // The same key is the same batch, though the file is gone; so is the same upload, without a key or with another.
        for headers in [&[("idempotency-key", upload.as_str())][..], &[], &[("idempotency-key", "another")]] {
            let (status, again) = scene.start_from(&upload, headers).await;
            assert_eq!((status, again["id"].as_str()), (StatusCode::OK, Some(id)), "{headers:?}");
        }
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_upload_has_its_own_problem_and_nothing_is_stored() {
    let clock = Clock::system();
    let scene = Scene::with(&["EveryMinute"], Options { clock: clock.clone(), ..Options::default() }, &[]).await;
    let never = scene.upload(json!({})).await["id"].as_str().unwrap().to_owned();
    let (pointer, why) = scene.refusal(&never).await;
    assert!(pointer == "/items_from" && why.contains("send the file to its `url` first"), "{why}");

    // A URL takes one file, and no other.
    let twice = scene.upload(json!({})).await;
    assert_eq!(scene.put(&twice, lines(&["p"])).await.status(), StatusCode::OK);
    assert_eq!(scene.put(&twice, lines(&["q"])).await.status(), StatusCode::PRECONDITION_FAILED);
    // Without its headers, and with another length, it takes none.
    let exact = scene.upload(json!({ "bytes": 5 })).await;
    assert_eq!(scene.put(&exact, "123456").await.status(), StatusCode::FORBIDDEN);
    let bare = scene.harness.http.put(exact["url"].as_str().unwrap()).body("12345").send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::FORBIDDEN);
    assert_eq!(scene.put(&exact, "[{}]\n").await.status(), StatusCode::OK);

    let latin = scene.uploaded(b"{\"request\":{\"prompt\":\"p\"}}\n{\"request\":{\"prompt\":\"\xf1\"}}\n".to_vec()).await;
    let (pointer, why) = scene.refusal(&latin).await;
    assert!(pointer == "/items/1" && why.contains("UTF-8") && why.ends_with("line 2 of the upload"), "{pointer} {why}");
    let broken = scene.uploaded("{\"request\":{\"prompt\":\"p\"}}\n\n{\"request\":{\"prompt\":\"p\",\"temperature\":3}}\n").await;
    let (pointer, why) = scene.refusal(&broken).await;
    assert_eq!((pointer.as_str(), why.as_str()), ("/items/1/request/temperature", "must be at most 2; line 3 of the upload"));
    for (file, at, told) in [
        ("", "/items_from", "at least one item"),
        ("[{}", "/items/0", "end of the array"),
        ("\u{1f}\u{8b}", "/items/0", "must be JSON"),
    ] {
        let (pointer, why) = scene.refusal(&scene.uploaded(file).await).await;
        assert!(pointer == at && why.contains(told), "{file}: {pointer} {why}");
    }
    let many = scene.uploaded("{\"request\":{\"prompt\":\"p\"}}\n".repeat(10_001)).await;
    let (pointer, why) = scene.refusal(&many).await;
    assert!(pointer == "/items_from" && why.contains("10000 items"), "{why}");
    let long = scene.uploaded(vec![b' '; usize::try_from(UPLOAD_BYTES_MAX).unwrap() + 1]).await;
    let (pointer, why) = scene.refusal(&long).await;
    assert!(pointer == "/items_from" && why.contains("67108864 bytes"), "{why}");

    // What another organization has uploaded is not there for this one.
    let config = scene.harness.config("api");
    let (theirs, acme) = (UploadId::new(clock.now_ms()), "acme".parse::<Organization>().unwrap());
    let object = longhand::aws::Blobs::upload_key(&acme, &theirs);
    let put = scene.harness.clients().await.s3.put_object().bucket(&config.bucket).key(object);
    put.body(lines(&["secret of acme"]).into_bytes().into()).send().await.unwrap();
    let (pointer, why) = scene.refusal(&theirs.to_string()).await;
    assert!(pointer == "/items_from" && why.contains("send the file to its `url` first"), "{why}");

    let good = scene.uploaded(lines(&["p"])).await;
    let page = scene.found("batches").await;
    assert_eq!(page["data"], json!([]), "nothing was started");
    clock.advance(UPLOAD_TTL);
    let (pointer, why) = scene.refusal(&good).await;
    assert!(pointer == "/items_from" && why.contains("has expired"), "{why}");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_broke_off_goes_on_with_the_same_key() {
    let (is_broken, requests) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (breaks, counted) = (Arc::clone(&is_broken), Arc::clone(&requests));
    // The first 200 items are stored, and their requests by eight calls.
    let faults = Faults::deciding(move |_, function, call| {
        let is_of_items = function == "start" && call.operation == "BatchWriteItem" && breaks.load(Ordering::SeqCst);
        (is_of_items && counted.fetch_add(1, Ordering::SeqCst) >= 8).then_some(Mode::Refused)
    });
    let options = Options { parts: faults.parts(), ..Options::default() };
    let scene = Scene::with(&["EveryMinute"], options, &[("AWS_MAX_ATTEMPTS", "1")]).await;
    let upload = scene.uploaded(lines(&[ENDLESS; 600])).await;
    let body = json!({ "items_from": upload, "defaults": { "provider": "test", "model": "m" }, "concurrency": 1 });
    let key = [("idempotency-key", "k")];
    let (status, problem) = scene.ask("POST", "batches", &key, Some(&body)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!((scene.files().await, scene.found("batches").await["data"].clone()), (1, json!([])), "nobody was told of it");
    is_broken.store(false, Ordering::SeqCst);
    let (status, batch) = scene.ask("POST", "batches", &key, Some(&body)).await;
    assert_eq!((status, &batch["counts"]["total"], scene.files().await), (StatusCode::ACCEPTED, &json!(600), 0), "{batch}");
    let items = scene.items(batch["id"].as_str().unwrap()).await;
    let names: Vec<String> = items.iter().map(|item| item["custom_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, (0..600).map(|index| format!("c{index}")).collect::<Vec<_>>());
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_items_are_started_by_one_call() {
    let scene = Scene::with(&["EveryMinute"], Options::default(), &[]).await;
    // More than a body may have.
    let text = "x".repeat(600);
    let line = |index: u32| {
        json!({ "custom_id": index.to_string(), "request": { "prompt": ENDLESS, "instructions": text } }).to_string()
    };
    let file = (0..10_000).map(line).collect::<Vec<_>>().join("\n");
    assert!(file.len() > longhand::limits::REQUEST_BYTES_MAX);
    let bytes = file.len();
    let upload = scene.uploaded(file).await;
    let began = Instant::now();
    let body = json!({ "items_from": upload, "defaults": { "provider": "test", "model": "m" }, "concurrency": 1 });
    let (status, batch) = scene.ask("POST", "batches", &[], Some(&body)).await;
    let took = began.elapsed();
    assert_eq!((status, &batch["counts"]["total"]), (StatusCode::ACCEPTED, &json!(10_000)), "{batch}");
    let id = batch["id"].as_str().unwrap();
    let last = scene.found(&format!("batches/{id}/items?after=9998")).await;
    assert_eq!(last["data"][0]["custom_id"], "9999");
    println!("10,000 items of {bytes} bytes were started in {took:?}");
    scene.harness.finish().await;
}
