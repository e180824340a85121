//! The three pipelines of E.D.N.360: they parse, and their agents read what they are to read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::context::{Context, Done, DoneStatus};

use super::document::*;

pub const TRAINING: &str = include_str!("../../../infra/pipelines/edn360-training.yaml");
pub const NUTRITION: &str = include_str!("../../../infra/pipelines/edn360-nutrition.yaml");
pub const FULL: &str = include_str!("../../../infra/pipelines/edn360-full.yaml");

pub fn published(name: &str) -> Option<Document> {
    let text = [("edn360-training", TRAINING), ("edn360-nutrition", NUTRITION)].into_iter().find(|(known, _)| *known == name)?.1;
    let mut document = Document::parse(text.as_bytes(), |_| None).unwrap();
    document.version = 3;
    Some(document)
}

#[test]
fn canonical_form_is_a_document_and_the_same() {
    for text in [TRAINING, NUTRITION, FULL] {
        let document = Document::parse(text.as_bytes(), published).unwrap();
        let canonical = document.canonical();
        assert_eq!(Document::parse(&canonical, |_| None).unwrap(), document);
        assert_eq!(Document::parse_json(&canonical, |_| None).unwrap().sha256(), document.sha256());
        assert_eq!(Document::from_canonical(&canonical).unwrap(), document);
    }
}

#[test]
fn parts_are_flattened() {
    let full = Document::parse(FULL.as_bytes(), published).unwrap();
    let ids: Vec<&str> = full.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9", "N0", "N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"]);
    for pair in full.steps.windows(2) {
        assert_eq!(pair[1].needs, [pair[0].id.clone()]);
    }
    assert_eq!(full.parts["edn360-training"].version, Some(3));
    assert_eq!(full.parts["edn360-nutrition"].with["bridge"], "steps.E9.output.bridge_for_nutrition");
    assert_eq!(full.result["training"]["sessions"], json!("steps.E5.output.sessions"));
    assert_eq!(full.result["nutrition"]["menus"], json!("steps.N6.output"));
    assert_eq!(full.step("N0").unwrap().place.ancestors, Vec::<String>::new());
    assert_eq!(full.step("N2").unwrap().place.ancestors, ["N0", "N1"]);
}

/// What each agent of E.D.N.360 reads, by the field's own orchestrator: the questionnaire (`Q`), the previous plans (`PT`, `PN`), and the
/// outputs of agents.
fn reads(agent: &str) -> BTreeSet<String> {
    let number: usize = agent[1..].parse().unwrap();
    let names: Vec<String> = match (&agent[..1], number) {
        ("E", 1) => vec!["Q".into(), "PT".into()],
        ("E", 2) => vec!["E1".into(), "Q".into()],
        ("E", 3) => vec!["E1".into(), "E2".into()],
        ("E", _) => (1..number).map(|before| format!("E{before}")).collect(),
        _ => ["Q", "PN", "E9"].map(str::to_owned).into_iter().chain((0..number).map(|before| format!("N{before}"))).collect(),
    };
    names.into_iter().collect()
}

/// The input, in which each text tells what it is.
fn marked() -> Value {
    let mut input: Value = serde_json::from_str(include_str!("../../../infra/pipelines/questionnaire.json")).unwrap();
    input["submission"]["responses"]["observaciones"] = json!("<Q>");
    input
}

fn ended(id: &str) -> Done {
    let mark = format!("<{id}>");
    let output = match id {
        "E9" => json!({ "bridge_for_nutrition": { "mark": mark } }),
        _ => json!({ "mark": mark }),
    };
    Done { status: DoneStatus::Completed, output }
}

#[test]
fn each_agent_reads_what_it_is_to_read_and_no_more() {
    let plans = json!({ "T": { "mark": "<PT>" }, "N": { "mark": "<PN>" } });
    let with = |fields: &[(&str, &Value)]| {
        let mut input = marked();
        input.as_object_mut().unwrap().extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())));
        input
    };
    let bridge = json!({ "mark": "<E9>" });
    for (document, input) in [
        (published("edn360-training").unwrap(), with(&[("previous_plan", &plans["T"])])),
        (published("edn360-nutrition").unwrap(), with(&[("previous_plan", &plans["N"]), ("bridge", &bridge)])),
        (
            Document::parse(FULL.as_bytes(), published).unwrap(),
            with(&[("previous_training_plan", &plans["T"]), ("previous_nutrition_plan", &plans["N"])]),
        ),
    ] {
        let input = document.check_input(input).unwrap();
        let mut context = Context { input, steps: BTreeMap::new() };
        for (index, step) in document.steps.iter().enumerate() {
            let above: Vec<String> = index.checked_sub(1).map(|above| document.steps[above].id.clone()).into_iter().collect();
            assert_eq!(step.needs, above, "{} comes after the one above it", step.id);
            let body = step.request(&context, None).unwrap();
            let prompt = body["prompt"].as_str().unwrap();
            let marks = prompt.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(mark, _)| mark.to_owned());
            assert_eq!(marks.collect::<BTreeSet<String>>(), reads(&step.id), "{}: {prompt}", step.id);
            let system =
                format!("You are agent {} ({}) of E.D.N.360. Answer with one JSON object and nothing else.", step.id, step.title);
            assert_eq!(body["instructions"], system.as_str());
            assert_eq!((&body["model"], &body["max_output_tokens"]), (&json!("gpt-5-mini"), &json!(16_000)));
            assert_eq!(body["timeout"], if step.id == "E5" { 480 } else { 300 });
            context.steps.insert(step.id.clone(), ended(&step.id));
        }
        assert_eq!(document.steps.len(), if document.parts.is_empty() { 9 } else { 18 });
        // Marks are no training plan: its checks say so.
        let fails = document.coherence(&context).iter().filter(|check| !check.ok).count();
        assert_eq!(fails, if document.step("E1").is_some() { 4 } else { 0 });
    }
}

#[test]
fn full_plan_is_coherent_and_has_its_subject() {
    let full = Document::parse(FULL.as_bytes(), published).unwrap();
    let input = full.check_input(marked()).unwrap();
    let mut context = Context { input, steps: BTreeMap::new() };
    for step in &full.steps {
        let required = step.output.as_ref().unwrap()["required"].as_array().cloned().unwrap_or_default();
        let fields = required.iter().map(|name| (name.as_str().unwrap().to_owned(), json!({ "of": step.id })));
        let output = fields.chain([("of".to_owned(), json!(step.id))]).collect();
        context.steps.insert(step.id.clone(), Done { status: DoneStatus::Completed, output });
    }
    let result = full.result(&context);
    let outputs: Vec<&String> = result["training"].as_object().unwrap().keys().collect();
    assert_eq!(outputs, ["client_summary", "mesocycle", "sessions", "formatted_plan", "audit", "bridge_for_nutrition"]);
    assert_eq!(result["training"]["formatted_plan"], json!({ "of": "E7" }));
    assert_eq!(result["nutrition"], json!({ "menus": { "of": "N6" }, "audit": { "of": "N8" } }));
    let checks = full.coherence(&context);
    assert_eq!((checks.len(), checks.iter().all(|check| check.ok)), (7, true), "{checks:?}");
    assert_eq!(full.subject_of(&context).unwrap().unwrap().as_str(), "full-plan:cliente-0042");
}

#[test]
fn example_of_the_page_on_pipelines_is_valid() {
    let page = include_str!("../../../docs/pipelines.md");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let document = Document::parse(example.as_bytes(), |_| None).unwrap();
    let rehearsal = document.rehearse(json!({ "notes": "n" }), &serde_json::Map::new()).unwrap();
    let prompt = &rehearsal.steps[2].request.as_ref().unwrap()["prompt"];
    assert!(prompt.as_str().unwrap().starts_with("Write a report in a plain tone."), "{prompt}");
    assert_eq!(document.steps[2].needs, ["facts", "risks"]);
}

#[test]
fn fingerprint_tells_what_makes_an_output() {
    let of = |text: &str| {
        let document = Document::parse(text.as_bytes(), |_| None).unwrap();
        document.steps.into_iter().map(|step| (step.id.clone(), step.fingerprint())).collect::<Vec<_>>()
    };
    let (before, same) = (of(TRAINING), of(&TRAINING.replace("timeout: 8m", "timeout: 9m").replace("retries: 2", "retries: 1")));
    assert_eq!(before, same, "how often it is tried, and how long, makes no other output");
    let other = of(&TRAINING.replace("title: Engineer", "title: Engineer of sessions"));
    let changed = before.iter().zip(&other).filter(|(one, other)| one != other).map(|((id, _), _)| id.as_str());
    assert_eq!(changed.collect::<Vec<_>>(), ["E5"]);
    assert!(before.iter().zip(of(&TRAINING.replace("gpt-5-mini", "gpt-5"))).all(|((_, one), (_, other))| *one != other));
}
