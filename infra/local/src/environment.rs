//! The environment of a function: the template's variables, the stack's endpoints, and the caller's overrides.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_smithy_http_client::Builder;
use serde::Serialize;

use crate::template::{HostedFunction, REGION};

/// The access key of every local service.
pub const ACCESS_KEY: &str = "longhand";
/// The secret key of every local service.
pub const SECRET_KEY: &str = "longhand-local";

/// Addresses of the embedded services, as `http://127.0.0.1:PORT`.
#[derive(Clone, Debug, Serialize)]
pub struct Endpoints {
    /// DynamoDB and DynamoDB Streams.
    pub dynamodb: String,
    /// S3, path style.
    pub s3: String,
    /// Lambda's Invoke API.
    pub lambda: String,
    /// SQS, with one queue of on-failure records.
    pub sqs: String,
}

/// Settings that differ from AWS. Writes cost nothing, so a watched generation is stored as fast as possible. Writers end with their
/// stack, so short leases suffice. There is no Secrets Manager, so provider keys come from the environment, as for the built-in providers.
const LAPTOP: [(&str, &str); 3] =
    [("LONGHAND_WATCHED_WINDOW_MS", "0"), ("LONGHAND_LEASE_SECONDS", "5"), ("LONGHAND_PROVIDERS", "{}")];

/// The environment of `function`; `over` takes precedence.
pub fn of(function: &HostedFunction, endpoints: &Endpoints, over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut environment = function.environment.clone();
    let stack = [
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_ENDPOINT_URL_DYNAMODB", &endpoints.dynamodb),
        ("AWS_ENDPOINT_URL_S3", &endpoints.s3),
        ("AWS_ENDPOINT_URL_LAMBDA", &endpoints.lambda),
        ("AWS_ENDPOINT_URL_SQS", &endpoints.sqs),
    ];
    environment.extend(LAPTOP.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment.extend(stack.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment.extend(over.clone());
    environment
}

/// A client of the embedded DynamoDB.
pub fn dynamodb(endpoint: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(credentials())
        .retry_config(RetryConfig::disabled())
        .http_client(Builder::new().build_http())
        .endpoint_url(endpoint);
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

/// A client of the embedded DynamoDB's streams.
pub fn streams(endpoint: &str) -> aws_sdk_dynamodbstreams::Client {
    let config = aws_sdk_dynamodbstreams::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(credentials())
        .retry_config(RetryConfig::disabled())
        .http_client(Builder::new().build_http())
        .endpoint_url(endpoint);
    aws_sdk_dynamodbstreams::Client::from_conf(config.build())
}

fn credentials() -> Credentials {
    Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "longhand-local")
}
