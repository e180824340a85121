//! How long a command bears a server that does not answer.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{api, failure};

const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(500);

/// Makes a call until it succeeds, within the same patience.
pub async fn insist<Answer>(call: impl AsyncFn() -> anyhow::Result<Answer>) -> anyhow::Result<Answer> {
    let mut patience = Patience::default();
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => patience.bear(error).await?,
        }
    }
}

#[derive(Debug, Default)]
pub struct Patience {
    failing_since: Option<Instant>,
}

impl Patience {
    /// Waits a moment after a failure that may pass.
    ///
    /// # Errors
    /// The failure is not of that kind, or there were only failures for a minute.
    pub async fn bear(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        if !api::may_pass(&error) {
            return Err(error);
        }
        let since = *self.failing_since.get_or_insert_with(|| {
            eprintln!("note: {}; trying again", failure::told(&error));
            Instant::now()
        });
        if since.elapsed() > PATIENCE {
            return Err(error.context(format!("gave up after {} s", PATIENCE.as_secs())));
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// The server answered.
    pub fn restore(&mut self) {
        self.failing_since = None;
    }
}
