//! Invocations over the Invoke API.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aws_sdk_lambda::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    error::ProvideErrorMetadata,
    primitives::Blob,
    types::InvocationType,
};
use axum::{Json, Router, routing::post};
use lambda_http::{RequestExt, request::RequestContext};
use serde_json::{Value, json};

use crate::{
    Data, Stack,
    testing::{Functions, Seen, stack, until},
};

const TEMPLATE: &str = r#"
Resources:
  Work:
    Type: AWS::Serverless::Function
    Properties: { Handler: work, FunctionName: !Sub "${AWS::StackName}-work", Timeout: 1, EventInvokeConfig: { MaximumRetryAttempts: 2 } }
"#;

fn client(stack: &Stack) -> Client {
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("a", "b", None, None, "test"))
        .http_client(stack.http_client())
        .endpoint_url(&stack.endpoints().lambda);
    Client::from_conf(config.build())
}

async fn send(stack: &Stack, name: &str) {
    let invoke = client(stack).invoke().function_name(name).invocation_type(InvocationType::Event);
    let answer = invoke.payload(Blob::new(r#"{"n":1}"#)).send().await.unwrap();
    assert_eq!(answer.status_code(), 202);
}

#[tokio::test]
async fn synchronous_invoke_by_id_name_or_arn() {
    let functions = Functions::default()
        .event("work", |event| Ok(json!({ "got": event.payload, "arn": event.context.invoked_function_arn })));
    let stack = stack(TEMPLATE, functions, Data::Memory).await;
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:longhand-work";
    for name in ["Work", "longhand-work", arn] {
        let answer = client(&stack).invoke().function_name(name).payload(Blob::new("[1]")).send().await.unwrap();
        let payload: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
        assert_eq!(payload, json!({ "got": [1], "arn": arn }));
    }
    let error = client(&stack).invoke().function_name("nobody").send().await.unwrap_err();
    assert_eq!(error.code(), Some("ResourceNotFoundException"));
}

#[tokio::test]
async fn errors_panics_and_timeouts_fail() {
    let functions = Functions::default().later("work", |event| async move {
        match event.payload.as_str() {
            Some("panic") => panic!("on purpose"),
            Some("hang") => std::future::pending().await,
            _ => Err("no".into()),
        }
    });
    let stack = stack(TEMPLATE, functions, Data::Memory).await;
    for (payload, message) in [("error", "no"), ("panic", "on purpose"), ("hang", "Task timed out after 1.00 seconds")] {
        let answer =
            client(&stack).invoke().function_name("Work").payload(Blob::new(json!(payload).to_string())).send().await.unwrap();
        assert_eq!(answer.function_error(), Some("Unhandled"));
        let error: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
        assert!(error["errorMessage"].as_str().unwrap().contains(message), "{error}");
    }
}

#[tokio::test]
async fn deadline_is_in_epoch_milliseconds() {
    let functions = Functions::default().event("work", |event| Ok(json!(event.context.deadline)));
    let stack = stack(TEMPLATE, functions, Data::Memory).await;
    let now = || u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let before = now();
    let deadline = stack.invoke("work", Value::Null).await.unwrap().as_u64().unwrap();
    assert!((before + 1000..=now() + 1000).contains(&deadline), "{deadline}");
}

#[tokio::test]
async fn retries_share_the_request_id() {
    let seen = Seen::default();
    let functions = Functions::default().event("work", {
        let seen = seen.clone();
        move |event| if seen.add(json!(event.context.request_id)) < 3 { Err("again".into()) } else { Ok(Value::Null) }
    });
    let stack = stack(TEMPLATE, functions, Data::Memory).await;
    send(&stack, "Work").await;
    until(async || seen.all().len() == 3).await;
    assert!(seen.all().windows(2).all(|ids| ids[0] == ids[1]));
    assert!(stack.failures().await.is_empty());
}

#[tokio::test]
async fn exhausted_retries_leave_a_record() {
    let functions = Functions::default().event("work", |_| Err("never".into()));
    let stack = stack(TEMPLATE, functions, Data::Memory).await;
    send(&stack, "longhand-work").await;
    until(async || !stack.failures().await.is_empty()).await;
    let record = stack.failures().await.remove(0);
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!((&record["requestPayload"], &record["responsePayload"]["errorMessage"]), (&json!({ "n": 1 }), &json!("never")));
}

#[tokio::test]
async fn unfinished_event_runs_on_the_next_stack() {
    let temporary = tempfile::tempdir().unwrap();
    let data = || Data::Folder(temporary.path().to_owned());
    let seen = Seen::default();
    let hangs = Functions::default().later("work", {
        let seen = seen.clone();
        move |event| {
            seen.add(event.payload);
            std::future::pending()
        }
    });
    let first = stack(&TEMPLATE.replace("Timeout: 1", "Timeout: 900"), hangs, data()).await;
    send(&first, "Work").await;
    until(async || seen.all().len() == 1).await;
    drop(first);
    let works = Functions::default().event("work", {
        let seen = seen.clone();
        move |event| {
            seen.add(event.payload);
            Ok(Value::Null)
        }
    });
    let second = stack(TEMPLATE, works, data()).await;
    until(async || seen.all().len() == 2).await;
    assert_eq!(seen.all()[0], seen.all()[1]);
    second.shutdown().await;
    assert_eq!(std::fs::read_dir(temporary.path().join("events")).unwrap().count(), 0);
}

#[tokio::test]
async fn http_function_accepts_api_gateway_events() {
    let router = Router::new().route(
        "/things",
        post(async |request: axum::extract::Request| {
            let RequestContext::ApiGatewayV1(context) = request.request_context() else { panic!() };
            (axum::http::StatusCode::ACCEPTED, Json(json!(context.authorizer.fields["organization"])))
        }),
    );
    let variable = "Environment: { Variables: { AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH: 'true' } }, Timeout: 1";
    let stack = stack(&TEMPLATE.replace("Timeout: 1", variable), Functions::default().http("work", router), Data::Memory).await;
    let event = json!({
        "resource": "/things", "path": "/things", "httpMethod": "POST", "headers": { "host": "h" }, "multiValueHeaders": { "host": ["h"] }, "body": "{}", "isBase64Encoded": false,
        "requestContext": { "httpMethod": "POST", "path": "/things", "stage": "live", "authorizer": { "organization": "acme" }, "identity": {} },
    });
    let answer = stack.invoke("work", event).await.unwrap();
    assert_eq!((&answer["statusCode"], &answer["body"]), (&json!(202), &json!("\"acme\"")));
}

#[tokio::test]
async fn schedule_runs_at_start() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let functions = Functions::default().event("work", |event| {
        assert_eq!(event.payload["detail-type"], "Scheduled Event");
        RUNS.fetch_add(1, Ordering::SeqCst);
        Ok(Value::Null)
    });
    let template =
        TEMPLATE.replace("Timeout: 1,", "Timeout: 1, Events: { E: { Type: Schedule, Properties: { Schedule: rate(1 hour) } } },");
    let stack = stack(&template, functions, Data::Memory).await;
    until(async || RUNS.load(Ordering::SeqCst) == 1).await;
    tokio::time::timeout(Duration::from_secs(10), stack.shutdown()).await.unwrap();
}
