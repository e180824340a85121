//! E.D.N.360's pipelines, played by their recorded agents: nine and eighteen steps.

use std::collections::BTreeMap;
use std::time::Instant;

use longhand_local::{Agents, Options};
use longhand_tests::{Harness, PATIENCE, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::PAUSE;

const TRAINING: &str = include_str!("../../../infra/pipelines/edn360-training.yaml");
const NUTRITION: &str = include_str!("../../../infra/pipelines/edn360-nutrition.yaml");
const FULL: &str = include_str!("../../../infra/pipelines/edn360-full.yaml");
const QUESTIONNAIRE: &str = include_str!("../../../infra/pipelines/questionnaire.json");
/// As the field states it, in micro-dollars per million tokens.
const PRICES: &str = r#"{"openai":{"gpt-5-mini":{"input":75000,"output":300000}}}"#;

/// A stack with the agents, and their pipelines. Each agent in `faults` breaks off so often before it answers.
async fn stack(faults: &[(&str, u32)]) -> (Harness, Agents) {
    let agents = Agents::start(0.0, faults).unwrap();
    let providers = json!({ "openai": { "base_url": agents.base_url() } }).to_string();
    let env = environment("", &[("LONGHAND_PROVIDERS", &providers), ("LONGHAND_PRICES", PRICES)]);
    let harness = Harness::with(Options { env, ..Options::default() }).await;
    for document in [TRAINING, NUTRITION, FULL] {
        let document: Value = serde_norway::from_str(document).unwrap();
        let path = format!("/v1/pipelines/{}", document["name"].as_str().unwrap());
        let put = harness.http.put(harness.url_of(&path)).json(&document);
        let (status, told) = harness.send(put.build().unwrap()).await;
        assert_eq!(status, StatusCode::CREATED, "{told}");
    }
    (harness, agents)
}

fn questionnaire() -> Value {
    serde_json::from_str(QUESTIONNAIRE).unwrap()
}

async fn post(harness: &Harness, path: &str, body: &Value) -> (StatusCode, Value) {
    let post = harness.http.post(harness.url_of(&format!("/v1/{path}"))).json(body);
    harness.send(post.build().unwrap()).await
}

async fn ended(harness: &Harness, id: &str) -> Value {
    let began = Instant::now();
    loop {
        let run = harness.get(&format!("runs/{id}")).await.1;
        if !run["ended_at"].is_null() {
            return run;
        }
        assert!(began.elapsed() < PATIENCE * 4, "{run}");
        sleep(PAUSE).await;
    }
}

/// How many requests each agent had.
fn requests(agents: &Agents) -> BTreeMap<String, usize> {
    let mut requests = BTreeMap::new();
    for told in agents.told() {
        *requests.entry(told.agent).or_default() += 1;
    }
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn eighteen_steps_cost_what_they_say() {
    let (harness, agents) = stack(&[("E5", 1)]).await;
    let (status, started) = post(&harness, "runs", &json!({ "pipeline": "edn360-full", "input": questionnaire() })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    let id = started["id"].as_str().unwrap();
    let events = harness.http.get(harness.url_of(&format!("/v1/runs/{id}/events"))).build().unwrap();
    let events = harness.execute(events).await.text().await.unwrap();
    let run = ended(&harness, id).await;
    assert_eq!(run["status"], "completed", "{run}");
    // Percentages never go back.
    let told =
        events.lines().filter_map(|line| line.strip_prefix("data: ")).map(|data| serde_json::from_str::<Value>(data).unwrap());
    let percentages: Vec<f64> = told.filter_map(|data| data["progress"]["percentage"].as_f64()).collect();
    assert!(percentages.is_sorted() && percentages.last() == Some(&100.0), "{percentages:?}");
    // Tokens are those that the provider told, by step and in total, and so is what they cost.
    let by_step = run["token_usage"]["by_step"].as_object().unwrap();
    assert_eq!(by_step.len(), 18);
    let (mut total, mut cost) = (0, 0);
    for (step, usage) in by_step {
        let of_step: Vec<_> = agents.told().into_iter().filter(|told| told.agent == *step && !told.is_broken).collect();
        assert_eq!(of_step.len(), 1, "{step}");
        if step != "E5" {
            // An answer that broke off told no tokens: what it had is estimated.
            assert_eq!(usage["prompt_tokens"], of_step[0].usage.prompt_tokens, "{step}");
            assert_eq!(usage["completion_tokens"], of_step[0].usage.completion_tokens, "{step}");
            let (input, output) = (of_step[0].usage.prompt_tokens, of_step[0].usage.completion_tokens);
            assert_eq!(usage["cost"], (input * 75_000 + output * 300_000).div_ceil(1_000_000), "{step}");
        }
        total += usage["total_tokens"].as_u64().unwrap();
        cost += usage["cost"].as_u64().unwrap();
    }
    assert_eq!((&run["token_usage"]["total_tokens"], &run["cost"]), (&json!(total), &json!(cost)));
    assert_eq!(run["result"]["training"].as_object().unwrap().len(), 6);
    assert!(run["result"]["nutrition"]["menus"]["menus"].as_array().is_some_and(|menus| menus.len() == 3));
    let report = harness.get(&format!("runs/{id}/report")).await.1;
    assert_eq!((&report["is_coherent"], report["steps"].as_array().unwrap().len()), (&json!(true), 18));
    let in_order: Vec<String> = agents.told().into_iter().filter(|told| !told.is_broken).map(|told| told.agent).collect();
    let listed: Vec<&str> = report["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
    assert_eq!(in_order, listed, "one after the other");
    assert_eq!((agents.told().len(), requests(&agents)["E5"]), (19, 2));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_that_fails_for_ever_is_redriven_alone() {
    let (harness, agents) = stack(&[("E5", 3)]).await;
    let (_, started) = post(&harness, "runs", &json!({ "pipeline": "edn360-training", "input": questionnaire() })).await;
    let id = started["id"].as_str().unwrap();
    let run = ended(&harness, id).await;
    assert_eq!(
        (&run["status"], &run["reason"], &run["error"]["step"]),
        (&json!("failed"), &json!("step_failed"), &json!("E5")),
        "{run}"
    );
    assert!(run["error"]["message"].as_str().unwrap().starts_with("E5 failed: interrupted: "), "{run}");
    let (status, again) = post(&harness, &format!("runs/{id}/redrive"), &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{again}");
    let again = ended(&harness, again["id"].as_str().unwrap()).await;
    assert_eq!(again["status"], "completed", "{again}");
    let expected = [("E1", 1), ("E2", 1), ("E3", 1), ("E4", 1), ("E5", 4), ("E6", 1), ("E7", 1), ("E8", 1), ("E9", 1)];
    assert_eq!(requests(&agents), expected.map(|(agent, count)| (agent.to_owned(), count)).into());
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coach_is_told_what_is_missing() {
    let (harness, agents) = stack(&[]).await;
    let input = json!({ "submission": { "user_id": "u1" } });
    let (status, problem) = post(&harness, "runs", &json!({ "pipeline": "edn360-full", "input": input })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("missing: the answers of the questionnaire"), "{problem}");
    let mut input = questionnaire();
    for (name, wrong) in [
        ("peso", json!("0")),
        ("altura_cm", json!("-1")),
        ("sexo", json!("otro")),
        ("email", json!("nobody")),
        ("fecha_nacimiento", json!("31.12.1990")),
        ("nombre_completo", json!("")),
        ("objetivo_fisico", json!(7)),
    ] {
        input["submission"]["responses"][name] = wrong;
    }
    let (status, problem) = post(&harness, "runs", &json!({ "pipeline": "edn360-full", "input": input })).await;
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!((status, errors.len()), (StatusCode::UNPROCESSABLE_ENTITY, 7), "{problem}");
    assert!(
        errors
            .iter()
            .all(|error| error["path"].as_str().unwrap().starts_with("submission.responses.") && error["expected"] != "")
    );
    assert_eq!(
        (agents.told().len(), &harness.get("runs").await.1["data"]),
        (0, &json!([])),
        "nothing is stored, nothing is paid"
    );
    harness.finish().await;
}
