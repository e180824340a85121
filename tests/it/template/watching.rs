//! Alarms, logs and metrics speak of what there is.

use std::collections::BTreeSet;

use longhand_local::TEMPLATE;
use serde_norway::Value;

use super::{hosted, resources, tree};

const SWEEP: &str = include_str!("../../../shared/src/verbs/sweep.rs");

/// The functions that an alarm looks at.
fn watched(alarm: &Value) -> BTreeSet<String> {
    let text = serde_norway::to_string(alarm).unwrap();
    let mut named = BTreeSet::new();
    for (at, mark) in text.match_indices("${AWS::StackName}-") {
        let name = text[at + mark.len()..].split(|end: char| !end.is_ascii_lowercase()).next().unwrap();
        named.insert(name.to_owned());
    }
    named
}

#[test]
fn every_function_is_in_the_alarms_of_all_functions_and_on_the_dashboard() {
    let tree = tree();
    let handlers: BTreeSet<String> = longhand_functions::handlers().map(str::to_owned).collect();
    let resource = |name: &str| &tree["Resources"][name];
    for name in ["FunctionErrorsAlarm", "ThrottlesAlarm", "CostAlarm"] {
        assert_eq!(watched(resource(name)), handlers, "{name}");
    }
    assert!(watched(resource("Dashboard")).is_superset(&handlers));
}

#[test]
fn the_cost_alarm_reckons_with_each_functions_memory() {
    let tree = tree();
    let default = tree["Globals"]["Function"]["MemorySize"].as_u64().unwrap();
    let math = tree["Resources"]["CostAlarm"]["Properties"]["Metrics"][0]["Expression"].as_str().unwrap().to_owned();
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        let properties = &function["Properties"];
        let memory = properties.get("MemorySize").and_then(Value::as_u64).unwrap_or(default);
        let factor = if memory == 256 { "0.25" } else { "0.5" };
        assert!(memory == 256 || memory == 512, "{id}");
        let handler = properties["Handler"].as_str().unwrap();
        let behind = math.split_once(&format!("FILL({handler}, 0)")).unwrap_or_else(|| panic!("{handler} costs nothing")).1;
        assert_eq!(behind.split("/ 1000 * ").nth(1).unwrap().split(' ').next(), Some(factor), "{id}");
    }
}

#[test]
fn every_alarm_tells_the_topic_and_is_on_the_dashboard() {
    let tree = tree();
    let dashboard = serde_norway::to_string(&tree["Resources"]["Dashboard"]).unwrap();
    let alarms = resources(&tree, "AWS::CloudWatch::Alarm");
    assert!(alarms.len() >= 10);
    for (id, alarm) in alarms {
        for actions in ["AlarmActions", "OKActions"] {
            assert_eq!(alarm["Properties"][actions][0].as_str(), Some("Alarms"), "{id}");
        }
        assert!(dashboard.contains(&format!("${{{id}.Arn}}")), "{id} is not on the dashboard");
    }
}

#[test]
fn every_queue_has_an_alarm_and_every_destination_of_failures_a_queue() {
    let tree = tree();
    for (id, _) in resources(&tree, "AWS::SQS::Queue") {
        let dimension = &tree["Resources"][format!("{id}Alarm")]["Properties"]["Dimensions"][0]["Value"];
        assert_eq!(dimension.as_str(), Some(format!("{id}.QueueName").as_str()), "{id}");
        assert!(TEMPLATE.contains(&format!("OnFailure: {{ Type: SQS, Destination: !GetAtt {id}.Arn }}")), "{id}");
    }
}

#[test]
fn the_metrics_of_the_sweep_are_read_from_lines_that_it_writes() {
    let tree = tree();
    let filters = resources(&tree, "AWS::Logs::MetricFilter");
    assert!(filters.len() >= 4);
    for (id, filter) in filters {
        let properties = &filter["Properties"];
        assert_eq!(properties["LogGroupName"].as_str(), Some("SweepLogs"), "{id}");
        let pattern = properties["FilterPattern"].as_str().unwrap();
        let message = pattern.split('"').nth(1).unwrap();
        let line = SWEEP.split("tracing::").find(|line| line.contains(&format!("\"{message}\""))).unwrap_or_default();
        assert!(!line.is_empty(), "{id}: the sweep never says {message:?}");
        let value = properties["MetricTransformations"][0]["MetricValue"].as_str().unwrap();
        let field = value.strip_prefix("$.").map(|field| format!("{field} = "));
        assert!(field.is_none_or(|field| line.contains(&field)), "{id}: the line has no field {value}");
    }
}

#[test]
fn every_function_has_a_log_group_of_its_own_name() {
    let tree = tree();
    for function in hosted().functions {
        let group =
            tree["Resources"][function.id.as_str()]["Properties"]["LoggingConfig"]["LogGroup"].as_str().unwrap().to_owned();
        let name = tree["Resources"][group.as_str()]["Properties"]["LogGroupName"].as_str().unwrap();
        assert_eq!(name, format!("/aws/lambda/${{AWS::StackName}}-{}", function.handler));
    }
}

#[test]
fn everything_that_is_kept_is_encrypted_with_the_stacks_own_key() {
    let tree = tree();
    let uses_key = |resource: &Value| {
        let text = serde_norway::to_string(resource).unwrap();
        text.contains("Key.Arn") || text.contains("!Ref Key\n") || text.contains("!Ref 'Key'")
    };
    let kinds = ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Logs::LogGroup", "AWS::SNS::Topic"];
    for kind in kinds {
        let found = resources(&tree, kind);
        assert!(!found.is_empty(), "{kind}");
        for (id, resource) in found {
            assert!(uses_key(resource), "{id}");
        }
    }
    assert_eq!(tree["Resources"]["Key"]["Properties"]["EnableKeyRotation"].as_bool(), Some(true));
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        assert_eq!(function["Properties"]["Policies"][0].as_str(), Some("KeyUse"), "{id} cannot read what is encrypted");
    }
}
