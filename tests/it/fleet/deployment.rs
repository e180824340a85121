//! `infra/fleet` matches the code and the template: what its roles allow, what its tasks are told, and how long they may take to end.

use std::collections::{BTreeMap, BTreeSet};

use longhand::Config;
use longhand::fleet::Visibility;
use serde::Deserialize as _;
use serde_norway::Value;

use crate::template::tree;

const FARGATE: &str = include_str!("../../../infra/fleet/fargate.yaml");
const KUBERNETES: &str = include_str!("../../../infra/fleet/kubernetes.yaml");

fn fargate() -> Value {
    serde_norway::from_str(FARGATE).unwrap()
}

/// The actions that a role's own policy `calls` allows, with the service of each resource.
fn actions(tree: &Value, role: &str) -> BTreeSet<String> {
    let policies = tree["Resources"][role]["Properties"]["Policies"].as_sequence().unwrap();
    let calls = policies.iter().find(|policy| policy["PolicyName"] == "calls").unwrap();
    let statements = calls["PolicyDocument"]["Statement"].as_sequence().unwrap().iter();
    let allowed = statements.filter(|statement| statement["Effect"] == "Allow");
    let of_statement = |statement: &Value| match &statement["Action"] {
        Value::String(action) => vec![action.clone()],
        actions => actions.as_sequence().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect(),
    };
    allowed.flat_map(of_statement).collect()
}

#[test]
fn tasks_may_do_what_the_functions_in_their_place_may_and_use_the_queue() {
    let (template, fleet) = (tree(), fargate());
    let send = "sqs:SendMessage";
    for (role, functions, own) in [
        ("ServerRole", &["StartRole", "TailRole", "ApiRole", "AuthorizeRole"][..], &[send][..]),
        ("WorkerRole", &["StreamRole"], &[send, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]),
    ] {
        let mut expected: BTreeSet<String> = functions.iter().flat_map(|function| actions(&template, function)).collect();
        if role == "WorkerRole" {
            // It sends the next attempt to the queue.
            assert!(expected.remove("lambda:InvokeFunction"));
        }
        expected.extend(own.iter().map(|action| (*action).to_owned()));
        assert_eq!(actions(&fleet, role), expected, "{role}");
    }
}

/// The names of the variables of a task.
fn variables(task: &str) -> BTreeSet<String> {
    let tree = fargate();
    let container = tree["Resources"][task]["Properties"]["ContainerDefinitions"][0].clone();
    container["Environment"].as_sequence().unwrap().iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tasks_and_pods_are_told_what_they_need() {
    let documents: Vec<Value> =
        serde_norway::Deserializer::from_str(KUBERNETES).map(|one| Value::deserialize(one).unwrap()).collect();
    let settings = documents.iter().find(|one| one["kind"] == "ConfigMap").unwrap()["data"].as_mapping().unwrap();
    let pods: BTreeSet<String> = settings.keys().map(|name| name.as_str().unwrap().to_owned()).collect();
    for (place, names) in [("server", variables("ServerTask")), ("worker", variables("WorkerTask")), ("pods", pods)] {
        for needed in [
            "LONGHAND_BUFFER_TABLE",
            "LONGHAND_RECORDS_TABLE",
            "LONGHAND_BUCKET",
            "LONGHAND_STREAM_QUEUE",
            "LONGHAND_PROVIDERS",
            "AWS_REGION",
        ] {
            assert!(names.contains(needed), "{place}: {needed}");
        }
        let of_functions = crate::documents::configuration::read_by_functions();
        assert!(names.is_subset(&of_functions), "{place}: {names:?}");
    }
    for needed in ["LONGHAND_TOKEN_SECRET", "LONGHAND_WEBHOOK_SECRET", "LONGHAND_DELIVER_FUNCTION"] {
        assert!(variables("ServerTask").contains(needed), "{needed}");
    }
}

#[test]
fn queue_hides_messages_as_workers_do() {
    let bare = |name: &str| ["TABLE", "BUCKET"].iter().any(|end| name.ends_with(end)).then(|| "x".to_owned());
    let lease = Config::from_vars(&bare).unwrap().lease;
    let jobs = fargate()["Resources"]["Jobs"]["Properties"].clone();
    assert_eq!(jobs["VisibilityTimeout"].as_u64(), Some(Visibility::of_lease(lease).hidden.as_secs()));
    assert_eq!(jobs["RedrivePolicy"]["maxReceiveCount"], 5);
}

/// Parameters are given by the outputs of the stack.
#[test]
fn parameters_that_are_outputs_exist() {
    let (template, fleet) = (tree(), fargate());
    let outputs: BTreeMap<&str, &Value> =
        template["Outputs"].as_mapping().unwrap().iter().map(|(name, output)| (name.as_str().unwrap(), output)).collect();
    let mut checked = 0;
    for (name, parameter) in fleet["Parameters"].as_mapping().unwrap() {
        let told = parameter["Description"].as_str().unwrap();
        let Some((_, output)) = told.split_once("The stack's output ") else { continue };
        let output = output.split([',', ' ']).next().unwrap();
        assert!(outputs.contains_key(output), "{name:?}: {output}");
        checked += 1;
    }
    assert_eq!(checked, 8);
}
