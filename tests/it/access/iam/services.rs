//! What roles are granted beyond what the code calls: what AWS's services do in a function's name. No recording shows it, so it
//! stands here, each with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs};

use serde_json::Value;

use crate::operate::runtime::skip;
use crate::template::{hosted, resources, tree};

/// Of every role. Lambda writes the logs and sends the traces of a function with its role
/// (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html>).
const OF_ALL: [&str; 2] = ["AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"];

/// Of some. Lambda reads the stream that feeds a function, and writes to its queue of failures, with its role
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>).
const OF_SOME: [(&str, &str); 3] = [
    ("compact", "AWSLambdaDynamoDBExecutionRole"),
    ("compact", "sqs:SendMessage on CompactFailures"),
    ("stream", "sqs:SendMessage on StreamFailures"),
];

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
    let texts = |value: &serde_norway::Value| -> BTreeSet<String> {
        value.as_sequence().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let needed: BTreeSet<String> = OF_THE_KEY.iter().flat_map(|(_, actions)| *actions).map(|&action| action.into()).collect();
    assert_eq!(texts(&statement["Action"]), needed);
    assert_eq!((statement["Effect"].as_str(), statement["Resource"].as_str()), (Some("Allow"), Some("Key.Arn")));
    let through = OF_THE_KEY.map(|(service, _)| format!("{service}.${{AWS::Region}}.amazonaws.com"));
    assert_eq!(texts(&statement["Condition"]["StringEquals"]["kms:ViaService"]), through.into());
}

/// The roles of the functions in a transformed template: what of each does not stand in the template itself, and the statements
/// that do.
fn roles(transformed: &Value) -> BTreeMap<String, (BTreeSet<String>, Vec<Value>)> {
    let role = |function: &Value| {
        let role = &transformed["Resources"][function["Properties"]["Role"]["Fn::GetAtt"][0].as_str().unwrap()]["Properties"];
        // An optional policy is of calls to a provider, which are not the SDK's.
        let managed = role["ManagedPolicyArns"].as_array().unwrap().iter().filter(|policy| policy.get("Fn::If").is_none());
        let name = |policy: &Value| policy["Ref"].as_str().or(policy.as_str()).unwrap().rsplit('/').next().unwrap().to_owned();
        let mut added: BTreeSet<String> = managed.map(name).collect();
        let policies = role["Policies"].as_array().into_iter().flatten();
        let statements = policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
        let (own, others): (Vec<Value>, Vec<Value>) = statements.cloned().partition(|statement| statement.get("Sid").is_some());
        added.extend(others.iter().map(|statement| {
            let resource = statement["Resource"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
            format!("{} on {resource}", statement["Action"].as_str().unwrap_or_default())
        }));
        (function["Properties"]["Handler"].as_str().unwrap().to_owned(), (added, own))
    };
    let all = transformed["Resources"].as_object().unwrap().values();
    all.filter(|resource| resource["Type"] == "AWS::Lambda::Function").map(role).collect()
}

#[test]
fn generated_roles_have_the_statements() {
    let Some(folder) = env::var_os("LONGHAND_TRANSFORMED").map(PathBuf::from) else {
        let why = "LONGHAND_TRANSFORMED must name the folder that .ci/transform.py has written the template into.";
        return skip(why).unwrap_or_default();
    };
    let tree = tree();
    let mut count = 0;
    for file in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = file.unwrap().path();
        let roles = roles(&serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap());
        assert_eq!(roles.len(), hosted().functions.len(), "{}", path.display());
        for (id, function) in resources(&tree, "AWS::Serverless::Function") {
            let handler = function["Properties"]["Handler"].as_str().unwrap();
            let (added, own) = &roles[handler];
            let of_some = OF_SOME.iter().filter(|(of, _)| *of == handler).map(|(_, what)| *what);
            let policies = function["Properties"]["Policies"].as_sequence().unwrap();
            let named = policies.iter().filter_map(|policy| policy.as_str());
            let expected: BTreeSet<String> = OF_ALL.into_iter().chain(of_some).chain(named).map(str::to_owned).collect();
            assert_eq!(*added, expected, "{}: {id}", path.display());
            let in_template = policies.last().unwrap()["Statement"].as_sequence().unwrap();
            let told = |sid: Option<&str>, actions: String| format!("{} {actions}", sid.unwrap_or_default());
            let in_template: Vec<String> =
                in_template.iter().map(|one| told(one["Sid"].as_str(), serde_json::to_string(&one["Action"]).unwrap())).collect();
            let in_role: Vec<String> = own.iter().map(|one| told(one["Sid"].as_str(), one["Action"].to_string())).collect();
            assert_eq!(in_role, in_template, "{}: {id}", path.display());
        }
        count += 1;
    }
    assert!(count >= 3, "{count} environments in {}", folder.display());
}
