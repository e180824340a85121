//! The backfill gives back exactly the prompts that are missing, its two counts agree, and its undo takes them away.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;

use super::{Everything, Place, database, migrate};

const LARGE: usize = 10_000;

/// Takes the prompt away from every subject that stands on a generation, as in rows of before prompts were kept. How many there are.
async fn strip(place: &Place) -> usize {
    let everything = place.everything().await;
    let (client, table) = (place.harness.clients().await.dynamodb, place.harness.config("api").records_table);
    let mut stripped = 0;
    for ((pk, sk), row) in everything.rows.iter().filter(|(_, row)| row.contains_key("accepted")) {
        let mut accepted = row["accepted"].as_m().unwrap().clone();
        accepted.remove("prompt");
        accepted.insert("prompt_bytes".into(), AttributeValue::N("0".into()));
        accepted.insert("prompt_sha256".into(), AttributeValue::S(String::new()));
        let update = client.update_item().table_name(&table).update_expression("SET accepted = :accepted");
        let update = update.key("pk", AttributeValue::S(pk.clone())).key("sk", AttributeValue::S(sk.clone()));
        update.expression_attribute_values(":accepted", AttributeValue::M(accepted)).send().await.unwrap();
        stripped += 1;
    }
    stripped
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_prompts_come_back_and_both_counts_agree() {
    let (_database, path, expected) = database(LARGE);
    let place = Place::new().await;
    let migrated = place.say(&[&migrate(&path)[..], &["--apply", "--backup", &place.backup()]].concat()).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let whole = place.everything().await;
    let accepted = expected.iter().filter(|expected| expected.accepted.is_some()).count();
    assert_eq!(strip(&place).await, accepted);
    let stripped = place.everything().await;

    let backfill = ["backfill", "accepted-prompt"];
    let planned = place.say(&[&backfill[..], &["--json"]].concat()).await;
    let counts = json!({ "changed": accepted, "already_right": 0, "cannot": 0 });
    assert_eq!((planned.code, &planned.json()[0]["counts"]), (Some(0), &counts), "{planned:?}");
    let shown = place.say(&backfill).await;
    assert!(shown.stdout.contains("+ accepted: ") && shown.stdout.contains("- accepted: "), "{}", shown.stdout);
    place.everything().await.assert_same(&stripped);

    let applied = place.say(&[&backfill[..], &["--json", "--apply", "--backup", &place.backup()]].concat()).await;
    let lines = applied.json();
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let agreed = json!([{
        "expected": "accepted generations", "count": accepted,
        "found": "subjects with an accepted prompt", "found_count": accepted,
    }]);
    assert_eq!((&lines[1]["counts"], &lines[2]["verified"], &lines[2]["counts"]), (&counts, &json!(true), &agreed));
    place.everything().await.assert_same(&whole);
    let again = place.say(&[&backfill[..], &["--json"]].concat()).await;
    assert_eq!(again.json()[0]["counts"], json!({ "changed": 0, "already_right": accepted, "cannot": 0 }));

    let undone = place.say(&[&backfill[..], &["--undo", &applied.run()]].concat()).await;
    assert_eq!(undone.code, Some(0), "{}", undone.stderr);
    place.everything().await.assert_same(&stripped);
    let other = place.say(&[&migrate(&path)[..], &["--undo", &applied.run()]].concat()).await;
    assert!(
        other.code == Some(1) && other.stderr.contains("is of backfill-accepted-prompt, not of migrate-stratos"),
        "{other:?}"
    );
    // A purge takes an imported generation whole, with what it was made from.
    let of = |objects: &Everything, id: &str| objects.objects.keys().filter(|path| path.to_string_lossy().contains(id)).count();
    let id = whole.objects.keys().find(|path| path.ends_with("source.json.gz")).unwrap().parent().unwrap();
    let id = id.file_name().unwrap().to_string_lossy().into_owned();
    assert!(of(&whole, &id) >= 3);
    place.harness.stack.app().await.unwrap().purge(&longhand_tests::key_of(&id)).await.unwrap();
    assert_eq!(of(&place.everything().await, &id), 0);
    place.harness.finish().await;
}
