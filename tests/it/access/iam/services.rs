//! What roles are granted beyond what the code calls: what AWS's services do in a function's name. No recording shows it, so it
//! stands here, each with its reason.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

use serde_json::Value;

use super::granted::{inline, role_of, texts};
use crate::operate::runtime::skip;
use crate::template::{hosted, resources, tree};

/// Of every role, on the function's own log group: Lambda writes the logs with it
/// (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html>). It does not create the group, which the
/// template has.
const OF_ALL: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];

/// Of some. Lambda reads the stream that feeds a function, and writes to its queue of failures, with its role
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>). Streams can be listed only all together
/// (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>).
const OF_SOME: [(&str, &str, &str); 16] = [
    ("compact", "dynamodb:DescribeStream", "BufferTable.StreamArn"),
    ("compact", "dynamodb:GetRecords", "BufferTable.StreamArn"),
    ("compact", "dynamodb:GetShardIterator", "BufferTable.StreamArn"),
    ("compact", "dynamodb:ListStreams", "*"),
    ("compact", "sqs:SendMessage", "CompactFailures.Arn"),
    // It has no queue of failures: no batch is given up.
    ("meter", "dynamodb:DescribeStream", "RecordsTable.StreamArn"),
    ("meter", "dynamodb:GetRecords", "RecordsTable.StreamArn"),
    ("meter", "dynamodb:GetShardIterator", "RecordsTable.StreamArn"),
    ("meter", "dynamodb:ListStreams", "*"),
    ("deliver", "sqs:SendMessage", "DeliverFailures.Arn"),
    ("settle", "dynamodb:DescribeStream", "RecordsTable.StreamArn"),
    ("settle", "dynamodb:GetRecords", "RecordsTable.StreamArn"),
    ("settle", "dynamodb:GetShardIterator", "RecordsTable.StreamArn"),
    ("settle", "dynamodb:ListStreams", "*"),
    ("settle", "sqs:SendMessage", "SettleFailures.Arn"),
    ("stream", "sqs:SendMessage", "StreamFailures.Arn"),
];

/// Of the functions that are traced. X-Ray has no resources
/// (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html>).
const OF_TRACES: [&str; 2] = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"];

/// What the services that keep encrypted data ask of the key, in the name of whoever calls them:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html>,
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html> (an upload in parts decrypts, too),
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html>,
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html>.
const OF_THE_KEY: [(&str, &[&str]); 4] = [
    (
        "dynamodb",
        &["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"],
    ),
    ("s3", &["kms:Decrypt", "kms:GenerateDataKey"]),
    ("secretsmanager", &["kms:Decrypt"]),
    ("sqs", &["kms:Decrypt", "kms:GenerateDataKey"]),
];

#[test]
fn encryption_key_is_limited_to_services() {
    let tree = tree();
    let policy = &tree["Resources"]["KeyUse"];
    let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_sequence().unwrap();
    let [statement] = statements.as_slice() else { panic!("one statement") };
    let texts = |value: &serde_norway::Value| texts(value).into_iter().collect::<BTreeSet<_>>();
    let needed: BTreeSet<String> = OF_THE_KEY.iter().flat_map(|(_, actions)| *actions).map(|&action| action.into()).collect();
    assert_eq!(texts(&statement["Action"]), needed);
    assert_eq!((statement["Effect"].as_str(), statement["Resource"].as_str()), (Some("Allow"), Some("Key.Arn")));
    let through = OF_THE_KEY.map(|(service, _)| format!("{service}.${{AWS::Region}}.amazonaws.com"));
    assert_eq!(texts(&statement["Condition"]["StringEquals"]["kms:ViaService"]), through.into());
}

/// What a policy allows: actions, each with a resource.
fn allowed(policy: &serde_norway::Value) -> BTreeSet<(String, String)> {
    let statements = policy["Statement"].as_sequence().unwrap().iter();
    let each = statements.flat_map(|statement| {
        assert_eq!((&statement["Effect"], statement.get("Condition")), (&"Allow".into(), None), "{statement:?}");
        let resources = texts(&statement["Resource"]);
        let actions = texts(&statement["Action"]).into_iter();
        actions.flat_map(move |action| resources.clone().into_iter().map(move |resource| (action.clone(), resource)))
    });
    each.collect()
}

#[test]
fn lambda_is_granted_logs_streams_and_queues() {
    let tree = tree();
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        let handler = function["Properties"]["Handler"].as_str().unwrap();
        let group = format!("{}.Arn", function["Properties"]["LoggingConfig"]["LogGroup"].as_str().unwrap());
        let of_some = OF_SOME.iter().filter(|(of, ..)| *of == handler).map(|(_, action, resource)| (*action, *resource));
        let expected = OF_ALL.map(|action| (action, group.as_str())).into_iter().chain(of_some);
        let expected: BTreeSet<_> = expected.map(|(action, resource)| (action.to_owned(), resource.to_owned())).collect();
        let role = role_of(&tree, function);
        assert_eq!(allowed(inline(role, "lambda")), expected, "{id}");
        assert_eq!(role["Policies"].as_sequence().unwrap().len(), 2, "{id} has another policy");
        let trusted = &role["AssumeRolePolicyDocument"]["Statement"];
        assert_eq!(trusted[0]["Principal"]["Service"], "lambda.amazonaws.com", "{id}");
        assert_eq!((trusted[0]["Action"].as_str(), trusted[1].is_null()), (Some("sts:AssumeRole"), true), "{id}");
    }
}

#[test]
fn traces_are_sent_by_traced_functions() {
    let tree = tree();
    let policy = allowed(&tree["Resources"]["Traces"]["Properties"]["PolicyDocument"]);
    assert_eq!(policy, OF_TRACES.map(|action| (action.to_owned(), "*".to_owned())).into());
    let of_all = tree["Globals"]["Function"]["Tracing"].as_str();
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        let tracing = function["Properties"].get("Tracing").map_or(of_all, |own| own.as_str());
        let mut policies = role_of(&tree, function)["ManagedPolicyArns"].as_sequence().unwrap().iter();
        assert_eq!(policies.any(|policy| policy.as_str() == Some("Traces")), tracing == Some("Active"), "{id}");
    }
}

/// What each function's role has in a transformed template is what the template says: SAM adds nothing to it.
#[test]
fn transformed_roles_have_the_statements() {
    let Some(folder) = env::var_os("LONGHAND_TRANSFORMED").map(PathBuf::from) else {
        let why = "LONGHAND_TRANSFORMED must name the folder that .ci/transform.py has written the template into.";
        return skip(why).unwrap_or_default();
    };
    let tree = tree();
    let mut count = 0;
    for file in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = file.unwrap().path();
        let transformed: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let resource = |id: &str| &transformed["Resources"][id];
        let functions = resources(&tree, "AWS::Serverless::Function");
        assert_eq!(functions.len(), hosted().functions.len());
        for (id, function) in functions {
            let told = || format!("{}: {id}", path.display());
            let role = &resource(id)["Properties"]["Role"]["Fn::GetAtt"];
            let named = function["Properties"]["Role"].as_str().unwrap();
            assert_eq!(role.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect::<Vec<_>>().join("."), named);
            let role = &resource(named.strip_suffix(".Arn").unwrap())["Properties"];
            let in_template = role_of(&tree, function);
            // All are of this template: there is no ARN of a policy of AWS's.
            let managed = role["ManagedPolicyArns"].as_array().unwrap().iter();
            let managed = managed.map(|policy| policy["Ref"].as_str().or(policy["Fn::If"][1]["Ref"].as_str()).unwrap());
            for (policy, expected) in managed.zip(in_template["ManagedPolicyArns"].as_sequence().unwrap()) {
                assert_eq!(Some(policy), expected.as_str().or(expected[1].as_str()), "{}", told());
                assert_eq!(resource(policy)["Type"], "AWS::IAM::ManagedPolicy", "{}", told());
            }
            let statements = |policies: &Value| {
                let policies = policies.as_array().unwrap().iter();
                let each = policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
                each.map(|one| format!("{} {}", one["Sid"], one["Action"])).collect::<Vec<_>>()
            };
            let expected = serde_json::to_value(&in_template["Policies"]).unwrap();
            assert_eq!(statements(&role["Policies"]), statements(&expected), "{}", told());
        }
        count += 1;
    }
    assert!(count >= 3, "{count} environments in {}", folder.display());
}
