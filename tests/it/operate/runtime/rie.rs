//! The release binary under the runtime interface emulator, as each function with its sample event of `infra/events`, against the stores
//! and the Lambda API of an embedded stack.
//!
//! The stack would do the work itself as soon as `start` hands over. So the functions that events lead to are notebooks
//! here: the stack delivers to them as ever, they note what they are given, and the binary does what is to be done. What was
//! delivered is held against the samples.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use longhand_functions::Function;
use longhand_local::playback::Ending;
use longhand_local::{Options, Playback, Registry, Script, TEMPLATE};
use longhand_tests::sensitive::play;
use longhand_tests::serial::turn;
use longhand_tests::{Harness, PATIENCE, assert_whole, start_stack};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::emulator::Emulator;
use super::tools::{self, sample};

/// Who calls, in the samples.
pub const ORGANIZATION: &str = "demo";
const TIMEOUT_SECONDS: u32 = 60;

/// What the stack delivered: a function's handler, and its payload.
#[derive(Clone, Default)]
struct Delivered(Arc<Mutex<Vec<(String, Value)>>>);

impl Delivered {
    fn registry(&self) -> Registry {
        let delivered = self.clone();
        Arc::new(move |handler, app| match longhand_functions::function(handler, app)? {
            Function::Event(_) => Some(delivered.notebook(handler)),
            answers_http => Some(answers_http),
        })
    }

    fn notebook(&self, handler: &str) -> Function {
        let (delivered, handler) = (self.clone(), handler.to_owned());
        Function::Event(Arc::new(move |event| {
            delivered.0.lock().unwrap().push((handler.clone(), event.payload));
            futures::future::ready(Ok(json!({ "batchItemFailures": [] }))).boxed()
        }))
    }

    /// Waits for the first delivery to a function.
    async fn first(&self, handler: &str) -> Value {
        let began = Instant::now();
        loop {
            let found = self.0.lock().unwrap().iter().find(|(name, _)| name == handler).map(|(_, payload)| payload.clone());
            if let Some(payload) = found {
                return payload;
            }
            assert!(began.elapsed() < PATIENCE, "nothing was delivered to {handler}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// An embedded stack whose events lead to notebooks, the samples' provider on loopback, and the binary.
pub struct Bench {
    pub harness: Harness,
    delivered: Delivered,
    pub playback: Playback,
    pub bootstrap: PathBuf,
    rie: PathBuf,
}

impl Bench {
    /// `None` where the tools are not there.
    pub async fn start(script: Script, env: &[(&str, &str)]) -> Option<Self> {
        Some(Self::with(tools::rie()?, script, env).await)
    }

    /// With this binary under this emulator.
    pub async fn with((bootstrap, rie): (PathBuf, PathBuf), script: Script, env: &[(&str, &str)]) -> Self {
        let playback = play(script).unwrap();
        let openai = json!({ "openai": { "base_url": playback.base_url(), "max_tokens_name": "max_completion_tokens" } });
        let mut env: BTreeMap<String, String> =
            env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        env.insert("LONGHAND_PROVIDERS".to_owned(), openai.to_string());
        let options = Options { organization: ORGANIZATION.to_owned(), env, expose: true, ..Options::default() };
        let delivered = Delivered::default();
        let stack = start_stack(options, TEMPLATE, delivered.registry()).await;
        Self { harness: Harness::over(stack), delivered, playback, bootstrap, rie }
    }

    /// The binary as this function under the emulator, with the environment that the template gives it.
    pub fn host(&self, function: &str, timeout_seconds: u32) -> Emulator {
        let environment = self.harness.stack.environment(function);
        Emulator::start(&self.rie, (function, &self.bootstrap), environment, timeout_seconds)
    }

    async fn invoke(&self, function: &str, event: &Value) -> Value {
        self.host(function, TIMEOUT_SECONDS).invoke(event).await
    }

    /// Runs the sample of `start`, and answers with the id of its generation.
    pub async fn start_sample(&self) -> String {
        self.start_sample_with(&json!({}), "sample-1").await
    }

    /// The same, with these fields in its request, and this `Idempotency-Key`.
    pub async fn start_sample_with(&self, fields: &Value, idempotency_key: &str) -> String {
        let mut event = sample("start");
        event["headers"]["Idempotency-Key"] = idempotency_key.into();
        event["multiValueHeaders"]["Idempotency-Key"] = json!([idempotency_key]);
        let mut request: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event["body"] = request.to_string().into();
        let answer = self.invoke("start", &event).await;
        assert_eq!(answer["statusCode"], 202, "{answer}");
        body(&answer)["id"].as_str().unwrap().to_owned()
    }
}

/// A sample with another generation in the place of its own: ids are given by the product and cannot be asked for.
pub fn sample_for(function: &str, id: &str) -> Value {
    let sample_id = sample("stream")["generation"].as_str().unwrap().to_owned();
    serde_json::from_str(&sample(function).to_string().replace(&sample_id, id)).unwrap()
}

fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_else(|_| panic!("a JSON body: {answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sample_events_do_the_main_job() {
    let _turn = turn().await;
    let script = Script::recorded().unwrap();
    let text = script.text();
    let Some(bench) = Bench::start(script, &[]).await else { return };
    assert_samples_do_the_main_job(bench, &text).await;
}

/// Runs every function with its sample event, in the order in which a generation needs them.
pub async fn assert_samples_do_the_main_job(bench: Bench, text: &str) {
    // The sample's key is nobody's, and this is how an authorizer says so.
    assert_eq!(bench.invoke("authorize", &sample("authorize")).await["errorMessage"], "Unauthorized");
    let id = bench.start_sample().await;
    let mut fresh = sample_for("stream", &id);
    fresh["fresh"] = true.into();
    assert_eq!(bench.delivered.first("stream").await, fresh);
    assert_eq!(bench.harness.get(&format!("generations/{id}")).await.1["status"], "pending");
    assert_eq!(bench.start_sample().await, id, "the sample has an Idempotency-Key");
    let swept = bench.invoke("sweep", &sample("sweep")).await;
    assert_eq!([&swept["open"], &swept["streamed"], &swept["compacted"]], [1, 0, 0]);

    let answer = bench.invoke("stream", &sample_for("stream", &id)).await;
    assert_eq!(answer, json!({ "generation": id, "outcome": { "ended": "completed" } }));
    assert_whole(&bench.harness.events(&id).await);
    let (batch, like) = (bench.delivered.first("compact").await, sample_for("compact", &id));
    assert_eq!(batch["Records"][0]["dynamodb"]["Keys"]["pk"], like["Records"][0]["dynamodb"]["Keys"]["pk"]);
    assert_eq!(batch["Records"][0]["dynamodb"]["NewImage"]["end"], like["Records"][0]["dynamodb"]["NewImage"]["end"]);

    assert_eq!(bench.invoke("compact", &like).await, json!({ "batchItemFailures": [] }));
    let record = bench.harness.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(record["sha256"], format!("{:x}", Sha256::digest(text)));
    assert_eq!(record["progress"]["received_chunks"], bench.playback.stats().deltas);
    assert_eq!(bench.harness.text(&id).await, text);
    // The sample has no subject, so that there is nothing to settle.
    assert_eq!(bench.invoke("settle", &sample_for("settle", &id)).await, json!({ "batchItemFailures": [] }));
    assert_eq!(bench.invoke("meter", &sample_for("meter", &id)).await, json!({ "state": {} }));

    // Nor is there a delivery of the sample's id.
    assert_eq!(bench.invoke("deliver", &sample("deliver")).await, json!({ "deliveries": ["nothing"] }));

    let listed = body(&bench.invoke("api", &sample("api")).await);
    assert_eq!(listed["data"][0]["id"], id.as_str());
    assert_eq!(listed["data"][0]["status"], "completed");
    let followed = bench.invoke("tail", &sample_for("tail", &id)).await;
    assert_eq!(body(&followed)["data"], json!(bench.harness.events(&id).await[5..]), "behind event 4");
    let mut console = sample("tail");
    console["path"] = "/console/index.html".into();
    console["resource"] = "/console/index.html".into();
    let page = bench.invoke("tail", &console).await;
    assert_eq!(page["statusCode"], 200, "{page}");
    assert!(page["body"].as_str().unwrap().contains("<title>Longhand</title>"), "{page}");
    let swept = bench.invoke("sweep", &sample("sweep")).await;
    assert_eq!([&swept["open"], &swept["streamed"], &swept["compacted"]], [0, 0, 0]);
    bench.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_event_does_not_stop_the_next() {
    let _turn = turn().await;
    let Some(bench) = Bench::start(Script::new(["Hola"]), &[]).await else { return };
    let id = bench.start_sample().await;
    let mut stream = bench.host("stream", TIMEOUT_SECONDS);
    let refused = stream.invoke(&json!({ "organization": ORGANIZATION, "generation": "gen_1" })).await;
    assert!(refused["errorType"].is_string(), "{refused}");
    let message = refused["errorMessage"].as_str().unwrap();
    assert!(
        message.contains(r#"the payload must be {"organization":…,"generation":…}"#) && message.contains("gen_1"),
        "{message}"
    );
    assert_eq!(stream.invoke(&sample_for("stream", &id)).await["outcome"]["ended"], "completed");

    let refused = bench.invoke("compact", &json!({ "Records": 1 })).await;
    let message = refused["errorMessage"].as_str().unwrap();
    assert!(message.contains("the payload must be a batch of DynamoDB stream records"), "{message}");

    let mut bad = sample("start");
    bad["body"] = json!(r#"{"provider":"openai","model":"","temperature":9}"#);
    let refused = bench.invoke("start", &bad).await;
    let fields: Vec<Value> = body(&refused)["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!((refused["statusCode"].as_u64(), fields.len()), (Some(400), 3), "{refused}");
    bench.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_its_log_before_its_deadline() {
    let _turn = turn().await;
    let script = Script { ending: Ending::Stall, ..Script::new(["half ", "a "]) };
    let Some(bench) = Bench::start(script, &[]).await else { return };
    let id = bench.start_sample().await;
    let answer = bench.host("stream", 4).invoke(&sample_for("stream", &id)).await;
    assert_eq!(answer["outcome"]["ended"], "failed", "{answer}");
    let events = bench.harness.events(&id).await;
    assert_whole(&events);
    assert_eq!(events.last().unwrap()["reason"], "deadline", "{events:#?}");
    bench.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_stream_is_continued() {
    let _turn = turn().await;
    // Slow enough to be caught in the middle, and a short lease, which the next attempt waits out.
    let script = Script { tempo: 100.0, ..Script::new((0..150).map(|number| format!("{number} "))) };
    let text = script.text();
    let env = [("LONGHAND_LEASE_SECONDS", "1"), ("LONGHAND_UNWATCHED_WINDOW_MS", "100")];
    let Some(bench) = Bench::start(script, &env).await else { return };
    let id = bench.start_sample().await;

    let mut stream = bench.host("stream", TIMEOUT_SECONDS);
    let (killer, job, api) = (stream.killer(), sample_for("stream", &id), &bench.harness.api);
    let kill_in_the_middle = async {
        api.until(&id, |record| record["progress"]["received_chunks"].as_u64() > Some(20)).await;
        let seen = api.events(&id).await;
        killer.kill();
        seen
    };
    let (died, seen) = tokio::join!(stream.invoke(&job), kill_in_the_middle);
    assert_eq!(died["errorType"], "Runtime.ExitError", "{died}");

    let carried_on = async {
        loop {
            let answer = stream.invoke(&job).await;
            if answer["outcome"] != "busy" {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, carried_on).await.unwrap();
    assert_eq!(answer["outcome"]["ended"], "completed", "{answer}");
    let events = api.events(&id).await;
    assert_whole(&events);
    assert_eq!(events[..seen.len()], seen[..]);
    assert_eq!(bench.invoke("compact", &sample_for("compact", &id)).await, json!({ "batchItemFailures": [] }));
    assert_eq!(api.ended(&id).await["status"], "completed");
    assert_eq!(api.text(&id).await, text);
    bench.harness.finish().await;
}
