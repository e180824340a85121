//! Hostile addresses and receivers, over real connections.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const SHORT: Duration = Duration::from_millis(400);

/// A listener on loopback that counts who reaches it.
struct Canary {
    port: u16,
    reached: Arc<AtomicUsize>,
    _tasks: Vec<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Canary {
    async fn start() -> Self {
        let reached = Arc::new(AtomicUsize::new(0));
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        listeners.extend(TcpListener::bind(("::1", port)).await);
        let count = |listener: TcpListener| {
            let reached = Arc::clone(&reached);
            Task(tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    reached.fetch_add(1, Ordering::SeqCst);
                }
            }))
        };
        let tasks = listeners.into_iter().map(count).collect();
        Self { port, reached, _tasks: tasks }
    }
}

/// What hostile names lead to. Those that begin with `rebinding` lead to a public address first, and to loopback from then on.
fn hostile_names(asked: &Mutex<BTreeSet<String>>, name: &str) -> Vec<IpAddr> {
    let is_first = asked.lock().unwrap().insert(name.to_owned());
    let told: &[&str] = match name {
        "loopback.example" | "localtest.example" => &["127.0.0.1"],
        "loopback6.example" => &["::1"],
        "mapped.example" => &["::ffff:127.0.0.1"],
        "metadata.example" => &["169.254.169.254"],
        "metadata6.example" => &["fd00:ec2::254"],
        "container.example" => &["169.254.170.2"],
        "private.example" => &["10.0.0.1", "172.16.0.1", "192.168.1.1"],
        "many.example" => &["127.0.0.1", "::1", "0.0.0.0", "169.254.169.254"],
        "zero.example" => &["0.0.0.0"],
        "shared.example" => &["100.64.0.1"],
        "translated.example" => &["64:ff9b::7f00:1"],
        "tunnel.example" => &["2002:7f00:1::1"],
        "local.example" => &["fe80::1"],
        "unique.example" => &["fd12::1"],
        "multicast.example" => &["224.0.0.1"],
        // Documentation: nothing is there, and it is refused.
        _ if name.starts_with("rebinding") && is_first => &["203.0.113.9"],
        _ if name.starts_with("rebinding") => &["127.0.0.1"],
        _ => &[],
    };
    told.iter().map(|address| address.parse().unwrap()).collect()
}

/// Every way to spell what must not be reached. `{}` is the canary's port.
const HOSTILE: [&str; 66] = [
    "https://127.0.0.1:{}/",
    "http://127.0.0.1:{}/",
    "https://127.1:{}/",
    "https://127.0.1:{}/",
    "https://2130706433:{}/",
    "https://0x7f000001:{}/",
    "https://0x7f.0.0.1:{}/",
    "https://0x7f.1:{}/",
    "https://0177.0.0.1:{}/",
    "https://017700000001:{}/",
    "https://127.0.0.01:{}/",
    "https://127.255.255.254:{}/",
    "https://127.0.0.1.:{}/",
    "https://0.0.0.0:{}/",
    "https://0:{}/",
    "https://localhost:{}/",
    "https://LOCALHOST:{}/",
    "https://localhost.:{}/",
    "https://a.localhost:{}/",
    "https://[::1]:{}/",
    "https://[0:0:0:0:0:0:0:1]:{}/",
    "https://[::]:{}/",
    "https://[::127.0.0.1]:{}/",
    "https://[::ffff:127.0.0.1]:{}/",
    "https://[::ffff:7f00:1]:{}/",
    "https://[64:ff9b::7f00:1]:{}/",
    "https://[2002:7f00:1::]:{}/",
    "https://①②⑦.⓪.⓪.①:{}/",
    "https://user@127.0.0.1:{}/",
    "https://example.com@127.0.0.1:{}/",
    "https://example.com:443@127.0.0.1:{}/",
    "https://127.0.0.1:{}@example.invalid/",
    "https://127.0.0.1:{}#@example.invalid/",
    "https://127.0.0.1:{}\\@example.invalid/",
    "https:127.0.0.1:{}/",
    "https:///127.0.0.1:{}/",
    "  https://127.0.0.1:{}/",
    "https://127.0.0.1%2f:{}/",
    "https://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://[::ffff:169.254.169.254]/",
    "https://[fd00:ec2::254]/",
    "https://169.254.170.2/v2/credentials",
    "https://169.254.100.1/",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "https://172.16.0.1/",
    "https://100.64.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{}/",
    "unix:/var/run/docker.sock",
    "https://loopback.example:{}/",
    "https://localtest.example:{}/",
    "https://loopback6.example:{}/",
    "https://mapped.example:{}/",
    "https://metadata.example/",
    "https://metadata6.example/",
    "https://container.example/",
    "https://private.example/",
    "https://many.example:{}/",
    "https://zero.example:{}/",
    "https://translated.example:{}/",
    "https://tunnel.example:{}/",
    "https://rebinding.example:{}/",
    "https://rebinding2.example:{}/",
];

#[tokio::test]
async fn no_hostile_address_is_reached() {
    let canary = Canary::start().await;
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let names = Arc::clone(&asked);
    let look_up: LookUp = Arc::new(move |name| {
        let found = hostile_names(&names, &name);
        Box::pin(async move { Ok(found) })
    });
    // Ports are left open, so that nothing but the address can refuse.
    let receivers = Receivers::with(Doors { loopback: false, any_port: true }, SHORT, look_up);
    for url in HOSTILE {
        let url = url.replace("{}", &canary.port.to_string());
        // Twice: a name that leads elsewhere the second time is the known hole.
        for _ in 0..2 {
            let parcel = Parcel { url: url.clone(), headers: Vec::new(), body: "{}".into() };
            let reply = receivers.send(parcel).await.unwrap();
            assert_eq!(reply.answer, Answer::Error(ADDRESS_REFUSED), "{url}");
        }
    }
    assert_eq!(canary.reached.load(Ordering::SeqCst), 0);
    assert!(asked.lock().unwrap().len() >= 10, "names were looked up");
    // The canary can be reached: by what a laptop leaves open.
    let laptop = Receivers::new(Doors { loopback: true, any_port: false }, SHORT);
    let parcel = Parcel { url: format!("http://localhost:{}/", canary.port), headers: Vec::new(), body: "{}".into() };
    assert_eq!(laptop.send(parcel).await.unwrap().answer, Answer::Error("broken_connection"));
    assert!(canary.reached.load(Ordering::SeqCst) > 0);
}

/// A receiver that answers every connection so; what it sent is written as fast as it is read.
async fn answering(parts: Vec<(Duration, Vec<u8>)>) -> (String, Task) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let parts = parts.clone();
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _ = connection.read(&mut request).await;
                for (wait, part) in parts {
                    tokio::time::sleep(wait).await;
                    if connection.write_all(&part).await.is_err() {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_secs(5)).await;
            });
        }
    });
    (url, Task(task))
}

async fn reply(parts: Vec<(Duration, Vec<u8>)>) -> Reply {
    let (url, _task) = answering(parts).await;
    let receivers = Receivers::new(Doors { loopback: true, any_port: false }, SHORT);
    receivers.send(Parcel { url, headers: vec![("webhook-id", "evt_1".into())], body: "{}".into() }).await.unwrap()
}

fn at_once(text: &str) -> Vec<(Duration, Vec<u8>)> {
    vec![(Duration::ZERO, text.as_bytes().to_vec())]
}

#[tokio::test]
async fn each_receiver_is_answered_for() {
    let good = reply(at_once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    assert_eq!((good.answer, good.text.as_deref()), (Answer::of(200), Some("ok")));
    let hanging = reply(Vec::new()).await;
    assert_eq!((hanging.answer, hanging.text), (Answer::Error("timeout"), None));
    assert!(hanging.took >= SHORT && hanging.took < SHORT * 3, "{:?}", hanging.took);
    let redirecting =
        reply(at_once("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")).await;
    assert_eq!(redirecting.answer, Answer::of(302), "and not followed");
    let patient = reply(at_once("HTTP/1.1 429 Slow down\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n")).await;
    let after = Answer::Status { code: 429, retry_after: Some(Duration::from_secs(90)), is_abort: false };
    assert_eq!(patient.answer, after);
    let aborting = reply(at_once("HTTP/1.1 400 No\r\nwebhook-delivery: abort-message\r\ncontent-length: 0\r\n\r\n")).await;
    assert_eq!(aborting.answer, Answer::Status { code: 400, retry_after: None, is_abort: true });
    let broken = reply(at_once("nonsense\r\n\r\n")).await;
    assert_eq!(broken.answer, Answer::Error("broken_connection"));
}

#[tokio::test]
async fn little_of_a_large_or_slow_answer_is_read() {
    let head = "HTTP/1.1 500 Oh\r\ncontent-length: 10000000\r\n\r\n";
    let mut large = at_once(head);
    large.push((Duration::ZERO, "ñ".repeat(5_000_000).into_bytes()));
    let large = reply(large).await;
    assert_eq!((large.answer, large.text.unwrap().len()), (Answer::of(500), WEBHOOK_ANSWER_KEPT_MAX));
    assert!(large.took < SHORT, "{:?}", large.took);
    let mut dripping = at_once("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
    dripping.extend((0..100).map(|_| (Duration::from_millis(50), b"x".to_vec())));
    let dripping = reply(dripping).await;
    assert_eq!(dripping.answer, Answer::of(200), "it has answered");
    assert!(dripping.took < SHORT * 2 && dripping.text.unwrap().len() < 20, "{:?}", dripping.took);
    // One that drips its very head has not.
    let head = "HTTP/1.1 200 OK\r\n".bytes().map(|byte| (Duration::from_millis(50), vec![byte])).collect();
    assert_eq!(reply(head).await.answer, Answer::Error("timeout"));
}
