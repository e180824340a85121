//! `infra/deployer-policy.json` lets somebody deploy the template, and is about no other service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs};

use serde_json::Value;

use super::tree;
use crate::operate::runtime::skip;

const POLICY: &str = include_str!("../../../infra/deployer-policy.json");
const SAMCONFIG: &str = include_str!("../../../samconfig.toml");
/// What the policies within a role may have together, white space aside. A managed policy may have 6,144.
const POLICY_CHARS_MAX: usize = 10_240;

/// Each type of the transformed template, with what creates and deletes it, and passes on what is passed on.
const NEEDED: [(&str, &[&str]); 37] = [
    ("AWS::ApiGateway::Account", &["apigateway:PATCH", "iam:PassRole"]),
    ("AWS::ApiGateway::BasePathMapping", &["apigateway:POST", "apigateway:DELETE"]),
    ("AWS::ApiGateway::Deployment", &["apigateway:POST", "apigateway:DELETE"]),
    ("AWS::ApiGateway::DomainName", &["apigateway:POST", "apigateway:DELETE", "iam:CreateServiceLinkedRole"]),
    ("AWS::ApiGateway::RestApi", &["apigateway:POST", "apigateway:PUT", "apigateway:DELETE"]),
    ("AWS::ApiGateway::Stage", &["apigateway:POST", "apigateway:PATCH", "apigateway:DELETE"]),
    ("AWS::AppConfig::Application", &["appconfig:CreateApplication", "appconfig:DeleteApplication"]),
    ("AWS::AppConfig::ConfigurationProfile", &["appconfig:CreateConfigurationProfile", "appconfig:DeleteConfigurationProfile"]),
    (
        "AWS::AppConfig::HostedConfigurationVersion",
        &["appconfig:CreateHostedConfigurationVersion", "appconfig:DeleteHostedConfigurationVersion"],
    ),
    ("AWS::CloudWatch::Alarm", &["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"]),
    ("AWS::CloudWatch::Dashboard", &["cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"]),
    ("AWS::CodeDeploy::Application", &["codedeploy:CreateApplication", "codedeploy:DeleteApplication"]),
    (
        "AWS::CodeDeploy::DeploymentGroup",
        &["codedeploy:CreateDeploymentGroup", "codedeploy:CreateDeployment", "codedeploy:DeleteDeploymentGroup", "iam:PassRole"],
    ),
    (
        "AWS::DynamoDB::Table",
        &[
            "dynamodb:CreateTable",
            "dynamodb:UpdateTable",
            "dynamodb:UpdateTimeToLive",
            "dynamodb:UpdateContinuousBackups",
            "dynamodb:DeleteTable",
            "kms:CreateGrant",
        ],
    ),
    ("AWS::Events::Rule", &["events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:DeleteRule"]),
    ("AWS::IAM::ManagedPolicy", &["iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy"]),
    ("AWS::IAM::Role", &["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:DeleteRole"]),
    ("AWS::KMS::Alias", &["kms:CreateAlias", "kms:DeleteAlias"]),
    ("AWS::KMS::Key", &["kms:CreateKey", "kms:EnableKeyRotation", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"]),
    ("AWS::Lambda::Alias", &["lambda:CreateAlias", "lambda:UpdateAlias", "lambda:DeleteAlias"]),
    ("AWS::Lambda::EventInvokeConfig", &["lambda:PutFunctionEventInvokeConfig", "lambda:DeleteFunctionEventInvokeConfig"]),
    ("AWS::Lambda::EventSourceMapping", &["lambda:CreateEventSourceMapping", "lambda:DeleteEventSourceMapping"]),
    (
        "AWS::Lambda::Function",
        &[
            "lambda:CreateFunction",
            "lambda:UpdateFunctionCode",
            "lambda:UpdateFunctionConfiguration",
            "lambda:PutFunctionConcurrency",
            "lambda:PutFunctionRecursionConfig",
            "lambda:DeleteFunction",
            "iam:PassRole",
        ],
    ),
    ("AWS::Lambda::Permission", &["lambda:AddPermission", "lambda:RemovePermission"]),
    ("AWS::Lambda::Version", &["lambda:PublishVersion"]),
    ("AWS::Logs::LogGroup", &["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:AssociateKmsKey", "logs:DeleteLogGroup"]),
    (
        "AWS::S3::Bucket",
        &[
            "s3:CreateBucket",
            "s3:PutBucketVersioning",
            "s3:PutBucketCORS",
            "s3:PutBucketLogging",
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutEncryptionConfiguration",
            "s3:PutLifecycleConfiguration",
            "s3:DeleteBucket",
        ],
    ),
    ("AWS::S3::BucketPolicy", &["s3:PutBucketPolicy", "s3:DeleteBucketPolicy"]),
    ("AWS::SNS::Subscription", &["sns:Subscribe", "sns:Unsubscribe"]),
    ("AWS::SNS::Topic", &["sns:CreateTopic", "sns:SetTopicAttributes", "sns:DeleteTopic"]),
    ("AWS::SNS::TopicPolicy", &["sns:SetTopicAttributes"]),
    ("AWS::SQS::Queue", &["sqs:CreateQueue", "sqs:SetQueueAttributes", "sqs:DeleteQueue"]),
    ("AWS::SQS::QueuePolicy", &["sqs:SetQueueAttributes"]),
    (
        "AWS::SecretsManager::Secret",
        &[
            "secretsmanager:CreateSecret",
            "secretsmanager:GetRandomPassword",
            "secretsmanager:DeleteSecret",
            "kms:GenerateDataKey",
        ],
    ),
    ("AWS::WAFv2::WebACL", &["wafv2:CreateWebACL", "wafv2:UpdateWebACL", "wafv2:DeleteWebACL"]),
    ("AWS::WAFv2::WebACLAssociation", &["wafv2:AssociateWebACL", "wafv2:DisassociateWebACL", "apigateway:SetWebACL"]),
    ("AWS::XRay::SamplingRule", &["xray:CreateSamplingRule", "xray:UpdateSamplingRule", "xray:DeleteSamplingRule"]),
];

/// What SAM makes of its own types.
const OF_SAM: [(&str, &[&str]); 2] = [
    ("AWS::Serverless::Api", &["AWS::ApiGateway::RestApi", "AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"]),
    (
        "AWS::Serverless::Function",
        &[
            "AWS::Lambda::Function",
            "AWS::Lambda::Version",
            "AWS::Lambda::Alias",
            "AWS::Lambda::Permission",
            "AWS::Lambda::EventInvokeConfig",
            "AWS::Lambda::EventSourceMapping",
            "AWS::Events::Rule",
            "AWS::CodeDeploy::Application",
            "AWS::CodeDeploy::DeploymentGroup",
        ],
    ),
];

/// A text, or each of several.
fn texts(value: &Value) -> Vec<&str> {
    value
        .as_str()
        .map_or_else(|| value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect(), |text| vec![text])
}

fn statements(policy: &Value) -> impl Iterator<Item = &Value> {
    policy["Statement"].as_array().unwrap().iter()
}

fn actions(policy: &Value) -> Vec<&str> {
    statements(policy).flat_map(|statement| texts(&statement["Action"])).collect()
}

fn types_of_the_template() -> BTreeSet<String> {
    let (tree, of_sam) = (tree(), BTreeMap::from(OF_SAM));
    let resources = tree["Resources"].as_mapping().unwrap().iter();
    let kinds = resources.map(|(_, resource)| resource["Type"].as_str().unwrap());
    let made = kinds.flat_map(|kind| of_sam.get(kind).map_or_else(|| vec![kind], |made| made.to_vec()));
    made.map(str::to_owned).collect()
}

#[test]
fn deployer_may_create_and_delete_each_resource() {
    let policy: Value = serde_json::from_str(POLICY).unwrap();
    let allowed = actions(&policy);
    let is_allowed = |action: &str| {
        allowed.iter().any(|allowed| allowed.strip_suffix('*').map_or(*allowed == action, |start| action.starts_with(start)))
    };
    for (kind, needed) in NEEDED {
        for action in needed {
            assert!(is_allowed(action), "{kind} needs {action}");
        }
    }
    assert_eq!(NEEDED.iter().map(|(kind, _)| (*kind).to_owned()).collect::<BTreeSet<_>>(), types_of_the_template());
}

#[test]
fn transformed_template_has_no_other_resources() {
    let Some(folder) = env::var_os("LONGHAND_TRANSFORMED").map(PathBuf::from) else {
        let why = "LONGHAND_TRANSFORMED must name the folder that .ci/transform.py has written the template into.";
        return skip(why).unwrap_or_default();
    };
    let mut found = BTreeSet::new();
    for file in fs::read_dir(&folder).unwrap() {
        let template: Value = serde_json::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
        let resources = template["Resources"].as_object().unwrap().values();
        found.extend(resources.map(|resource| resource["Type"].as_str().unwrap().to_owned()));
    }
    assert_eq!(found, types_of_the_template());
}

#[test]
fn deployer_is_limited_to_the_services_and_stacks() {
    let policy: Value = serde_json::from_str(POLICY).unwrap();
    let service = |action: &str| action.split_once(':').unwrap().0.to_owned();
    let needed = NEEDED.iter().flat_map(|(_, needed)| *needed).map(|action| service(action));
    let expected: BTreeSet<String> = needed.chain(["cloudformation".to_owned()]).collect();
    assert_eq!(actions(&policy).into_iter().map(service).collect::<BTreeSet<_>>(), expected);
    let anywhere = statements(&policy).filter(|statement| texts(&statement["Resource"]).contains(&"*"));
    let sids: Vec<&str> = anywhere.map(|statement| statement["Sid"].as_str().unwrap()).collect();
    assert_eq!(sids, ["Anywhere", "Triggers"], "what IAM cannot limit, and what a condition limits");
    assert!(statements(&policy).all(|statement| statement["Effect"] == "Allow"));
    // Roles are passed to services alone, and are the stack's.
    let passed = statements(&policy).find(|statement| texts(&statement["Action"]).contains(&"iam:PassRole")).unwrap();
    assert_eq!(passed["Resource"], "arn:aws:iam::*:role/longhand*");
    assert!(passed["Condition"]["StringEquals"]["iam:PassedToService"].is_array());
    let names = SAMCONFIG.lines().filter_map(|line| line.strip_prefix("stack_name = "));
    assert!(names.clone().count() >= 4 && names.into_iter().all(|name| name.starts_with("\"longhand")));
    assert!(POLICY.split_whitespace().map(str::len).sum::<usize>() <= POLICY_CHARS_MAX);
}
