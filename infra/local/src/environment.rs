//! How functions, triggers and commands reach the embedded services.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use longhand::config::IN_PROCESS_DOMAIN;
use serde::Serialize;

use crate::{
    key::AwsKey,
    services::Services,
    template::{HostedFunction, REGION},
};

/// Endpoints of the embedded services. A service that no port serves has an address under `.invalid`, which no resolver knows
/// (RFC 6761): only the stack's own clients reach it.
#[derive(Clone, Debug, Serialize)]
pub struct Endpoints {
    /// DynamoDB and DynamoDB Streams.
    pub dynamodb: String,
    /// S3, path style. It always has a port, for presigned URLs.
    pub s3: String,
    /// Lambda's Invoke API.
    pub lambda: String,
    /// SQS, with one queue of on-failure records.
    pub sqs: String,
}

impl Endpoints {
    /// The endpoints of services without ports.
    pub fn in_process() -> Self {
        let [dynamodb, s3, lambda, sqs] =
            ["dynamodb", "s3", "lambda", "sqs"].map(|name| format!("http://{name}.{IN_PROCESS_DOMAIN}"));
        Self { dynamodb, s3, lambda, sqs }
    }
}

/// Settings that differ from AWS. Writes cost nothing, so a watched generation is stored as fast as possible. Writers end with their
/// stack, so short leases suffice. There is no Secrets Manager, so provider keys come from the environment, as for the built-in providers. A webhook's
/// receiver is another program of the laptop, and mails are files.
const LAPTOP: [(&str, &str); 6] = [
    ("LONGHAND_WATCHED_WINDOW_MS", "0"),
    ("LONGHAND_UNWATCHED_WINDOW_MS", "2000"),
    ("LONGHAND_LEASE_SECONDS", "5"),
    ("LONGHAND_PROVIDERS", "{}"),
    ("LONGHAND_WEBHOOK_LOOPBACK", "true"),
    ("LONGHAND_EMAIL_SENDER", "longhand@laptop.invalid"),
];

/// The addresses of a stack's services, the key that they take, and the services themselves.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The addresses.
    pub endpoints: Endpoints,
    /// The key.
    pub key: AwsKey,
    /// The services in this process.
    pub services: Services,
}

impl Connection {
    /// A connection to services that verify no signature.
    pub fn unsigned(endpoints: Endpoints, services: Services) -> Self {
        Self { endpoints, key: AwsKey { id: "unsigned".to_owned(), secret: "unsigned".to_owned() }, services }
    }

    /// The environment of `function`: the template's variables, the stack's endpoints, and `over`, which takes precedence.
    pub fn environment(&self, function: &HostedFunction, over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut environment = function.environment.clone();
        let stack = [
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", &self.key.id),
            ("AWS_SECRET_ACCESS_KEY", &self.key.secret),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.endpoints.dynamodb),
            ("AWS_ENDPOINT_URL_S3", &self.endpoints.s3),
            ("AWS_ENDPOINT_URL_LAMBDA", &self.endpoints.lambda),
            ("AWS_ENDPOINT_URL_SQS", &self.endpoints.sqs),
            // No path of it is that of a bucket.
            ("AWS_ENDPOINT_URL_SESV2", &self.endpoints.s3),
        ];
        environment.extend(LAPTOP.map(|(name, value)| (name.to_owned(), value.to_owned())));
        environment.extend(stack.map(|(name, value)| (name.to_owned(), value.to_owned())));
        environment.extend(over.clone());
        environment
    }

    /// The client through which the SDK reaches the services in this process.
    pub fn http_client(&self) -> SharedHttpClient {
        self.services.http_client()
    }

    /// A client of the embedded DynamoDB, whose requests need no signature in this process.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .allow_no_auth()
            .retry_config(RetryConfig::disabled())
            .http_client(self.http_client())
            .endpoint_url(&self.endpoints.dynamodb);
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }
}
