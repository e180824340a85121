//! Where a running stack is found: it writes its addresses beside its data.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use longhand_local::Stack;
use reqwest::Url;
use serde::Deserialize;
use tokio::time::timeout;

use crate::api::{Api, is_unauthorized};
use crate::environment;
use crate::options::Target;

const FILE: &str = "stack.json";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A running stack: its addresses, and the settings of a function that a person's own verbs need.
#[derive(Deserialize)]
pub struct Place {
    pub url: String,
    /// The key that its own machine's commands show.
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub organization: String,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// URLs of the queues of what was given up.
    #[serde(default)]
    pub queues: Vec<String>,
}

impl Place {
    /// Its API.
    pub fn api(&self) -> anyhow::Result<Api> {
        Ok(Api::new(&self.url)?.with_key(self.key.clone()))
    }

    async fn answers(&self) -> bool {
        let Ok(api) = self.api() else { return false };
        match timeout(ANSWER_TIMEOUT, api.list(Some(1), None)).await {
            Ok(Ok(list)) => list.value.get("object").is_some_and(|object| object == "list"),
            // It runs, and its key was revoked: that is for the command to tell.
            Ok(Err(error)) => is_unauthorized(&error),
            Err(_) => false,
        }
    }
}

/// The stack that runs on `data`, if one does and it answers.
pub async fn running(data: &Path) -> anyhow::Result<Option<Place>> {
    let Some(place) = read(data)? else { return Ok(None) };
    Ok(if place.answers().await { Some(place) } else { None })
}

/// The API that a client command talks to.
pub async fn api(target: &Target) -> anyhow::Result<Api> {
    if let Some(url) = &target.url {
        return at(url);
    }
    let data = &target.folder.data;
    let place = running(data).await?.ok_or_else(|| nothing_runs(data, "give --url"))?;
    place.api()
}

/// The API of a stack in this process.
pub fn of(stack: &Stack) -> anyhow::Result<Api> {
    Ok(Api::new(stack.url())?.with_key(stack.key().map(|key| key.text.clone())))
}

/// The API at an address, and the key in the environment.
pub fn at(url: &Url) -> anyhow::Result<Api> {
    Ok(Api::new(url.as_str())?.with_key(environment::variable(environment::API_KEY)))
}

/// The error of a command that needs a stack where there is none.
pub fn nothing_runs(data: &Path, otherwise: &str) -> anyhow::Error {
    anyhow::anyhow!("no stack runs on {}: start one with `longhand dev`, or {otherwise}", data.display())
}

fn read(data: &Path) -> anyhow::Result<Option<Place>> {
    let path = file(data);
    match fs::read(&path) {
        Ok(bytes) => {
            let place = serde_json::from_slice(&bytes);
            place.with_context(|| format!("{} is damaged; if no `longhand dev` runs there, delete it", path.display())).map(Some)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn file(data: &Path) -> PathBuf {
    data.join(FILE)
}
