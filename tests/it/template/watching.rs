//! Alarms, logs and metrics speak of what there is.

use std::collections::BTreeSet;

use longhand::telemetry::{MEASURED, Measured};
use longhand_local::TEMPLATE;
use serde_norway::Value;

use super::{hosted, resources, tree};
use crate::access::iam::granted::role_of;

const DOCUMENTED: &str = include_str!("../../../docs/observability.md");

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
fn functions_have_alarms_and_graphs() {
    let tree = tree();
    let handlers: BTreeSet<String> = longhand_functions::handlers().map(str::to_owned).collect();
    let resource = |name: &str| &tree["Resources"][name];
    let without = |names: &[&str]| &handlers - &names.iter().map(|name| (*name).to_owned()).collect();
    // A sweep of more than a minute throttles the next one, which then continues it.
    assert_eq!(watched(resource("ThrottlesAlarm")), without(&["sweep"]));
    // They cost cents, and reads cost more; an alarm has ten metrics.
    assert_eq!(watched(resource("CostAlarm")), without(&["authorize", "deliver", "meter", "settle", "sweep"]));
    // A refused key is a failed invocation of `authorize`: whoever shows four of them would set off the alarm. What `meter` fails comes again,
    // and `MeterAgeAlarm` tells where it stays. `deliver` has one of its own, its queue's.
    assert_eq!(watched(resource("FunctionErrorsAlarm")), without(&["authorize", "deliver", "meter"]));
    assert!(watched(resource("Dashboard")).is_superset(&handlers));
}

#[test]
fn cost_alarm_counts_memory() {
    let tree = tree();
    let default = tree["Globals"]["Function"]["MemorySize"].as_u64().unwrap();
    let math = tree["Resources"]["CostAlarm"]["Properties"]["Metrics"][0]["Expression"].as_str().unwrap().to_owned();
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        let properties = &function["Properties"];
        let memory = properties.get("MemorySize").and_then(Value::as_u64).unwrap_or(default);
        let factor = match memory {
            128 => "0.125",
            256 => "0.25",
            512 => "0.5",
            other => panic!("{id} has {other} MB"),
        };
        let handler = properties["Handler"].as_str().unwrap();
        if ["authorize", "deliver", "meter", "settle", "sweep"].contains(&handler) {
            continue;
        }
        let behind = math.split_once(&format!("FILL({handler}, 0)")).unwrap_or_else(|| panic!("{handler} costs nothing")).1;
        assert_eq!(behind.split("/ 1000 * ").nth(1).unwrap().split(' ').next(), Some(factor), "{id}");
    }
}

#[test]
fn alarms_notify_the_topic() {
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

/// CloudWatch's bound: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>.
#[test]
fn alarms_have_at_most_ten_metrics_each_of_which_is_used() {
    let tree = tree();
    for (id, alarm) in resources(&tree, "AWS::CloudWatch::Alarm") {
        let Some(metrics) = alarm["Properties"].get("Metrics").and_then(Value::as_sequence) else { continue };
        let expressions: Vec<&str> = metrics.iter().filter_map(|metric| metric.get("Expression")?.as_str()).collect();
        let names = |id: &str| {
            expressions.iter().any(|math| {
                math.split(|mark: char| !(mark.is_alphanumeric() || mark == '_')).any(|word| word == id || word == "METRICS")
            })
        };
        let stats: Vec<&str> = metrics
            .iter()
            .filter(|metric| metric.get("MetricStat").is_some())
            .map(|metric| metric["Id"].as_str().unwrap())
            .collect();
        assert!(stats.len() <= 10, "{id}: {stats:?}");
        let returned = metrics.iter().filter(|metric| metric.get("ReturnData").and_then(Value::as_bool) != Some(false)).count();
        assert_eq!(returned, 1, "{id}");
        for stat in stats {
            assert!(expressions.is_empty() || names(stat), "{id} does not use {stat}");
        }
    }
}

/// An absolute number of errors that is rare with ten users is permanent with a hundred requests a second, and would roll back
/// each deployment.
#[test]
fn alarms_that_roll_back_are_shares() {
    let tree = tree();
    let gates = tree["Globals"]["Function"]["DeploymentPreference"]["Alarms"].as_sequence().unwrap();
    assert!(!gates.is_empty());
    for gate in gates {
        let id = gate.as_str().unwrap();
        let math = serde_norway::to_string(&tree["Resources"][id]["Properties"]["Metrics"]).unwrap();
        assert!(math.contains("100 * errors / "), "{id}");
    }
}

#[test]
fn queues_have_alarms() {
    let tree = tree();
    for (id, _) in resources(&tree, "AWS::SQS::Queue") {
        let dimension = &tree["Resources"][format!("{id}Alarm")]["Properties"]["Dimensions"][0]["Value"];
        assert_eq!(dimension.as_str(), Some(format!("{id}.QueueName").as_str()), "{id}");
        assert!(TEMPLATE.contains(&format!("OnFailure: {{ Type: SQS, Destination: !GetAtt {id}.Arn }}")), "{id}");
    }
}

/// The product's own metrics that the template reads: behind the stack's namespace, in alarms and on the dashboard.
fn own_metrics(text: &str) -> BTreeSet<&str> {
    let in_alarms = text.split("Namespace: !Ref AWS::StackName, MetricName: ").skip(1);
    let in_alarms = in_alarms.map(|behind| behind.split([' ', ',']).next().unwrap());
    let widgets = text.lines().filter(|line| line.contains("[[\"${AWS::StackName}\""));
    let series = widgets
        .flat_map(|line| line.split("\"metrics\": [").nth(1).unwrap().split("], \"period\"").next().unwrap().split("], ["));
    let named = series.map(|series| series.split('"').collect::<Vec<_>>());
    // `["namespace", "name"]`; `"..."` is all of the one before.
    let on_dashboard = named.filter_map(|parts| parts.get(3).copied()).filter(|name| *name != "stat");
    let searched = text.split("MetricName=\\\"").skip(1).map(|behind| behind.split('\\').next().unwrap());
    in_alarms.chain(on_dashboard).chain(searched).collect()
}

#[test]
fn metric_names_match_log_lines() {
    let measured: BTreeSet<&str> = MEASURED.iter().flat_map(|line| line.metrics).map(|(name, _)| *name).collect();
    let read = own_metrics(TEMPLATE);
    assert!(read.len() >= 8 && read.contains("streamed_again") && read.contains("gen_ai.usage.output_tokens"), "{read:?}");
    assert!(read.is_subset(&measured), "{:?} are never written", read.difference(&measured));
    let tree = tree();
    let globals = &tree["Globals"]["Function"];
    let namespace = &globals["Environment"]["Variables"]["LONGHAND_METRICS_NAMESPACE"];
    assert_eq!(namespace.as_str(), Some("AWS::StackName"), "alarms and dashboard look there");
    assert_eq!(
        globals["LoggingConfig"]["ApplicationLogLevel"].as_str(),
        Some("TRACE"),
        "Lambda would drop lines that are measured"
    );
}

#[test]
fn metrics_are_documented() {
    let (_, table) = DOCUMENTED.split_once("| metric | unit |").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let documented: BTreeSet<_> = rows.map(|(name, rest)| (name, rest.split(" | ").take(2).collect())).collect();
    let of = |line: &Measured| line.line.strip_prefix("longhand.").unwrap();
    let measured = MEASURED.iter().flat_map(|line| line.metrics.iter().map(move |(name, unit)| (*name, vec![*unit, of(line)])));
    assert_eq!(documented, measured.collect());
}

#[test]
fn access_log_names_the_caller() {
    let tree = tree();
    let format = tree["Resources"]["Api"]["Properties"]["AccessLogSetting"]["Format"].as_str().unwrap();
    let line: serde_json::Value = serde_json::from_str(format).unwrap();
    for name in ["organization", "key"] {
        assert_eq!(line[name], format!("$context.authorizer.{name}"));
    }
}

/// API Gateway's metric of latency does not tell streams from other requests, so the dashboard asks the access log, by route.
#[test]
fn dashboard_asks_the_access_log() {
    let tree = tree();
    let body = tree["Resources"]["Dashboard"]["Properties"]["DashboardBody"].as_str().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    let [query] = widgets.iter().filter(|widget| widget["type"] == "log").collect::<Vec<_>>()[..] else { panic!("one query") };
    let query = query["properties"]["query"].as_str().unwrap();
    let group = tree["Resources"]["AccessLogs"]["Properties"]["LogGroupName"].as_str().unwrap();
    let (source, asked) = query.split_once(" | ").unwrap();
    assert_eq!(source, format!("SOURCE '{group}'"));
    let format = tree["Resources"]["Api"]["Properties"]["AccessLogSetting"]["Format"].as_str().unwrap();
    let line: serde_json::Value = serde_json::from_str(format).unwrap();
    let aggregated = asked.split("pct(").skip(1).map(|rest| rest.split(',').next().unwrap());
    let grouped = asked.split(" by ").nth(1).unwrap().split(" | ").next().unwrap().split(", ");
    let fields: BTreeSet<&str> = aggregated.chain(grouped).collect();
    assert_eq!(fields, ["first_byte_ms", "latency_ms", "method", "route"].into());
    assert!(fields.iter().all(|field| line[field].is_string()), "{line}");
    assert!(!body.to_string().contains("\"Latency\""), "it includes streams");
}

/// The alarm divides by a parameter: Lambda has no metric of the account's limit.
#[test]
fn concurrency_alarm_is_for_the_whole_account() {
    let tree = tree();
    let alarm = &tree["Resources"]["ConcurrencyAlarm"]["Properties"];
    let metric = &alarm["Metrics"][1]["MetricStat"]["Metric"];
    assert_eq!((metric["MetricName"].as_str(), metric.get("Dimensions")), (Some("ConcurrentExecutions"), None));
    assert_eq!(alarm["Metrics"][0]["Expression"].as_str(), Some("100 * executions / ${AccountConcurrency}"));
    assert_eq!(tree["Parameters"]["AccountConcurrency"]["Default"].as_u64(), Some(1_000));
}

#[test]
fn functions_have_log_groups() {
    let tree = tree();
    for function in hosted().functions {
        let group =
            tree["Resources"][function.id.as_str()]["Properties"]["LoggingConfig"]["LogGroup"].as_str().unwrap().to_owned();
        let name = tree["Resources"][group.as_str()]["Properties"]["LogGroupName"].as_str().unwrap();
        assert_eq!(name, format!("/aws/lambda/${{AWS::StackName}}-{}", function.handler));
    }
}

#[test]
fn stored_data_is_encrypted() {
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
            // The text of current generations, for a day, has the key that AWS owns: each connection would ask for another.
            assert_eq!(uses_key(resource), id != "BufferTable", "{id}");
        }
    }
    assert_eq!(tree["Resources"]["Key"]["Properties"]["EnableKeyRotation"].as_bool(), Some(true));
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        let mut policies = role_of(&tree, function)["ManagedPolicyArns"].as_sequence().unwrap().iter();
        assert!(policies.any(|policy| policy.as_str() == Some("KeyUse")), "{id} cannot read what is encrypted");
    }
}
