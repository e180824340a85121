//! Secrets in AWS Secrets Manager, by name: provider keys, and the key of read tokens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use tokio::sync::Mutex;

use super::clients::{aws_error, unexpected};
use crate::clock::{Clock, millis};
use crate::error::Error;

/// How long a secret is used without looking again: a rotated key is picked up after this.
const KEPT: Duration = Duration::from_mins(5);
/// The same for whoever has reason to believe that it was rotated: whatever comes, it is not read more often.
const KEPT_LEAST: Duration = Duration::from_secs(10);

/// Answers that stay the same however often one asks: there is no such secret, it is being deleted, or it or its key is closed to
/// this function (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>).
const UNREADABLE: [&str; 4] =
    ["ResourceNotFoundException", "InvalidRequestException", "AccessDeniedException", "DecryptionFailure"];

/// Which version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `AWSCURRENT`.
    Current,
    /// `AWSPREVIOUS`: what it was before its last rotation.
    Previous,
}

impl Version {
    const fn stage(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

type Known = HashMap<(String, Version), (i64, Option<String>)>;

/// Reads each secret once in five minutes.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    clock: Clock,
    known: Arc<Mutex<Known>>,
}

impl Secrets {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, known: Arc::default() }
    }

    /// The string of the secret called `name`.
    ///
    /// # Errors
    /// [`Error::Configuration`]: it cannot be read, now or later; [`Error::Aws`].
    pub async fn get(&self, name: &str) -> Result<String, Error> {
        let secret = self.get_aged(name, Version::Current, false).await?;
        secret.ok_or_else(|| unexpected("secretsmanager GetSecretValue", "there is no such secret"))
    }

    /// The same in one of its versions, which there may not be; `again`: as it was ten seconds ago at the oldest.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_aged(&self, name: &str, version: Version, again: bool) -> Result<Option<String>, Error> {
        let kept = if again { KEPT_LEAST } else { KEPT };
        let now = self.clock.now_ms();
        let mut known = self.known.lock().await;
        let key = (name.to_owned(), version);
        if let Some((_, secret)) = known.get(&key).filter(|(read, _)| now < read + millis(kept)) {
            return Ok(secret.clone());
        }
        let secret = self.read(name, version).await?;
        known.insert(key, (now, secret.clone()));
        Ok(secret)
    }

    async fn read(&self, name: &str, version: Version) -> Result<Option<String>, Error> {
        let get = self.client.get_secret_value().secret_id(name).version_stage(version.stage());
        match get.send().await {
            Ok(answer) => {
                let secret = answer.secret_string().map(str::to_owned);
                secret.map(Some).ok_or_else(|| unreadable(name, "it is no string"))
            }
            Err(error) if version == Version::Previous && error.as_service_error().is_some_and(is_absent) => Ok(None),
            Err(error) => match error.code().filter(|code| UNREADABLE.contains(code)) {
                Some(code) => Err(unreadable(name, code)),
                None => Err(aws_error("secretsmanager GetSecretValue")(error)),
            },
        }
    }
}

/// Its name is for the log alone: the message may be shown to callers.
fn unreadable(name: &str, why: &str) -> Error {
    tracing::error!(secret = name, "error.type" = why, "A secret cannot be read.");
    Error::Configuration(format!("a secret of this deployment cannot be read: {why}"))
}

fn is_absent(error: &GetSecretValueError) -> bool {
    error.is_resource_not_found_exception()
}
