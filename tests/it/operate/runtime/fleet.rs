//! A fleet over ministack's SQS, DynamoDB, S3 and Lambda, which are not ours: two workers, one of which is killed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use longhand::app::Parts;
use longhand::aws::Queues;
use longhand::{App, Clock, Config, Worked, Worker};
use longhand_local::fleet;
use longhand_tests::author::{Author, Prompt};
use longhand_tests::sampling::rounds;
use longhand_tests::serial::turn;
use longhand_tests::{Api, PATIENCE, seed};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::ministack::{Ministack, key};
use super::tools;

/// Generations, in a full run and in a sampled one.
const GENERATIONS: (u64, u64) = (200, 24);

/// Calls ministack's SQS, which verifies no signature.
async fn sqs(url: &str, action: &str, call: Value) -> Value {
    let request = reqwest::Client::new().post(url).header("x-amz-target", format!("AmazonSQS.{action}"));
    let request = request.header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0",
    );
    let answer = request.header("content-type", "application/x-amz-json-1.0").body(call.to_string()).send().await.unwrap();
    let text = answer.text().await.unwrap();
    if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{action}: {error}: {text}"))
    }
}

/// The queue of jobs and that of failures, as `infra/fleet/fargate.yaml` has them.
async fn queues(url: &str) -> [String; 2] {
    let create = async |name: &str, attributes: Value| {
        let created = sqs(url, "CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await;
        created["QueueUrl"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned()
    };
    let failures = create("job-failures", json!({})).await;
    let redrive = json!({ "deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:job-failures", "maxReceiveCount": "5" });
    [create("jobs", json!({ "RedrivePolicy": redrive.to_string() })).await, failures]
}

async fn messages(url: &str, queue: &str) -> [String; 2] {
    let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    let told = sqs(url, "GetQueueAttributes", json!({ "QueueUrl": queue, "AttributeNames": ["All"] })).await;
    names.map(|name| told["Attributes"][name].as_str().unwrap_or_else(|| panic!("{told}")).to_owned())
}

async fn app(environment: &BTreeMap<String, String>, stopping: &CancellationToken) -> App {
    let config = Config::from_vars(&|name| environment.get(name).cloned()).unwrap();
    App::from_parts(config, Clock::system(), Parts { stopping: stopping.clone(), ..Parts::default() }).await
}

async fn work(environment: BTreeMap<String, String>, stopping: CancellationToken) -> Worked {
    let app = app(&environment, &stopping).await;
    let queues = Queues::new(&app.config().aws, None).await;
    Worker::new(queues, environment["LONGHAND_STREAM_QUEUE"].clone(), 200).work(&app).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fleet_over_another_sqs_loses_and_doubles_nothing() {
    let _turn = turn().await;
    let Some((bootstrap, executable)) = tools::ministack() else { return };
    let (mut dice, count) = (fastrand::Rng::with_seed(seed()), rounds(GENERATIONS.0, GENERATIONS.1));
    let author = Author::start().await;
    let ministack = Ministack::start(executable);
    let outputs = ministack.deploy(&bootstrap, "http://127.0.0.1:9/v1");
    let [jobs, failures] = queues(&ministack.url).await;
    let mut environment = ministack.environment(&outputs);
    for (name, value) in [
        ("AWS_ENDPOINT_URL_SQS", ministack.url.as_str()),
        ("LONGHAND_STREAM_QUEUE", &jobs),
        ("LONGHAND_PROVIDERS", &author.providers()),
        ("LONGHAND_LEASE_SECONDS", "4"),
        ("LONGHAND_MAX_RUNNING", "1000"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    let stopping = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Api::open(&format!("http://{}", listener.local_addr().unwrap())).with_key(&key(&environment).await);
    let (served, stop) = (app(&environment, &stopping).await, stopping.clone());
    let server = tokio::spawn(async move { fleet::serve(&served, Clock::system(), listener, &stop).await });
    // A runtime of its own is killed with all that it does.
    let doomed = Runtime::new().unwrap();
    doomed.spawn(work(environment.clone(), CancellationToken::new()));
    let second = tokio::spawn(work(environment.clone(), stopping.clone()));

    let began = Instant::now();
    let mut started = Vec::new();
    for number in 0..count {
        let prompt = Prompt { number, pieces: dice.usize(300..500), pace: Duration::from_millis(dice.u64(10..25)) };
        let mut body = prompt.request();
        body["max_attempts"] = json!(5);
        let (status, answer) = api.post_once(&number.to_string(), &body).await;
        assert_eq!(status.as_u16(), 202, "{answer}");
        started.push((prompt, answer["id"].as_str().unwrap().to_owned()));
    }
    let (_, last) = started.last().unwrap();
    api.until(last, |record| record["progress"]["received_bytes"].as_u64() > Some(0)).await;
    doomed.shutdown_background();
    let mut again = 0;
    for (prompt, id) in &started {
        while api.get(&format!("generations/{id}")).await.1["compacted_at"].is_null() {
            assert!(began.elapsed() < PATIENCE * 4, "{:?}", api.get(&format!("generations/{id}")).await.1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(prompt.end(&api, id).await, "completed");
        again += u64::from(api.get(&format!("generations/{id}")).await.1["attempts"].as_u64() > Some(1));
    }
    assert_eq!(api.count().await as u64, count);
    assert!(again > 0, "the killed worker had generations");
    stopping.cancel();
    let worked = second.await.unwrap();
    server.await.unwrap().unwrap();
    println!("{count} generations, {again} of the killed worker, {worked:?}, {:.1} s", began.elapsed().as_secs_f64());
    for queue in [&jobs, &failures] {
        assert_eq!(messages(&ministack.url, queue).await, ["0", "0"], "{queue}");
    }
}
