//! `longhand pipelines`: checked without a stack, published and shown on a `longhand dev`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::arguments::longhand;
use crate::dev::Dev;

fn file(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("infra/pipelines").join(name).display().to_string()
}

#[test]
fn documents_are_checked_without_a_stack() {
    let (code, output, said) =
        longhand(&["pipelines", "check", &file("edn360-full.yaml"), "--input", &file("questionnaire.json")], "");
    assert_eq!(code, 0, "{output}{said}");
    assert!(said.contains("edn360-full: 18 steps: E1 E2") && output.contains("=== N8"), "{said}");
    assert!(output.contains("You are agent E5 (Engineer) of E.D.N.360."), "{output}");
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    fs::write(
        &wrong,
        "longhand: pipeline/1\nname: wrong\nsteps:\n  - { id: A, model: m, prompt: '{{ nope }}' }\n  - { use: lost }\n",
    )
    .unwrap();
    let (code, output, _) = longhand(&["pipelines", "check", wrong.to_str().unwrap()], "");
    assert_eq!(code, 1);
    let lines: Vec<&str> = output.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["/steps/1/use", "/steps/0/prompt"], "{output}");
    let sample = folder.path().join("sample.json");
    fs::write(&sample, r#"{"submission":{"user_id":"u"}}"#).unwrap();
    let (code, output, _) =
        longhand(&["pipelines", "check", &file("edn360-training.yaml"), "--input", sample.to_str().unwrap()], "");
    assert_eq!(code, 1);
    assert!(
        output.starts_with("submission.responses: missing: the answers of the questionnaire; expected: an object with"),
        "{output}"
    );
    let arguments = ["pipelines", "check", &file("edn360-training.yaml"), "--input", sample.to_str().unwrap(), "--json"];
    let told: Value = serde_json::from_str(&longhand(&arguments, "").1).unwrap();
    assert_eq!((&told["valid"], &told["input_errors"]["errors"][0]["path"]), (&true.into(), &"submission.responses".into()));
    assert_eq!(longhand(&["pipelines", "check", "absent.yaml"], "").0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_published_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let prices = r#"{"openai":{"gpt-5-mini":{"input":75000,"output":300000}}}"#;
    let env = [("OPENAI_API_KEY", "k"), ("LONGHAND_PRICES", prices)];
    let (_dev, _) = Dev::start(folder.path(), &["--provider", "openai"], &env).await;
    let run = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--data", &data]).collect();
        longhand(&arguments, "")
    };
    // Those that are used come first, whatever their order is.
    let files = ["edn360-full.yaml", "edn360-nutrition.yaml", "edn360-training.yaml"].map(file);
    let publish = ["pipelines", "publish", &files[0], &files[1], &files[2]];
    for _ in 0..2 {
        let (code, output, said) = run(&publish);
        assert_eq!((code, output.as_str()), (0, "edn360-nutrition@1\nedn360-training@1\nedn360-full@1\n"), "{said}");
    }
    let (_, listed, _) = run(&["pipelines", "list"]);
    assert!(listed.lines().count() == 4 && listed.contains("Plan completo"), "{listed}");
    let (code, shown, said) = run(&["pipelines", "show", "edn360-full@1"]);
    assert!(code == 0 && said.starts_with("edn360-full@1, published "), "{said}");
    // What is shown can be published again, and is the same.
    let again = folder.path().join("again.yaml");
    fs::write(&again, shown).unwrap();
    assert_eq!(run(&["pipelines", "publish", again.to_str().unwrap()]).1, "edn360-full@1\n");
    fs::write(&again, "longhand: pipeline/1\nname: wrong\nsteps: [{ id: A, model: m, prompt: '{{ nope }}' }]\n").unwrap();
    let (code, _, said) = run(&["pipelines", "publish", again.to_str().unwrap()]);
    assert!(code == 1 && said.contains("again.yaml: /steps/0/prompt: refers to `nope`"), "{said}");
    assert_eq!(run(&["pipelines", "show", "edn360-full@2"]).0, 1);
}
