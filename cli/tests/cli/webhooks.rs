//! `longhand webhooks` and `longhand notifications`, on a `longhand dev` that plays a recording.

use std::fs;

use longhand_local::Script;
use longhand_tests::receiver::Receiver;
use longhand_tests::sensitive::play;
use serde_json::Value;

use crate::arguments::longhand;
use crate::dev::Dev;

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_made_tested_rotated_recovered_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let playback = play(Script::new(["uno"])).unwrap();
    let receiver = Receiver::start().await;
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
    let made = good(&["webhooks", "create", receiver.url(), "--event", "generation.completed", "--description", "D"]);
    let (id, secret) = (made.split(' ').next().unwrap(), made.lines().nth(1).unwrap());
    assert!(id.starts_with("whe_") && secret.starts_with("secret  whsec_"), "{made}");
    good(&["start", "--prompt", "Hola", "--model", "m", "--wait"]);
    receiver.until(1).await;
    assert!(good(&["webhooks", "test", id]).starts_with("dlv_"));
    receiver.until(2).await;
    while good(&["webhooks", "deliveries", id, "--status", "succeeded"]).lines().count() < 3 {}
    let all = good(&["webhooks", "deliveries", id]);
    assert!(all.contains("generation.completed") && all.contains("test.ping") && all.contains("204"), "{all}");
    let newest = all.lines().nth(1).unwrap().split(' ').next().unwrap();
    assert!(good(&["webhooks", "resend", newest]).contains("pending"));
    receiver.until(3).await;
    assert!(good(&["webhooks", "rotate", id]).contains("whsec_"));
    assert!(good(&["webhooks", "update", id, "--disable"]).contains("disabled (by_owner)"));
    let (code, _, refused) = run(&["webhooks", "recover", id, "--since", "2026-01-01T00:00:00Z"]);
    assert!(code != 0 && refused.contains("enable it first"), "{refused}");
    assert!(good(&["webhooks", "update", id, "--enable", "--event", "batch.*"]).contains("batch.*"));
    let sent = good(&["webhooks", "recover", id, "--since", "2026-01-01T00:00:00Z"]);
    assert_eq!(sent, "0 that had failed and 0 that were missed are sent\n");
    let shown: Value = serde_json::from_str(&good(&["webhooks", "get", id, "--json"])).unwrap();
    assert_eq!((shown["id"].as_str(), shown.get("secret")), (Some(id), None));
    assert!(good(&["webhooks", "list"]).contains(receiver.url()));
    assert_eq!(good(&["webhooks", "delete", id]), format!("{id} is deleted\n"));
    assert!(!good(&["webhooks", "list"]).contains("whe_"));
    assert_eq!(good(&["notifications", "--read"]), "0 marked as read, 0 left\n");
    assert_eq!(good(&["notifications", "--user", "ada", "--unread"]).lines().count(), 1);
    let mailbox = good(&["webhooks", "create", "mailto:ada@example.com", "--event", "generation.*"]);
    assert!(mailbox.contains("mailto:ada@example.com") && !mailbox.contains("secret"), "{mailbox}");
    good(&["start", "--prompt", "Hola", "--model", "m", "--notify", "ada,bob", "--wait"]);
    while good(&["notifications", "--user", "ada", "--unread"]).lines().count() != 2 {}
    assert!(good(&["notifications", "--user", "bob"]).contains("has completed"));
    while !fs::read_dir(folder.path().join("mail"))
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().ends_with(".eml")))
    {}
}
