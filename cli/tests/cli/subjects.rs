//! `longhand subjects`, on a `longhand dev` that plays a recording.

use std::fs;

use longhand_local::Script;
use longhand_tests::sensitive::play;
use serde_json::Value;

use crate::arguments::longhand;
use crate::dev::Dev;

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_made_compared_restored_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let playback = play(Script::new(["uno\n", "dos\n"])).unwrap();
    let provider = ["--provider", "openai", "--base-url", playback.base_url()];
    let (_dev, _) = Dev::start(folder.path(), &provider, &[("OPENAI_API_KEY", "k")]).await;
    let run = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--data", &data]).collect();
        longhand(&arguments, "")
    };
    let good = |arguments: &[&str]| {
        let (code, output, message) = run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {output}{message}");
        output
    };
    good(&["start", "--prompt", "Hola", "--model", "m", "--subject", "numbers", "--wait"]);
    while run(&["subjects", "output", "numbers"]).0 != 0 {}
    assert_eq!(good(&["subjects", "output", "numbers"]), "uno\ndos\n");
    let file = folder.path().join("edited.txt");
    fs::write(&file, "uno\ntres\n").unwrap();
    let edit = ["subjects", "edit", "numbers", "--file", file.to_str().unwrap(), "--if-current", "1", "--reason", "by hand"];
    assert_eq!(good(&edit), "version 2\n");
    let (code, _, refused) = run(&edit);
    assert!(code != 0 && refused.contains("is 2, and not the one"), "{refused}");
    assert_eq!(good(&["subjects", "diff", "numbers"]), "--- version 1\n+++ version 2\n@@ -1,2 +1,2 @@\n uno\n-dos\n+tres\n");
    assert_eq!(good(&["subjects", "restore", "numbers", "--number", "1"]), "version 3\n");
    let versions = good(&["subjects", "versions", "numbers"]);
    assert!(
        ["initial_generation", "manual_edit", "restoration", "by hand"].iter().all(|word| versions.contains(word)),
        "{versions}"
    );
    let exported: Value = serde_json::from_str(&good(&["subjects", "export", "numbers"])).unwrap();
    assert_eq!(exported["versions"][1]["text"], "uno\ntres\n");
    assert!(good(&["subjects", "list", "--prefix", "num"]).contains("numbers"));
    let again = good(&["subjects", "regenerate", "numbers", "--reason", "newer"]);
    assert!(again.starts_with("gen_"), "{again}");
    let (_, told, said) = run(&["retention", "--subjects", "--dry-run"]);
    assert!(told.is_empty() && said.contains("0 versions would be removed"), "{told}{said}");
    while run(&["subjects", "output", "numbers", "--number", "4"]).0 != 0 {}
    assert_eq!(good(&["subjects", "delete", "numbers"]), "numbers is deleted\n");
    assert_ne!(run(&["subjects", "versions", "numbers"]).0, 0);
}
