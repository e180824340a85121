//! The options of a stack.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use longhand::{app::Parts, aws::SharedHttpClient, clock::Clock};

/// Settings of a [`Stack`](crate::Stack).
#[derive(Clone, Debug)]
pub struct Options {
    /// Where tables, objects and positions are stored.
    pub data: Data,
    /// The loopback address of the API. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// How many ports, from that of `listen` on, are tried until one is free.
    pub ports_tried: u16,
    /// Whether callers need an API key, as the template's authorizer requires. The stack then creates one for local commands.
    /// `false`: every caller acts as `organization`.
    pub authorize: bool,
    /// The organization of every request, or of the key that the stack creates.
    pub organization: String,
    /// Variables that override the template's, for every function.
    pub env: BTreeMap<String, String>,
    /// The clock of the functions.
    pub clock: Clock,
    /// When a write to a table is answered.
    pub durability: Durability,
    /// Whether DynamoDB, Lambda and SQS have ports, for other programs of this machine that sign with the data folder's access key.
    pub expose: bool,
    /// The pause before the first retry of a failed async invocation or stream batch. It doubles with each retry up to 16 times
    /// this, with random jitter of up to its own length added. (AWS waits one and two minutes.)
    pub retry_delay: Duration,
    /// The network clients of each function's `App`.
    pub parts: PartsOf,
}

/// The [`Parts`] of each function by its `Handler`. The default sends to the embedded services and changes nothing else.
#[derive(Clone)]
pub struct PartsOf(Arc<MakeParts>);

type MakeParts = dyn Fn(&str, SharedHttpClient) -> Parts + Send + Sync;

impl PartsOf {
    /// `parts` returns the parts of the function with a `Handler`, given the client that reaches the embedded services.
    pub fn new(parts: impl Fn(&str, SharedHttpClient) -> Parts + Send + Sync + 'static) -> Self {
        Self(Arc::new(parts))
    }

    /// The parts of the function with this handler.
    #[must_use]
    pub fn of(&self, handler: &str, services: SharedHttpClient) -> Parts {
        (self.0)(handler, services)
    }
}

impl Default for PartsOf {
    fn default() -> Self {
        Self::new(|_, services| Parts { http_client: Some(services), ..Parts::default() })
    }
}

impl fmt::Debug for PartsOf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PartsOf")
    }
}

/// When a write to a table is answered. Neither loses anything when the process is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the disk has it.
    #[default]
    Full,
    /// When the operating system has it: a power cut or a crash of the machine loses the last writes (since the last checkpoint of
    /// SQLite's log, at most 4 MB of it), and never breaks the tables.
    Normal,
}

/// Where a stack stores its data.
#[derive(Clone, Debug)]
pub enum Data {
    /// In this folder, which is created if it is missing. One stack uses it at a time, and the next one continues from its data.
    Folder(PathBuf),
    /// Tables in memory, and objects in a temporary folder that is deleted with the stack.
    Memory,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: Data::Memory,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ports_tried: 1,
            authorize: false,
            organization: "local".to_owned(),
            env: BTreeMap::new(),
            clock: Clock::system(),
            durability: Durability::Full,
            expose: false,
            retry_delay: Duration::from_secs(1),
            parts: PartsOf::default(),
        }
    }
}
