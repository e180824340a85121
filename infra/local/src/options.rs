//! How a stack is started.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use longhand::{app::Parts, clock::Clock};

/// Settings of a [`Stack`](crate::Stack).
#[derive(Clone, Debug)]
pub struct Options {
    /// Where tables, objects and positions are kept.
    pub data: Data,
    /// The address of the API: a loopback one. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Whether callers need an API key, as the template's authorizer wants; the stack then makes one for this machine's own
    /// commands. `false`: whoever reaches the API is taken for `organization`.
    pub authorize: bool,
    /// The organization of every request, or of the key that the stack makes.
    pub organization: String,
    /// Set over the template's environment, for every function.
    pub env: BTreeMap<String, String>,
    /// What the functions take for the time.
    pub clock: Clock,
    /// The pause before the first retry of a failed async invoke or stream batch; it doubles with each further one, up
    /// to 16 times this. (AWS waits one and two minutes.)
    pub retry_delay: Duration,
    /// What each function's `App` reaches the network through.
    pub parts: PartsOf,
}

/// The [`Parts`] of each function, by its handler. The default is the product's own for all of them.
#[derive(Clone)]
pub struct PartsOf(Arc<dyn Fn(&str) -> Parts + Send + Sync>);

impl PartsOf {
    /// The function with the handler `handler` gets `parts(handler)`.
    pub fn new(parts: impl Fn(&str) -> Parts + Send + Sync + 'static) -> Self {
        Self(Arc::new(parts))
    }

    /// The parts of the function with this handler.
    #[must_use]
    pub fn of(&self, handler: &str) -> Parts {
        (self.0)(handler)
    }
}

impl Default for PartsOf {
    fn default() -> Self {
        Self::new(|_| Parts::default())
    }
}

impl fmt::Debug for PartsOf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PartsOf")
    }
}

/// Where a stack keeps its data.
#[derive(Clone, Debug)]
pub enum Data {
    /// In this folder, which is made if need be. One stack at a time; the next one carries on where it stopped.
    Folder(PathBuf),
    /// Nowhere for long: tables in memory, objects in a temporary folder that goes with the stack.
    Memory,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: Data::Memory,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            authorize: false,
            organization: "local".to_owned(),
            env: BTreeMap::new(),
            clock: Clock::system(),
            retry_delay: Duration::from_secs(1),
            parts: PartsOf::default(),
        }
    }
}
