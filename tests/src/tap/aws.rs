//! The HTTP client of the AWS SDK behind a [`Tap`].

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use super::{Action, Call, Fault, Item, Tap};

/// `client` behind `tap`.
pub(super) fn tapped(client: SharedHttpClient, tap: Arc<dyn Tap>) -> SharedHttpClient {
    SharedHttpClient::new(Tapped { client, tap })
}

#[derive(Debug)]
struct Tapped {
    client: SharedHttpClient,
    tap: Arc<dyn Tap>,
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    tap: Arc<dyn Tap>,
}

impl HttpClient for Tapped {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.client.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, tap: Arc::clone(&self.tap) })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = describe(&request);
        let action = self.tap.call(call.clone());
        let (connector, tap) = (self.inner.clone(), Arc::clone(&self.tap));
        HttpConnectorFuture::new(async move {
            let send = async |request| {
                let answer = connector.call(request).await;
                if let Ok(answer) = &answer {
                    tap.answered(&call, answer.status().as_u16());
                }
                answer
            };
            match action.await {
                Action::Pass => send(request).await,
                Action::Refuse(Fault::Broken) => Err(broken()),
                Action::Refuse(Fault::Answer { status, body }) => answer(status, body),
                Action::Hold { until, lost } => {
                    let answer = send(request).await;
                    until.await;
                    if lost { Err(broken()) } else { answer }
                }
            }
        })
    }
}

fn broken() -> ConnectorError {
    ConnectorError::io("the connection broke".into())
}

fn answer(status: u16, body: String) -> Result<HttpResponse, ConnectorError> {
    let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

/// The call that a request makes, from the wire form of its service's protocol.
fn describe(request: &HttpRequest) -> Call {
    let service = service(request);
    let named = |operation: String, resource| Call { service, operation, resource, items: Vec::new() };
    match service {
        "s3" => named(s3_operation(request), path(request).trim_start_matches('/').to_owned()),
        // `/2015-03-31/functions/NAME/invocations`
        "lambda" => {
            let function = path(request).split('/').nth(3).unwrap_or_default();
            named("InvokeFunction".to_owned(), function.replace("%3A", ":"))
        }
        _ => json_protocol(service, request),
    }
}

/// The service that a request is signed for, `Credential=KEY/DATE/REGION/SERVICE/aws4_request`; without a signature, that of its
/// operation, `DynamoDB_20120810.PutItem`.
fn service(request: &HttpRequest) -> &'static str {
    const SERVICES: [&str; 5] = ["dynamodb", "s3", "lambda", "secretsmanager", "sqs"];
    let header = |name| request.headers().get(name).unwrap_or_default();
    let signed_for = header("authorization").split_once("Credential=").and_then(|(_, scope)| scope.split('/').nth(3));
    let called = signed_for.unwrap_or_else(|| header("x-amz-target").split('_').next().unwrap_or_default());
    let is_called = |service: &&str| service.eq_ignore_ascii_case(called);
    SERVICES.into_iter().find(is_called).unwrap_or_else(|| panic!("a call to {called:?}"))
}

fn json_protocol(service: &'static str, request: &HttpRequest) -> Call {
    let target = request.headers().get("x-amz-target").and_then(|target| target.split('.').nth(1)).unwrap_or_default();
    let body: Value = request.body().bytes().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let in_batch = || body["RequestItems"].as_object().and_then(|tables| tables.keys().next().cloned());
    let items = items(target, &body);
    let in_transaction = || items.first().map(|item| item.table.clone());
    let name = text("TableName").or_else(|| text("SecretId")).or_else(in_batch).or_else(in_transaction).unwrap_or_default();
    let resource = text("IndexName").map_or_else(|| name.clone(), |index| format!("{name}/index/{index}"));
    Call { service, operation: target.to_owned(), resource, items }
}

/// The items that a request to `DynamoDB` names by their keys, or the partition that a query reads. A batch has none.
fn items(operation: &str, body: &Value) -> Vec<Item> {
    let item = |operation: &str, of: &Value| {
        let text = |text: &Value| text.as_str().unwrap_or_default().to_owned();
        let keys = [&of["Key"]["pk"], &of["Item"]["pk"], &of["ExpressionAttributeValues"][":pk"]];
        let key = keys.into_iter().find(|key| !key.is_null()).unwrap_or(&Value::Null);
        Item { operation: operation.to_owned(), table: text(&of["TableName"]), partition: text(&key["S"]) }
    };
    if let Some(transaction) = body["TransactItems"].as_array() {
        let kinds = transaction.iter().filter_map(Value::as_object).flatten();
        // `Put`, `Update`, `Delete`, `ConditionCheck`, `Get`.
        return kinds.map(|(kind, of)| item(&format!("{kind}Item"), of)).collect();
    }
    match operation {
        "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" => vec![item(operation, body)],
        "Query" if body["IndexName"].is_null() => vec![item(operation, body)],
        _ => Vec::new(),
    }
}

/// Path style: `/bucket/key?…&x-id=GetObject`. Three operations of an upload, and lists, have no `x-id`.
fn s3_operation(request: &HttpRequest) -> String {
    let query = request.uri().split_once('?').map_or("", |(_, query)| query);
    let named = query.split('&').find_map(|pair| pair.strip_prefix("x-id="));
    let operation = match (named, request.method()) {
        (Some(named), _) => named,
        (None, "POST") if query.split('&').any(|pair| pair == "uploads" || pair.starts_with("uploads=")) => {
            "CreateMultipartUpload"
        }
        (None, "POST") => "CompleteMultipartUpload",
        (None, "DELETE") => "DeleteObject",
        (None, "HEAD") => "HeadObject",
        (None, "GET") if query.split('&').any(|pair| pair == "list-type=2") => "ListObjectsV2",
        (None, method) => method,
    };
    operation.to_owned()
}

/// The path of the request, without host and query.
fn path(request: &HttpRequest) -> &str {
    let uri = request.uri();
    let behind_scheme = uri.find("://").map_or(uri, |at| &uri[at + 3..]);
    let path = behind_scheme.find('/').map_or("", |at| &behind_scheme[at..]);
    path.split_once('?').map_or(path, |(path, _)| path)
}
