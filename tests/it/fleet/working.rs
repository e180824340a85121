//! `longhand work`: jobs from a queue. Two workers, one of which is killed, are in `cli/tests/cli/fleet.rs`, as processes.

use longhand::aws::Queues;
use longhand::{App, StreamJob, Worked, Worker};
use longhand_local::{Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, PATIENCE, environment, key_of};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::app;

/// Workers in this process.
pub struct Workers {
    stopping: CancellationToken,
    tasks: Vec<JoinHandle<Worked>>,
}

impl Workers {
    pub async fn start(harness: &Harness, count: usize, at_once: u16) -> Self {
        let stopping = CancellationToken::new();
        let mut tasks = Vec::new();
        for _ in 0..count {
            let app = app(harness, &stopping).await;
            let queues = queues(harness, &app).await;
            let worker = Worker::new(queues, harness.stack.job_queue(), at_once);
            tasks.push(tokio::spawn(async move { worker.work(&app).await }));
        }
        Self { stopping, tasks }
    }

    /// Stops them in order, and adds up what they did.
    pub async fn stop(self) -> Worked {
        self.stopping.cancel();
        let mut all = Worked::default();
        for task in self.tasks {
            let worked = task.await.unwrap();
            all = Worked { done: all.done + worked.done, returned: all.returned + worked.returned };
        }
        all
    }
}

async fn queues(harness: &Harness, app: &App) -> Queues {
    Queues::new(&app.config().aws, Some(harness.stack.http_client())).await
}

/// Waits until no job is left.
async fn empty(harness: &Harness) {
    let began = Instant::now();
    while harness.stack.jobs().0 > 0 {
        assert!(began.elapsed() < PATIENCE, "{:?}", harness.stack.jobs());
        sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn start(script: Script, env: &[(&str, &str)]) -> (Harness, longhand_local::Playback) {
    let playback = play(script).unwrap();
    let harness = Harness::with(Options { env: environment(playback.base_url(), env), ..Options::default() }).await;
    (harness, playback)
}

/// Starts generations as a server of a fleet does.
async fn start_many(app: &App, count: usize, extra: Value) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let mut body = json!({ "provider": "test", "model": "m", "prompt": format!("the prompt with the number {number}") });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let request =
            longhand::generation::request::Request::parse(body.to_string().as_bytes(), &app.config().request_rules()).unwrap();
        ids.push(app.start(&"local".parse().unwrap(), &request, None).await.unwrap().id.to_string());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn job_that_comes_twice_is_one_generation() {
    let script = Script::new(["Hola", ", ", "mundo"]);
    let text = script.text();
    let (harness, playback) = start(script, &[]).await;
    let app = app(&harness, &CancellationToken::new()).await;
    let ids = start_many(&app, 5, json!({})).await;
    let queues = queues(&harness, &app).await;
    for id in &ids {
        let job = serde_json::to_string(&StreamJob::fresh(&key_of(id))).unwrap();
        queues.send(&harness.stack.job_queue(), job).await.unwrap();
    }
    assert_eq!(harness.stack.jobs(), (10, Vec::new()), "starts went to the queue");
    let workers = Workers::start(&harness, 2, 3).await;
    for id in &ids {
        let record = harness.ended(id).await;
        assert_eq!((&record["status"], &record["attempts"]), (&json!("completed"), &json!(1)), "{record}");
        assert_eq!(harness.text(id).await, text);
    }
    empty(&harness).await;
    let worked = workers.stop().await;
    assert_eq!(worked.done, 10, "{worked:?}");
    assert_eq!(playback.stats().requests, 5, "each was asked for once");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_is_no_job_is_moved_to_the_failures_and_holds_up_no_other() {
    let (harness, _playback) = start(Script::new(["Hola"]), &[]).await;
    let app = app(&harness, &CancellationToken::new()).await;
    let queues = queues(&harness, &app).await;
    for poison in ["no JSON", r#"{"organization":"acme"}"#] {
        queues.send(&harness.stack.job_queue(), poison.to_owned()).await.unwrap();
    }
    let ids = start_many(&app, 1, json!({})).await;
    let workers = Workers::start(&harness, 1, 1).await;
    harness.ended(&ids[0]).await;
    empty(&harness).await;
    let worked = workers.stop().await;
    let (_, mut failed) = harness.stack.jobs();
    failed.sort();
    assert_eq!(failed, ["no JSON", r#"{"organization":"acme"}"#]);
    assert_eq!((worked.done, worked.returned), (1, 10), "each came five times");
    harness.finish().await;
}
