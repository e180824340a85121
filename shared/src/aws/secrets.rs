//! Provider keys in AWS Secrets Manager, by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use tokio::sync::Mutex;

use super::clients::{aws_error, unexpected};
use crate::error::Error;

/// How long a secret is used without looking again: a rotated key is picked up after this.
const KEPT: Duration = Duration::from_mins(5);

/// Reads each secret once in five minutes.
#[derive(Clone)]
pub struct Secrets {
    secrets_manager: Client,
    known: Arc<Mutex<HashMap<String, (Instant, String)>>>,
}

impl Secrets {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(secrets_manager: Client) -> Self {
        Self { secrets_manager, known: Arc::default() }
    }

    /// The string of the secret called `name`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn get(&self, name: &str) -> Result<String, Error> {
        let mut known = self.known.lock().await;
        if let Some((_, secret)) = known.get(name).filter(|(read, _)| read.elapsed() < KEPT) {
            return Ok(secret.clone());
        }
        let get = self.secrets_manager.get_secret_value().secret_id(name);
        let answer = get.send().await.map_err(aws_error("secretsmanager GetSecretValue"))?;
        let secret =
            answer.secret_string().ok_or_else(|| unexpected("secretsmanager GetSecretValue", "the secret is no string"))?;
        known.insert(name.to_owned(), (Instant::now(), secret.to_owned()));
        Ok(secret.to_owned())
    }
}
