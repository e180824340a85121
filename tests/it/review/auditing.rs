//! The audit is what has happened: of each object as many entries as it has revisions, in their order, each going on from the one before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use longhand_tests::PATIENCE;
use longhand_tests::sampling::{rounds, seed};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{SUBJECT, Scene, small};

const AT_ONCE: usize = 6;

fn answer(dice: &mut fastrand::Rng) -> Value {
    let capability = |number: usize, dice: &mut fastrand::Rng| {
        let competencies: Vec<Value> = (0..dice.usize(1..3)).map(|inner| json!({ "name": format!("K{inner}") })).collect();
        json!({ "name": format!("C{number}"), "description": dice.u8(0..3).to_string(), "competencies": competencies })
    };
    let capabilities: Vec<Value> = (0..dice.usize(1..5)).map(|number| capability(number, dice)).collect();
    json!({ "scenario_metadata": { "name": "S" }, "capabilities": capabilities })
}

/// One act at random. What is refused is no change.
async fn act(scene: &Scene, generations: &[String], seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let entities = scene.found(&format!("subjects/{SUBJECT}/entities?limit=1000")).await;
    let entities = entities["data"].as_array().unwrap().clone();
    let some = |dice: &mut fastrand::Rng| {
        let ids = (0..dice.usize(1..4)).filter_map(|_| Some(json!({ "id": dice.choice(&entities)?["id"] })));
        ids.collect::<Vec<Value>>()
    };
    let (method, path, body) = match dice.u8(0..20) {
        0 => {
            let generation = dice.choice(generations).unwrap();
            ("POST", format!("generations/{generation}/accept"), json!({ "import": true, "replace": true }))
        }
        1 => {
            let imports = scene.found(&format!("subjects/{SUBJECT}/imports")).await;
            let Some(import) = dice.choice(imports["data"].as_array().unwrap()) else { return };
            ("POST", format!("subjects/{SUBJECT}/imports/{}/revert", import["id"].as_str().unwrap()), json!({}))
        }
        2..8 => {
            let Some(entity) = dice.choice(&entities) else { return };
            let path = format!("subjects/{SUBJECT}/entities/{}", entity["id"].as_str().unwrap());
            ("PATCH", path, json!({ "fields": { "note": dice.u8(0..5) } }))
        }
        number => {
            let items = some(&mut dice);
            if items.is_empty() {
                return;
            }
            let act = ["approve", "reject", "archive"][usize::from(number) % 3];
            let body = json!({ "items": items, "cascade": dice.bool() });
            ("POST", format!("subjects/{SUBJECT}/entities/{act}"), body)
        }
    };
    let (status, told) = scene.harness.ask(method, &path, &[], Some(&body)).await;
    assert!(!status.is_server_error(), "{method} {path}: {status} {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_equal_the_changes_over_random_acts_side_by_side() {
    let scene = Scene::start().await;
    let seed = seed();
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut generations = Vec::new();
    for _ in 0..8 {
        generations.push(scene.generated(SUBJECT, &answer(&mut dice).to_string()).await);
    }
    let (status, told) = scene.accept(&generations[0], &json!({ "import": true })).await;
    assert!(status.is_success(), "{told}");
    let acts = rounds(1_000, 1_000);
    let seeds: Vec<u64> = (0..acts).map(|_| dice.u64(..)).collect();
    futures::stream::iter(seeds).for_each_concurrent(AT_ONCE, |seed| act(&scene, &generations, seed)).await;

    // What is there now, with its revision.
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for query in ["", "&state=reverted"] {
        for entity in scene.entities(query).await {
            expected.insert(entity["id"].as_str().unwrap().to_owned(), entity["revision"].as_u64().unwrap());
        }
    }
    for import in scene.found(&format!("subjects/{SUBJECT}/imports?limit=100")).await["data"].as_array().unwrap() {
        expected.insert(import["id"].as_str().unwrap().to_owned(), import["revision"].as_u64().unwrap());
    }
    let entries = scene.audit().await;
    let accepts = entries.iter().filter(|entry| entry["action"] == "accept").count() as u64;
    expected.insert(SUBJECT.to_owned(), accepts);
    let mut told: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for entry in &entries {
        told.entry(entry["target_id"].as_str().unwrap().to_owned()).or_default().push(entry);
    }
    assert_eq!(entries.len() as u64, expected.values().sum::<u64>());
    assert_eq!(told.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (object, entries) in &told {
        let revisions: Vec<u64> = entries.iter().map(|entry| entry["revision"].as_u64().unwrap()).collect();
        assert_eq!(revisions, (1..=expected[object]).collect::<Vec<_>>(), "{object}: in their order, without gaps");
        for pair in entries.windows(2).filter(|pair| pair[0]["target"] == "entity") {
            assert_eq!(pair[1]["before"], pair[0]["after"], "{object}: each goes on from the one before");
        }
    }
    println!("{acts} acts, {} entries of {} objects: equal in number and order", entries.len(), told.len());
    scene.harness.finish().await;
}

/// An entry gets its id before its transaction is written: one may appear behind another that is younger. Who goes on from the end must not miss it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_on_from_the_end_of_the_audit_misses_no_entry_that_appears_late() {
    let scene = Scene::start().await;
    let (one, other) = (scene.generated("one", "uno").await, scene.generated("other", "dos").await);
    scene.accept(&one, &json!({})).await;
    let page = scene.found("audit?order=asc").await;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (1, &json!(false)));
    let (last, cursor) = (page["data"][0]["id"].as_str().unwrap(), page["last_id"].as_str().unwrap());
    assert!(cursor < last, "the end stays behind what may still appear: {cursor} {last}");
    // An entry whose id is older than the last one that was listed.
    scene.accept(&other, &json!({})).await;
    let again = scene.found(&format!("audit?order=asc&after={cursor}")).await;
    assert_eq!(again["data"].as_array().unwrap().len(), 2, "what is young is listed again: {again}");
    // Within a page, the next one begins behind the last.
    let first = scene.found("audit?order=asc&limit=1").await;
    assert_eq!((&first["has_more"], &first["last_id"]), (&json!(true), &first["data"][0]["id"]));
    let newest = scene.found("audit").await;
    assert_eq!(newest["last_id"], newest["data"][1]["id"], "newest first, pages lead backwards");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_audited_and_told_and_its_generation_is_accepted_no_more() {
    let scene = Scene::start().await;
    let endpoint = scene.done("POST", "webhooks", &json!({ "url": "http://127.0.0.1:9/", "events": ["*"] })).await;
    let import = scene.imported(&small()).await;
    let generation = import["generation"].as_str().unwrap().to_owned();
    let approve = json!({ "items": [{ "id": import["report"]["roles"][0]["id"] }] });
    scene.decide("approve", &approve).await;
    scene.done("DELETE", &format!("subjects/{SUBJECT}"), &Value::Null).await;
    assert_eq!(scene.get(&format!("subjects/{SUBJECT}")).await.0, StatusCode::NOT_FOUND);
    let record = scene.found(&format!("generations/{generation}")).await;
    assert_eq!((record.get("accepted_subject"), record.get("accepted_at")), (None, None), "{record}");
    let told = scene.found(&format!("audit?action=delete&subject={SUBJECT}")).await;
    let entry = &told["data"][0];
    assert_eq!(told["data"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!((&entry["target"], &entry["target_id"], &entry["revision"]), (&json!("subject"), &json!(SUBJECT), &json!(2)));
    assert_eq!((&entry["before"]["generation"], &entry["after"]), (&json!(generation), &json!({ "state": "deleted" })));
    // Made again, its entities have their ids and revisions, and what happens to them is told once more.
    let again = scene.accept(&generation, &json!({ "subject": SUBJECT, "import": true })).await.1;
    assert_eq!(again["import"]["report"]["roles"][0]["id"], import["report"]["roles"][0]["id"], "{again}");
    assert_eq!(again["import"]["report"]["roles"][0]["created"], true);
    let decided = scene.decide("approve", &approve).await;
    assert_eq!((&decided["success"], &decided["approved_count"]), (&json!(true), &json!(1)));
    scene.done("DELETE", &format!("subjects/{SUBJECT}"), &Value::Null).await;
    let path = format!("webhooks/{}/deliveries?limit=100", endpoint["id"].as_str().unwrap());
    let began = Instant::now();
    loop {
        let told = scene.found(&path).await;
        let count = |of: &str| told["data"].as_array().unwrap().iter().filter(|delivery| delivery["type"] == of).count();
        if [count("subject.deleted"), count("entity.approved"), count("import.completed")] == [2, 2, 2] {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_is_audited_and_leaves_nothing_of_a_subject_that_is_not_there() {
    let scene = Scene::start().await;
    let id = scene.start_generation(json!({ "prompt": "plain text, no JSON at all" })).await;
    scene.ended(&id).await;
    let wrong = json!({ "import": true, "subject": "nowhere" });
    for _ in 0..2 {
        assert_eq!(scene.accept(&id, &wrong).await.1["code"], "invalid_answer");
    }
    let (status, told) = scene.accept(&id, &json!({ "import": true, "subject": "nowhere", "importer": "none" })).await;
    assert_eq!((status, &told["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    assert_eq!(scene.get("subjects/nowhere").await.0, StatusCode::NOT_FOUND);
    let attempts = scene.found(&format!("generations/{id}/import_audit")).await;
    let of = |field: &str| attempts["data"].as_array().unwrap().iter().map(|one| one[field].clone()).collect::<Vec<Value>>();
    assert_eq!(of("result"), ["validation_error", "validation_error", "failed"]);
    assert!(of("import_id")[0].is_string() && of("import_id")[2].is_null(), "{attempts}");
    let entries = scene.audit().await;
    assert_eq!(entries.iter().map(|entry| entry["id"].clone()).collect::<Vec<_>>(), of("id"));
    assert!(entries.iter().all(|entry| entry["target"] == "generation" && entry["revision"] == 0), "{entries:#?}");
    // In pages.
    let first = scene.found(&format!("generations/{id}/import_audit?limit=2")).await;
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (2, &json!(true)));
    let after = first["last_id"].as_str().unwrap();
    let rest = scene.found(&format!("generations/{id}/import_audit?limit=2&after={after}")).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (1, &json!(false)));
    // The subject begins with no import of then.
    assert_eq!(scene.accept(&id, &json!({ "subject": "nowhere" })).await.0, StatusCode::CREATED);
    assert_eq!(scene.found("subjects/nowhere/imports").await["data"], json!([]));
    scene.harness.finish().await;
}
