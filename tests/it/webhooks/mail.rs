//! Mailboxes: what arrives, what SES is asked, and what is refused.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use longhand::notifications::render;
use longhand::{Clock, Delivered};
use longhand_tests::receiver::{Answer, Receiver};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Scene;

/// What another reader makes of a mail.
const READ: &str = r#"
import email, email.policy, json, sys
mail = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
defects = [str(defect) for part in mail.walk() for defect in part.defects]
print(json.dumps({
    "subject": str(mail["subject"]), "from": str(mail["from"]), "to": str(mail["to"]), "date": bool(mail["date"].datetime),
    "id": str(mail["message-id"]), "event": str(mail["x-longhand-event"]), "type": mail.get_content_type(),
    "text": mail.get_content(), "names": [name.lower() for name in mail.keys()], "defects": defects,
}))
"#;

fn read(file: &Path) -> Value {
    let read = Command::new("python3").args(["-c", READ]).arg(file).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

impl Scene {
    async fn mailbox(&self, address: &str, events: &[&str]) -> Value {
        self.done("POST", "webhooks", &json!({ "kind": "email", "url": format!("mailto:{address}"), "events": events })).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_batch_reaches_a_mailbox_byte_for_byte() {
    let scene = Scene::live().await;
    let mailbox = scene.mailbox("ada@example.com", &["batch.*"]).await;
    let name = "Informe de año — ¿qué? 漢字 \u{1f600} =?utf-8?q?no?= \r\nBcc: eve@example.com";
    let items = json!([{ "request": { "prompt": "uno" } }]);
    let body = json!({ "name": name, "items": items, "defaults": { "provider": "test", "model": "m" } });
    let batch = scene.done("POST", "batches", &body).await;
    assert_eq!((&mailbox["kind"], &mailbox["url"]), (&json!("email"), &json!("mailto:ada@example.com")));
    assert!(mailbox.get("secret").is_none(), "nothing is signed: {mailbox}");
    let delivery = &scene.delivered(&mailbox, 1).await[0];
    assert_eq!((&delivery["status"], &delivery["attempts"][0]["status_code"]), (&json!("succeeded"), &json!(200)), "{delivery}");
    let files: Vec<_> = std::fs::read_dir(scene.harness.stack.mail()).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("one mail: {files:?}") };
    let bytes = std::fs::read(file).unwrap();
    assert!(bytes.is_ascii() && bytes.split(|byte| *byte == b'\n').all(|line| line.len() < 999), "as SMTP takes it");
    let mail = read(file);
    let told = "The batch “Informe de año — ¿qué? 漢字 \u{1f600} =?utf-8?q?no?=   Bcc: eve@example.com” has ended: 1 completed.";
    assert_eq!(mail["subject"], told);
    assert!(
        mail["text"].as_str().unwrap().replace("\r\n", "\n").starts_with(&format!("{told}\n\nOrganization: local\n")),
        "{mail}"
    );
    assert!(mail["text"].as_str().unwrap().contains(&format!("/v1/batches/{}/report", batch["id"].as_str().unwrap())), "{mail}");
    assert_eq!((&mail["to"], &mail["from"]), (&json!("ada@example.com"), &json!("longhand@laptop.invalid")));
    assert_eq!((&mail["type"], &mail["date"], &mail["defects"]), (&json!("text/plain"), &json!(true), &json!([])));
    assert_eq!(mail["event"], delivery["event"]);
    assert!(!mail["names"].as_array().unwrap().contains(&json!("bcc")), "{mail}");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ses_is_asked_again_until_it_takes_a_mail_and_what_it_says_is_in_the_log() {
    let ses = Receiver::answering(Answer::of(429)).await;
    let env = [("LONGHAND_DELIVER_FUNCTION", "nobody"), ("AWS_ENDPOINT_URL_SESV2", ses.url())];
    let scene = Scene::with(&["EveryMinute"], &env, Clock::manual()).await;
    let mailbox = scene.mailbox("ada@example.com", &["batch.*"]).await;
    let happened = scene.happen("bat_1").await;
    assert_eq!(scene.send_due(&mailbox).await, [Delivered::Again]);
    ses.answer(Answer::of(200));
    scene.clock.advance(Duration::from_secs(6));
    assert_eq!(scene.send_due(&mailbox).await, [Delivered::Succeeded]);
    let delivery = &scene.deliveries(&mailbox).await[0];
    let codes: Vec<&Value> = delivery["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["status_code"]).collect();
    assert_eq!(codes, [429, 200]);
    let got = ses.got();
    assert_eq!(got[0].text, got[1].text);
    let asked: Value = serde_json::from_str(&got[0].text).unwrap();
    let mail = render::mail(&happened);
    assert_eq!(asked, mail.request("longhand@laptop.invalid", "ada@example.com", &happened.id.to_string()));
    assert!(got[0].header("authorization").contains("/us-east-1/ses/aws4_request"));
    let refused = scene.ask("POST", &format!("webhooks/{}/rotate", mailbox["id"].as_str().unwrap()), None).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sender_there_are_no_mailboxes_and_wrong_addresses_are_refused() {
    let scene = Scene::with(&["EveryMinute"], &[("LONGHAND_EMAIL_SENDER", "")], Clock::system()).await;
    let body = json!({ "kind": "email", "url": "mailto:ada@example.com" });
    let (status, refused) = scene.ask("POST", "webhooks", Some(&body)).await;
    assert_eq!((status, &refused["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/kind")));
    assert!(refused["detail"].as_str().unwrap().contains("this deployment sends none"), "{refused}");
    for wrong in ["ada@example.com\r\nBcc: eve@example.com", "ñ@example.com", &format!("{}@example.com", "a".repeat(65)), "ada"]
    {
        let body = json!({ "kind": "email", "url": format!("mailto:{wrong}") });
        let (status, refused) = scene.ask("POST", "webhooks", Some(&body)).await;
        let errors = refused["errors"].as_array().unwrap();
        assert!(status == StatusCode::BAD_REQUEST && errors.iter().any(|error| error["pointer"] == "/url"), "{refused}");
    }
    scene.harness.finish().await;
}
