//! Options that several commands share.

use std::path::PathBuf;

use clap::Args;
use longhand_client::Url;

use crate::environment;

const DATA: &str = "./.longhand";
const ORGANIZATION: &str = "local";

/// The folder of a stack's data.
#[derive(Args, Clone, Debug)]
pub struct Folder {
    /// The stack's data folder
    #[arg(long, value_name = "DIR", env = environment::DATA, hide_env_values = true, default_value = DATA)]
    pub data: PathBuf,
}

/// The API that a command calls.
#[derive(Args, Clone, Debug)]
pub struct Target {
    #[command(flatten)]
    pub folder: Folder,
    /// The API's address; without it, that of the `longhand dev` that runs on the data folder
    #[arg(long, value_parser = http_url, env = environment::URL, hide_env_values = true)]
    pub url: Option<Url>,
}

impl Target {
    /// The flags with which another command calls the same API.
    pub fn as_flags(&self) -> String {
        match (&self.url, self.folder.data.display().to_string()) {
            (Some(url), _) => format!(" --url {url}"),
            (None, data) if data == DATA => String::new(),
            (None, data) => format!(" --data {data}"),
        }
    }
}

/// The organization of a stack that a command starts.
#[derive(Args, Clone, Debug)]
pub struct Tenant {
    /// The organization of every caller of the stack [default: local]
    #[arg(long, value_name = "NAME")]
    pub organization: Option<String>,
}

impl Tenant {
    /// The name given, or the default.
    pub fn name(&self) -> String {
        self.organization.clone().unwrap_or_else(|| ORGANIZATION.to_owned())
    }
}

/// The format of the printed result.
#[derive(Args, Clone, Copy, Debug)]
pub struct Format {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Parses the address of an API.
pub fn http_url(text: &str) -> Result<Url, String> {
    let expected = || format!("expected an address such as http://127.0.0.1:4000, not {text:?}");
    let url = Url::parse(text).map_err(|_| expected())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(expected());
    }
    if url.path().trim_end_matches('/').ends_with("/v1") {
        return Err(format!("expected the address without `/v1`, which the command adds itself, not {text:?}"));
    }
    Ok(url)
}

/// Parses `KEY=VALUE`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
