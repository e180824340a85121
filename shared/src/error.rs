//! The errors of the crate, and their meaning to callers.
//!
//! [`Error`] is one flat type. [`ErrorCode`] maps each kind, without a wildcard, to its status and whether a retry may help. The
//! faults of a provider are not errors: they end a generation, and its record has them ([`crate::providers::ProviderError`]).

mod describe;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits;
use crate::quota::{Daily, UsedUp};
use describe::{describe, describe_all, describe_issues};

/// One error in a request: its place, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// A JSON Pointer (RFC 6901) into the body; for a header or a query parameter, its name.
    pub pointer: String,
    /// What was expected there, in one sentence.
    pub detail: String,
}

impl FieldError {
    /// Names the field and what was expected of it.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// What is wrong with an answer, at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Issue {
    /// Where, as people read it: `capabilities[0].name`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl Issue {
    /// Names the place and what is wrong there.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// Something in an input that must be otherwise. It never repeats the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputError {
    /// Where, as people read it: `submission.responses.peso`, `items[3].name`; empty: the input itself.
    pub path: String,
    /// The same as a JSON Pointer (RFC 6901) into the input.
    pub pointer: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What was expected there: the schema's own description, or what its keywords say.
    pub expected: String,
}

/// Why the input of a run does not match its pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidInput {
    /// The first errors.
    pub errors: Vec<InputError>,
    /// How many more there are.
    pub more: usize,
    /// The JSON Schema of the input.
    pub expected: Value,
}

impl InvalidInput {
    /// The errors in one sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        let told: Vec<String> = self.errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
        let more = if self.more > 0 { format!("; and {} more", self.more) } else { String::new() };
        format!("{}{more}", told.join("; "))
    }
}

/// A part of a request, other than its body, that exceeds its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch {
    /// The part, and its unit.
    pub what: TooMuchOf,
    /// Its size.
    pub found: usize,
    /// The limit.
    pub most: usize,
}

/// A part of a request whose size is checked before it is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMuchOf {
    /// The path.
    PathBytes,
    /// The query.
    QueryBytes,
    /// Header fields.
    Headers,
    /// The names and values of all header fields.
    HeaderBytes,
}

impl std::fmt::Display for TooMuchOf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::PathBytes => "bytes of path",
            Self::QueryBytes => "bytes of query",
            Self::Headers => "header fields",
            Self::HeaderBytes => "bytes of header fields",
        })
    }
}

/// The failure of a verb.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is invalid; all its errors at once.
    #[error("{}", describe(.0))]
    InvalidRequest(Vec<FieldError>),
    /// The Responses API forbids the request; the message is worded as in that API.
    #[error("{message}")]
    Refused {
        /// The message for the caller.
        message: String,
        /// The wrong parameter.
        param: Option<&'static str>,
        /// The code for programs.
        code: Option<&'static str>,
    },
    /// The body is too large, in bytes.
    #[error("the request body has {0} bytes; at most {max} are allowed", max = limits::REQUEST_BYTES_MAX)]
    RequestTooLarge(usize),
    /// The credential is missing or not valid.
    #[error("{0}")]
    Unauthorized(String),
    /// The credential is valid, but does not permit the request.
    #[error("{0}")]
    Forbidden(String),
    /// The generation does not exist, or belongs to another organization: callers cannot tell the two apart.
    #[error("there is no generation {0:?}")]
    NotFound(String),
    /// The model is not among those that are listed.
    #[error("the model {0:?} is not listed; `GET /v1/models` lists those that are")]
    ModelNotFound(String),
    /// The batch does not exist, or belongs to another organization.
    #[error("there is no batch {0:?}")]
    BatchNotFound(String),
    /// The batch must have ended first.
    #[error("batch {0} has not ended; cancel it first")]
    BatchNotEnded(String),
    /// The batch has ended, or is being cancelled, and goes on no more.
    #[error("batch {0} cannot be changed: it is {1}")]
    BatchEnded(String, &'static str),
    /// The run does not exist, or belongs to another organization.
    #[error("there is no run {0:?}")]
    RunNotFound(String),
    /// The run's pipeline has no such step.
    #[error("run {0} has no step {1:?}")]
    StepNotFound(String, String),
    /// The run must have ended first.
    #[error("run {0} has not ended; cancel it first")]
    RunNotEnded(String),
    /// The input of a run does not match the pipeline's schema.
    #[error("the input does not match the pipeline: {}", .0.describe())]
    InvalidInput(Box<InvalidInput>),
    /// So many runs of the organization wait already.
    #[error("{0} runs wait for a place already; start this one when some have ended")]
    TooManyRuns(usize),
    /// The subject does not exist, or belongs to another organization.
    #[error("there is no subject {0:?}")]
    SubjectNotFound(String),
    /// The subject has no such version.
    #[error("the subject {0:?} has no version {1:?}")]
    VersionNotFound(String, String),
    /// `If-Match` names another version than the current one, which has this number; 0: there is none.
    #[error("the current version of the subject {0:?} is {1}, and not the one that `If-Match` names; read it, and decide again")]
    VersionChanged(String, u64),
    /// The generation must have completed.
    #[error("generation {0} is {1}; what has completed can be accepted")]
    NotCompleted(String, &'static str),
    /// The generation's output did not pass its validation.
    #[error("the output of generation {0} did not pass validation; see validation issue {1}")]
    InvalidOutput(String, String),
    /// Another generation is accepted for the subject, or this one for another subject.
    #[error("{0}")]
    AlreadyAccepted(String),
    /// No generation is accepted for the subject.
    #[error("no generation is accepted for the subject {0:?}")]
    NothingAccepted(String),
    /// The document of an importer is not valid; all violations in it.
    #[error("the importer is not valid: {}", describe_all(.0))]
    InvalidImporter(Vec<FieldError>),
    /// The importer, or its version, does not exist, or belongs to another organization.
    #[error("there is no importer {0:?}")]
    ImporterNotFound(String),
    /// The deployment imports nothing.
    #[error("imports are off in this deployment; its operator turns them on by the parameter `ImportGeneration`")]
    ImportsOff,
    /// The generation's answer cannot be imported: what is wrong with it, by paths as people read them.
    #[error("the answer cannot be imported: {}", describe_issues(.0))]
    InvalidAnswer(Vec<Issue>),
    /// The subject has no such import.
    #[error("the subject {0:?} has no import {1:?}")]
    ImportNotFound(String, String),
    /// The import has made nothing that could be reverted.
    #[error("import {0} cannot be reverted: it is {1}")]
    ImportNotReverted(String, String),
    /// Others changed the import, or its entities, for as long as the verb tried.
    #[error("import {0} was being changed for all of the time that this tried to change it; try again")]
    ImportContended(String),
    /// The subject has no such entity.
    #[error("the subject {0:?} has no entity {1:?}")]
    EntityNotFound(String, String),
    /// Only what incubates is edited.
    #[error("entity {0} is {1}; what incubates can be edited")]
    EntityDecided(String, String),
    /// `If-Match` names another revision of the entity than the current one, which is this.
    #[error("the current revision of entity {0} is {1}, and not the one that `If-Match` names; read it, and decide again")]
    EntityChanged(String, u64),
    /// Others changed the entity for as long as the verb tried.
    #[error("entity {0} was being changed for all of the time that this tried to change it; try again")]
    EntityContended(String),
    /// Texts are too large for what is asked.
    #[error("{0}")]
    TextTooLarge(String),
    /// Others changed the subject for as long as the verb tried.
    #[error("the subject {0:?} was being changed or deleted for all of the time that this tried to change it; try again")]
    SubjectContended(String),
    /// The document of a pipeline is not valid; all violations in it.
    #[error("the pipeline is not valid: {}", describe_all(.0))]
    InvalidPipeline(Vec<FieldError>),
    /// The pipeline, or its version, does not exist, or belongs to another organization.
    #[error("there is no pipeline {0:?}")]
    PipelineNotFound(String),
    /// Others published versions of the document for as long as the verb tried. The first text is what it is.
    #[error("the {0} {1:?} was being published for all of the time that this tried to publish it; try again")]
    DocumentContended(&'static str, String),
    /// The endpoint does not exist, or belongs to another organization.
    #[error("there is no webhook {0:?}")]
    EndpointNotFound(String),
    /// The delivery does not exist, or belongs to another organization.
    #[error("there is no delivery {0:?}")]
    DeliveryNotFound(String),
    /// The delivery is on its way.
    #[error("delivery {0} has not ended; what has ended can be sent again")]
    DeliveryPending(String),
    /// The endpoint is disabled.
    #[error("webhook {0} is disabled; enable it first")]
    EndpointDisabled(String),
    /// Others changed the endpoint for as long as the verb tried.
    #[error("webhook {0} was being changed for all of the time that this tried to change it; try again")]
    EndpointContended(String),
    /// The API key does not exist.
    #[error("there is no key {0:?}")]
    KeyNotFound(String),
    /// The same `Idempotency-Key` came with another body.
    #[error("the Idempotency-Key was already used with another body, for {0}; use a new key for a new request")]
    IdempotencyConflict(String),
    /// The organization has reached its limit of running generations.
    #[error("{0} generations of this organization are running, which is its limit; try again when one of them has ended")]
    TooManyRunning(u64),
    /// The deployment has reached its limit of attached starts.
    #[error(
        "{0} starts are answered with their generation itself, which is this deployment's limit; try again, or start it in the background and read its events"
    )]
    TooManyAttached(u32),
    /// The organization has used up a daily quota.
    #[error("{0}")]
    QuotaUsedUp(UsedUp),
    /// The organization starts nothing new for now.
    #[error("data of this organization is being migrated, and nothing new is started; try again in {} s", .0.as_secs())]
    Maintenance(Duration),
    /// A part of the request other than its body is too large.
    #[error("the request has {} {}; at most {} are allowed", .0.found, .0.what, .0.most)]
    TooMuch(TooMuch),
    /// The generation must have ended first.
    #[error("generation {0} has not ended; {1}")]
    NotEnded(String, &'static str),
    /// The generation ended before it could be cancelled.
    #[error("generation {0} cannot be cancelled: it has ended as {1}")]
    AlreadyEnded(String, &'static str),
    /// The log has expired or was purged, and nothing was compacted from it.
    #[error("the log of generation {0} has expired or was deleted")]
    LogGone(String),
    /// The log contradicts itself, which must never happen. Nothing is compacted from it.
    #[error("the log of generation {0} is damaged: {1}")]
    LogDamaged(String, String),
    /// A setting is missing or not valid.
    #[error("{0}")]
    Configuration(String),
    /// A call to AWS failed, after the SDK's own retries.
    #[error("{operation} failed: {message}")]
    Aws {
        /// Service and operation, such as `dynamodb PutItem`.
        operation: &'static str,
        /// The cause, for the log only.
        message: String,
    },
    /// Other writers took every place in the log for as long as the verb tried.
    #[error("the log of generation {0} was being written for all of the time that this tried to write to it; try again")]
    Contended(String),
    /// Others changed the batch for as long as the verb tried.
    #[error("batch {0} was being changed for all of the time that this tried to change it; try again")]
    BatchContended(String),
    /// Others changed the run, or the places of its organization's runs, for as long as the verb tried.
    #[error("run {0} was being changed for all of the time that this tried to change it; try again")]
    RunContended(String),
    /// This process failed: a task of it panicked or was aborted.
    #[error("{0}")]
    Internal(String),
}

/// The kind of an [`Error`]: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// [`Error::InvalidRequest`] and [`Error::Refused`].
    InvalidRequest,
    /// [`Error::InvalidInput`].
    ValidationError,
    /// [`Error::InvalidPipeline`].
    InvalidPipeline,
    /// [`Error::InvalidImporter`].
    InvalidImporter,
    /// [`Error::InvalidAnswer`].
    InvalidAnswer,
    /// [`Error::NotCompleted`].
    NotCompleted,
    /// [`Error::InvalidOutput`].
    InvalidOutput,
    /// [`Error::AlreadyAccepted`].
    AlreadyAccepted,
    /// [`Error::ImportsOff`].
    ImportsOff,
    /// [`Error::ImportNotReverted`].
    NotReverted,
    /// [`Error::EntityDecided`].
    EntityDecided,
    /// [`Error::RequestTooLarge`].
    RequestTooLarge,
    /// [`Error::Unauthorized`].
    Unauthorized,
    /// [`Error::Forbidden`].
    Forbidden,
    /// [`Error::NotFound`], [`Error::KeyNotFound`], [`Error::ModelNotFound`], [`Error::BatchNotFound`], [`Error::SubjectNotFound`],
    /// [`Error::VersionNotFound`], [`Error::NothingAccepted`], [`Error::ImporterNotFound`], [`Error::ImportNotFound`],
    /// [`Error::EntityNotFound`], [`Error::PipelineNotFound`], [`Error::EndpointNotFound`] and [`Error::DeliveryNotFound`].
    NotFound,
    /// [`Error::VersionChanged`] and [`Error::EntityChanged`].
    VersionChanged,
    /// [`Error::TextTooLarge`].
    TextTooLarge,
    /// [`Error::IdempotencyConflict`].
    IdempotencyConflict,
    /// [`Error::TooManyRunning`].
    TooManyRunning,
    /// [`Error::TooManyAttached`].
    TooManyAttached,
    /// [`Error::Maintenance`].
    Maintenance,
    /// [`Error::QuotaUsedUp`] of generations.
    QuotaGenerations,
    /// [`Error::QuotaUsedUp`] of bytes of output.
    QuotaOutputBytes,
    /// [`Error::QuotaUsedUp`] of money.
    QuotaSpend,
    /// [`Error::TooMuch`] of path or query.
    UriTooLong,
    /// [`Error::TooMuch`] of header fields.
    HeadersTooLarge,
    /// [`Error::NotEnded`], [`Error::BatchNotEnded`] and [`Error::DeliveryPending`].
    NotEnded,
    /// [`Error::EndpointDisabled`].
    EndpointDisabled,
    /// [`Error::AlreadyEnded`] and [`Error::BatchEnded`]. Not 409, which `OpenAI`'s clients would send again.
    AlreadyEnded,
    /// [`Error::LogGone`].
    LogGone,
    /// [`Error::LogDamaged`], [`Error::Configuration`] and [`Error::Internal`].
    Internal,
    /// [`Error::Contended`], [`Error::BatchContended`], [`Error::SubjectContended`], [`Error::ImportContended`], [`Error::EntityContended`],
    /// [`Error::DocumentContended`] and
    /// [`Error::EndpointContended`].
    Contended,
    /// [`Error::Aws`].
    Unavailable,
}

impl ErrorCode {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::AlreadyEnded => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::ImportsOff => 403,
            Self::NotFound => 404,
            Self::IdempotencyConflict
            | Self::NotEnded
            | Self::EndpointDisabled
            | Self::AlreadyAccepted
            | Self::NotReverted
            | Self::EntityDecided => 409,
            Self::LogGone => 410,
            Self::VersionChanged => 412,
            Self::RequestTooLarge | Self::TextTooLarge => 413,
            Self::UriTooLong => 414,
            Self::InvalidPipeline
            | Self::ValidationError
            | Self::InvalidImporter
            | Self::InvalidAnswer
            | Self::NotCompleted
            | Self::InvalidOutput => 422,
            Self::TooManyRunning | Self::QuotaGenerations | Self::QuotaOutputBytes | Self::QuotaSpend => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::TooManyAttached | Self::Maintenance | Self::Contended | Self::Unavailable => 503,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::TooManyRunning
            | Self::TooManyAttached
            | Self::Maintenance
            | Self::NotEnded
            | Self::Contended
            | Self::Unavailable => true,
            Self::InvalidRequest
            | Self::ValidationError
            | Self::InvalidPipeline
            | Self::InvalidImporter
            | Self::InvalidAnswer
            | Self::NotCompleted
            | Self::InvalidOutput
            | Self::AlreadyAccepted
            | Self::ImportsOff
            | Self::NotReverted
            | Self::EntityDecided
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::VersionChanged
            | Self::TextTooLarge
            | Self::IdempotencyConflict
            | Self::EndpointDisabled
            | Self::AlreadyEnded
            | Self::LogGone
            | Self::RequestTooLarge
            | Self::QuotaGenerations
            | Self::QuotaOutputBytes
            | Self::QuotaSpend
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Internal => false,
        }
    }
}

impl Error {
    /// [`Error::InvalidRequest`] with one error.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::InvalidRequest(vec![FieldError::new(pointer, detail)])
    }

    /// [`Error::Refused`].
    pub fn refused(message: impl Into<String>, param: Option<&'static str>, code: Option<&'static str>) -> Self {
        Self::Refused { message: message.into(), param, code }
    }

    /// The kind of this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidRequest(_) | Self::Refused { .. } => ErrorCode::InvalidRequest,
            Self::InvalidPipeline(_) => ErrorCode::InvalidPipeline,
            Self::InvalidImporter(_) => ErrorCode::InvalidImporter,
            Self::InvalidAnswer(_) => ErrorCode::InvalidAnswer,
            Self::NotCompleted(..) => ErrorCode::NotCompleted,
            Self::InvalidOutput(..) => ErrorCode::InvalidOutput,
            Self::AlreadyAccepted(_) => ErrorCode::AlreadyAccepted,
            Self::ImportsOff => ErrorCode::ImportsOff,
            Self::ImportNotReverted(..) => ErrorCode::NotReverted,
            Self::EntityDecided(..) => ErrorCode::EntityDecided,
            Self::RequestTooLarge(_) => ErrorCode::RequestTooLarge,
            Self::Unauthorized(_) => ErrorCode::Unauthorized,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::NotFound(_)
            | Self::KeyNotFound(_)
            | Self::ModelNotFound(_)
            | Self::BatchNotFound(_)
            | Self::RunNotFound(_)
            | Self::StepNotFound(..)
            | Self::SubjectNotFound(_)
            | Self::VersionNotFound(..)
            | Self::NothingAccepted(_)
            | Self::ImporterNotFound(_)
            | Self::ImportNotFound(..)
            | Self::EntityNotFound(..)
            | Self::PipelineNotFound(_)
            | Self::EndpointNotFound(_)
            | Self::DeliveryNotFound(_) => ErrorCode::NotFound,
            Self::VersionChanged(..) | Self::EntityChanged(..) => ErrorCode::VersionChanged,
            Self::TextTooLarge(_) => ErrorCode::TextTooLarge,
            Self::IdempotencyConflict(_) => ErrorCode::IdempotencyConflict,
            Self::TooManyRunning(_) | Self::TooManyRuns(_) => ErrorCode::TooManyRunning,
            Self::InvalidInput(_) => ErrorCode::ValidationError,
            Self::TooManyAttached(_) => ErrorCode::TooManyAttached,
            Self::Maintenance(_) => ErrorCode::Maintenance,
            Self::QuotaUsedUp(UsedUp { what: Daily::Generations, .. }) => ErrorCode::QuotaGenerations,
            Self::QuotaUsedUp(UsedUp { what: Daily::OutputBytes, .. }) => ErrorCode::QuotaOutputBytes,
            Self::QuotaUsedUp(UsedUp { what: Daily::Spend, .. }) => ErrorCode::QuotaSpend,
            Self::TooMuch(TooMuch { what: TooMuchOf::PathBytes | TooMuchOf::QueryBytes, .. }) => ErrorCode::UriTooLong,
            Self::TooMuch(TooMuch { what: TooMuchOf::Headers | TooMuchOf::HeaderBytes, .. }) => ErrorCode::HeadersTooLarge,
            Self::NotEnded(..) | Self::BatchNotEnded(_) | Self::RunNotEnded(_) | Self::DeliveryPending(_) => ErrorCode::NotEnded,
            Self::EndpointDisabled(_) => ErrorCode::EndpointDisabled,
            Self::AlreadyEnded(..) | Self::BatchEnded(..) => ErrorCode::AlreadyEnded,
            Self::LogGone(_) => ErrorCode::LogGone,
            Self::LogDamaged(..) | Self::Configuration(_) | Self::Internal(_) => ErrorCode::Internal,
            Self::Contended(_)
            | Self::BatchContended(_)
            | Self::RunContended(_)
            | Self::SubjectContended(_)
            | Self::ImportContended(_)
            | Self::EntityContended(_)
            | Self::DocumentContended(..)
            | Self::EndpointContended(_) => ErrorCode::Contended,
            Self::Aws { .. } => ErrorCode::Unavailable,
        }
    }

    /// The delay for a `Retry-After` header, if the response has one.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRunning(_) => Some(limits::RUNNING_RETRY_AFTER),
            Self::TooManyAttached(_) => Some(limits::ATTACHED_RETRY_AFTER),
            Self::Maintenance(left) => Some(*left),
            Self::QuotaUsedUp(used_up) => Some(used_up.retry_after),
            _ => None,
        }
    }

    /// The message for the caller. A cause inside AWS or the deployment is in the log only.
    #[must_use]
    pub fn public_detail(&self) -> String {
        match self.code() {
            ErrorCode::Internal => "the request failed because of a fault in this deployment; its log has the cause".into(),
            ErrorCode::Unavailable => "a service that Longhand depends on did not answer; try again".into(),
            ErrorCode::InvalidRequest
            | ErrorCode::InvalidPipeline
            | ErrorCode::InvalidImporter
            | ErrorCode::InvalidAnswer
            | ErrorCode::NotCompleted
            | ErrorCode::InvalidOutput
            | ErrorCode::AlreadyAccepted
            | ErrorCode::ImportsOff
            | ErrorCode::NotReverted
            | ErrorCode::EntityDecided
            | ErrorCode::RequestTooLarge
            | ErrorCode::Unauthorized
            | ErrorCode::Forbidden
            | ErrorCode::NotFound
            | ErrorCode::VersionChanged
            | ErrorCode::TextTooLarge
            | ErrorCode::IdempotencyConflict
            | ErrorCode::ValidationError
            | ErrorCode::TooManyRunning
            | ErrorCode::TooManyAttached
            | ErrorCode::Maintenance
            | ErrorCode::QuotaGenerations
            | ErrorCode::QuotaOutputBytes
            | ErrorCode::QuotaSpend
            | ErrorCode::UriTooLong
            | ErrorCode::HeadersTooLarge
            | ErrorCode::NotEnded
            | ErrorCode::EndpointDisabled
            | ErrorCode::AlreadyEnded
            | ErrorCode::LogGone
            | ErrorCode::Contended => self.to_string(),
        }
    }
}
