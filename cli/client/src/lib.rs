//! A typed client of the HTTP API: one method for each route that the command and the tests call.
//!
//! Requests carry the API key as a bearer token. Redirects are never followed, because the key would be sent along.

mod error;
mod events;

use std::net::IpAddr;
use std::ops::Deref;
use std::time::Duration;

use longhand::generation::Generation;
use longhand::{EventPage, GenerationPage, Output, ProgressView, ReadToken, Started};
use reqwest::header::ACCEPT;
use reqwest::{Client as Http, redirect};
pub use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use error::{Error, Problem};
pub use events::{Follow, ResultText, frames};

use events::RawPage;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest silence within a response. A followed log sends a heartbeat every 15 s.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the API at one address. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: Http,
    base: Url,
    key: Option<String>,
}

/// A JSON response: the value, and the text that it was parsed from.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// The body as the API sent it.
    pub text: String,
    /// The body, parsed.
    pub value: T,
}

impl<T> Deref for Reply<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Client {
    /// A client of the API at `address`, such as `http://127.0.0.1:4000`, without a key.
    ///
    /// # Errors
    /// [`Error::Address`]; [`Error::Setup`].
    pub fn new(address: &str) -> Result<Self, Error> {
        let base = Url::parse(address).ok().filter(|url| !url.cannot_be_a_base());
        let base = base.ok_or_else(|| Error::Address(address.to_owned()))?;
        let http = Http::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
        let http = http.redirect(redirect::Policy::none());
        let http = if is_loopback(&base) { http.no_proxy() } else { http };
        Ok(Self { http: http.build().map_err(Error::Setup)?, base, key: None })
    }

    /// The same client with this API key, or without one.
    #[must_use]
    pub fn with_key(self, key: Option<String>) -> Self {
        Self { key, ..self }
    }

    /// `POST /v1/generations`. The API validates the request, so it may be any JSON.
    ///
    /// # Errors
    /// As every method here: [`Error::Unreachable`], [`Error::Problem`], [`Error::Unexpected`].
    pub async fn start(&self, request: &impl Serialize, idempotency_key: Option<&str>) -> Result<Reply<Started>, Error> {
        let call = self.generations(Method::POST, &[]).json(request);
        reply(idempotency_key.into_iter().fold(call, |call, key| call.header("idempotency-key", key))).await
    }

    /// `POST /v1/generations` of a request that has `stream: true`: the response is the log, for [`frames`]. Its header
    /// `location` ends with the generation's id.
    pub async fn start_attached(&self, request: &impl Serialize) -> Result<Response, Error> {
        send(self.generations(Method::POST, &[]).json(request)).await
    }

    /// `GET /v1/generations`: a page of at most `limit` generations after the one with the id `after`, newest first.
    pub async fn list(&self, limit: Option<usize>, after: Option<&str>) -> Result<Reply<GenerationPage>, Error> {
        let limit = limit.map(|limit| ("limit", limit.to_string()));
        let after = after.map(|after| ("after", after.to_owned()));
        self.list_by(&limit.into_iter().chain(after).collect::<Vec<_>>()).await
    }

    /// `GET /v1/generations` with these query parameters.
    pub async fn list_by(&self, parameters: &[(&str, String)]) -> Result<Reply<GenerationPage>, Error> {
        let mut url = self.generations_url(&[]);
        for (name, value) in parameters {
            set_query(&mut url, name, Some(value));
        }
        reply(self.signed(Method::GET, url.as_str())).await
    }

    /// `POST /v1/generations/{id}/retry`.
    pub async fn retry(&self, id: &str, idempotency_key: Option<&str>) -> Result<Reply<Started>, Error> {
        let call = self.generations(Method::POST, &[id, "retry"]);
        reply(idempotency_key.into_iter().fold(call, |call, key| call.header("idempotency-key", key))).await
    }

    /// `GET /v1/generations/{id}`.
    pub async fn generation(&self, id: &str) -> Result<Reply<Generation>, Error> {
        reply(self.generations(Method::GET, &[id])).await
    }

    /// `GET /v1/generations/{id}/progress`.
    pub async fn progress(&self, id: &str) -> Result<Reply<ProgressView>, Error> {
        reply(self.generations(Method::GET, &[id, "progress"])).await
    }

    /// `GET /v1/generations/{id}/events`: a page of the events after number `after`. Events of types that this build does not
    /// have are left out; `last_seq` counts them.
    pub async fn events(&self, id: &str, after: Option<u64>) -> Result<EventPage, Error> {
        let mut url = self.generations_url(&[id, "events"]);
        set_query(&mut url, "after", after);
        let page: Reply<RawPage> = reply(self.signed(Method::GET, url.as_str())).await?;
        page.value.parse()
    }

    /// `GET /v1/generations/{id}/events` as server-sent events, for [`frames`]: one response, from after number `after` on.
    /// `None`: the log has ended, and nothing comes after that number.
    pub async fn open_events(&self, id: &str, after: Option<u64>) -> Result<Option<Response>, Error> {
        let call = self.generations(Method::GET, &[id, "events"]).header(ACCEPT, "text/event-stream");
        let response = send(after.into_iter().fold(call, |call, seq| call.header("last-event-id", seq))).await?;
        Ok(Some(response).filter(|response| response.status() != StatusCode::NO_CONTENT))
    }

    /// The events after number `after`, live, over as many responses as it takes.
    #[must_use]
    pub fn follow(&self, id: &str, after: Option<u64>) -> Follow {
        Follow::new(self.clone(), id.to_owned(), after)
    }

    /// `GET /v1/generations/{id}/output`.
    pub async fn output(&self, id: &str) -> Result<Reply<Output>, Error> {
        reply(self.generations(Method::GET, &[id, "output"])).await
    }

    /// The output's text: inline, or from the URL that the API gives for a large one. The key is not sent to that URL.
    pub async fn text(&self, id: &str) -> Result<String, Error> {
        let output = self.output(id).await?.value;
        if let Some(text) = output.text {
            return Ok(text);
        }
        let unexpected = |cause: &str| Error::Unexpected { what: format!("the output of {id}"), cause: cause.to_owned() };
        let url = output.url.ok_or_else(|| unexpected("it has neither a text nor a URL"))?;
        self.text_at(&url).await
    }

    /// `POST /v1/generations/{id}/cancel`.
    pub async fn cancel(&self, id: &str) -> Result<Reply<Generation>, Error> {
        reply(self.generations(Method::POST, &[id, "cancel"])).await
    }

    /// `POST /v1/generations/{id}/tokens`: a read token, valid for `expires_in` or the API's default, in whole seconds.
    pub async fn create_token(&self, id: &str, expires_in: Option<Duration>) -> Result<Reply<ReadToken>, Error> {
        let call = self.generations(Method::POST, &[id, "tokens"]);
        let lifetime = expires_in.map(|expires_in| json!({ "expires_in": expires_in.as_secs() }));
        reply(lifetime.iter().fold(call, RequestBuilder::json)).await
    }

    /// A request of any method and any path (with its query) to the API, with the key: for what the other methods do not send.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.signed(method, &self.url(path))
    }

    /// Sends a file to a URL that the API gave, without the key, with these headers.
    ///
    /// # Errors
    /// As every method here.
    pub async fn put_file<'a>(
        &self,
        url: &str,
        headers: impl IntoIterator<Item = (&'a String, &'a String)>,
        file: Vec<u8>,
    ) -> Result<(), Error> {
        let put = headers.into_iter().fold(self.http.put(url).body(file), |put, (name, value)| put.header(name, value));
        send(put).await.map(drop)
    }

    /// The text at a URL that the API gave, without the key.
    ///
    /// # Errors
    /// As every method here; the URL is not valid.
    pub async fn text_at(&self, url: &str) -> Result<String, Error> {
        let url = Url::parse(url)
            .map_err(|error| Error::Unexpected { what: "a URL that the API gave".into(), cause: error.to_string() })?;
        body(send(self.http.get(url)).await?).await
    }

    /// The address of a path of the API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    fn generations(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.signed(method, self.generations_url(path).as_str())
    }

    fn generations_url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // `new` has refused an address without segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "generations"]).extend(path);
        }
        url
    }

    fn signed(&self, method: Method, url: &str) -> RequestBuilder {
        self.key.iter().fold(self.http.request(method, url), RequestBuilder::bearer_auth)
    }
}

fn set_query(url: &mut Url, name: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        url.query_pairs_mut().append_pair(name, &value.to_string());
    }
}

/// Whether the URL's host is this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Sends a request. A response that is not a success is an [`Error::Problem`].
pub async fn send(call: RequestBuilder) -> Result<Response, Error> {
    let response = call.send().await.map_err(|error| Error::unreachable(&error))?;
    if response.status().is_success() { Ok(response) } else { Err(Problem::read(response).await?.into()) }
}

async fn reply<T: DeserializeOwned>(call: RequestBuilder) -> Result<Reply<T>, Error> {
    let response = send(call).await?;
    let what = format!("the response from {}", response.url().path());
    let text = body(response).await?;
    let value = serde_json::from_str(&text);
    let value = value.map_err(|error| Error::Unexpected { what, cause: format!("{error}: {}", error::excerpt(&text)) })?;
    Ok(Reply { text, value })
}

async fn body(response: Response) -> Result<String, Error> {
    let what = format!("the response from {}", response.url().path());
    let bytes = response.bytes().await.map_err(|error| Error::unreachable(&error))?.into();
    String::from_utf8(bytes).map_err(|error| Error::Unexpected { what, cause: error.to_string() })
}
