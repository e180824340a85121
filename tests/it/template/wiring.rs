//! The wiring of the template: handlers, routes, triggers, schedules, and stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use longhand_functions::Function;
use longhand_functions::http::{ROUTES, Route};
use longhand_local::{Options, Registry, Script, TEMPLATE};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment, start_stack};
use serde_json::{Value, json};

use super::{hosted, resources, tree, values_after};

#[test]
fn functions_match_handlers() {
    let template = hosted();
    let mut asked: Vec<&str> = template.functions.iter().map(|function| function.handler.as_str()).collect();
    let mut known: Vec<&str> = longhand_functions::handlers().collect();
    asked.sort_unstable();
    known.sort_unstable();
    assert_eq!(asked, known);
}

#[test]
fn functions_share_one_binary() {
    let tree = tree();
    let functions = resources(&tree, "AWS::Serverless::Function");
    assert!(functions.len() >= 6);
    for (id, function) in functions {
        assert_eq!(function["Metadata"]["BuildProperties"]["Binary"], "bootstrap", "{id}");
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda", "{id}");
        assert!(function["Properties"].get("CodeUri").is_none(), "{id} would be built once more");
    }
}

#[test]
fn routes_match_routers() {
    let functions = hosted().functions;
    let mut events: Vec<(&str, &str, &str)> = Vec::new();
    for function in &functions {
        events.extend(function.routes.iter().map(|event| (&*function.handler, &*event.method, &*event.path)));
    }
    let is = |route: &Route, (function, method, path): (&str, &str, &str)| {
        route.function == function && route.path == path && (method == "ANY" || route.method == method)
    };
    for route in ROUTES {
        assert!(events.iter().any(|event| is(route, *event)), "the template does not lead to {route:?}");
    }
    for event in events {
        assert!(ROUTES.iter().any(|route| is(route, event)), "no function serves {event:?}");
    }
}

/// API Gateway refuses a resource with a variable beside another one of another name.
#[test]
fn siblings_among_resources_have_one_variable() {
    let functions = hosted().functions;
    let mut variables = BTreeMap::new();
    for route in functions.iter().flat_map(|function| &function.routes) {
        for (at, _) in route.path.match_indices("/{") {
            let variable = route.path[at + 1..].split('/').next().unwrap();
            let known = variables.entry(&route.path[..at]).or_insert(variable);
            assert_eq!(*known, variable, "{}", route.path);
        }
    }
}

/// `None`: the default. The cache of that one goes by the header, so a route for tokens in the query needs the other.
#[test]
fn authorizers_match_routes() {
    let template = hosted();
    let [Some("Keys"), Some("KeysAndQuery")] =
        [None, Some("KeysAndQuery")].map(|named| template.api.authorizer_of(named).unwrap())
    else {
        panic!("the template has other authorizers")
    };
    assert_eq!(template.api.authorizers["Keys"].header.as_deref(), Some("Authorization"));
    assert_eq!((&template.api.authorizers["KeysAndQuery"].header, template.api.authorizers.len()), (&None, 2));
    for route in template.functions.iter().flat_map(|function| &function.routes) {
        for row in ROUTES.iter().filter(|row| row.path == route.path && [row.method.as_str(), "ANY"].contains(&&*route.method)) {
            assert_eq!(route.is_public, row.scope.is_none(), "{row:?}");
            assert_eq!(route.authorizer.as_deref(), row.token_in_query.then_some("KeysAndQuery"), "{row:?}");
        }
    }
}

#[test]
fn streaming_routes_match() {
    let tree = tree();
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        let properties = &function["Properties"];
        let streams = properties["Environment"]["Variables"].get("LONGHAND_RESPONSE_STREAMING").is_some();
        let events = properties["Events"].as_mapping().into_iter().flatten().map(|(_, event)| event);
        for event in events.filter(|event| event["Type"] == "Api").map(|event| &event["Properties"]) {
            let mode = event.get("ResponseTransferMode").and_then(|mode| mode.as_str());
            assert_eq!(mode, streams.then_some("RESPONSE_STREAM"), "{id} {event:?}");
            let timeout = event.get("TimeoutInMillis").and_then(serde_norway::Value::as_u64);
            let whole = properties["Timeout"].as_u64().map(|seconds| seconds * 1_000);
            assert_eq!(timeout, whole.filter(|_| streams), "{id} {event:?}");
        }
    }
}

#[test]
fn bucket_cors_matches_api() {
    let tree = tree();
    let [(_, bucket)] = resources(&tree, "AWS::S3::Bucket")[..] else { panic!("one bucket") };
    let rule = &bucket["Properties"]["CorsConfiguration"][1]["CorsRules"][0];
    assert_eq!(rule["AllowedOrigins"][0].as_str(), Some("CorsOrigin"));
    assert_eq!(rule["AllowedMethods"][0].as_str(), Some("GET"));
}

/// The parameters that some variables are set by.
fn parameters_of<'a>(tree: &'a serde_norway::Value, variables: &'a serde_norway::Value) -> BTreeSet<&'a str> {
    let values = variables.as_mapping().into_iter().flatten().filter_map(|(_, value)| value.as_str());
    values.filter(|value| tree["Parameters"].get(value).is_some()).collect()
}

#[test]
fn changed_parameter_makes_new_version() {
    let tree = tree();
    let globals = &tree["Globals"]["Function"];
    let mut of_all = parameters_of(&tree, &globals["Environment"]["Variables"]);
    of_all.insert(globals["Architectures"][0].as_str().unwrap());
    let settings = tree["Resources"]["Settings"]["Properties"]["Content"][1].as_sequence().unwrap();
    assert_eq!(settings.iter().map(|setting| setting.as_str().unwrap()).collect::<BTreeSet<_>>(), of_all);
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        let described = function["Properties"]["VersionDescription"].as_str().unwrap();
        let own = parameters_of(&tree, &function["Properties"]["Environment"]["Variables"]);
        for named in own.into_iter().chain(["Settings.VersionNumber"]) {
            assert!(described.contains(&format!("${{{named}}}")), "{id}: {described}");
        }
    }
}

#[test]
fn changed_api_is_deployed() {
    let tree = tree();
    let api = &tree["Resources"]["Api"]["Properties"];
    let allowed: Vec<&str> = api["Cors"]["AllowOrigin"].as_sequence().unwrap().iter().filter_map(|part| part.as_str()).collect();
    assert_eq!(allowed, ["HasCors", "'${CorsOrigin}'", "AWS::NoValue"]);
    assert_eq!(api["AlwaysDeploy"].as_bool(), Some(true));
}

#[test]
fn indexes_match_code() {
    let asked: BTreeSet<&str> = longhand::aws::INDEXES.iter().map(|name| name.trim_start_matches("by_")).collect();
    assert_eq!(asked, values_after(TEMPLATE, "IndexName: by_"));
    assert_eq!(TEMPLATE.matches("IndexName: ").count(), asked.len());
}

#[test]
fn invoke_permissions_match() {
    let alias = format!(":{}", tree()["Globals"]["Function"]["AutoPublishAlias"].as_str().unwrap());
    for function in hosted().functions {
        assert!(function.environment["LONGHAND_STREAM_FUNCTION"].ends_with(&format!("-stream{alias}")));
    }
    let granted = TEMPLATE.matches(":function:${AWS::StackName}-stream").count();
    assert!(granted >= 3);
    assert_eq!(TEMPLATE.matches(&format!(":function:${{AWS::StackName}}-stream{alias}\"")).count(), granted);
}

/// Lambda's guard against functions that invoke themselves would end a chain of hand-overs: only `stream` invokes itself.
#[test]
fn only_stream_may_invoke_itself() {
    let tree = tree();
    for (id, function) in resources(&tree, "AWS::Serverless::Function") {
        let allowed = function["Properties"].get("RecursiveLoop").and_then(serde_norway::Value::as_str);
        assert_eq!(allowed, (id == "StreamFunction").then_some("Allow"), "{id}");
    }
}

/// The address that callers are told is the domain where there is one, and then the only one.
#[test]
fn domain_replaces_the_address() {
    let tree = tree();
    let url = &tree["Outputs"]["ApiUrl"]["Value"];
    assert_eq!((url[0].as_str(), url[1].as_str()), (Some("HasDomain"), Some("https://${DomainName}")));
    let own = &tree["Resources"]["Api"]["Properties"]["DisableExecuteApiEndpoint"];
    assert_eq!((own[0].as_str(), own[1].as_bool(), own[2].as_bool()), (Some("HasDomain"), Some(true), Some(false)));
    for id in ["Domain", "DomainOfApi"] {
        assert_eq!(tree["Resources"][id]["Condition"].as_str(), Some("HasDomain"), "{id}");
    }
}

#[test]
fn sweep_schedule_fits_pending_max() {
    let template = hosted();
    let sweep = template.functions.iter().find(|function| function.handler == "sweep").unwrap();
    let [schedule] = sweep.schedules.as_slice() else { panic!("one schedule") };
    assert!(schedule.rate.0 <= longhand::limits::PENDING_MAX);
    let invoke = &sweep.async_invoke;
    assert!(invoke.retries == 0 && invoke.age_max <= schedule.rate.0, "sweeps pile up");
}

/// Streams and compactions that are noted, and not done.
fn noting(compactions: &Arc<Mutex<Vec<Value>>>) -> Registry {
    let compactions = compactions.clone();
    Arc::new(move |handler, app| {
        let compactions = compactions.clone();
        match handler {
            "compact" => Some(Function::Event(Arc::new(move |event| {
                let records = event.payload["Records"].as_array().cloned().unwrap_or_default();
                compactions.lock().unwrap().extend(records);
                futures::future::ready(Ok(json!({ "batchItemFailures": [] }))).boxed()
            }))),
            _ => longhand_functions::function(handler, app),
        }
    })
}

#[tokio::test]
async fn stream_filter_passes_terminal_chunks() {
    let playback = play(Script::new(["Ho", "la"])).unwrap();
    let compactions = Arc::default();
    // Everything unwatched goes into several chunks.
    let env = environment(playback.base_url(), &[("LONGHAND_UNWATCHED_WINDOW_MS", "1")]);
    let stack = start_stack(Options { env, ..Options::default() }, TEMPLATE, noting(&compactions)).await;
    let harness = Harness::over(stack);
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        ids.insert(harness.start_generation(json!({})).await);
    }
    let all_came = async {
        while compactions.lock().unwrap().len() < ids.len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(longhand_tests::PATIENCE, all_came).await.unwrap();
    let records: Vec<Value> = compactions.lock().unwrap().clone();
    let ended: BTreeSet<String> = records
        .iter()
        .map(|record| {
            assert_eq!(record["eventName"], "INSERT");
            assert_eq!(record["dynamodb"]["NewImage"]["end"]["S"], "completed", "{record}");
            let pk = record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap();
            pk.split_once('#').unwrap().1.to_owned()
        })
        .collect();
    assert_eq!((ended, records.len()), (ids, 3), "chunks and meta of three logs, and the end of each");
    harness.finish().await;
}
