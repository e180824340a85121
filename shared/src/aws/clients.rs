//! One client per service, from one shared configuration.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
pub use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::config::AwsConfig;
use crate::error::Error;

/// Tries of one call, the first included, unless `AWS_MAX_ATTEMPTS` is set.
const SDK_TRIES_MAX: u32 = 4;
/// The SDK's own default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// One try. `DynamoDB` answers within milliseconds: a call that takes this long is lost, and a lease runs out meanwhile.
const DYNAMODB_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// One try, a part of an upload included.
const S3_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// One try of any other service.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait before the second try. It doubles, and jitter shortens it by up to all of it (the SDK's standard mode).
const BACKOFF: Duration = Duration::from_millis(200);
/// The same for `DynamoDB`, whose throttling passes quickly (AWS's SDK for Java begins with 25 ms).
const DYNAMODB_BACKOFF: Duration = Duration::from_millis(50);

/// The SDK's name for requests without a signature (smithy.api#noAuth).
const NO_AUTH: AuthSchemeId = AuthSchemeId::new("noAuth");

/// The SDK's clients. On a laptop they differ only in their endpoints.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Both tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The bucket.
    pub s3: aws_sdk_s3::Client,
    /// Async invokes.
    pub lambda: aws_sdk_lambda::Client,
    /// Provider keys.
    pub secrets_manager: aws_sdk_secretsmanager::Client,
}

impl Clients {
    /// Builds them over this HTTP client; `None`: the SDK's own. Nothing is sent yet.
    pub async fn new(config: &AwsConfig, http_client: Option<SharedHttpClient>) -> Self {
        let shared = shared_config(config, http_client).await;
        let shared = |attempt_timeout, backoff| {
            let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(attempt_timeout);
            let tries = config.max_attempts.unwrap_or(SDK_TRIES_MAX);
            let retries = RetryConfig::standard().with_max_attempts(tries).with_initial_backoff(backoff);
            shared.to_builder().timeout_config(timeouts.build()).retry_config(retries).build()
        };
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&shared(DYNAMODB_ATTEMPT_TIMEOUT, DYNAMODB_BACKOFF));
        dynamodb.set_endpoint_url(config.dynamodb_endpoint.clone());
        // It would watch the rate of each body, and take CPU for it. The timeout of a try bounds the reading of a body as well.
        dynamodb.set_stalled_stream_protection(Some(StalledStreamProtectionConfig::disabled()));
        if config.has_dynamodb_in_process() {
            dynamodb = dynamodb.allow_no_auth().auth_scheme_preference([NO_AUTH]);
        }
        let mut s3 = aws_sdk_s3::config::Builder::from(&shared(S3_ATTEMPT_TIMEOUT, BACKOFF));
        // A custom endpoint has no DNS name for each bucket.
        s3.set_endpoint_url(config.s3_endpoint.clone()).set_force_path_style(config.s3_endpoint.as_ref().map(|_| true));
        let mut lambda = aws_sdk_lambda::config::Builder::from(&shared(ATTEMPT_TIMEOUT, BACKOFF));
        lambda.set_endpoint_url(config.lambda_endpoint.clone());
        let mut secrets_manager = aws_sdk_secretsmanager::config::Builder::from(&shared(ATTEMPT_TIMEOUT, BACKOFF));
        secrets_manager.set_endpoint_url(config.secrets_manager_endpoint.clone());
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            lambda: aws_sdk_lambda::Client::from_conf(lambda.build()),
            secrets_manager: aws_sdk_secretsmanager::Client::from_conf(secrets_manager.build()),
        }
    }
}

pub(super) async fn shared_config(config: &AwsConfig, http_client: Option<SharedHttpClient>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some((id, secret, token)) = &config.credentials {
        loader = loader.credentials_provider(Credentials::new(id, secret, token.clone(), None, "environment"));
    }
    // Loopback needs no TLS, whose roots take most of a client's start.
    let plain = || config.is_plain_http().then(|| aws_smithy_http_client::Builder::new().build_http());
    if let Some(client) = http_client.or_else(plain) {
        loader = loader.http_client(client);
    }
    loader.load().await
}

/// The failure of one call, with all its causes.
pub(super) fn aws_error<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    move |error| Error::Aws { operation, message: DisplayErrorContext(&error).to_string() }
}

/// The error for a response that AWS should never send.
pub(super) fn unexpected(operation: &'static str, message: impl std::fmt::Display) -> Error {
    Error::Aws { operation, message: format!("{message}") }
}
