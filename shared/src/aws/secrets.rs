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

/// Errors that a retry does not mend: there is no such secret, it is being deleted, or this function may not read it or its key
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>).
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

/// When a secret was read, in milliseconds, and what it was. Locked while it is read, so that it is read once.
type Slot = Arc<Mutex<Option<(i64, Option<String>)>>>;

/// Reads each secret only where what it has read is too old. A slow read of one secret does not delay another.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    clock: Clock,
    slots: Arc<Mutex<HashMap<(String, Version), Slot>>>,
}

impl Secrets {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, slots: Arc::default() }
    }

    /// The string of the secret called `name`, read `age_max` ago at most.
    ///
    /// # Errors
    /// [`Error::Configuration`] where a retry would fail too; [`Error::Aws`].
    pub async fn get(&self, name: &str, age_max: Duration) -> Result<String, Error> {
        let secret = self.get_version(name, Version::Current, age_max).await?;
        secret.ok_or_else(|| unexpected("secretsmanager GetSecretValue", "there is no such secret"))
    }

    /// The string of one version of a secret, which need not exist.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_version(&self, name: &str, version: Version, age_max: Duration) -> Result<Option<String>, Error> {
        let age_max = millis(age_max);
        let slot = Arc::clone(self.slots.lock().await.entry((name.to_owned(), version)).or_default());
        let mut slot = slot.lock().await;
        let now = self.clock.now_ms();
        if let Some((_, secret)) = slot.as_ref().filter(|(read_at, _)| now < read_at + age_max) {
            return Ok(secret.clone());
        }
        let secret = self.read(name, version).await?;
        *slot = Some((now, secret.clone()));
        Ok(secret)
    }

    async fn read(&self, name: &str, version: Version) -> Result<Option<String>, Error> {
        let get = self.client.get_secret_value().secret_id(name).version_stage(version.stage());
        match get.send().await {
            Ok(answer) => {
                let secret = answer.secret_string().map(str::to_owned);
                secret.map(Some).ok_or_else(|| unreadable(name, "it is not a string"))
            }
            Err(error) if version == Version::Previous && error.as_service_error().is_some_and(is_absent) => Ok(None),
            Err(error) => match error.code().filter(|code| UNREADABLE.contains(code)) {
                Some(code) => Err(unreadable(name, code)),
                None => Err(aws_error("secretsmanager GetSecretValue")(error)),
            },
        }
    }
}

/// Logs the secret's name, and leaves it out of the message, which callers may see.
fn unreadable(name: &str, why: &str) -> Error {
    tracing::error!(secret = name, "error.type" = why, "A secret cannot be read.");
    Error::Configuration(format!("a secret of this deployment cannot be read: {why}"))
}

fn is_absent(error: &GetSecretValueError) -> bool {
    error.is_resource_not_found_exception()
}
