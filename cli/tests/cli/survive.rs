//! A stack that is killed in the middle, and started again on the same folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhand_local::{Playback, Script};
use longhand_tests::{PATIENCE, assert_whole};
use serde_json::{Value, json};
use tokio::time::sleep;

/// `longhand dev`, killed when the test ends.
struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Dev {
    async fn start(data: &Path, base_url: &str) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
        command.args(["dev", "--provider", "test", "--base-url", base_url, "--data"]).arg(data);
        command.env("LONGHAND_LEASE_SECONDS", "2").stdout(Stdio::null()).stderr(Stdio::null());
        let dev = Self(command.spawn().unwrap());
        let began = Instant::now();
        loop {
            let place = std::fs::read(data.join("stack.json")).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if let Some(place) = place.filter(|place| place["pid"] == dev.0.id()) {
                return (dev, place["url"].as_str().unwrap().to_owned());
            }
            assert!(began.elapsed() < PATIENCE, "longhand dev did not start");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn get(url: &str) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

async fn until(url: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let answer = get(url).await;
        if is_so(&answer) {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "still waiting: {answer}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_killed_in_the_middle_is_taken_up_again_and_what_a_reader_saw_stays() {
    let deltas: Vec<String> = (0..600).map(|number| format!("{number} ")).collect();
    let text = deltas.concat();
    let playback = Playback::start(Script { deltas, tempo: 200.0, ..Script::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (dev, url) = Dev::start(folder.path(), playback.base_url()).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
    let started: Value =
        reqwest::Client::new().post(format!("{url}/v1/generations")).json(&body).send().await.unwrap().json().await.unwrap();
    let path = format!("/v1/generations/{}", started["id"].as_str().unwrap());
    let has_text = |page: &Value| page["data"].as_array().unwrap().iter().any(|event| event["type"] == "output_text.delta");
    let shown = until(&format!("{url}{path}/events"), has_text).await["data"].clone();
    drop(dev);

    let (_dev, url) = Dev::start(folder.path(), playback.base_url()).await;
    let record = until(&format!("{url}{path}"), |record| !record["compacted_at"].is_null()).await;
    assert_eq!(record["status"], "completed", "{record}");
    let events = get(&format!("{url}{path}/events")).await["data"].clone();
    let (events, shown) = (events.as_array().unwrap(), shown.as_array().unwrap());
    assert_whole(events);
    assert_eq!(events[..shown.len()], shown[..], "what a reader saw has not changed");
    assert_eq!(events.iter().filter(|event| event["type"] == "in_progress").count(), 2, "the second attempt went on");
    assert_eq!(get(&format!("{url}{path}/output")).await["text"], text);
}
