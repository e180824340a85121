//! `longhand cost`: bills that add up, prices that can be replaced, and quantities from the template.

use std::collections::BTreeMap;

use longhand_cli::Deployed;
use longhand_local::TEMPLATE;
use serde_json::Value;

use crate::arguments::longhand;

const GENERATION: [&str; 5] = ["cost", "--tokens", "3000", "--seconds", "60"];

fn cost(more: &[&str]) -> Value {
    let arguments: Vec<&str> = GENERATION.iter().chain(more).copied().chain(["--json"]).collect();
    let (code, stdout, stderr) = longhand(&arguments, "");
    assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
    serde_json::from_str(&stdout).unwrap()
}

/// Dollars by item.
fn items(bill: &Value) -> BTreeMap<String, f64> {
    let items = bill["items"].as_array().unwrap().iter();
    items.map(|item| (item["name"].as_str().unwrap().to_owned(), item["dollars"].as_f64().unwrap())).collect()
}

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
}

#[test]
fn a_bill_is_the_sum_of_its_items_each_by_its_own_price() {
    let (_, list, _) = longhand(&["cost", "--list-prices", "--json"], "");
    let list: Value = serde_json::from_str(&list).unwrap();
    let price = |name: &Value| list["data"].as_array().unwrap().iter().find(|price| price["name"] == *name).unwrap();
    let cost = cost(&["--watched", "40%", "--readers", "3", "--request-bytes", "20000"]);
    for bill in [&cost["generation"], &cost["stack_month"]] {
        let mut sum = 0.0;
        for item in bill["items"].as_array().unwrap() {
            let (price, dollars) = (price(&item["price"]), item["dollars"].as_f64().unwrap());
            let each = price["dollars"].as_f64().unwrap() / price["per"].as_f64().unwrap();
            assert!(near(item["quantity"].as_f64().unwrap() * each, dollars), "{item}");
            assert_eq!(item["is_assumed"], price["is_assumed"]);
            sum += dollars;
        }
        assert!(near(sum, bill["dollars"].as_f64().unwrap()) && sum > 0.0, "{bill}");
    }
}

/// What docs/cost.md says of the three cases, and its bounds.
#[test]
fn generation_stays_within_its_bound() {
    for (arguments, most) in [
        ("--tokens 3000 --seconds 60 --watched 0", 165e-6),
        ("--tokens 64000 --seconds 600 --watched 0", 1_300e-6),
        ("--tokens 3000 --seconds 60 --watched 1", 600e-6),
        ("--tokens 3000 --seconds 60 --riders 8", 65e-6),
        ("--tokens 3000 --seconds 60 --riders 8 --batch 40", 66.5e-6),
    ] {
        let arguments: Vec<&str> = ["cost", "--json"].into_iter().chain(arguments.split(' ')).collect();
        let (_, stdout, _) = longhand(&arguments, "");
        let bill: Value = serde_json::from_str(&stdout).unwrap();
        let dollars = bill["generation"]["dollars"].as_f64().unwrap();
        assert!(dollars <= most && dollars > 0.95 * most, "{arguments:?}: {dollars}, bound {most}");
    }
}

#[test]
fn a_price_that_is_given_replaces_the_lists_and_no_other() {
    let (list, own) = (cost(&[]), cost(&["--price", "dynamodb-write=1.25", "--price", "traces=0"]));
    let (list, own) = (items(&list["generation"]), items(&own["generation"]));
    for (item, dollars) in &list {
        let expected = match item.as_str() {
            "DynamoDB writes" | "Statistics, writes" => dollars * 2.0,
            "X-Ray" => 0.0,
            _ => *dollars,
        };
        assert!(near(own[item], expected), "{item}: {} and not {expected}", own[item]);
    }
}

#[test]
fn what_is_asked_for_is_what_is_reckoned() {
    let plain = cost(&[]);
    let of = |more: &[&str], item: &str| items(&cost(more)["generation"])[item];
    let item = |item: &str| items(&plain["generation"])[item];
    assert!(near(of(&["--memory", "512"], "Lambda stream"), 4.0 * item("Lambda stream")));
    assert!(of(&["--arch", "x86_64"], "Lambda stream") > 1.2 * item("Lambda stream"));
    assert!(item("Lambda tail") == 0.0 && of(&["--watched", "1"], "Lambda tail") > 0.0);
    assert!(
        of(&["--watched", "1"], "DynamoDB writes") > 10.0 * item("DynamoDB writes"),
        "6 chunks a second, and not one in three or four seconds"
    );
    let slower = of(&["--watched", "1", "--watched-window", "600"], "DynamoDB writes");
    assert!(slower < 0.35 * of(&["--watched", "1"], "DynamoDB writes"), "a quarter of the chunks");
    // Each function asks for the table's key, and `stream` for the provider's.
    assert!(near(of(&["--cold", "100%"], "KMS, for the records"), 6.0 * 3e-6));
    assert!(near(of(&["--cold", "100%"], "Secrets"), 5e-6));
    assert!(near(of(&["--cold", "100%"], "Lambda, initialization"), 100.0 * item("Lambda, initialization")));
    assert!(item("KMS, for the records") > 0.0 && item("KMS, for the records") < 1e-6);
    let statistics = |more: &[&str]| -> f64 {
        let items = items(&cost(more)["generation"]);
        items.iter().filter(|(name, _)| name.starts_with("Statistics")).map(|(_, dollars)| dollars).sum()
    };
    let (alone, together) = (statistics(&[]), statistics(&["--ended-together", "40"]));
    assert!(alone > 1e-6 && alone < 2e-6, "{alone}");
    assert!(together > 0.02e-6 && together < 0.07e-6, "hundredths of a micro-dollar: {together}");
    assert!(near(statistics(&["--ended-together", "1"]), alone));
    let (bare, with_subject) = (items(&plain["generation"]), items(&cost(&["--subject"])["generation"]));
    let added: f64 = with_subject.iter().filter(|(name, _)| !bare.contains_key(*name)).map(|(_, dollars)| dollars).sum();
    assert!(bare.iter().all(|(name, dollars)| near(with_subject[name], *dollars)), "a version adds, and changes nothing else");
    assert!(added > 5e-6 && added < 20e-6, "{added}");
    assert!(near(of(&["--kept-months", "24"], "S3 result"), 2.0 * item("S3 result")));
    assert!(of(&["--output-is-json"], "DynamoDB writes") > item("DynamoDB writes"));
    assert!(of(&["--deltas-per-second", "0.5"], "DynamoDB writes") < item("DynamoDB writes"));
    let month = &cost(&["--generations", "1000"])["month"];
    let generations = 1_000.0 * plain["generation"]["dollars"].as_f64().unwrap();
    assert!(near(month["dollars"].as_f64().unwrap(), generations));
    let stack = plain["stack_month"]["dollars"].as_f64().unwrap();
    assert!(near(month["total_dollars"].as_f64().unwrap(), generations + stack));
}

/// What docs/fleet.md says: the tasks of a full fleet cost a generation of a minute a few micro-dollars.
#[test]
fn fleet_is_billed_by_its_tasks_and_its_queue_and_not_by_functions() {
    let (lambda, fleet) = (cost(&["--watched", "1"]), cost(&["--watched", "1", "--fleet"]));
    let (of_lambda, of_fleet) = (items(&lambda["generation"]), items(&fleet["generation"]));
    for name in ["Lambda stream", "Lambda tail", "API Gateway"] {
        assert!(of_lambda[name] > 0.0 && !of_fleet.contains_key(name), "{name}");
    }
    for (name, dollars) in of_fleet.iter().filter(|(name, _)| name.starts_with("DynamoDB") || name.starts_with("S3")) {
        assert!(near(*dollars, of_lambda[name]), "{name} is the same");
    }
    let worker: f64 = of_fleet.iter().filter(|(name, _)| name.starts_with("Fargate worker")).map(|(_, dollars)| dollars).sum();
    assert!(near(worker, 61.0 * fleet["fleet_hour"]["worker_dollars"].as_f64().unwrap() / 3_600.0 / 200.0), "{worker}");
    assert!((3.0e-6..4.0e-6).contains(&worker), "{worker}");
    let of_fifty = items(&cost(&["--watched", "1", "--fleet", "--at-once", "50"])["generation"]);
    assert!(near(of_fifty["Fargate worker, processors"], 4.0 * of_fleet["Fargate worker, processors"]));
    let total = |bill: &Value| bill["generation"]["dollars"].as_f64().unwrap();
    println!("of one watched minute: {:.7} on Lambda, {:.7} in a fleet", total(&lambda), total(&fleet));
    let (plain, unwatched) = (cost(&[]), cost(&["--fleet"]));
    println!("of one unwatched minute: {:.7} on Lambda, {:.7} in a fleet", total(&plain), total(&unwatched));
    assert!(total(&fleet) < total(&lambda) && total(&unwatched) < total(&plain));
    // Two workers, two servers and the load balancer, against what the workers' share is part of.
    let month = |bill: &Value| bill["stack_month"]["dollars"].as_f64().unwrap();
    let hour = |task: &str| fleet["fleet_hour"][task].as_f64().unwrap();
    let fixed = 730.0 * 2.0 * (hour("worker_dollars") + hour("server_dollars")) + month(&unwatched) - month(&plain);
    let pays_from = fixed / (total(&plain) - total(&unwatched) + worker);
    assert!((920_000.0..940_000.0).contains(&pays_from), "{pays_from}");
    assert!(fleet["stack_month"]["dollars"].as_f64() > lambda["stack_month"]["dollars"].as_f64(), "the load balancer");
    assert!(lambda["fleet_hour"].is_null());
}

#[test]
fn the_stack_that_is_paid_for_each_month_is_the_templates() {
    let bill = cost(&[])["stack_month"].clone();
    let quantity = |name: &str| {
        let item = bill["items"].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap();
        item["quantity"].as_f64().unwrap()
    };
    let resources = |kind: &str| f64::from(u32::try_from(TEMPLATE.matches(kind).count()).unwrap());
    assert!(near(quantity("Metrics from logs"), 7.0));
    assert!(near(quantity("KMS key"), resources("AWS::KMS::Key\n")));
    assert!(near(quantity("Secrets"), resources("AWS::SecretsManager::Secret\n") + 2.0), "its own, and two providers'");
    assert!(quantity("Alarms") >= resources("AWS::CloudWatch::Alarm\n"), "an alarm looks at one metric or more");
}

#[test]
fn people_are_told_the_total_the_month_and_how_it_compares_with_the_tokens() {
    let arguments: Vec<&str> =
        GENERATION.iter().copied().chain(["--generations", "1000", "--token-price", "10", "--watched", "0.5"]).collect();
    let (code, stdout, stderr) = longhand(&arguments, "");
    assert_eq!((code, stderr.as_str()), (0, ""));
    for words in [
        "watched by 1 for 30 s",
        "one generation",
        "the stack itself, a month",
        "keeping them adds",
        "1000 generations and the stack",
    ] {
        assert!(stdout.contains(words), "{words:?} is not in:\n{stdout}");
    }
}

#[test]
fn reformatted_template_gives_the_same_bill() {
    let template: serde_norway::Value = serde_norway::from_str(TEMPLATE).unwrap();
    let reformatted = serde_norway::to_string(&template).unwrap();
    assert!(!reformatted.contains("\n\nResources:") && !reformatted.contains("MetricStat: {"), "another layout");
    let (deployed, same) = (Deployed::read(TEMPLATE).unwrap(), Deployed::read(&reformatted).unwrap());
    assert_eq!(deployed, same);
    assert!(deployed.memory_mb("stream").unwrap() > 0 && deployed.alarm_metrics > 0);
}

#[test]
fn function_without_memory_is_an_error() {
    let mut template: serde_norway::Value = serde_norway::from_str(TEMPLATE).unwrap();
    template["Globals"]["Function"].as_mapping_mut().unwrap().remove("MemorySize").unwrap();
    let deployed = Deployed::read(&serde_norway::to_string(&template).unwrap()).unwrap();
    assert_eq!(deployed.memory_mb("sweep").unwrap(), 512, "it has a size of its own");
    let error = deployed.memory_mb("start").unwrap_err().to_string();
    assert_eq!(error, "the template sets no MemorySize for the function start");
    let error = deployed.memory_mb("unsettle").unwrap_err().to_string();
    assert_eq!(error, "the template has no function unsettle");
}
