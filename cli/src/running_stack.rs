//! Finds the stack that runs on a data folder, by the file that it writes there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use longhand::aws::SharedHttpClient;
use longhand_client::{Client, StatusCode, Url};
use longhand_local::{Stack, is_running, socket_client};
use serde::Deserialize;
use tokio::time::timeout;

use crate::environment;
use crate::options::Target;

const FILE: &str = "stack.json";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A running stack, as its file describes it.
#[derive(Deserialize)]
pub struct RunningStack {
    /// The API's address.
    pub url: String,
    /// The API key that commands on this machine use.
    #[serde(default)]
    pub key: Option<String>,
    /// The organization of that key.
    #[serde(default)]
    pub organization: String,
    /// The environment of its functions: tables, bucket, endpoints.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The socket of its services.
    #[serde(default)]
    pub socket: PathBuf,
    /// URLs of the on-failure queues.
    #[serde(default)]
    pub queues: Vec<String>,
}

impl RunningStack {
    /// A client of its API, with its key.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.url)?.with_key(self.key.clone()))
    }

    /// The client through which the SDK reaches its services.
    pub fn http_client(&self) -> SharedHttpClient {
        socket_client(&self.socket)
    }

    async fn answers(&self) -> bool {
        let Ok(client) = self.client() else { return false };
        match timeout(ANSWER_TIMEOUT, client.list(Some(1), None)).await {
            Ok(Ok(_)) => true,
            // It runs, but its key was revoked. The command that uses the key reports that.
            Ok(Err(error)) => error.status() == Some(StatusCode::UNAUTHORIZED),
            Err(_) => false,
        }
    }
}

/// The stack that runs on `data`; `None` where none answers.
pub async fn find(data: &Path) -> anyhow::Result<Option<RunningStack>> {
    let Some(stack) = read(data)? else { return Ok(None) };
    Ok(if stack.answers().await { Some(stack) } else { None })
}

/// A client of the API at `--url`, or of the stack that runs on `--data`.
pub async fn connect(target: &Target) -> anyhow::Result<Client> {
    if let Some(url) = &target.url {
        return connect_to_url(url);
    }
    let data = &target.folder.data;
    find(data).await?.ok_or_else(|| no_stack(data, "give --url"))?.client()
}

/// A client of the API of a stack in this process.
pub fn connect_to_stack(stack: &Stack) -> anyhow::Result<Client> {
    Ok(Client::new(stack.url())?.with_key(stack.key().map(|key| key.text.clone())))
}

/// A client of the API at an address, with the key from the environment.
pub fn connect_to_url(url: &Url) -> anyhow::Result<Client> {
    Ok(Client::new(url.as_str())?.with_key(environment::variable(environment::API_KEY)))
}

/// The error of a command that needs a running stack. `alternative` is what a person can do instead of starting one.
pub fn no_stack(data: &Path, alternative: &str) -> anyhow::Error {
    anyhow::anyhow!("no stack runs on {}: start one with `longhand dev`, or {alternative}", data.display())
}

/// Reads the file of a stack that runs: prompts and keys are sent to the address in it, and a folder may have been copied from
/// elsewhere.
fn read(data: &Path) -> anyhow::Result<Option<RunningStack>> {
    if !is_running(data)? {
        return Ok(None);
    }
    let path = data.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => {
            let stack: RunningStack = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; if no `longhand dev` runs there, delete it", path.display()))?;
            let host = Url::parse(&stack.url).ok().and_then(|url| url.host_str().map(str::to_owned));
            if !matches!(host.as_deref(), Some("127.0.0.1" | "localhost" | "[::1]")) {
                anyhow::bail!("{} names {:?}, which is not this machine: it is not trusted", path.display(), stack.url);
            }
            Ok(Some(stack))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
