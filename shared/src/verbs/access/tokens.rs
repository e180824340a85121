//! `tokens`: read tokens, with which a browser follows one generation, or one batch or run with its generations, or reads one user's
//! notifications, or all of an organization.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::read_token::{Claims, Reads};
use crate::access::scope::Scope;
use crate::app::App;
use crate::clock::rfc3339;
use crate::error::{Error, FieldError};
use crate::ids::{BatchId, BatchKey, GenerationId, GenerationKey, KeyId, Organization, RunId, RunKey, UserId};
use crate::limits::{ORGANIZATION_TOKEN_TTL_MAX, READ_TOKEN_TTL_DEFAULT, READ_TOKEN_TTL_MAX};

/// A token and its scope.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReadToken {
    /// Always `token`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The token itself.
    pub token: String,
    /// The generation that it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationId>,
    /// The batch that it reads, with the generations of its items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// The run that it reads, with the generations of its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The user whose notifications it reads, and marks as read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The scope of the organization's routes that it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// When it expires, RFC 3339.
    pub expires_at: String,
}

/// A token for a user's notifications that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxTokenRequest {
    /// Whose; `None`: the caller's own.
    pub user: Option<UserId>,
    lifetime: Duration,
}

impl InboxTokenRequest {
    /// Reads the body `{user, expires_in}`, or none.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every error.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let (lifetime, fields) = fields_of(body, &["user"], &ONE)?;
        let wrong = |why: String| Error::invalid("/user", why);
        let user = match fields.get("user") {
            None => None,
            Some(Value::String(user)) => Some(user.parse().map_err(|error| wrong(format!("{error}")))?),
            Some(_) => return Err(wrong("must be a string".into())),
        };
        Ok(Self { user, lifetime })
    }
}

/// A token for all of an organization that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrganizationTokenRequest {
    lifetime: Duration,
}

impl OrganizationTokenRequest {
    /// Reads the body `{scope: "read", expires_in}`, whose `scope` must be there.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every error.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let read = fields_of(body, &["scope"], &ALL);
        let expected = || FieldError::new("/scope", "must be \"read\", the one scope that a token may have");
        match read {
            Ok((lifetime, fields)) if fields.get("scope").and_then(Value::as_str) == Some(Scope::Read.as_str()) => {
                Ok(Self { lifetime })
            }
            Ok(_) => Err(Error::InvalidRequest(vec![expected()])),
            Err(error) => Err(error),
        }
    }
}

/// The bounds of a token's lifetime.
struct Lifetime {
    default: Duration,
    most: Duration,
}

/// Of a token for one thing.
const ONE: Lifetime = Lifetime { default: READ_TOKEN_TTL_DEFAULT, most: READ_TOKEN_TTL_MAX };
/// Of a token for all of an organization.
const ALL: Lifetime = Lifetime { default: ORGANIZATION_TOKEN_TTL_MAX, most: ORGANIZATION_TOKEN_TTL_MAX };

const fn object() -> &'static str {
    "token"
}

impl App {
    /// Creates a token that reads one generation and nothing else, for `expires_in` seconds of the body. It also ends with the
    /// caller's key.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] names the field; [`Error::NotFound`]; [`Error::Configuration`] without a signing key; [`Error::Aws`].
    pub async fn create_read_token(&self, key: &GenerationKey, by: Option<KeyId>, body: &[u8]) -> Result<ReadToken, Error> {
        let lifetime = expires_in(body)?;
        self.records.get(key).await?;
        self.sign_token(&key.organization, Reads::Generation(key.generation.clone()), by, lifetime).await
    }

    /// Creates a token that reads one batch and the generations of its items, as [`Self::create_read_token`] does.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] names the field; [`Error::BatchNotFound`]; [`Error::Configuration`] without a signing key; [`Error::Aws`].
    pub async fn create_batch_token(&self, key: &BatchKey, by: Option<KeyId>, body: &[u8]) -> Result<ReadToken, Error> {
        let lifetime = expires_in(body)?;
        self.batch(key).await?;
        self.sign_token(&key.organization, Reads::Batch(key.batch.clone()), by, lifetime).await
    }

    /// Creates a token that reads one run and the generations of its steps, as [`Self::create_read_token`] does.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] names the field; [`Error::RunNotFound`]; [`Error::Configuration`] without a signing key; [`Error::Aws`].
    pub async fn create_run_token(&self, key: &RunKey, by: Option<KeyId>, body: &[u8]) -> Result<ReadToken, Error> {
        let lifetime = expires_in(body)?;
        self.run_revision(key).await?;
        self.sign_token(&key.organization, Reads::Run(key.run.clone()), by, lifetime).await
    }

    /// Creates a token that reads one user's notifications and marks them as read, and nothing else, as [`Self::create_read_token`] does.
    ///
    /// # Errors
    /// [`Error::Configuration`] without a signing key; [`Error::Aws`].
    pub async fn create_inbox_token(
        &self,
        organization: &Organization,
        user: UserId,
        by: Option<KeyId>,
        request: &InboxTokenRequest,
    ) -> Result<ReadToken, Error> {
        self.sign_token(organization, Reads::Inbox(user), by, request.lifetime).await
    }

    /// Creates a token that reads all that the scope `read` reads of an organization, and changes nothing, as [`Self::create_read_token`]
    /// does.
    ///
    /// # Errors
    /// [`Error::Configuration`] without a signing key; [`Error::Aws`].
    pub async fn create_organization_token(
        &self,
        organization: &Organization,
        by: Option<KeyId>,
        request: OrganizationTokenRequest,
    ) -> Result<ReadToken, Error> {
        self.sign_token(organization, Reads::Organization(Scope::Read), by, request.lifetime).await
    }

    async fn sign_token(
        &self,
        organization: &Organization,
        reads: Reads,
        key: Option<KeyId>,
        lifetime: Duration,
    ) -> Result<ReadToken, Error> {
        let expires_at = self.clock.now_ms() / 1_000 + lifetime.as_secs().cast_signed();
        let claims = Claims { organization: organization.clone(), reads: reads.clone(), expires_at, key };
        let keys = self.signing_keys(false).await?;
        let missing = || {
            let names = "LONGHAND_TOKEN_SECRET or LONGHAND_TOKEN_KEY";
            Error::Configuration(format!("read tokens need the environment variable {names}"))
        };
        let token = keys.first().and_then(|signing| claims.sign(signing)).ok_or_else(missing)?;
        let expires_at = rfc3339(expires_at * 1_000);
        let mut made =
            ReadToken { object: "token", token, generation: None, batch: None, run: None, user: None, scope: None, expires_at };
        match reads {
            Reads::Generation(id) => made.generation = Some(id),
            Reads::Batch(id) => made.batch = Some(id),
            Reads::Run(id) => made.run = Some(id),
            Reads::Inbox(user) => made.user = Some(user),
            Reads::Organization(scope) => made.scope = Some(scope),
        }
        Ok(made)
    }
}

/// The lifetime that the body sets; an empty one leaves the default.
fn expires_in(body: &[u8]) -> Result<Duration, Error> {
    fields_of(body, &[], &ONE).map(|(lifetime, _)| lifetime)
}

/// The lifetime, and the fields of the body, which has no others than these.
fn fields_of(body: &[u8], others: &[&str], bounds: &Lifetime) -> Result<(Duration, Map<String, Value>), Error> {
    if body.trim_ascii().is_empty() {
        return Ok((bounds.default, Map::new()));
    }
    let body: Value =
        serde_json::from_slice(body).map_err(|error| Error::invalid("", format!("must be a JSON object: {error}")))?;
    let Value::Object(fields) = body else { return Err(Error::invalid("", "must be a JSON object")) };
    let unknown = fields.keys().filter(|name| *name != "expires_in" && !others.contains(&name.as_str()));
    let mut invalid: Vec<FieldError> = unknown
        .map(|name| FieldError::new(format!("/{}", name.replace('~', "~0").replace('/', "~1")), "is not a known field"))
        .collect();
    let seconds = match fields.get("expires_in") {
        None => Some(bounds.default.as_secs()),
        Some(seconds) => seconds.as_u64().filter(|seconds| (1..=bounds.most.as_secs()).contains(seconds)),
    };
    if seconds.is_none() {
        let expected = format!("must be a whole number of seconds from 1 to {}", bounds.most.as_secs());
        invalid.push(FieldError::new("/expires_in", expected));
    }
    match seconds {
        Some(seconds) if invalid.is_empty() => Ok((Duration::from_secs(seconds), fields)),
        _ => Err(Error::InvalidRequest(invalid)),
    }
}
