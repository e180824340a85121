//! API Gateway: forwards the template's routes to the functions' routers, with the request context that they expect.

mod authorizer;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use axum::{
    BoxError, Router,
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use lambda_http::{RequestExt, aws_lambda_events::apigw::ApiGatewayProxyRequestContext, request::RequestContext};
use longhand::Clock;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout, timeout_at};
use tower::ServiceExt;

pub use authorizer::Authorizer;

use authorizer::Refusal;

use crate::{
    lambda::{Host, Hosted, invocation_context, request_id},
    template::{ACCOUNT, GatewayAnswer, HostedApi},
};

/// The type of the gateway response where there is no route.
const NO_ROUTE: &str = "MISSING_AUTHENTICATION_TOKEN";
/// The longest that a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
struct Gateway {
    host: Host,
    /// The name of the stage in the context of requests.
    stage: &'static str,
    routes: Vec<Route>,
    callers: Callers,
    answers: BTreeMap<String, GatewayAnswer>,
    clock: Clock,
}

/// Who may call the API.
pub enum Callers {
    /// Callers that the authorizer of the route admits; these are all, by name.
    Authorized(BTreeMap<String, Authorizer>),
    /// Every caller, as this organization and with every scope.
    All(String),
}

struct Route {
    method: String,
    path: String,
    is_public: bool,
    authorizer: Option<String>,
    hosted: Arc<Hosted>,
    router: Router,
}

/// The API: every HTTP function of `host` at its routes, as the stage of this name.
///
/// # Errors
/// A route names an authorizer that the template does not have.
pub fn router(host: &Host, stage: &'static str, callers: Callers, api: &HostedApi, clock: Clock) -> Result<Router> {
    let mut routes = Vec::new();
    for hosted in host.functions() {
        let Some(router) = hosted.function.router() else { continue };
        for route in &hosted.definition.routes {
            let (method, path) = (route.method.clone(), route.path.clone());
            let authorizer = api.authorizer_of(route.authorizer.as_deref())?.map(str::to_owned);
            routes.push(Route {
                method,
                path,
                is_public: route.is_public,
                authorizer,
                hosted: hosted.clone(),
                router: router.clone(),
            });
        }
    }
    // Fixed segments come before parameters, as in API Gateway.
    routes.sort_by_key(|route| route.path.split('/').map(|segment| segment.starts_with('{')).collect::<Vec<_>>());
    let gateway = Gateway { host: host.clone(), stage, routes, callers, answers: api.answers.clone(), clock };
    Ok(Router::new().fallback(handle).with_state(Arc::new(gateway)))
}

async fn handle(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    // API Gateway leads a path with a slash at its end to the resource without it. People type that of the console so.
    let path = request.uri().path();
    let path: Vec<_> = path.strip_suffix('/').filter(|path| *path == "/console").unwrap_or(path).split('/').collect();
    let mut here: Vec<_> = gateway.routes.iter().filter(|route| matches(&route.path, &path)).collect();
    // The resource is chosen by the path alone, as in API Gateway, and a method that it has not is looked for nowhere else.
    let resource = here.first().map(|route| route.path.as_str());
    here.retain(|route| Some(route.path.as_str()) == resource);
    let id = request_id();
    if here.is_empty() {
        return gateway.gateway_response(NO_ROUTE, &id);
    }
    if let Some(route) = here.iter().find(|route| route.method == "ANY" || route.method == request.method().as_str()) {
        return forward(&gateway, route, request, id).await;
    }
    let mut allowed: Vec<_> = here.iter().map(|route| route.method.as_str()).collect();
    allowed.sort_unstable();
    allowed.dedup();
    let detail = format!("{} takes {}, not {}.", request.uri().path(), allowed.join(" or "), request.method());
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &detail, &id);
    if let Ok(allowed) = allowed.join(", ").parse() {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

fn matches(pattern: &str, path: &[&str]) -> bool {
    let pattern: Vec<_> = pattern.split('/').collect();
    let greedy = pattern.last().is_some_and(|last| last.ends_with("+}"));
    let fixed = if greedy { pattern.len() - 1 } else { pattern.len() };
    let long_enough = if greedy { path.len() >= pattern.len() } else { path.len() == pattern.len() };
    let same =
        |(pattern, segment): (&&str, &&str)| if pattern.starts_with('{') { !segment.is_empty() } else { pattern == segment };
    long_enough && pattern[..fixed].iter().zip(path).all(same)
}

async fn forward(gateway: &Gateway, route: &Route, request: Request, id: String) -> Response {
    let caller = match &gateway.callers {
        _ if route.is_public => Map::new(),
        Callers::All(organization) => Map::from_iter([
            ("organization".to_owned(), json!(organization)),
            ("scopes".to_owned(), json!(longhand::Scopes::all().to_string())),
        ]),
        Callers::Authorized(authorizers) => {
            let Some(authorizer) = route.authorizer.as_ref().and_then(|name| authorizers.get(name)) else {
                return gateway.gateway_response(Refusal::AuthorizerFailure.kind(), &id);
            };
            let admitted = match authorizer.authorization_request(&route.path, &request) {
                Ok(request) => authorizer.authorize(request).await,
                Err(refusal) => Err(refusal),
            };
            match admitted {
                Ok(caller) => caller,
                Err(refusal) => return gateway.gateway_response(refusal.kind(), &id),
            }
        }
    };
    let request = request.map(|body| with_deadline(body, BODY_TIMEOUT));
    let context = request_context(gateway, route, &request, caller, &id);
    let request = request.with_request_context(context).with_lambda_context(invocation_context(&route.hosted, &id));
    let limit = Duration::from_secs(route.hosted.definition.timeout_seconds);
    // In a task, because a function continues when its caller disconnects, and to contain panics.
    let answer = gateway.host.spawn(timeout(limit, route.router.clone().oneshot(request)));
    match answer.await {
        Ok(Some(Ok(Ok(response)))) => response,
        Ok(Some(Err(_))) => problem(StatusCode::GATEWAY_TIMEOUT, "timeout", "The function took too long.", &id),
        Ok(None) => problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "This server is stopping.", &id),
        Err(panic) => {
            tracing::error!(function = route.hosted.definition.id, request_id = id, error = %panic, "an HTTP handler panicked");
            problem(StatusCode::BAD_GATEWAY, "internal_server_error", "The function failed.", &id)
        }
    }
}

/// A body that ends with an error where it has not arrived within `limit`. (API Gateway has a limit of its own.)
fn with_deadline(body: Body, limit: Duration) -> Body {
    let deadline = Instant::now() + limit;
    Body::from_stream(stream::try_unfold(body.into_data_stream(), move |mut body| async move {
        match timeout_at(deadline, body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some((bytes, body))),
            Ok(Some(Err(error))) => Err(BoxError::from(error)),
            Err(_) => Err(BoxError::from(format!("it did not arrive within {} s", limit.as_secs()))),
        }
    }))
}

impl Gateway {
    /// A gateway response: the template's, or API Gateway's default.
    fn gateway_response(&self, kind: &str, id: &str) -> Response {
        let Some(GatewayAnswer { status, headers, body }) = self.answers.get(kind) else {
            return (StatusCode::FORBIDDEN, axum::Json(json!({ "message": kind }))).into_response();
        };
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, body.replace("$context.requestId", id)).into_response();
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), value.parse()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

fn request_context(gateway: &Gateway, route: &Route, request: &Request, caller: Map<String, Value>, id: &str) -> RequestContext {
    let now = jiff::Timestamp::from_millisecond(gateway.clock.now_ms()).unwrap_or_default();
    let mut context = ApiGatewayProxyRequestContext::default();
    context.account_id = Some(ACCOUNT.to_owned());
    context.stage = Some(gateway.stage.to_owned());
    context.apiid = Some(gateway.stage.to_owned());
    context.request_id = Some(id.to_owned());
    context.protocol = Some("HTTP/1.1".to_owned());
    context.resource_path = Some(route.path.clone());
    context.path = Some(request.uri().path().to_owned());
    context.http_method = Method::clone(request.method());
    context.identity.source_ip = Some("127.0.0.1".to_owned());
    context.authorizer.fields.extend(caller);
    context.request_time_epoch = now.as_millisecond();
    context.request_time = Some(now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string());
    RequestContext::ApiGatewayV1(context)
}

fn problem(status: StatusCode, code: &str, detail: &str, request_id: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
        "request_id": request_id,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn body_that_does_not_arrive_is_given_up() {
        let pieces = stream::iter([Ok::<_, Infallible>("{")]).chain(stream::pending());
        let error = to_bytes(with_deadline(Body::from_stream(pieces), Duration::ZERO), 9).await.unwrap_err();
        assert_eq!(error.to_string(), "it did not arrive within 0 s");
        assert_eq!(to_bytes(with_deadline(Body::from("{}"), BODY_TIMEOUT), 2).await.unwrap(), "{}");
    }

    #[test]
    fn routes_match_only_their_paths() {
        let is_match = |pattern: &str, path: &str| matches(pattern, &path.split('/').collect::<Vec<_>>());
        assert!(is_match("/v1/things/{id}", "/v1/things/a"));
        assert!(!is_match("/v1/things/{id}", "/v1/things/"));
        assert!(!is_match("/v1/things/{id}", "/v1/things"));
        assert!(!is_match("/v1/things/{id}", "/v1/things/a/b"));
        assert!(is_match("/files/{path+}", "/files/a/b"));
        assert!(!is_match("/files/{path+}", "/files"));
    }
}
