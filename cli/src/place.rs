//! Where a running stack is found: `longhand dev` writes its addresses beside its data.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::api::Api;
use crate::arguments::Target;

const FILE: &str = "stack.json";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A running stack: its addresses, and the settings of a function that a person's own verbs need.
#[derive(Debug, Deserialize, Serialize)]
pub struct Place {
    pub url: String,
    pub dynamodb: String,
    pub s3: String,
    pub lambda: String,
    pub pid: u32,
    #[serde(default)]
    pub organization: String,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

impl Place {
    /// Tells other commands, with the settings but without any provider's key. Replaces the file at once.
    pub fn write(&self, data: &Path) -> anyhow::Result<()> {
        let (path, draft) = (file(data), data.join(format!("{FILE}.{}", self.pid)));
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&draft)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            fs::rename(&draft, &path)
        };
        written().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Takes the file away again, if it is still this stack's.
    pub fn remove(&self, data: &Path) {
        if read(data).is_ok_and(|place| place.is_some_and(|place| place.pid == self.pid)) {
            let _ = fs::remove_file(file(data));
        }
    }

    async fn answers(&self) -> bool {
        let Ok(api) = Api::new(&self.url) else { return false };
        let list = timeout(ANSWER_TIMEOUT, api.list(Some(1), None)).await;
        list.is_ok_and(|list| list.is_ok_and(|list| list.value.get("object").is_some_and(|object| object == "list")))
    }
}

/// The settings that other commands need, out of a function's environment.
pub fn shareable(environment: BTreeMap<String, String>) -> BTreeMap<String, String> {
    const SHARED: [&str; 4] = ["AWS_", "GENERATION_", "LONGHAND_", "METADATA_"];
    let is_shared = |name: &String| SHARED.iter().any(|prefix| name.starts_with(prefix)) && !name.ends_with("_API_KEY");
    environment.into_iter().filter(|(name, _)| is_shared(name)).collect()
}

/// The stack that runs on `data`, if one does and it answers.
pub async fn running(data: &Path) -> anyhow::Result<Option<Place>> {
    let Some(place) = read(data)? else { return Ok(None) };
    Ok(if place.answers().await { Some(place) } else { None })
}

/// The API that a client command talks to.
pub async fn api(target: &Target) -> anyhow::Result<Api> {
    if let Some(url) = &target.url {
        return Api::new(url.as_str());
    }
    let data = &target.folder.data;
    let place = running(data).await?.ok_or_else(|| nothing_runs(data, "give --url"))?;
    Api::new(&place.url)
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
