//! The stack as a whole.

use axum::{
    Router,
    extract::Request,
    routing::{get, post},
};
use lambda_http::{RequestExt, request::RequestContext};
use longhand_functions::Function;
use serde_json::Value;

use super::*;
use crate::{
    options::Data,
    testing::{Functions, options, stack},
};

const WEB: &str = r#"
Resources:
  Web:
    Type: AWS::Serverless::Function
    Properties:
      Handler: web
      Environment: { Variables: { MODE: template, OTHER: kept } }
      Events:
        Show: { Type: Api, Properties: { Path: "/v1/things/{id}", Method: GET } }
        Make: { Type: Api, Properties: { Path: /v1/things, Method: POST } }
"#;

fn web() -> Functions {
    let who = async |request: Request| -> String {
        let RequestContext::ApiGatewayV1(context) = request.request_context() else { return String::new() };
        assert!(context.request_id.is_some() && request.lambda_context().deadline > 0);
        context.authorizer.fields["organization"].as_str().unwrap_or_default().to_owned()
    };
    let fail = async |_: Request| -> &'static str { panic!("on purpose") };
    Functions::default().http("web", Router::new().route("/v1/things/{id}", get(who)).route("/v1/things", post(fail)))
}

#[tokio::test]
async fn route_passes_the_organization() {
    let options = Options { organization: "acme".to_owned(), ..options(Data::Memory) };
    let stack = Stack::start_with(options, WEB, web().registry()).await.unwrap();
    let answer = reqwest::get(format!("{}/v1/things/1", stack.url())).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "acme"));
}

#[tokio::test]
async fn unknown_routes_and_failures_are_problems() {
    let stack = stack(WEB, web(), Data::Memory).await;
    let url = |path: &str| format!("{}{path}", stack.url());
    let nowhere = reqwest::get(url("/v2/things")).await.unwrap();
    assert_eq!(nowhere.status().as_u16(), 403, "API Gateway's own answer, where the template has none");
    let wrong = reqwest::get(url("/v1/things")).await.unwrap();
    assert_eq!((wrong.status().as_u16(), &wrong.headers()["allow"]), (405, &"POST".parse().unwrap()));
    let problem: Value = wrong.json().await.unwrap();
    assert_eq!(problem["code"], "method_not_allowed");
    let failed = reqwest::Client::new().post(url("/v1/things")).send().await.unwrap();
    assert_eq!(failed.status(), 502);
}

#[tokio::test]
async fn environment_precedence() {
    let mut options = options(Data::Memory);
    options.env.insert("MODE".to_owned(), "mine".to_owned());
    let stack = Stack::start_with(options, WEB, web().registry()).await.unwrap();
    let environment = stack.environment("web");
    assert_eq!((environment["MODE"].as_str(), environment["OTHER"].as_str()), ("mine", "kept"));
    assert_eq!(environment["AWS_ENDPOINT_URL_DYNAMODB"], stack.endpoints().dynamodb);
}

#[tokio::test]
async fn missing_handler_is_named() {
    let none: Registry = Arc::new(|_, _| -> Option<Function> { None });
    let error = Stack::start_with(options(Data::Memory), WEB, none).await.err().unwrap();
    assert!(format!("{error:#}").contains("`web`"), "{error:#}");
}

#[tokio::test]
async fn data_folder_is_announced_and_locked_while_running() {
    let temporary = tempfile::tempdir().unwrap();
    let data = || Data::Folder(temporary.path().to_owned());
    let running = stack(WEB, web(), data()).await;
    let announced: Value = serde_json::from_slice(&std::fs::read(temporary.path().join("stack.json")).unwrap()).unwrap();
    assert_eq!(announced["url"], running.url());
    assert_eq!(announced["pid"], std::process::id());
    let refused = Stack::start_with(options(data()), WEB, web().registry()).await.err().unwrap();
    assert!(format!("{refused:#}").contains("another longhand stack"), "{refused:#}");
    running.shutdown().await;
    assert!(!temporary.path().join("stack.json").exists());
    stack(WEB, web(), data()).await.shutdown().await;
}
