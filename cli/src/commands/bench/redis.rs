//! The same measurements over Redis Streams, with the `redis-server` of this machine.
//!
//! A writer takes each delta from the provider and appends it by `XADD`; a reader follows by `XREAD`. What waits together is sent together. The
//! append-only file is synced before each answer (`appendfsync always`), as Longhand's table is, so that both keep what a reader has seen.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use futures::{Stream, StreamExt as _, stream};
use longhand::GenerationId;
use longhand_client::frames;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::latency::Latency;
use super::peers::{Provider, read};
use super::process::Process;
use super::reader::{Source, call_provider, content};
use super::{BenchArgs, PROVIDER};
use crate::terminal::output::line;

/// Deltas that are sent to Redis together, at most.
const DELTAS_TOGETHER: usize = 1_024;
const START_WAIT: Duration = Duration::from_millis(20);
const STARTS: usize = 250;

/// Measures watched text, and throughput.
///
/// # Errors
/// There is no `redis-server`, or a stream fails.
pub async fn measure(args: &BenchArgs) -> anyhow::Result<()> {
    line("Redis Streams, each append synced to the disk")?;
    let latency = args.latency();
    let provider = Provider::start(latency.plan(), args.place()).await?;
    let redis = Redis::start(provider.base_url()).await?;
    let cpu = redis.cpu_seconds();
    let readings = read(latency.reading(&redis.url, Source::Events), args.place()).await?;
    let measured = Latency::of(&readings);
    let cpu = (redis.cpu_seconds() - cpu) * 1e6 / f64::from(measured.deltas());
    line(measured.describe("Redis Streams", None))?;
    line(format!("    CPU of redis-server and of this process: {cpu:.0} s per million deltas"))?;
    for measurement in args.throughputs() {
        let provider = Provider::start(measurement.plan(), args.place()).await?;
        let redis = Redis::start(provider.base_url()).await?;
        let throughput = measurement.read(&redis.url, Source::Events).await?;
        line(throughput.describe("over Redis", None))?;
    }
    Ok(())
}

/// A server, and an API over it that has the two routes of Longhand's that readers call.
struct Redis {
    server: Child,
    url: String,
    _folder: tempfile::TempDir,
}

/// What the routes share.
struct Bridge {
    /// Redis's port.
    port: u16,
    provider: String,
}

impl Redis {
    async fn start(provider: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("longhand-bench-").tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let options = format!("--port {port} --bind 127.0.0.1 --save --appendonly yes --appendfsync always");
        let mut command = Command::new("redis-server");
        command.args(options.split(' ')).arg("--dir").arg(folder.path()).stdout(Stdio::null()).kill_on_drop(true);
        let server = command.spawn().context("redis-server cannot start (Debian: apt install redis-server)")?;
        let mut tries = 0;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tries += 1;
            if tries == STARTS {
                bail!("redis-server does not listen on port {port}");
            }
            tokio::time::sleep(START_WAIT).await;
        }
        let bridge = Arc::new(Bridge { port, provider: provider.to_owned() });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let routes = Router::new().route("/v1/generations", post(begin)).route("/v1/generations/{id}/events", get(events));
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        tokio::spawn(axum::serve(listener, routes.with_state(bridge)).into_future());
        Ok(Self { server, url, _folder: folder })
    }

    /// Of the server and this process.
    fn cpu_seconds(&self) -> f64 {
        Process::own().cpu_seconds() + self.server.id().map_or(0.0, |id| Process::of(id).cpu_seconds())
    }
}

async fn begin(State(bridge): State<Arc<Bridge>>) -> Json<Value> {
    let id = GenerationId::new(i64::try_from(longhand_local::playback::now_micros() / 1_000).unwrap_or_default()).to_string();
    let key = id.clone();
    tokio::spawn(async move {
        if let Err(error) = write(&bridge, &key).await {
            tracing::error!(error = format!("{error:#}"), "a stream of Redis was not written");
        }
    });
    Json(json!({ "id": id, "status": "pending", "provider": PROVIDER, "model": "m", "created_at": "" }))
}

/// Appends the provider's deltas, and an entry that says the end.
async fn write(bridge: &Bridge, key: &str) -> anyhow::Result<()> {
    let mut redis = Connection::open(bridge.port).await?;
    let mut frames = frames(call_provider(&bridge.provider).await?).ready_chunks(DELTAS_TOGETHER);
    while let Some(frames) = frames.next().await {
        let mut texts = Vec::with_capacity(frames.len());
        for frame in frames {
            let Some(data) = frame?.data.filter(|data| data != "[DONE]") else { continue };
            texts.push(content(&data)?);
        }
        texts.retain(|text| !text.is_empty());
        for text in &texts {
            redis.command(&["XADD", key, "*", "delta", text]);
        }
        redis.send().await?;
        for _ in texts {
            redis.answer().await?;
        }
    }
    redis.command(&["XADD", key, "*", "end", "completed"]);
    redis.send().await?;
    redis.answer().await.map(drop)
}

async fn events(State(bridge): State<Arc<Bridge>>, Path(key): Path<String>) -> Response {
    match Connection::open(bridge.port).await {
        Ok(redis) => ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(follow(redis, key))).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

/// The events of a stream, to its end.
fn follow(redis: Connection, key: String) -> impl Stream<Item = anyhow::Result<Bytes>> {
    stream::try_unfold((redis, key, Some("0".to_owned())), async |(mut redis, key, after)| {
        let Some(after) = after else { return Ok(None) };
        redis.command(&["XREAD", "BLOCK", "15000", "STREAMS", &key, &after]);
        redis.send().await?;
        let (mut sent, mut next) = (String::new(), Some(after));
        // [[stream, [[id, [name, value]], …]]]
        let streams = redis.answer().await?.list();
        for entry in streams.into_iter().flat_map(Answer::list).flat_map(Answer::list).filter(|it| matches!(it, Answer::List(_)))
        {
            let mut parts = entry.list().into_iter();
            let id = parts.next().map(Answer::text);
            let mut fields = parts.next().map(Answer::list).unwrap_or_default().into_iter().map(Answer::text);
            let (name, value) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            next = id.filter(|_| name != "end");
            if name == "delta" {
                sent.extend(["data: ", &json!({ "delta": value }).to_string(), "\n\n"]);
            }
        }
        Ok(Some((Bytes::from(sent), (redis, key, next))))
    })
}

/// A connection that speaks RESP (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
struct Connection {
    stream: BufReader<TcpStream>,
    waiting: Vec<u8>,
}

enum Answer {
    Text(String),
    List(Vec<Self>),
}

impl Answer {
    fn list(self) -> Vec<Self> {
        if let Self::List(list) = self { list } else { Vec::new() }
    }

    fn text(self) -> String {
        if let Self::Text(text) = self { text } else { String::new() }
    }
}

impl Connection {
    async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), waiting: Vec::new() })
    }

    fn command(&mut self, words: &[&str]) {
        self.waiting.extend(format!("*{}\r\n", words.len()).into_bytes());
        for word in words {
            self.waiting.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
        }
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(&std::mem::take(&mut self.waiting)).await?;
        Ok(())
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        let mut head = String::new();
        self.stream.read_line(&mut head).await?;
        let (kind, rest) = head.trim_end().split_at_checked(1).context("redis-server has closed a connection")?;
        match kind {
            "-" => bail!("redis-server answers {rest}"),
            "$" if rest != "-1" => {
                let mut text = vec![0; rest.parse::<usize>()? + 2];
                self.stream.read_exact(&mut text).await?;
                text.truncate(text.len() - 2);
                Ok(Answer::Text(String::from_utf8(text)?))
            }
            "*" => {
                let mut list = Vec::new();
                for _ in 0..rest.parse::<i64>()? {
                    list.push(Box::pin(self.answer()).await?);
                }
                Ok(Answer::List(list))
            }
            _ => Ok(Answer::Text(rest.to_owned())),
        }
    }
}
