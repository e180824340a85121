//! The SAM template, read into what the local stack hosts: functions, their events, tables and buckets.
//!
//! The rule for every resource and property: it is hosted, or it is on a list of what means nothing on one machine
//! (permissions, encryption, backups, alarms), or reading fails and names it. Nothing is skipped in silence.

mod api;
mod events;
mod functions;
mod resolve;
mod tables;

use anyhow::{Context, Result, bail};
use serde_json::Value;

pub use api::{GatewayAnswer, HostedApi, HostedAuthorizer};
pub use events::{Schedule, StreamTrigger};
pub use functions::HostedFunction;
pub use resolve::{ACCOUNT, REGION};
pub use tables::{HostedTable, Key};

use resolve::Resolver;

/// The template that this build was made with, `template.yaml` at the root of the workspace.
pub const TEMPLATE: &str = include_str!("../../../template.yaml");

/// Resource types that have no twin here, because on one machine and in one process they mean nothing. `infra/README.md` lists
/// them.
const WITHOUT_TWIN: [&str; 20] = [
    "AWS::ApiGateway::Account",
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
];

const BUCKET_PROPERTIES_WITHOUT_TWIN: [&str; 10] = [
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

/// What the local stack hosts, every reference resolved to a local name.
#[derive(Clone, Debug)]
pub struct Template {
    /// By logical id, in alphabetical order.
    pub functions: Vec<HostedFunction>,
    /// By logical id, in alphabetical order.
    pub tables: Vec<HostedTable>,
    /// Names of the buckets.
    pub buckets: Vec<String>,
    /// What is asked of callers.
    pub api: HostedApi,
}

impl Template {
    /// Reads a SAM template.
    ///
    /// # Errors
    /// It is not YAML, refers to what it does not contain, or asks for something that has no local twin.
    pub fn read(yaml: &str) -> Result<Self> {
        let resolver = Resolver::read(yaml)?;
        let mut template = Self { functions: Vec::new(), tables: Vec::new(), buckets: Vec::new(), api: HostedApi::default() };
        for (id, resource) in resolver.resources() {
            if !resolver.exists(resource).with_context(|| format!("template.yaml: {id}"))? {
                continue;
            }
            template.add(&resolver, id, resource).with_context(|| format!("template.yaml: {id}"))?;
        }
        Ok(template)
    }

    fn add(&mut self, resolver: &Resolver, id: &str, resource: &Value) -> Result<()> {
        match resource["Type"].as_str().unwrap_or_default() {
            "AWS::Serverless::Function" => self.functions.push(functions::read(resolver, id, resource)?),
            "AWS::Serverless::Api" => self.api = api::read(resolver, resource)?,
            "AWS::DynamoDB::Table" => self.tables.push(tables::read(resolver, id, resource)?),
            "AWS::S3::Bucket" => {
                known(&resource["Properties"], &["BucketName"], &BUCKET_PROPERTIES_WITHOUT_TWIN)?;
                self.buckets.push(resolver.name(id)?);
            }
            kind if WITHOUT_TWIN.contains(&kind) => {}
            kind => bail!("the local stack has no twin for a resource of type `{kind}`"),
        }
        Ok(())
    }
}

/// Fails on a property of `object` that is neither hosted nor known to mean nothing here.
fn known(object: &Value, hosted: &[&str], without_twin: &[&str]) -> Result<()> {
    for name in object.as_object().into_iter().flat_map(|object| object.keys()) {
        if !hosted.contains(&name.as_str()) && !without_twin.contains(&name.as_str()) {
            bail!("the local stack cannot do the property `{name}`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_template_can_be_hosted() {
        let template = Template::read(TEMPLATE).unwrap();
        assert!(!template.functions.is_empty() && !template.tables.is_empty() && !template.buckets.is_empty());
    }

    #[test]
    fn a_resource_without_a_twin_is_named() {
        let error = Template::read("Resources: { Jobs: { Type: AWS::Kinesis::Stream } }").unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("Jobs") && message.contains("AWS::Kinesis::Stream"), "{message}");
    }

    #[test]
    fn a_property_that_cannot_be_done_is_named() {
        let yaml = "Resources: { B: { Type: AWS::S3::Bucket, Properties: { NotificationConfiguration: {} } } }";
        let message = format!("{:#}", Template::read(yaml).unwrap_err());
        assert!(message.contains("NotificationConfiguration"), "{message}");
    }

    #[test]
    fn permissions_and_alarms_are_left_out_knowingly_and_the_readme_says_so() {
        let yaml = "Resources: { R: { Type: AWS::IAM::Role }, A: { Type: AWS::CloudWatch::Alarm } }";
        assert!(Template::read(yaml).unwrap().functions.is_empty());
        let readme = include_str!("../../README.md");
        for kind in WITHOUT_TWIN {
            assert!(readme.contains(&format!("`{}`", kind.trim_start_matches("AWS::"))), "{kind}");
            assert!(TEMPLATE.contains(&format!("Type: {kind}\n")), "{kind} is not in the template any more");
        }
    }
}
