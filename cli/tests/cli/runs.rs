//! `longhand runs` and `longhand pipelines run`, with the recorded agents as the provider.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use longhand_local::Agents;
use longhand_tests::PATIENCE;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::arguments::longhand;
use crate::dev::Dev;

const PRICES: &str = r#"{"openai":{"gpt-5-mini":{"input":75000,"output":300000}}}"#;

fn file(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("infra/pipelines").join(name).display().to_string()
}

/// The lines of the table about a step, as words.
fn rows<'a>(output: &'a str, step: &str) -> Vec<Vec<&'a str>> {
    let words = output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.get(1) == Some(&step)).collect()
}

/// A stack with the training pipeline, whose agents break off as told.
struct Scene {
    folder: TempDir,
    agents: Agents,
    questionnaire: String,
    _dev: Dev,
}

impl Scene {
    async fn start(faults: &[(&str, u32)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let agents = Agents::start(0.0, faults).unwrap();
        let provider = ["--provider", "openai", "--base-url", agents.base_url()];
        let env = [("OPENAI_API_KEY", "k"), ("LONGHAND_PRICES", PRICES)];
        let (dev, _) = Dev::start(folder.path(), &provider, &env).await;
        let scene = Self { folder, agents, questionnaire: file("questionnaire.json"), _dev: dev };
        scene.good(&["pipelines", "publish", &file("edn360-training.yaml")]);
        scene
    }

    fn run(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let data = self.folder.path().to_str().unwrap();
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--data", data]).collect();
        longhand(&arguments, input)
    }

    fn good(&self, arguments: &[&str]) -> String {
        let (code, output, message) = self.run(arguments, "");
        assert_eq!(code, 0, "{arguments:?}: {output}{message}");
        output
    }

    /// Starts a run and follows it, which must end with this code; its id, and what was printed.
    fn followed(&self, arguments: &[&str], expected: i32) -> (String, String) {
        let (code, output, said) = self.run(&[arguments, &["--follow"]].concat(), "");
        assert_eq!(code, expected, "{output}{said}");
        (said.lines().find_map(|line| line.strip_prefix("run ")).unwrap().to_owned(), output)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_an_input_are_told_one_a_line() {
    let scene = Scene::start(&[]).await;
    let start = ["runs", "start", "edn360-training", "--input", "-"];
    let wrong = json!({ "submission": { "user_id": "u", "responses": { "nombre_completo": "Ana", "peso": "0" } } }).to_string();
    let (code, output, said) = scene.run(&start, &wrong);
    assert!(code == 1 && said.contains("nothing was started"), "{code} {said}");
    let peso = output.lines().find(|line| line.starts_with("submission.responses.peso: ")).unwrap();
    assert!(peso.ends_with(r#"; expected: the weight in kilograms, a positive number as text: "78" or "78,5""#), "{peso}");
    assert_eq!(output.lines().count(), 6, "one for each: {output}");
    let (code, output, _) = scene.run(&start, r#"{"submission":{"user_id":"u"}}"#);
    assert_eq!(code, 1);
    let expected = "submission.responses: missing: the answers of the questionnaire; expected: an object";
    assert!(output.starts_with(expected), "{output}");
    let (_, output, _) = scene.run(&[&start[..], &["--json"]].concat(), r#"{"submission":{"user_id":"u"}}"#);
    let told: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(told["input_errors"]["errors"][0]["pointer"], "/submission/responses");
    assert_eq!(scene.good(&["runs", "list"]).lines().count(), 1, "nothing is stored");
    assert_ne!(scene.run(&["runs", "get", "run_00000000000000000000000000"], "").0, 0);
    assert_eq!(scene.run(&["runs", "start", "edn360-training", "--input-from", "plan=elsewhere"], "").0, 2);
    assert_eq!(scene.run(&start, "[]").0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_started_followed_repeated_and_reported() {
    // E5 breaks off once, and E7 until its tries are used up.
    let scene = Scene::start(&[("E5", 1), ("E7", 3)]).await;
    let start = ["runs", "start", "edn360-training", "--input", &scene.questionnaire];
    let start = [&start[..], &["--idempotency-key", "one", "--notify", "coach"]].concat();
    let (id, followed) = scene.followed(&start, 3);
    assert!(followed.starts_with("PHASE     STEP  STATE        TRY    TOKENS       COST\n"), "{followed}");
    let five = rows(&followed, "E5");
    let states: Vec<(&str, &str)> = five.iter().map(|words| (words[2], words[3])).collect();
    assert_eq!(states, [("running", "1/3"), ("retried", "1/3"), ("running", "2/3"), ("completed", "2/3")], "{followed}");
    let completed = five.last().unwrap();
    assert!(completed[4].parse::<u64>().unwrap() > 0 && completed[5].starts_with("$0.00"), "{followed}");
    assert_eq!(rows(&followed, "E7").last().unwrap()[2..4], ["failed", "3/3"], "{followed}");
    assert!(rows(&followed, "E8").is_empty());
    assert!(followed.lines().last().unwrap().starts_with("failed (step_failed): 6 of 9 steps, "), "{followed}");
    assert_eq!(scene.good(&start).trim(), id, "the same key is the same run");
    assert!(scene.good(&["token", &id, "--expires-in", "60"]).starts_with("lht_"));
    let got = scene.good(&["runs", "get", &id]);
    assert!(got.contains("edn360-training@1") && got.contains("step_failed") && got.contains("6 of 9"), "{got}");
    // What has ended is told once more, with the same code.
    let (code, again, _) = scene.run(&["runs", "tail", &id], "");
    assert_eq!((code, again.as_str()), (3, followed.as_str()));

    let (second, followed) = scene.followed(&["runs", "redrive", &id], 0);
    assert!(rows(&followed, "E6").is_empty() && rows(&followed, "E7").len() == 2, "{followed}");
    assert!(followed.contains("completed: 9 of 9 steps, "), "{followed}");
    let asked = scene.agents.told().iter().filter(|told| told.agent == "E1").count();
    assert_eq!(asked, 1, "what was completed is not asked for again");
    let (third, followed) = scene.followed(&["runs", "redrive", &second, "--from", "E9", "--latest"], 0);
    assert!(rows(&followed, "E8").is_empty() && rows(&followed, "E9").len() == 2, "{followed}");

    let output = scene.folder.path().join("report.json");
    scene.good(&["runs", "report", &second, "--output", output.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&fs::read(&output).unwrap()).unwrap();
    assert_eq!((&report["is_coherent"], &report["run"]["redrive_of"]), (&json!(true), &json!(id)));
    let printed: Value = serde_json::from_str(&scene.good(&["runs", "report", &id])).unwrap();
    assert_eq!((&printed["is_coherent"], &printed["run"]["id"]), (&json!(false), &json!(id)));
    let listed = scene.good(&["runs", "list", "--pipeline", "edn360-training", "--status", "completed"]);
    assert!(listed.contains(&second) && listed.contains(&third) && !listed.contains(&id), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_taken_from_earlier_results_and_a_run_is_cancelled() {
    let scene = Scene::start(&[]).await;
    let start = ["runs", "start", "edn360-training@1", "--input", &scene.questionnaire];
    let (first, _) = scene.followed(&start, 0);
    // The plan before this one, by the run, and by the subject that it became a version of.
    let from = format!("previous_plan={first}:result");
    let (second, lines) = scene.followed(&[&start[..], &["--input-from", &from, "--json"]].concat(), 0);
    let types: Vec<Value> = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].take()).collect();
    assert_eq!(types.last(), Some(&json!("completed")), "{lines}");
    let subject = "previous_plan=subject:training-plan:cliente-0042@1";
    let (third, _) = scene.followed(&[&start[..], &["--input-from", subject]].concat(), 0);
    let wrong = format!("previous_plan={first}:result.nothing");
    let (code, _, refused) = scene.run(&[&start[..], &["--input-from", &wrong]].concat(), "");
    assert!(code == 1 && refused.contains("/input_from/previous_plan"), "{refused}");
    for id in [&second, &third] {
        assert!(scene.good(&["runs", "get", id]).contains("training-plan:cliente-0042"));
    }
    let id = scene.good(&start);
    scene.good(&["runs", "cancel", id.trim()]);
    let (code, output, _) = scene.run(&["runs", "tail", id.trim()], "");
    assert!(code == 3 && output.contains("the run is being cancelled\n"), "{code} {output}");
    assert!(output.lines().last().unwrap().starts_with("cancelled: "), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_run_on_a_stack_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let path = report.to_str().unwrap();
    let (training, questionnaire) = (file("edn360-training.yaml"), file("questionnaire.json"));
    let run = |more: &[&str]| longhand(&[&["pipelines", "run"], more].concat(), "");
    let (code, output, said) = run(&[&training, "--input", &questionnaire, "--report", path, "--recorded"]);
    assert_eq!(code, 0, "{output}{said}");
    assert!(said.contains("published edn360-training@1\n"), "{said}");
    for step in ["E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9"] {
        assert_eq!(rows(&output, step).iter().map(|words| words[2]).collect::<Vec<_>>(), ["running", "completed"], "{output}");
    }
    assert!(output.contains("ok   The plan was audited.\n") && output.contains("completed: 9 of 9 steps, "), "{output}");
    let told: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!((&told["is_coherent"], &told["run"]["status"]), (&json!(true), &json!("completed")));
    assert_eq!((told["steps"].as_array().unwrap().len(), told["run"]["checks"].as_array().unwrap().len()), (9, 5));
    assert!(told["run"]["result"]["formatted_plan"] != Value::Null && told["run"]["cost"].as_u64() > Some(0), "{told}");

    // The whole, with the pipelines that it uses, found beside it.
    let (code, output, said) = run(&[&file("edn360-full.yaml"), "--input", &questionnaire, "--recorded"]);
    assert_eq!(code, 0, "{output}{said}");
    assert!(said.contains("published edn360-full@1\n") && output.contains("completed: 18 of 18 steps, "), "{output}{said}");

    // A result that is there, and is not coherent.
    let wrong = folder.path().join("wrong.yaml");
    let text = fs::read_to_string(&training).unwrap();
    let text = text.replace("expression: result.audit,", "expression: not result.audit,");
    fs::write(&wrong, text).unwrap();
    let wrong = wrong.to_str().unwrap();
    let (code, output, said) = run(&[wrong, "--input", &questionnaire, "--report", path, "--recorded"]);
    assert!(code == 3 && output.contains("not  The plan was audited.\n") && said.contains("is not coherent"), "{output}{said}");
    // By a provider that has a name; a document and an input that are refused.
    let agents = Agents::start(0.0, &[]).unwrap();
    let by_name = ["--provider", "openai", "--base-url", agents.base_url()];
    let (code, _, said) = run(&[&[training.as_str(), "--input", &questionnaire], &by_name[..]].concat());
    assert!(code == 1 && said.contains("/steps/0/model: step E1: must have a price"), "{said}");
    fs::write(wrong, fs::read_to_string(&training).unwrap().replace(", max_cost: 2000000", "")).unwrap();
    let (code, output, said) = run(&[&[wrong, "--input", &questionnaire], &by_name[..]].concat());
    assert!(code == 0 && agents.told().len() == 9, "{output}{said}");
    let sample = folder.path().join("sample.json");
    fs::write(&sample, r#"{"submission":{"user_id":"u"}}"#).unwrap();
    let (code, output, _) = run(&[&training, "--input", sample.to_str().unwrap(), "--recorded"]);
    assert!(code == 1 && output.starts_with("submission.responses: missing"), "{output}");
    assert_eq!(run(&["absent.yaml", "--input", &questionnaire, "--recorded"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_comes_back_to_a_stack_that_was_killed_and_tells_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let agents = Agents::start(400.0, &[]).unwrap();
    let provider = ["--provider", "openai", "--base-url", agents.base_url()];
    let env = [("OPENAI_API_KEY", "k"), ("LONGHAND_PRICES", PRICES), ("LONGHAND_LEASE_SECONDS", "1")];
    let (dev, _) = Dev::start(folder.path(), &provider, &env).await;
    assert_eq!(longhand(&["pipelines", "publish", &file("edn360-training.yaml"), "--data", &data], "").0, 0);
    let following = std::thread::spawn(move || {
        let questionnaire = file("questionnaire.json");
        longhand(&["runs", "start", "edn360-training", "--input", &questionnaire, "--follow", "--data", &data], "")
    });
    let began = Instant::now();
    while !agents.told().iter().any(|told| told.agent == "E3") {
        assert!(began.elapsed() < PATIENCE, "{:?}", agents.told());
        sleep(Duration::from_millis(10)).await;
    }
    drop(dev);
    let (_dev, _) = Dev::start(folder.path(), &provider, &env).await;
    let (code, output, said) = tokio::task::spawn_blocking(|| following.join().unwrap()).await.unwrap();
    assert_eq!(code, 0, "{output}{said}");
    assert!(said.contains("; coming back\n"), "{said}");
    for step in ["E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9"] {
        let rows = rows(&output, step);
        let completed = rows.iter().filter(|words| words[2] == "completed").count();
        let started = rows.iter().filter(|words| words[2] == "running").map(|words| words[3]).collect::<Vec<_>>();
        assert!(completed == 1 && started.is_sorted() && started.len() == rows.len() / 2, "{step}: {output}");
    }
    assert!(output.lines().last().unwrap().starts_with("completed: 9 of 9 steps, "), "{output}");
}
