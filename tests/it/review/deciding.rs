//! Decisions of reviewers: one or many, in the order of what belongs to what, and two of them at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::{join, join_all};
use longhand::Clock;
use longhand_tests::PATIENCE;
use longhand_tests::faults::Faults;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{SUBJECT, Scene, small};

/// The ids of a report's entities by their names.
fn ids(import: &Value) -> BTreeMap<String, String> {
    let entries = import["report"].as_object().unwrap().values().flat_map(|entries| entries.as_array().unwrap());
    let pair = |entry: &Value| (entry["name"].as_str().unwrap().to_owned(), entry["id"].as_str().unwrap().to_owned());
    entries.map(pair).collect()
}

fn one(id: &str) -> Value {
    json!({ "items": [{ "id": id }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_another_is_approved_behind_it() {
    let scene = Scene::start().await;
    let ids = ids(&scene.imported(&small()).await);
    let sql = &ids["SQL"];
    let refused = scene.decide("approve", &one(sql)).await;
    assert_eq!((&refused["success"], &refused["results"][0]["reason"]), (&json!(false), &json!("parent_not_approved")));
    assert_eq!((&refused["results"][0]["status"], &refused["remaining_incubated"]), (&json!(409), &json!(6)));
    let with_those_above =
        scene.decide("approve", &json!({ "items": [{ "type": "skill", "id": sql }], "cascade": true, "note": "ok" })).await;
    assert_eq!((&with_those_above["approved_count"], &with_those_above["remaining_incubated"]), (&json!(3), &json!(3)));
    let again = scene.decide("approve", &one(sql)).await;
    assert_eq!(
        (&again["success"], &again["approved_count"], &again["results"][0]["already"]),
        (&json!(true), &json!(0), &json!(true))
    );
    let promoted = scene.done("POST", &format!("subjects/{SUBJECT}/entities/{}/promote", ids["Data"]), &json!({})).await;
    assert_eq!((&promoted["approved_count"], &promoted["remaining_incubated"]), (&json!(1), &json!(2)), "{promoted}");
    let rejected = scene.decide("reject", &one(&ids["Data"])).await;
    assert_eq!((&rejected["results"][0]["reason"], &rejected["results"][0]["state"]), (&json!("approved"), &json!("approved")));
    let wrong_kind = json!({ "items": [{ "type": "role", "id": ids["People"] }, { "id": "ent_01arz3ndektsv4rrffq69g5fav" }] });
    let absent = scene.decide("approve", &wrong_kind).await;
    assert!(absent["results"].as_array().unwrap().iter().all(|result| result["status"] == 404), "{absent}");
    let all = scene.decide("reject", &json!({ "all": true, "note": "no" })).await;
    assert_eq!((&all["rejected_count"], &all["remaining_incubated"]), (&json!(2), &json!(0)));
    let archived = scene.decide("archive", &json!({ "items": [{ "id": ids["Data"] }], "cascade": true })).await;
    assert_eq!(archived["archived_count"], 4);
    let entity = scene.found(&format!("subjects/{SUBJECT}/entities/{}", ids["People"])).await;
    assert_eq!((&entity["state"], &entity["note"], &entity["revision"]), (&json!("rejected"), &json!("no"), &json!(2)));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_incubates_is_edited_from_the_revision_that_is_named_and_later_imports_leave_it() {
    let scene = Scene::start().await;
    let ids = ids(&scene.imported(&small()).await);
    let path = format!("subjects/{SUBJECT}/entities/{}", ids["Analyst"]);
    let edit = json!({ "name": "Data analyst", "fields": { "estimated_fte": null, "level": 3 }, "note": "clearer" });
    let ask = async |if_match: &str| scene.ask("PATCH", &path, &[("if-match", if_match)], Some(&edit)).await;
    let answers = join_all((0..4).map(|_| ask("\"1\""))).await;
    let won: Vec<&Value> = answers.iter().filter(|(status, _)| *status == StatusCode::OK).map(|(_, told)| told).collect();
    assert_eq!(won.len(), 1, "{answers:#?}");
    assert!(answers.iter().all(|(status, told)| status.is_success() || told["code"] == "version_changed"), "{answers:#?}");
    assert_eq!((&won[0]["name"], &won[0]["fields"]), (&json!("Data analyst"), &json!({ "level": 3 })));
    let mut newer = small();
    newer["suggested_roles"][0]["estimated_fte"] = json!(9);
    newer["capabilities"][1]["description"] = json!("newer");
    let import = scene.imported(&newer).await;
    assert_eq!(import["report"]["roles"][0]["kept"], true);
    assert_eq!(scene.found(&path).await["fields"], json!({ "level": 3 }));
    let people = scene.found(&format!("subjects/{SUBJECT}/entities/{}", ids["People"])).await;
    assert_eq!((&people["fields"]["description"], &people["revision"]), (&json!("newer"), &json!(2)));
    scene.decide("approve", &one(&ids["Analyst"])).await;
    let (status, told) = ask("*").await;
    assert_eq!((status, &told["code"]), (StatusCode::CONFLICT, &json!("entity_decided")));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_reviewers_at_once_one_wins_and_the_other_is_told() {
    let scene = Scene::start().await;
    let capabilities: Vec<Value> = (0..10).map(|number| json!({ "name": format!("C{number}") })).collect();
    let import = scene.imported(&json!({ "scenario_metadata": { "name": "S" }, "capabilities": capabilities })).await;
    for id in ids(&import).values() {
        let body = one(id);
        let (approved, rejected) = join(scene.decide("approve", &body), scene.decide("reject", &body)).await;
        let states = [&approved["results"][0], &rejected["results"][0]];
        let won: Vec<bool> = states.iter().map(|result| result["ok"] == true).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{approved} {rejected}");
        let (lost, state) = if won[0] { (states[1], "approved") } else { (states[0], "rejected") };
        assert_eq!((&lost["reason"], &lost["state"], &lost["status"]), (&json!(state), &json!(state), &json!(409)));
        let entity = scene.found(&format!("subjects/{SUBJECT}/entities/{id}")).await;
        assert_eq!((&entity["state"], &entity["revision"]), (&json!(state), &json!(2)));
        let told = scene.found(&format!("audit?object={id}&order=asc")).await;
        let actions: Vec<&Value> = told["data"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
        assert_eq!(actions, ["import", if state == "approved" { "approve" } else { "reject" }]);
    }
    // The same of all of them at once, by reviewers who have the same in mind.
    let again = scene.imported(&small()).await;
    assert_eq!(again["state"], "completed");
    let all = json!({ "all": true });
    let answers = join_all((0..4).map(|_| scene.decide("approve", &all))).await;
    let approved: u64 = answers.iter().map(|answer| answer["approved_count"].as_u64().unwrap()).sum();
    assert_eq!((approved, answers.iter().all(|answer| answer["success"] == true)), (6, true), "{answers:#?}");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_are_listed_by_pages_and_exported_whole() {
    let scene = Scene::start().await;
    scene.imported(&small()).await;
    let all = scene.entities("").await;
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = scene.found(&format!("subjects/{SUBJECT}/entities?limit=4{after}")).await;
        paged.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] != true {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(paged, all);
    assert_eq!(scene.entities("&kind=skill").await.len(), 2);
    assert_eq!(scene.entities("&state=approved").await.len(), 0);
    let parent = all.iter().find(|entity| entity["name"] == "Modelling").unwrap()["id"].as_str().unwrap();
    assert_eq!(scene.entities(&format!("&parent={parent}")).await.len(), 2);
    let file = async |format: &str| {
        let url = scene.url_of(&format!("/v1/subjects/{SUBJECT}/entities?limit=1000&format={format}"));
        scene.http.get(url).send().await.unwrap().text().await.unwrap()
    };
    let lines: Vec<Value> = file("ndjson").await.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all);
    assert_eq!(file("csv").await.lines().count(), 1 + all.len());
    for wrong in ["state=gone", "format=xml", "after=x", "limit=0", "colour=red"] {
        assert_eq!(scene.get(&format!("subjects/{SUBJECT}/entities?{wrong}")).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    scene.harness.finish().await;
}

/// Terms that an importer of its own reads: so many in one answer, named from `first` on.
async fn terms(scene: &Scene, first: usize, count: usize) {
    let document = json!({ "longhand": "importer/1", "name": "glossary", "collections": [{ "name": "terms", "kind": "term" }] });
    let published = scene.ask("PUT", "importers/glossary", &[], Some(&document)).await;
    assert!(published.0.is_success(), "{published:?}");
    let terms: Vec<Value> = (first..first + count).map(|number| json!({ "name": format!("T{number}") })).collect();
    let id = scene.generated(SUBJECT, &json!({ "terms": terms }).to_string()).await;
    let body = json!({ "import": true, "importer": "glossary", "replace": true });
    let (status, told) = scene.accept(&id, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_entities_than_one_request_decides_the_same_request_decides_the_others() {
    let scene = Scene::start().await;
    for (first, count) in [(0, 2_000), (2_000, 50)] {
        terms(&scene, first, count).await;
    }
    let page = scene.found(&format!("subjects/{SUBJECT}/entities?limit=1")).await;
    let one = scene.decide("reject", &json!({ "items": [{ "id": page["data"][0]["id"] }] })).await;
    assert_eq!((&one["success"], &one["has_more"], &one["remaining_incubated"]), (&json!(true), &json!(false), &json!(2_049)));
    let all = json!({ "all": true });
    let first = scene.decide("approve", &all).await;
    assert_eq!((&first["success"], &first["has_more"], &first["approved_count"]), (&json!(false), &json!(true), &json!(2_000)));
    let second = scene.decide("approve", &all).await;
    assert_eq!(
        (&second["success"], &second["has_more"], &second["remaining_incubated"]),
        (&json!(true), &json!(false), &json!(0))
    );
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_look_at_many_entities_with_each_query() {
    let faults = Faults::new([]);
    let scene = Scene::faulty(&faults, &Clock::system()).await;
    terms(&scene, 0, 500).await;
    scene.imported(&small()).await;
    let queries = || faults.made().iter().filter(|made| made.function == "api" && made.call.operation == "Query").count();
    let before = queries();
    let found = scene.found(&format!("subjects/{SUBJECT}/entities?kind=skill&limit=2")).await;
    assert_eq!(found["data"].as_array().unwrap().len(), 2);
    assert!(queries() - before <= 7, "{} queries for 506 entities", queries() - before);
    scene.harness.stack.shutdown().await;
}

/// A row of an earlier version knows neither the topics of entities nor how many it knows: its endpoint for everything is told of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_for_everything_is_told_of_what_came_to_be_after_it() {
    let scene = Scene::start().await;
    let endpoint = scene.done("POST", "webhooks", &json!({ "url": "http://127.0.0.1:9/", "events": ["*"] })).await;
    let (client, table) = (scene.clients().await.dynamodb, scene.config("api").records_table);
    let [pk, sk] = ["local#settings", "quota"].map(|key| AttributeValue::S(key.to_owned()));
    let topics = AttributeValue::Ss(["generations", "versions"].map(str::to_owned).into());
    let update = client.update_item().table_name(table).key("pk", pk).key("sk", sk);
    let update =
        update.update_expression("SET topics = :topics REMOVE topics_known").expression_attribute_values(":topics", topics);
    update.send().await.unwrap();
    let import = scene.imported(&small()).await;
    scene.decide("approve", &json!({ "items": [{ "id": import["report"]["roles"][0]["id"] }] })).await;
    let path = format!("webhooks/{}/deliveries?limit=100", endpoint["id"].as_str().unwrap());
    let began = Instant::now();
    loop {
        let told = scene.found(&path).await;
        let has = |of: &str| told["data"].as_array().unwrap().iter().any(|delivery| delivery["type"] == of);
        if has("import.completed") && has("entity.approved") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.harness.finish().await;
}
