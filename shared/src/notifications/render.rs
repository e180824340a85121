//! What endpoints and users are told of an event.

use serde_json::{Map, Value, json};

use super::endpoint::{Dialect, Endpoint, Kind};
use super::mail::Mail;
use super::{EventType, Notification};
use crate::clock::millis_of;

/// Whether a notification is about a generation that was made by the Responses API.
#[must_use]
pub fn is_response(data: &Map<String, Value>) -> bool {
    data.contains_key("response")
}

/// The body of a delivery. `name` is the event's type as the endpoint is told it.
#[must_use]
pub fn body(notification: &Notification, endpoint: &Endpoint, name: &str) -> String {
    let data = data_of(notification);
    let told = match (endpoint.kind, endpoint.dialect) {
        (Kind::Email, _) => json!(mail(notification)),
        (Kind::Slack, _) => slack(&title(notification.event, &data)),
        (Kind::Webhook, Dialect::Openai) => {
            let object = data.get("response").and_then(Value::as_str).unwrap_or(&notification.object);
            let created_at = millis_of(&notification.at).unwrap_or_default().div_euclid(1_000);
            json!({ "id": notification.id, "object": "event", "created_at": created_at, "type": name, "data": { "id": object } })
        }
        (Kind::Webhook, Dialect::Longhand) => json!({
            "id": notification.id, "type": name, "timestamp": notification.at, "organization": notification.organization, "data": data,
        }),
    };
    told.to_string()
}

/// The mail of a delivery.
#[must_use]
pub fn mail(notification: &Notification) -> Mail {
    let data = data_of(notification);
    Mail::new(notification, &title(notification.event, &data), link(notification, &data).as_deref())
}

/// The data of a notification.
#[must_use]
pub fn data_of(notification: &Notification) -> Map<String, Value> {
    serde_json::from_str(&notification.data).unwrap_or_default()
}

/// A message for Slack. Its three special characters are escaped, so that no name becomes a mention or a link
/// (<https://docs.slack.dev/messaging/formatting-message-text>).
fn slack(title: &str) -> Value {
    let text = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": text, "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": text } }] })
}

/// One sentence on an event, for people.
#[must_use]
pub fn title(event: EventType, data: &Map<String, Value>) -> String {
    let text = |name: &str| data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let id = text("id").unwrap_or_default();
    let about = |noun: &str| match text("name").or_else(|| text("subject")) {
        Some(name) => format!("The {noun} “{name}”"),
        None => format!("The {noun} {id}"),
    };
    let why = text("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    let counts = counts(data).map(|counts| format!(": {counts}")).unwrap_or_default();
    match event {
        EventType::GenerationCompleted => format!("{} has completed.", about("generation")),
        EventType::GenerationIncomplete => format!("{} was stopped before its end{why}.", about("generation")),
        EventType::GenerationFailed => format!("{} has failed{why}.", about("generation")),
        EventType::GenerationCancelled => format!("{} was cancelled.", about("generation")),
        EventType::VersionCreated => {
            let number = data.get("number").map(ToString::to_string).unwrap_or_default();
            format!("{} has a version {number}.", about("subject"))
        }
        EventType::BatchCompleted => format!("{} has ended{counts}.", about("batch")),
        EventType::BatchFailed => format!("{} has failed{counts}.", about("batch")),
        EventType::BatchCancelled => format!("{} was cancelled{counts}.", about("batch")),
        EventType::RunCompleted => format!("{} has completed.", about("run")),
        EventType::RunFailed => format!("{} has failed{why}.", about("run")),
        EventType::RunCancelled => format!("{} was cancelled.", about("run")),
        EventType::StepFailed => format!("{} has failed{why}.", about("step")),
        EventType::SubjectDeleted => format!("{} was deleted.", about("subject")),
        EventType::EntityApproved => format!("{} was approved.", about("entity")),
        EventType::EntityRejected => format!("{} was rejected.", about("entity")),
        EventType::EntityArchived => format!("{} was archived.", about("entity")),
        EventType::EntityEdited => format!("{} was edited.", about("entity")),
        EventType::ImportCompleted => format!("{} has completed.", about("import")),
        EventType::ImportReverted => format!("{} was reverted.", about("import")),
        EventType::EndpointDisabled => {
            let url = text("url").unwrap_or(id);
            format!("The endpoint {url} was disabled{why}.")
        }
        EventType::TestPing => "This is a test of the endpoint.".into(),
    }
}

/// The counts that are not zero: `38 completed, 2 failed`.
fn counts(data: &Map<String, Value>) -> Option<String> {
    let counts = data.get("counts")?.as_object()?;
    let mut told = Vec::new();
    for name in ["completed", "failed", "cancelled", "skipped"] {
        if let Some(count) = counts.get(name).and_then(Value::as_u64).filter(|count| *count > 0) {
            told.push(format!("{count} {name}"));
        }
    }
    (!told.is_empty()).then(|| told.join(", "))
}

/// The path of what an event happened to, and of its report where it has one.
#[must_use]
pub fn link(notification: &Notification, data: &Map<String, Value>) -> Option<String> {
    if let Some(report) = data.get("report").and_then(Value::as_str) {
        return Some(report.to_owned());
    }
    let object = &notification.object;
    match notification.event.as_str().split_once('.')?.0 {
        "generation" => Some(format!("/v1/generations/{object}")),
        "batch" => Some(format!("/v1/batches/{object}")),
        "run" => Some(format!("/v1/runs/{object}")),
        "step" => {
            let (run, step) = object.split_once('/')?;
            Some(format!("/v1/runs/{run}/steps/{step}"))
        }
        "version" => {
            let (subject, number) = (data.get("subject")?.as_str()?, data.get("number")?);
            Some(format!("/v1/subjects/{subject}/versions/{number}"))
        }
        "entity" => Some(format!("/v1/subjects/{}/entities/{object}", data.get("subject")?.as_str()?)),
        "import" => Some(format!("/v1/subjects/{}/imports/{object}", data.get("subject")?.as_str()?)),
        "endpoint" => Some(format!("/v1/webhooks/{object}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifications::endpoint::tests::endpoint;
    use crate::notifications::notify::Notify;

    fn notification(event: EventType, object: &str, data: &Value) -> Notification {
        let organization = "acme".parse().unwrap();
        let data = data.as_object().cloned().unwrap();
        Notification::new(&organization, event, object, 1_795_253_400_123, data, &Notify::default())
    }

    #[test]
    fn each_kind_of_endpoint_has_its_form() {
        let batch = notification(
            EventType::BatchCompleted,
            "bat_1",
            &json!({ "name": "Informe <Q3> & más", "status": "completed", "counts": { "total": 40, "completed": 38, "failed": 2 } }),
        );
        let own = endpoint(Dialect::Longhand, &["*"]);
        let told: Value = serde_json::from_str(&body(&batch, &own, "batch.completed")).unwrap();
        assert_eq!(
            (told["type"].as_str(), told["timestamp"].as_str()),
            (Some("batch.completed"), Some("2026-11-21T09:30:00.123Z"))
        );
        assert_eq!((&told["data"]["counts"]["failed"], &told["data"]["id"]), (&json!(2), &json!("bat_1")));
        assert_eq!((&told["id"], &told["organization"]), (&json!(batch.id), &json!("acme")));
        let slack = Endpoint { kind: Kind::Slack, ..own };
        let told: Value = serde_json::from_str(&body(&batch, &slack, "batch.completed")).unwrap();
        assert_eq!(told["text"], "The batch “Informe &lt;Q3&gt; &amp; más” has ended: 38 completed, 2 failed.");
        assert_eq!(link(&batch, &data_of(&batch)).as_deref(), Some("/v1/batches/bat_1"));

        let response = notification(EventType::GenerationFailed, "gen_1", &json!({ "response": "resp_1", "reason": "timeout" }));
        let openai = endpoint(Dialect::Openai, &["*"]);
        let told: Value = serde_json::from_str(&body(&response, &openai, "response.failed")).unwrap();
        let expected = json!({
            "id": response.id, "object": "event", "created_at": 1_795_253_400, "type": "response.failed", "data": { "id": "resp_1" },
        });
        assert_eq!(told, expected);
        assert_eq!(title(response.event, &data_of(&response)), "The generation gen_1 has failed: timeout.");
    }

    #[test]
    fn a_version_is_told_by_its_subject_and_number() {
        let version = notification(EventType::VersionCreated, "s@1 3", &json!({ "subject": "s@1", "number": 3 }));
        let data = data_of(&version);
        assert_eq!(title(version.event, &data), "The subject “s@1” has a version 3.");
        assert_eq!(link(&version, &data).as_deref(), Some("/v1/subjects/s@1/versions/3"));
    }
}
