//! A provider over raw TCP that plays byte scripts: any bytes, cut anywhere, with every way a connection can end.
//!
//! Every script has a name, which is the first segment of its provider's base URL, so one listener plays them all.

mod script;
pub mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub use script::{Ending, Script};
use script::{KEEP_ALIVE, KEEP_ALIVE_EVERY, Step};

use crate::{PATIENCE, sensitive};

/// The provider. Dropping it closes every connection.
pub struct Hostile {
    address: String,
    ledger: watch::Receiver<Ledger>,
    listening: AbortHandle,
}

/// The requests for one script.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Their bodies, in order.
    pub bodies: Vec<Value>,
    /// Their `Authorization` headers, in order.
    pub keys: Vec<Option<String>>,
    /// When each was complete.
    pub came_at: Vec<SystemTime>,
    /// When each answer's head had been sent.
    pub answered_at: Vec<SystemTime>,
    /// Answers that have been written whole, but for their ending.
    pub played: usize,
    /// Requests whose client closed the connection before the script's end.
    pub closed_early: usize,
}

type Ledger = BTreeMap<String, Seen>;

/// The script for a request, by its number from 0 and its body.
type Repertoire = Box<dyn Fn(usize, &Value) -> Script + Send + Sync>;

struct Stage {
    repertoires: BTreeMap<String, Repertoire>,
    ledger: watch::Sender<Ledger>,
}

struct Request {
    name: String,
    key: Option<String>,
    body: Value,
}

impl Hostile {
    /// Listens on a free port of 127.0.0.1. A name's requests get its scripts in order, and the last script from then on. A
    /// name without scripts gets 404.
    pub async fn start(scripts: impl IntoIterator<Item = (&str, Vec<Script>)>) -> Self {
        let repertoire = |scripts: Vec<Script>| -> Repertoire {
            Box::new(move |number, _| scripts.get(number).or(scripts.last()).cloned().unwrap_or_else(not_found))
        };
        Self::stage(scripts.into_iter().map(|(name, scripts)| (name.to_owned(), repertoire(scripts))).collect()).await
    }

    /// Like [`start`](Self::start), with one name: `make` returns the script for each request, from its number (from 0) and its
    /// body.
    pub async fn improvising(name: &str, make: impl Fn(usize, &Value) -> Script + Send + Sync + 'static) -> Self {
        Self::stage([(name.to_owned(), Box::new(make) as Repertoire)].into()).await
    }

    async fn stage(repertoires: BTreeMap<String, Repertoire>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, ledger) = watch::channel(Ledger::new());
        let stage = Arc::new(Stage { repertoires, ledger: sender });
        let listening = tokio::spawn(listen(listener, stage)).abort_handle();
        Self { address, ledger, listening }
    }

    /// The base URL of the provider that plays the scripts of `name`.
    pub fn base_url(&self, name: &str) -> String {
        format!("{}/{name}/v1", self.address)
    }

    /// `LONGHAND_PROVIDERS` with a provider for each of `names`.
    pub fn providers<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> String {
        let settings = |name: &str| (name.to_owned(), json!({ "base_url": self.base_url(name), "key_env": "HOSTILE_API_KEY" }));
        Value::Object(names.into_iter().map(settings).collect::<Map<_, _>>()).to_string()
    }

    /// The requests so far.
    pub fn seen(&self, name: &str) -> Seen {
        self.ledger.borrow().get(name).cloned().unwrap_or_default()
    }

    /// Waits until the requests of a script satisfy `is_so`.
    pub async fn until(&self, name: &str, is_so: impl Fn(&Seen) -> bool) -> Seen {
        let mut ledger = self.ledger.clone();
        let so = ledger.wait_for(|ledger| ledger.get(name).is_some_and(&is_so));
        let so = timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("still waiting: {:?}", self.seen(name)));
        so.expect("the provider listens").get(name).cloned().unwrap_or_default()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, stage: Arc<Stage>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let stage = Arc::clone(&stage);
        connections.spawn(async move {
            let mut connection = BufReader::new(connection);
            let Ok(request) = read(&mut connection).await else { return };
            let name = request.name.clone();
            let script = stage.admit(request);
            let update =
                |change: fn(&mut Seen)| stage.ledger.send_modify(|ledger| change(ledger.entry(name.clone()).or_default()));
            let answered = || update(|seen| seen.answered_at.push(SystemTime::now()));
            if play(&script, &mut connection, answered, || update(|seen| seen.played += 1)).await.is_err() {
                update(|seen| seen.closed_early += 1);
            }
        });
    }
}

impl Stage {
    fn admit(&self, request: Request) -> Script {
        let mut number = 0;
        self.ledger.send_modify(|ledger| {
            let seen = ledger.entry(request.name.clone()).or_default();
            number = seen.bodies.len();
            seen.bodies.push(request.body.clone());
            sensitive::record_request(&request.body, request.key.as_deref());
            seen.keys.push(request.key);
            seen.came_at.push(SystemTime::now());
        });
        let script = self.repertoires.get(&request.name).map_or_else(not_found, |repertoire| repertoire(number, &request.body));
        sensitive::record_answer(&script.body());
        script
    }
}

fn not_found() -> Script {
    Script::plain("404 Not Found", "text/plain", "")
}

/// The rest of `text` behind the trailing assistant message of a request. `None`: the text does not begin with that message.
pub fn rest_of<'a>(text: &'a str, body: &Value) -> Option<&'a str> {
    let last = body["messages"].as_array().and_then(|messages| messages.last());
    match last.filter(|message| message["role"] == "assistant") {
        Some(message) => text.strip_prefix(message["content"].as_str()?),
        None => Some(text),
    }
}

async fn read(connection: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let (mut name, mut key, mut length) = (String::new(), None, 0);
    for number in 0.. {
        let mut line = String::new();
        connection.read_line(&mut line).await?;
        let line = line.trim_end();
        if number == 0 {
            line.split('/').nth(1).unwrap_or_default().clone_into(&mut name);
        } else if line.is_empty() {
            break;
        } else if let Some((header, value)) = line.split_once(": ") {
            match header.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or(0),
                "authorization" | "x-api-key" => key = Some(value.to_owned()),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok(Request { name, key, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

/// `Err`: the client closed the connection before the script's end.
async fn play(script: &Script, connection: &mut BufReader<TcpStream>, answered: impl Fn(), played: impl Fn()) -> io::Result<()> {
    connection.get_mut().set_nodelay(true)?;
    wait(script.silence, connection).await?;
    if let Some(head) = &script.head {
        connection.write_all(format!("{head}\r\n\r\n").as_bytes()).await?;
    }
    answered();
    for step in &script.steps {
        match step {
            Step::Write(bytes) => write(script, bytes, connection).await?,
            Step::Pause(pause) => wait(*pause, connection).await?,
        }
    }
    played();
    match script.ending {
        Ending::End if script.is_chunked => connection.write_all(b"0\r\n\r\n").await?,
        Ending::End | Ending::Cut => {}
        Ending::Reset => connection.get_mut().set_zero_linger()?,
        Ending::Stall => wait(PATIENCE, connection).await?,
        Ending::StallWithComments => loop {
            write(script, KEEP_ALIVE, connection).await?;
            wait(KEEP_ALIVE_EVERY, connection).await?;
        },
    }
    Ok(())
}

async fn write(script: &Script, bytes: &[u8], connection: &mut BufReader<TcpStream>) -> io::Result<()> {
    if bytes.is_empty() {
        // An empty chunk would be the last one.
        return Ok(());
    }
    let mut framed = Vec::with_capacity(bytes.len() + 16);
    if script.is_chunked {
        framed.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
    } else {
        framed.extend_from_slice(bytes);
    }
    connection.write_all(&framed).await?;
    connection.flush().await
}

/// Sends nothing for a while. `Err`: the client closed the connection.
async fn wait(silence: std::time::Duration, connection: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut byte = [0];
    tokio::select! {
        () = sleep(silence) => Ok(()),
        _ = connection.read(&mut byte) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
