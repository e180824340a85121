//! A client of the HTTP API.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use sse_stream::SseByteStream;

use crate::environment;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const FOREIGN_BODY_CHARS_MAX: usize = 200;

/// The API at one address.
#[derive(Clone)]
pub struct Api {
    client: Client,
    base: Url,
    key: Option<String>,
}

/// A JSON answer: as it came, for printing, and read.
#[derive(Clone, Debug)]
pub struct Reply {
    pub text: String,
    pub value: Value,
}

/// One page of a generation's events.
#[derive(Debug, Deserialize)]
pub struct EventPage {
    pub data: Vec<Event>,
    pub status: String,
    pub has_more: bool,
}

#[derive(Debug, Deserialize)]
pub struct Event {
    pub seq: u64,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub output_index: u64,
    #[serde(default)]
    pub delta: String,
    pub attempt: Option<u64>,
}

/// The API said no: what `application/problem+json` tells, or what can be made of another body.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    lines: Vec<String>,
}

/// No answer came.
#[derive(Debug)]
pub struct Unreachable {
    url: String,
    cause: String,
}

impl Api {
    /// A client of the API at `address`, such as `http://127.0.0.1:4000`.
    pub fn new(address: &str) -> anyhow::Result<Self> {
        let base = Url::parse(address).with_context(|| format!("{address:?} is not an address of an API"))?;
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
        let client = if is_loopback(&base) { client.no_proxy() } else { client };
        Ok(Self { client: client.build().context("cannot set up the HTTP client")?, base, key: None })
    }

    /// The same, showing this API key.
    pub fn with_key(self, key: Option<String>) -> Self {
        Self { key, ..self }
    }

    fn get(&self, url: Url) -> RequestBuilder {
        self.signed(self.client.get(url))
    }

    fn post(&self, url: Url) -> RequestBuilder {
        self.signed(self.client.post(url))
    }

    fn signed(&self, call: RequestBuilder) -> RequestBuilder {
        self.key.iter().fold(call, RequestBuilder::bearer_auth)
    }

    pub async fn start(&self, request: &Value, idempotency_key: Option<&str>) -> anyhow::Result<Reply> {
        let call = self.post(self.url(&[])?).json(request);
        let call = idempotency_key.into_iter().fold(call, |call, key| call.header("idempotency-key", key));
        reply(call).await
    }

    pub async fn generation(&self, id: &str) -> anyhow::Result<Reply> {
        reply(self.get(self.url(&[id])?)).await
    }

    pub async fn progress(&self, id: &str) -> anyhow::Result<Reply> {
        reply(self.get(self.url(&[id, "progress"])?)).await
    }

    pub async fn output(&self, id: &str) -> anyhow::Result<Reply> {
        reply(self.get(self.url(&[id, "output"])?)).await
    }

    pub async fn list(&self, limit: Option<usize>, after: Option<&str>) -> anyhow::Result<Reply> {
        let mut url = self.url(&[])?;
        if let Some(limit) = limit {
            url.query_pairs_mut().append_pair("limit", &limit.to_string());
        }
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", after);
        }
        reply(self.get(url)).await
    }

    pub async fn events(&self, id: &str, after: Option<u64>) -> anyhow::Result<EventPage> {
        let mut url = self.url(&[id, "events"])?;
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", &after.to_string());
        }
        let reply = reply(self.get(url)).await?;
        serde_json::from_value(reply.value).with_context(|| format!("the events of {id} are not in the expected form"))
    }

    /// The events from behind `after` on, live. `None`: there is nothing more to come.
    pub async fn follow(
        &self,
        id: &str,
        after: Option<u64>,
    ) -> anyhow::Result<Option<BoxStream<'static, anyhow::Result<Event>>>> {
        let Some(response) = self.open_events(id, after).await? else { return Ok(None) };
        let url = self.base.origin().ascii_serialization();
        let frames = SseByteStream::new(response.bytes_stream()).filter_map(move |frame| {
            let event = match frame {
                Ok(frame) => frame.data.map(|data| serde_json::from_str(&data).context("an event is not in the expected form")),
                Err(error) => Some(Err(anyhow::Error::new(Unreachable { url: url.clone(), cause: error.to_string() }))),
            };
            futures::future::ready(event)
        });
        Ok(Some(frames.boxed()))
    }

    /// A start whose answer is the stream itself.
    pub async fn start_attached(&self, request: &Value) -> anyhow::Result<Response> {
        successful(self.post(self.url(&[])?).json(request)).await
    }

    /// The answer that [`Self::follow`] reads. `None`: there is nothing more to come.
    pub async fn open_events(&self, id: &str, after: Option<u64>) -> anyhow::Result<Option<Response>> {
        let call = self.get(self.url(&[id, "events"])?).header(ACCEPT, "text/event-stream");
        let call = after.into_iter().fold(call, |call, seq| call.header("last-event-id", seq));
        let response = successful(call).await?;
        Ok(Some(response).filter(|response| response.status() != StatusCode::NO_CONTENT))
    }

    pub async fn cancel(&self, id: &str) -> anyhow::Result<Reply> {
        reply(self.post(self.url(&[id, "cancel"])?)).await
    }

    /// The output's text, wherever the API keeps it.
    pub async fn text(&self, id: &str) -> anyhow::Result<String> {
        let output = self.output(id).await?.value;
        if let Some(text) = output.get("text").and_then(Value::as_str) {
            return Ok(text.to_owned());
        }
        let url = output.get("url").and_then(Value::as_str).with_context(|| format!("{id} has no output"))?;
        let url = Url::parse(url).context("the output's address is not a URL")?;
        let bytes = answer(self.client.get(url)).await?;
        String::from_utf8(bytes).context("the output is not UTF-8")
    }

    fn url(&self, path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().map_err(|()| anyhow::anyhow!("{} is not an address of an API", self.base))?;
        segments.pop_if_empty().extend(["v1", "generations"]).extend(path);
        drop(segments);
        Ok(url)
    }
}

/// Whether the same call may succeed in a moment.
pub fn may_pass(error: &anyhow::Error) -> bool {
    let busy = |problem: &Problem| problem.status.is_server_error() || problem.status == StatusCode::TOO_MANY_REQUESTS;
    error.is::<Unreachable>() || error.downcast_ref().is_some_and(busy)
}

/// Whether it is the API that answers, and says that the key opens nothing.
pub fn is_unauthorized(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|problem: &Problem| problem.status == StatusCode::UNAUTHORIZED)
}

/// Whether nothing but this machine is meant.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn reply(call: RequestBuilder) -> anyhow::Result<Reply> {
    let text = String::from_utf8(answer(call).await?).context("the answer is not UTF-8")?;
    let value = serde_json::from_str(&text).with_context(|| format!("the answer is not JSON: {}", shortened(&text)))?;
    Ok(Reply { text, value })
}

async fn answer(call: RequestBuilder) -> anyhow::Result<Vec<u8>> {
    Ok(successful(call).await?.bytes().await.map_err(unreachable)?.into())
}

/// The answer, if it is one; else what the API says is wrong.
async fn successful(call: RequestBuilder) -> anyhow::Result<Response> {
    let response = call.send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    let body = response.bytes().await.map_err(unreachable)?;
    let problem = if is_json { serde_json::from_slice(&body).unwrap_or_default() } else { Value::Null };
    Err(anyhow::Error::new(Problem::read(status, &problem, &String::from_utf8_lossy(&body))))
}

fn unreachable(error: reqwest::Error) -> anyhow::Error {
    let url = error.url().map_or_else(|| "the API".to_owned(), |url| url.origin().ascii_serialization());
    let error = anyhow::Error::new(error);
    anyhow::Error::new(Unreachable { url, cause: error.root_cause().to_string() })
}

fn shortened(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(FOREIGN_BODY_CHARS_MAX).collect()
}

impl Problem {
    fn read(status: StatusCode, problem: &Value, body: &str) -> Self {
        let told = ["detail", "title", "message"].iter().find_map(|name| problem.get(name)?.as_str());
        let errors = problem.get("errors").and_then(Value::as_array);
        let lines = errors.into_iter().flatten().map(|error| {
            let part = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{} {}", part("pointer"), part("detail")).trim().to_owned()
        });
        let lines: Vec<String> = lines.collect();
        let detail = told.map_or_else(|| shortened(body), str::to_owned);
        // A detail that repeats the errors says before them what they have in common.
        let repeated = lines.first().and_then(|line| detail.find(line.as_str()));
        let detail = repeated.map_or(detail.as_str(), |at| detail[..at].trim_end_matches([':', ' '])).to_owned();
        Self { status, detail, lines }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = if self.detail.is_empty() { "the API gave no reason" } else { &self.detail };
        write!(formatter, "{detail} ({})", self.status)?;
        if self.status == StatusCode::UNAUTHORIZED {
            write!(
                formatter,
                "\n  with --url, the key is taken from {}; `longhand keys create` makes one",
                environment::API_KEY
            )?;
        }
        self.lines.iter().try_for_each(|line| write!(formatter, "\n  {line}"))
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Unreachable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} does not answer: {}", self.url, self.cause)
    }
}

impl std::error::Error for Unreachable {}
