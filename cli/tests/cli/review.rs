//! `longhand accept`, `importers`, `entities` and `audit`, on a `longhand dev` that plays an answer.

use std::fs;

use longhand_local::Script;
use longhand_tests::sensitive::play;
use serde_json::{Value, json};

use crate::arguments::longhand;
use crate::dev::Dev;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_accepted_imported_and_decided() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let answer = json!({ "scenario_metadata": { "name": "S" }, "capabilities": [{ "name": "Data" }, { "name": "People" }], "terms": [{ "name": "Log" }] });
    let playback = play(Script::new([answer.to_string()])).unwrap();
    let provider = ["--provider", "openai", "--base-url", playback.base_url()];
    let env = [("OPENAI_API_KEY", "k"), ("LONGHAND_IMPORT_GENERATION", "true")];
    let (_dev, _) = Dev::start(folder.path(), &provider, &env).await;
    let run = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--data", &data]).collect();
        longhand(&arguments, "")
    };
    let good = |arguments: &[&str]| {
        let (code, output, message) = run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {output}{message}");
        output
    };
    good(&["start", "--prompt", "Hola", "--model", "m", "--subject", "s", "--wait"]);
    let listed = good(&["list", "--json"]);
    let newest: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    let id = newest["id"].as_str().unwrap();
    let accepted = good(&["accept", id, "--import", "--note", "Agreed"]);
    assert!(accepted.contains("is accepted for s") && accepted.contains("capabilities: 2, 2 new"), "{accepted}");
    let import = accepted.lines().nth(1).unwrap().strip_prefix("import ").unwrap().to_owned();
    let entities = good(&["entities", "list", "s"]);
    assert!(entities.contains("incubating") && entities.contains("People"), "{entities}");
    let id_of = |name: &str| {
        let line = entities.lines().find(|line| line.ends_with(name)).unwrap();
        line.split(' ').next().unwrap().to_owned()
    };
    let (first, second) = (id_of("Data"), id_of("People"));
    assert_eq!(
        good(&["entities", "edit", "s", &first, "--name", "Data and AI", "--field", "level=3"]),
        format!("{first} has the revision 2\n")
    );
    assert_eq!(good(&["entities", "approve", "s", &first]), "1 approved\n1 incubate\n");
    let (code, _, refused) = run(&["entities", "reject", "s", &first]);
    assert!(code != 0 && refused.contains(&format!("{first}: approved")), "{refused}");
    assert_eq!(good(&["entities", "archive", "s", &first]), "1 archived\n1 incubate\n");
    assert_eq!(good(&["entities", "promote", "s", &second]), "1 approved\n0 incubate\n");
    assert_eq!(good(&["entities", "export", "s"]).lines().count(), 2);
    assert!(good(&["entities", "export", "s", "--as", "csv"]).contains("Data and AI"));
    assert_eq!(good(&["entities", "revert", "s", &import]), format!("{import} is reverted\n"));
    let (_, _, hint) = run(&["audit", "--subject", "s", "--action", "import", "--oldest-first", "--limit", "1"]);
    assert!(hint.contains("more: longhand audit --after aud_"), "{hint}");
    assert!(hint.contains(" --subject s --action import --limit 1 --oldest-first"), "the next page has the same filters: {hint}");
    let audit = good(&["audit", "--subject", "s", "--oldest-first"]);
    let actions: Vec<&str> = audit.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(actions.iter().filter(|action| **action == "import").count(), 4, "{audit}");
    assert_eq!((actions[0], actions.last()), ("accept", Some(&"revert")), "{audit}");

    let file = folder.path().join("glossary.yaml");
    fs::write(&file, "longhand: importer/1\nname: glossary\ncollections: [{name: terms, kind: term}]\n").unwrap();
    let file = file.to_str().unwrap();
    assert!(good(&["importers", "check", file, "--generation", id]).contains("Log"));
    assert_eq!(good(&["importers", "publish", file]), "glossary@1\n");
    let importers = good(&["importers", "list"]);
    assert!(importers.contains("built in") && importers.contains("glossary"), "{importers}");
    assert!(good(&["importers", "show", "glossary"]).contains("kind: term"));
    assert!(good(&["accept", id, "--import", "--importer", "glossary@1"]).contains("terms: 1, 1 new"));
}
