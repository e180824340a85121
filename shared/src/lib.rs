//! Durable LLM generations: the product, free of Lambda and HTTP servers.

/// The verbs that handlers call.
#[derive(Clone)]
pub struct App {}

impl App {
    /// Builds the clients for `config`.
    ///
    /// # Errors
    /// None yet.
    pub async fn new(config: config::Config, clock: clock::Clock) -> Result<Self, Error> {
        let _ = (config, clock);
        Ok(Self {})
    }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing or wrong.
    #[error("{0}")]
    Configuration(String),
}

/// Settings.
pub mod config {
    /// Settings of one function.
    #[derive(Clone, Debug)]
    pub struct Config {}
    impl Config {
        /// Reads the settings through `var`.
        ///
        /// # Errors
        /// A setting is missing or wrong.
        pub fn from_vars(var: &dyn Fn(&str) -> Option<String>) -> Result<Self, super::Error> {
            let _ = var;
            Ok(Self {})
        }
    }
}

/// Time.
pub mod clock {
    /// Tells the time.
    #[derive(Clone, Debug)]
    pub struct Clock {}
    impl Clock {
        /// The machine's own.
        #[must_use]
        pub fn system() -> Self {
            Self {}
        }
    }
}
