//! Parses the SAM template into the resources that the local stack hosts: functions, their events, tables and buckets.
//!
//! Every resource and property is either hosted, or on a list of those that have no effect on one machine (permissions,
//! encryption, backups, alarms), or an error that names it. Nothing is skipped silently.

mod api;
mod events;
mod functions;
mod names;
mod pattern;
mod resolve;
mod tables;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

pub use api::{GatewayAnswer, HostedApi, HostedAuthorizer};
pub use events::{Schedule, StreamTrigger};
pub use functions::HostedFunction;
pub use names::{ACCOUNT, REGION};
pub use pattern::Pattern;
pub use tables::{HostedTable, Index as HostedIndex, Key};

use resolve::Resolver;

/// `template.yaml` at the root of the workspace, as it was at build time.
pub const TEMPLATE: &str = include_str!("../../../template.yaml");

/// Resource types that have no local counterpart, because they have no effect on one machine. `infra/README.md` lists them.
const NOT_HOSTED: [&str; 23] = [
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::BasePathMapping",
    "AWS::ApiGateway::DomainName",
    "AWS::AppConfig::Application",
    "AWS::AppConfig::ConfigurationProfile",
    "AWS::AppConfig::HostedConfigurationVersion",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::SecretsManager::Secret",
    "AWS::WAFv2::WebACL",
    "AWS::WAFv2::WebACLAssociation",
    "AWS::XRay::SamplingRule",
];

const BUCKET_PROPERTIES_NOT_HOSTED: [&str; 10] = [
    "AccelerateConfiguration",
    "BucketEncryption",
    "CorsConfiguration",
    "LifecycleConfiguration",
    "LoggingConfiguration",
    "ObjectLockEnabled",
    "OwnershipControls",
    "PublicAccessBlockConfiguration",
    "Tags",
    "VersioningConfiguration",
];

/// The resources that the local stack hosts, with every reference resolved to a local name.
#[derive(Clone, Debug)]
pub struct Template {
    /// Functions, sorted by logical id.
    pub functions: Vec<HostedFunction>,
    /// Tables, sorted by logical id.
    pub tables: Vec<HostedTable>,
    /// Names of the buckets.
    pub buckets: Vec<String>,
    /// The API's authorizer and gateway responses.
    pub api: HostedApi,
    /// Every resource that is created, hosted or not: by logical id, as the template has it.
    pub resources: BTreeMap<String, Value>,
}

impl Template {
    /// Reads a SAM template.
    ///
    /// # Errors
    /// The text is not YAML, has a reference to a missing resource, or uses something that the local stack does not support.
    pub fn read(yaml: &str) -> Result<Self> {
        Self::read_with(yaml, &BTreeMap::new())
    }

    /// Reads a SAM template with these parameters in place of their defaults.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_with(yaml: &str, parameters: &BTreeMap<&str, &str>) -> Result<Self> {
        let resolver = Resolver::read(yaml, parameters)?;
        let mut template = Self {
            functions: Vec::new(),
            tables: Vec::new(),
            buckets: Vec::new(),
            api: HostedApi::default(),
            resources: BTreeMap::new(),
        };
        for (id, resource) in resolver.resources() {
            if !resolver.exists(resource).with_context(|| format!("template.yaml: {id}"))? {
                continue;
            }
            template.add(&resolver, id, resource).with_context(|| format!("template.yaml: {id}"))?;
            template.resources.insert(id.clone(), resource.clone());
        }
        Ok(template)
    }

    fn add(&mut self, resolver: &Resolver, id: &str, resource: &Value) -> Result<()> {
        match resource["Type"].as_str().unwrap_or_default() {
            "AWS::Serverless::Function" => self.functions.push(functions::read(resolver, id, resource)?),
            "AWS::Serverless::Api" => self.api = api::read(resolver, resource)?,
            "AWS::DynamoDB::Table" => self.tables.push(tables::read(resolver, id, resource)?),
            "AWS::S3::Bucket" => {
                check_properties(&resource["Properties"], &["BucketName"], &BUCKET_PROPERTIES_NOT_HOSTED)?;
                self.buckets.push(resolver.name(id)?);
            }
            kind if NOT_HOSTED.contains(&kind) => {}
            kind => bail!("the local stack does not support resources of type `{kind}`"),
        }
        Ok(())
    }
}

/// Fails on a property of `object` that is neither in `hosted` nor in `ignored`.
fn check_properties(object: &Value, hosted: &[&str], ignored: &[&str]) -> Result<()> {
    for name in object.as_object().into_iter().flat_map(|object| object.keys()) {
        if !hosted.contains(&name.as_str()) && !ignored.contains(&name.as_str()) {
            bail!("the local stack does not support the property `{name}`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_template_is_supported() {
        let template = Template::read(TEMPLATE).unwrap();
        assert!(!template.functions.is_empty() && !template.tables.is_empty() && !template.buckets.is_empty());
    }

    #[test]
    fn unsupported_resource_is_named() {
        let error = Template::read("Resources: { Jobs: { Type: AWS::Kinesis::Stream } }").unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("Jobs") && message.contains("AWS::Kinesis::Stream"), "{message}");
    }

    #[test]
    fn unsupported_property_is_named() {
        let yaml = "Resources: { B: { Type: AWS::S3::Bucket, Properties: { NotificationConfiguration: {} } } }";
        let message = format!("{:#}", Template::read(yaml).unwrap_err());
        assert!(message.contains("NotificationConfiguration"), "{message}");
    }

    #[test]
    fn ignored_types_are_in_readme_and_template() {
        let yaml = "Resources: { R: { Type: AWS::IAM::Role }, A: { Type: AWS::CloudWatch::Alarm } }";
        assert!(Template::read(yaml).unwrap().functions.is_empty());
        let readme = include_str!("../../README.md");
        for kind in NOT_HOSTED {
            assert!(readme.contains(&format!("`{}`", kind.trim_start_matches("AWS::"))), "{kind}");
            assert!(TEMPLATE.contains(&format!("Type: {kind}\n")), "{kind} is not in the template any more");
        }
    }
}
