//! One client per service, from one shared configuration.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
pub use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::meter::Meter;
use crate::config::AwsConfig;
use crate::error::Error;

/// Tries of one call in all, the first included, unless `AWS_MAX_ATTEMPTS` says otherwise.
const SDK_TRIES_MAX: u32 = 4;
/// The SDK's own default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// One try. `DynamoDB` answers within milliseconds: what takes this long will not come, and the lease goes on.
const DYNAMODB_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// One try, a part of an upload included.
const S3_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// One try of any other service.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before the second try, at most; it doubles, and jitter takes off up to all of it (the SDK's standard mode).
const BACKOFF: Duration = Duration::from_millis(200);
/// The same for `DynamoDB`, whose throttling passes quickly (AWS's SDK for Java begins with 25 ms).
const DYNAMODB_BACKOFF: Duration = Duration::from_millis(50);

/// The SDK's clients. Each service may have an endpoint of its own: only that differs on a laptop.
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
    /// Builds them. Nothing is sent yet.
    pub async fn new(config: &AwsConfig) -> Self {
        Self::with_http_client(config, None).await
    }

    /// Builds them over this HTTP client; `None`: the SDK's own.
    pub(crate) async fn with_http_client(config: &AwsConfig, http_client: Option<SharedHttpClient>) -> Self {
        let shared = shared_config(config, http_client).await;
        let shared = |attempt_timeout, backoff| {
            let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(attempt_timeout);
            let tries = config.max_attempts.unwrap_or(SDK_TRIES_MAX);
            let retries = RetryConfig::standard().with_max_attempts(tries).with_initial_backoff(backoff);
            shared.to_builder().timeout_config(timeouts.build()).retry_config(retries).build()
        };
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&shared(DYNAMODB_ATTEMPT_TIMEOUT, DYNAMODB_BACKOFF));
        dynamodb.set_endpoint_url(config.dynamodb_endpoint.clone());
        let mut s3 = aws_sdk_s3::config::Builder::from(&shared(S3_ATTEMPT_TIMEOUT, BACKOFF));
        // An endpoint of one's own has no DNS name per bucket.
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

/// Asks for the rows of one partition, and what that costs.
pub(super) fn query_partition(dynamodb: &aws_sdk_dynamodb::Client, table: &str, partition: String) -> QueryFluentBuilder {
    let query = dynamodb.query().table_name(table).key_condition_expression("pk = :pk");
    query.expression_attribute_values(":pk", AttributeValue::S(partition)).return_consumed_capacity(ReturnConsumedCapacity::Total)
}

/// Updates an item where its condition holds; `false`: it does not.
pub(super) async fn update_where(update: UpdateItemFluentBuilder, meter: &Meter) -> Result<bool, Error> {
    match update.send().await {
        Ok(updated) => {
            meter.wrote(updated.consumed_capacity());
            Ok(true)
        }
        Err(error) if matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_))) => {
            meter.wrote(None);
            Ok(false)
        }
        Err(error) => Err(aws_error("dynamodb UpdateItem")(error)),
    }
}

/// The failure of one call, with all its causes.
pub(super) fn aws_error<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    move |error| Error::Aws { operation, message: DisplayErrorContext(&error).to_string() }
}

/// An answer that AWS does not give.
pub(super) fn unexpected(operation: &'static str, message: impl std::fmt::Display) -> Error {
    Error::Aws { operation, message: format!("{message}") }
}
