//! The signatures of the embedded stack, until the stack itself is merged.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::bail;
use longhand::clock::Clock;
use serde_json::Value;

/// Where the stack keeps its data.
#[derive(Clone, Debug)]
pub enum Data {
    /// In a folder, across restarts.
    Folder(PathBuf),
    /// In memory.
    Memory,
}

/// How to start a stack.
#[derive(Clone, Debug)]
pub struct Options {
    pub data: Data,
    pub listen: SocketAddr,
    pub organization: String,
    pub env: BTreeMap<String, String>,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: Data::Memory,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            organization: "local".into(),
            env: BTreeMap::new(),
            clock: Clock::system(),
        }
    }
}

/// Where the services of a stack listen.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    pub dynamodb: String,
    pub s3: String,
    pub lambda: String,
}

/// A running stack.
pub struct Stack {
    endpoints: Endpoints,
    url: String,
}

impl Stack {
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let _ = options;
        bail!("the embedded stack is not built yet")
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub fn environment(&self, binary: &str) -> BTreeMap<String, String> {
        let _ = binary;
        BTreeMap::new()
    }

    pub async fn app(&self) -> anyhow::Result<longhand::App> {
        bail!("the embedded stack is not built yet")
    }

    pub async fn invoke(&self, binary: &str, payload: Value) -> anyhow::Result<Value> {
        let _ = (binary, payload);
        bail!("the embedded stack is not built yet")
    }

    pub async fn failures(&self) -> Vec<Value> {
        Vec::new()
    }

    pub fn write_units(&self) -> f64 {
        0.0
    }

    pub async fn shutdown(self) {}
}
