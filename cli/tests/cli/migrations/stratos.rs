//! Every generation arrives with its best text, every oddity is told, and the second run changes nothing.

use std::collections::BTreeMap;

use longhand_tests::Api;
use longhand_tests::assert_whole;
use serde_json::{Value, json};

use super::database::Expected;
use super::{Place, database, large, migrate};

/// The generations that were imported, by their numbers there.
async fn imported(api: &Api) -> BTreeMap<i64, Value> {
    let (mut all, mut after) = (BTreeMap::new(), None::<String>);
    loop {
        let cursor = after.as_ref().map(|after| format!("&after={after}")).unwrap_or_default();
        let page = api.found(&format!("generations?limit=100{cursor}")).await;
        for generation in page["data"].as_array().unwrap() {
            if let Some(id) = generation["metadata"]["imported"]["id"].as_i64() {
                all.insert(id, generation.clone());
            }
        }
        after = page["last_id"].as_str().map(str::to_owned);
        if page["has_more"] != true {
            return all;
        }
    }
}

async fn check(api: &Api, generation: &Value, expected: &Expected) {
    let id = generation["id"].as_str().unwrap();
    let told: Vec<&str> =
        generation["metadata"]["imported"]["findings"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(
        (generation["status"].as_str().unwrap(), generation["reason"].as_str(), told),
        (expected.status, expected.reason, expected.findings.clone()),
        "{generation}"
    );
    let output = api.found(&format!("generations/{id}/output")).await;
    let text = match output["text"].as_str() {
        Some(text) => text.to_owned(),
        None => reqwest::get(output["url"].as_str().unwrap()).await.unwrap().text().await.unwrap(),
    };
    assert!(text == expected.text, "the text of {} is not byte-equal", expected.id);
    assert_eq!(output["bytes"], expected.text.len());
    if expected.text.len() < 1_000_000 {
        let events = api.events(id).await;
        assert_whole(&events);
        let joined: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
        assert!(joined == expected.text, "the events of {}", expected.id);
    }
    if let Some(scenario) = expected.accepted {
        let subject = api.found(&format!("subjects/scenario-{scenario}")).await;
        assert_eq!((&subject["current"], &subject["last_generation"]), (&json!(1), &json!(id)), "{subject}");
        let version = api.found(&format!("subjects/scenario-{scenario}/versions/1/output")).await;
        assert_eq!(version["text"], expected.text.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_generation_arrives_with_its_best_text_and_the_second_run_changes_nothing() {
    let (_database, path, expected) = database(large());
    let place = Place::new().await;
    let (migrate, report) = (migrate(&path), place.folder.path().join("report.jsonl").display().to_string());
    let empty = place.everything().await;
    let planned = place.say(&[&migrate[..], &["--json", "--report", &report]].concat()).await;
    let plan = planned.json().remove(0);
    let changed = json!({ "changed": expected.len(), "already_right": 0, "cannot": 0 });
    assert_eq!((planned.code, &plan["counts"]), (Some(0), &changed), "{planned:?}");
    assert!(planned.stderr.contains("dry run: nothing was written") && planned.stderr.contains("account"), "{}", planned.stderr);
    place.everything().await.assert_same(&empty);
    let mut reported: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(&report).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let codes = line["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned());
        reported.entry(line["unit"].as_str().unwrap().to_owned()).or_default().extend(codes);
    }
    for expected in &expected {
        let mut codes = reported.remove(&expected.id.to_string()).unwrap_or_default();
        codes.sort_unstable();
        assert_eq!(codes, expected.findings, "generation {}", expected.id);
    }

    let other = place.say(&[&migrate[..], &["--apply", "--backup", &place.backup(), "--plan", "0123456789ab"]].concat()).await;
    assert!(other.code == Some(1) && other.stderr.contains("the data has changed since"), "{other:?}");
    let hash = plan["plan"].as_str().unwrap();
    let applied = place.say(&[&migrate[..], &["--json", "--apply", "--backup", &place.backup(), "--plan", hash]].concat()).await;
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let lines = applied.json();
    assert_eq!((&lines[1]["counts"], &lines[2]["verified"]), (&changed, &json!(true)), "{lines:?}");
    let [told, took] = [&plan["write_units"], &lines[1]["write_units"]].map(|units| units.as_u64().unwrap());
    println!("{told} write units were told, {took} were written");
    assert!(told.abs_diff(took) * 5 <= took, "{told} write units were told, and {took} were written");
    let counted = &lines[2]["counts"][1];
    let accepted = expected.iter().filter(|expected| expected.accepted.is_some()).count();
    assert_eq!((&counted["count"], &counted["found_count"]), (&json!(accepted), &json!(accepted)));

    let api = &place.harness.api;
    let imported = imported(api).await;
    assert_eq!(imported.len(), expected.len());
    for expected in &expected {
        check(api, &imported[&expected.id], expected).await;
    }
    let first = place.everything().await;
    let again = place.say(&[&migrate[..], &["--apply", "--backup", &place.backup()]].concat()).await;
    assert!(again.code == Some(0) && again.stderr.contains("there is nothing to write"), "{again:?}");
    place.everything().await.assert_same(&first);

    let elsewhere = place.say(&[&migrate[..], &["--time-zone", "+01:00", "--resume", &applied.run()]].concat()).await;
    assert!(
        elsewhere.code == Some(1) && elsewhere.stderr.contains(&format!("run {} is migrate-stratos of", applied.run())),
        "{elsewhere:?}"
    );
    let undone = place.say(&[&migrate[..], &["--json", "--undo", &applied.run()]].concat()).await;
    assert_eq!((undone.code, &undone.json()[0]["undone"]), (Some(0), &json!(expected.len())), "{undone:?}");
    place.everything().await.assert_same(&empty);
    let resumed = place.say(&[&migrate[..], &["--resume", &applied.run()]].concat()).await;
    assert!(resumed.code == Some(1) && resumed.stderr.contains("is undone, and cannot be resumed"), "{resumed:?}");
    place.harness.finish().await;
}
