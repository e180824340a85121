//! `longhand serve` and `longhand work` as processes of their own, over the exposed services of an embedded stack: killed, and terminated.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhand_local::{Options, Script};
use longhand_tests::author::{Author, Prompt};
use longhand_tests::sampling::rounds;
use longhand_tests::sensitive::play;
use longhand_tests::{Api, Harness, assert_whole, environment, logs, seed};
use serde_json::{Value, json};

use crate::survive::under_way;

/// Generations, in a full run and in a sampled one.
const GENERATIONS: (u64, u64) = (200, 60);
/// Readers that follow from the start to the end, over the kill.
const READERS: usize = 8;

/// A process of a fleet. Dropping it is `kill -9`.
struct Process {
    child: Child,
    /// The lines that it has printed after the first one, which says that it runs.
    first: Value,
    rest: Option<std::thread::JoinHandle<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts `longhand` with these arguments, and waits for its first line.
    fn start(arguments: &[&str], environment: &BTreeMap<String, String>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
        command.args(arguments).envs(environment).stdout(Stdio::piped()).stderr(logs::of_child());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let first = serde_json::from_str(&line).unwrap();
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = output.read_to_string(&mut rest);
            rest
        });
        Self { child, first, rest: Some(rest) }
    }

    fn worker(environment: &BTreeMap<String, String>, at_once: u64) -> Self {
        let queue = environment["LONGHAND_STREAM_QUEUE"].clone();
        Self::start(&["work", "--aws", "--queue", &queue, "--at-once", &at_once.to_string()], environment)
    }

    /// Sends SIGTERM, waits for the end, and returns whether it was a good one, and the lines.
    fn terminate(mut self) -> (bool, String) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let ended = self.child.wait().unwrap().success();
        (ended, self.rest.take().unwrap().join().unwrap())
    }
}

/// A stack whose services have ports and which sweeps nothing, and what tells a fleet's processes where they are.
async fn stack(providers: &str) -> (Harness, BTreeMap<String, String>) {
    let env = [("LONGHAND_LEASE_SECONDS", "2"), ("LONGHAND_MAX_RUNNING", "1000")];
    let mut env = environment("http://127.0.0.1:9/v1", &env);
    env.insert("LONGHAND_PROVIDERS".to_owned(), providers.to_owned());
    let options = Options { authorize: true, expose: true, env, ..Options::default() };
    let harness = Harness::without(&["EveryMinute"], options).await;
    let mut environment = BTreeMap::new();
    for handler in ["stream", "start", "tail", "api", "authorize"] {
        environment.extend(harness.stack.environment(handler));
    }
    environment.insert("LONGHAND_STREAM_QUEUE".to_owned(), harness.stack.job_queue());
    // Nothing but the queue brings work to a worker.
    environment.insert("LONGHAND_STREAM_FUNCTION".to_owned(), "nobody".to_owned());
    (harness, environment)
}

fn serve(harness: &Harness, environment: &BTreeMap<String, String>) -> (Process, Api) {
    let server = Process::start(&["serve", "--aws", "--bind", "127.0.0.1", "--port", "0"], environment);
    let address = server.first["address"].as_str().unwrap().to_owned();
    let api = Api::open(&format!("http://{address}")).with_key(&harness.stack.key().unwrap().text);
    (server, api)
}

async fn settled(harness: &Harness) {
    let began = Instant::now();
    while harness.stack.jobs().0 > 0 {
        assert!(began.elapsed() < longhand_tests::PATIENCE, "{:?}", harness.stack.jobs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(harness.stack.jobs(), (0, Vec::new()), "no job was given up");
}

/// Waits until a generation has ended, for as long as a killed worker's message and lease take, too.
async fn ended(api: &Api, id: &str) -> Value {
    let began = Instant::now();
    loop {
        let (_, record) = api.get(&format!("generations/{id}")).await;
        if !record["compacted_at"].is_null() {
            return record;
        }
        assert!(began.elapsed() < longhand_tests::PATIENCE * 4, "{record}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_workers_is_killed_and_no_generation_is_lost_or_doubled() {
    let (mut dice, count) = (fastrand::Rng::with_seed(seed()), rounds(GENERATIONS.0, GENERATIONS.1));
    let author = Author::start().await;
    let (harness, environment) = stack(&author.providers()).await;
    let (_server, api) = serve(&harness, &environment);
    let (first, second) = (Process::worker(&environment, count), Process::worker(&environment, count));
    let began = Instant::now();
    let prompts: Vec<Prompt> = (0..count)
        .map(|number| Prompt { number, pieces: dice.usize(300..600), pace: Duration::from_micros(dice.u64(5_000..15_000)) })
        .collect();
    let mut ids = Vec::new();
    for prompt in &prompts {
        let mut body = prompt.request();
        body["max_attempts"] = json!(5);
        let (status, started) = api.post_once(&prompt.number.to_string(), &body).await;
        assert_eq!(status.as_u16(), 202, "{started}");
        ids.push(started["id"].as_str().unwrap().to_owned());
    }
    let read = |id: String| {
        let api = api.clone();
        tokio::spawn(async move { api.read_live(&id, None, |_| false).await.0 })
    };
    let readers: Vec<_> = ids.iter().take(READERS).cloned().map(read).collect();
    // In the middle: some text of the last one is stored.
    api.until(ids.last().unwrap(), |record| record["progress"]["received_bytes"].as_u64() > Some(0)).await;
    drop(first);
    println!("killed {:.1} s after the first start", began.elapsed().as_secs_f64());
    let (mut attempts, mut again) = (0, 0);
    for (prompt, id) in prompts.iter().zip(&ids) {
        let record = ended(&api, id).await;
        assert_eq!(record["status"], "completed", "{record}");
        prompt.end(&api, id).await;
        let own = record["attempts"].as_u64().unwrap();
        (attempts, again) = (attempts + own, again + u64::from(own > 1));
    }
    for (reader, id) in readers.into_iter().zip(&ids) {
        let seen = reader.await.unwrap();
        assert_eq!(seen[..], api.events(id).await[..seen.len()], "what the reader of {id} was shown");
    }
    assert_eq!(api.count().await as u64, count, "none is lost, and no start made two");
    settled(&harness).await;
    assert!(again > 0, "the killed worker had generations");
    println!(
        "{count} generations, {again} of the killed worker, {attempts} attempts, {} requests upstream, {:.1} s",
        author.requests(),
        began.elapsed().as_secs_f64()
    );
    let (ended_well, lines) = second.terminate();
    assert!(ended_well, "{lines}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_worker_hands_its_generations_over_and_spends_no_attempt() {
    const AT_ONCE: usize = 30;
    let deltas: Vec<String> = (0..400).map(|number| format!("{number} ")).collect();
    let script = Script { deltas, tempo: 100.0, ..Script::default() };
    let whole = script.text();
    let playback = play(script).unwrap();
    let providers = json!({ "test": { "base_url": playback.base_url() } }).to_string();
    let (harness, environment) = stack(&providers).await;
    let (server, api) = serve(&harness, &environment);
    let first = Process::worker(&environment, AT_ONCE as u64);
    let (ids, shown) = under_way(&api, AT_ONCE).await;
    let began = Instant::now();
    let (ended_well, lines) = first.terminate();
    println!("{AT_ONCE} generations were handed over, and the worker ended, in {:?}", began.elapsed());
    assert!(ended_well, "{lines}");
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["done"], &last["returned"]), (&json!(AT_ONCE), &json!(0)), "each message is deleted: {last}");

    let second = Process::worker(&environment, AT_ONCE as u64);
    for (id, shown) in ids.iter().zip(&shown) {
        let record = ended(&api, id).await;
        assert_eq!((&record["status"], &record["attempts"]), (&json!("completed"), &json!(1)), "{record}");
        assert_eq!(api.text(id).await, whole);
        let events = api.events(id).await;
        assert_whole(&events);
        assert_eq!(events[..shown.len()], shown[..], "what a reader saw has not changed");
    }
    settled(&harness).await;
    for process in [second, server] {
        let (ended_well, lines) = process.terminate();
        assert!(ended_well, "{lines}");
    }
    harness.finish().await;
}

#[test]
fn what_is_missing_is_named() {
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
        command.args(arguments).env_clear().envs(environment.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let stores = [("LONGHAND_BUFFER_TABLE", "b"), ("LONGHAND_RECORDS_TABLE", "r"), ("LONGHAND_BUCKET", "s")];
    for (arguments, environment, told) in [
        (&["serve"][..], &[][..], "--aws"),
        (&["serve", "--aws"], &[], "LONGHAND_BUFFER_TABLE is required"),
        (&["serve", "--aws"], &stores, "LONGHAND_STREAM_QUEUE is required"),
        (&["work", "--aws"], &stores, "--queue <URL>"),
        (&["work", "--aws", "--queue", "http://127.0.0.1:9/q", "--at-once", "0"], &stores, "1..=1000"),
        (&["work", "--aws", "--queue", "http://127.0.0.1:9/q"], &[], "LONGHAND_BUFFER_TABLE is required"),
    ] {
        let (code, message) = run(arguments, environment);
        assert!(code != Some(0) && message.contains(told), "{arguments:?}: {code:?} {message}");
    }
}
