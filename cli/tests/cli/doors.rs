//! What a neighbour on this machine, or a web page, reaches of `longhand dev`: nothing without a key of the data folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use longhand::aws::{Clients, Queues};
use longhand::config::Config;
use longhand_local::Script;
use longhand_tests::sensitive::play;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use super::dev::{Dev, Place};

/// The ports on which a process listens, from `/proc`.
fn listening_ports(process: u32) -> BTreeSet<u16> {
    let sockets: BTreeSet<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for row in text.lines().skip(1) {
            let columns: Vec<&str> = row.split_whitespace().collect();
            // `0A`: listening. Column 9 is the socket's inode.
            if columns[3] == "0A" && sockets.contains(columns[9]) {
                ports.insert(u16::from_str_radix(columns[1].rsplit(':').next().unwrap(), 16).unwrap());
            }
        }
    }
    ports
}

/// What `stack.json` gives the commands of this user.
fn announced(data: &Path) -> Value {
    serde_json::from_slice(&fs::read(data.join("stack.json")).unwrap()).unwrap()
}

/// A port of the stack, and a request that would be worth an attacker's while.
pub struct Door {
    service: &'static str,
    port: u16,
    method: Method,
    path: String,
    target: Option<&'static str>,
    body: String,
}

pub fn doors(place: &Place, data: &Path, exposed: bool) -> Vec<Door> {
    let announced = announced(data);
    let environment = &announced["environment"];
    let text = |name: &str| environment[name].as_str().unwrap().to_owned();
    let port = |url: &str| url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let start = r#"{"provider":"openai","model":"m","prompt":"p"}"#.to_owned();
    let api = Door {
        service: "API",
        port: port(&place.url),
        method: Method::POST,
        path: "/v1/generations".into(),
        target: None,
        body: start,
    };
    let s3 = Door {
        service: "S3",
        port: port(&text("AWS_ENDPOINT_URL_S3")),
        method: Method::GET,
        path: format!("/{}?list-type=2", text("LONGHAND_BUCKET")),
        target: None,
        body: String::new(),
    };
    let mut doors = vec![api, s3];
    if exposed {
        let scan = format!(r#"{{"TableName":"{}"}}"#, text("LONGHAND_RECORDS_TABLE"));
        let open = |service, variable: &str, path: String, target, body| Door {
            service,
            port: port(&text(variable)),
            method: Method::POST,
            path,
            target,
            body,
        };
        let stream = format!("/2015-03-31/functions/{}/invocations", text("LONGHAND_STREAM_FUNCTION"));
        doors.extend([
            open("DynamoDB", "AWS_ENDPOINT_URL_DYNAMODB", "/".into(), Some("DynamoDB_20120810.Scan"), scan),
            open("Lambda", "AWS_ENDPOINT_URL_LAMBDA", stream, None, "{}".into()),
            open("SQS", "AWS_ENDPOINT_URL_SQS", "/".into(), Some("AmazonSQS.ReceiveMessage"), "{}".into()),
        ]);
    }
    doors
}

impl Door {
    /// For a page.
    pub fn describe(&self) -> Value {
        let Self { service, port, method, path, target, body } = self;
        json!({ "service": service, "port": port, "method": method.as_str(), "path": path, "target": target, "body": body })
    }

    async fn knock(&self, method: Option<Method>, headers: &[(&str, &str)]) -> Response {
        let url = format!("http://127.0.0.1:{}{}", self.port, self.path);
        let mut request = Client::new().request(method.unwrap_or(self.method.clone()), url).body(self.body.clone());
        let target = self.target.map(|target| ("x-amz-target", target));
        for (name, value) in headers.iter().copied().chain(target) {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }
}

/// A signature by a key that nobody has.
fn bogus(service: &str) -> String {
    let scope = format!("LONGHAND000000000000/20261129/us-east-1/{}/aws4_request", service.to_lowercase());
    format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={}", "0".repeat(64))
}

/// Each attempt of a page or a program without a key: nothing is answered but a refusal, which no page may read.
async fn nothing_opens(doors: &[Door], key: &str) {
    let bearer = format!("Bearer {key}");
    for door in doors {
        let aws_date = ("x-amz-date", "20261129T000000Z");
        let bogus = if door.service == "API" { "Bearer lh_bogus".to_owned() } else { bogus(door.service) };
        let signed = ("authorization", bogus.as_str());
        let json = ("content-type", "application/json");
        let asks = ("access-control-request-method", "POST");
        let attempts = [
            ("no credential", None, vec![json]),
            ("bogus signature", None, vec![json, signed, aws_date]),
            ("foreign Host", None, vec![json, ("host", "evil.example"), ("authorization", &bearer)]),
            ("foreign Origin", None, vec![json, ("origin", "https://evil.example"), ("authorization", &bearer)]),
            ("preflight", Some(Method::OPTIONS), vec![("origin", "https://evil.example"), asks]),
            ("plain-text POST", Some(Method::POST), vec![("content-type", "text/plain")]),
        ];
        for (attempt, method, headers) in attempts {
            let answer = door.knock(method, &headers).await;
            let status = answer.status();
            println!("{:8} | {attempt:15} | {}", door.service, status.as_u16());
            assert!([400, 401, 403, 405, 501].contains(&status.as_u16()), "{} {attempt}: {status}", door.service);
            assert!(!answer.headers().contains_key("access-control-allow-origin"), "{} {attempt}", door.service);
            let body = answer.text().await.unwrap();
            assert!(!body.contains("gen_"), "{} {attempt}: {body}", door.service);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_only_the_api_and_presigned_urls_have_ports() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, place) = Dev::start(folder.path(), &[], &[]).await;
    let doors = doors(&place, folder.path(), false);
    if cfg!(target_os = "linux") {
        assert_eq!(listening_ports(dev.id()), doors.iter().map(|door| door.port).collect());
    }
    nothing_opens(&doors, &place.key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exposed_services_take_the_folders_own_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, place) = Dev::start(folder.path(), &["--expose"], &[]).await;
    let doors = doors(&place, folder.path(), true);
    if cfg!(target_os = "linux") {
        assert_eq!(listening_ports(dev.id()), doors.iter().map(|door| door.port).collect());
    }
    nothing_opens(&doors, &place.key).await;

    let announced = announced(folder.path());
    let environment: BTreeMap<String, String> = serde_json::from_value(announced["environment"].clone()).unwrap();
    let queue = announced["queues"][0].as_str().unwrap();
    let settings = |secret: Option<&str>| {
        let given = |name: &str| match (name, secret) {
            ("AWS_SECRET_ACCESS_KEY", Some(secret)) => Some(secret.to_owned()),
            _ => environment.get(name).cloned(),
        };
        Config::from_vars(&given).unwrap()
    };
    for (config, admits) in [(settings(None), true), (settings(Some("guessed")), false)] {
        let clients = Clients::new(&config.aws, None).await;
        let read = clients.dynamodb.scan().table_name(&config.records_table).send().await;
        let listed = clients.s3.list_objects_v2().bucket(&config.bucket).send().await;
        let invoked = clients.lambda.invoke().function_name("sweep").send().await;
        let received = Queues::new(&config.aws, None).await.receive(queue, Duration::from_secs(1)).await;
        let answers = [read.is_ok(), listed.is_ok(), invoked.is_ok(), received.is_ok()];
        assert_eq!(answers, [admits; 4], "{read:?} {listed:?} {invoked:?} {received:?}");
    }
}

/// Also where the folder is not the stack's own, and stays open.
#[tokio::test(flavor = "multi_thread")]
async fn data_is_closed_to_other_users_after_work() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs.txt");
    fs::write(&theirs, "open").unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let playback = play(Script::new(["Hola"])).unwrap();
    let provider = ["--provider", "openai", "--base-url", playback.base_url()];
    let (_dev, place) = Dev::start(folder.path(), &provider, &[("OPENAI_API_KEY", "k")]).await;
    let request = json!({ "provider": "openai", "model": "m", "prompt": "p" }).to_string();
    let longhand = &["start", "--wait", "--data", folder.path().to_str().unwrap(), "--file", "-"];
    let (code, output, message) = crate::arguments::longhand(longhand, &request);
    assert_eq!(code, 0, "{output} {message} {}", place.url);
    let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut checked = 0;
    for path in entries.filter(|path| *path != theirs) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        checked += 1;
    }
    assert!(checked > 5, "{checked}");
}
