//! One client per service, from one shared configuration.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use super::meter::Meter;
use crate::config::AwsConfig;
use crate::error::Error;

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
        let shared = shared_config(config).await;
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&shared);
        dynamodb.set_endpoint_url(config.dynamodb_endpoint.clone());
        let mut s3 = aws_sdk_s3::config::Builder::from(&shared);
        // An endpoint of one's own has no DNS name per bucket.
        s3.set_endpoint_url(config.s3_endpoint.clone()).set_force_path_style(config.s3_endpoint.as_ref().map(|_| true));
        let mut lambda = aws_sdk_lambda::config::Builder::from(&shared);
        lambda.set_endpoint_url(config.lambda_endpoint.clone());
        let mut secrets_manager = aws_sdk_secretsmanager::config::Builder::from(&shared);
        secrets_manager.set_endpoint_url(config.secrets_manager_endpoint.clone());
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            lambda: aws_sdk_lambda::Client::from_conf(lambda.build()),
            secrets_manager: aws_sdk_secretsmanager::Client::from_conf(secrets_manager.build()),
        }
    }
}

/// Loopback needs no TLS, whose roots take most of a client's start.
pub(super) async fn shared_config(config: &AwsConfig) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some((id, secret, token)) = &config.credentials {
        loader = loader.credentials_provider(Credentials::new(id, secret, token.clone(), None, "environment"));
    }
    if config.is_plain_http() {
        loader = loader.http_client(aws_smithy_http_client::Builder::new().build_http());
    }
    loader.load().await
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
