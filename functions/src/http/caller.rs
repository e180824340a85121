//! Who calls, and what they may do: from the credential that API Gateway has checked, and from nothing else in the request.
//!
//! Every handler takes its organization from here, so no route goes without its scope being asked for.

use axum::extract::{FromRequestParts, MatchedPath, Request};
use http::request::Parts;
use http::{Extensions, Method};
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyRequestContext;
use lambda_http::request::RequestContext;
use longhand::responses::ResponseId;
use longhand::{Error, GenerationId, KeyId, Organization, Scope, Scopes};
use serde_json::Value;

use super::problem::Failure;

/// What a read token is for, and nothing else. A new route is not, until it stands here.
const READ_BY_TOKEN: [&str; 6] = [
    "/v1/generations/{id}",
    "/v1/generations/{id}/progress",
    "/v1/generations/{id}/events",
    "/v1/generations/{id}/output",
    "/v1/stream/generations/{id}",
    "/v1/responses/{id}",
];

/// The caller's organization: what the authorizer put into its context; without an authorizer, the AWS account that signed.
pub struct Caller {
    /// Whose generations these are.
    pub organization: Organization,
    /// The API key that was shown, if one was.
    pub key: Option<KeyId>,
    /// The request's id.
    pub request_id: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let Some(RequestContext::ApiGatewayV1(context)) = parts.extensions.get::<RequestContext>() else {
            return Err(Failure(Error::Unauthorized("the request did not come through API Gateway".into())));
        };
        let organization = organization(context)?;
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        is_in_time(context)?;
        has_scope(context, needed(&parts.method, route))?;
        is_for(context, parts, route)?;
        let key = said(context, "key").and_then(|key| key.parse().ok());
        Ok(Self { organization, key, request_id: request_id_of(&parts.extensions) })
    }
}

fn organization(context: &ApiGatewayProxyRequestContext) -> Result<Organization, Error> {
    let name = said(context, "organization").or(context.identity.account_id.as_deref());
    let name = name.ok_or_else(|| Error::Unauthorized("the credential names no organization".into()))?;
    name.parse().map_err(|error| Error::Unauthorized(format!("{error}")))
}

/// What the authorizer said.
fn said<'a>(context: &'a ApiGatewayProxyRequestContext, name: &str) -> Option<&'a str> {
    context.authorizer.fields.get(name).and_then(Value::as_str)
}

/// API Gateway keeps what its authorizer said, also for a while that is longer than the credential lasts.
fn is_in_time(context: &ApiGatewayProxyRequestContext) -> Result<(), Error> {
    let until = said(context, "valid_until").and_then(|until| until.parse::<i64>().ok());
    match until {
        Some(until) if context.request_time_epoch >= until => Err(Error::Unauthorized("a good API key is needed".into())),
        _ => Ok(()),
    }
}

/// Where nobody speaks of scopes (IAM, which has policies of its own; another authorizer), every one is granted.
fn has_scope(context: &ApiGatewayProxyRequestContext, needed: Scope) -> Result<(), Error> {
    let Some(scopes) = said(context, "scopes") else { return Ok(()) };
    let granted: Scopes = scopes.parse().unwrap_or_default();
    if granted.contains(needed) {
        return Ok(());
    }
    let whose = said(context, "key").map_or_else(|| "the credential".to_owned(), |key| format!("the key {key}"));
    Err(Error::Forbidden(format!("this needs the scope `{needed}`, and {whose} has `{granted}`")))
}

/// A token for one generation opens no other, whether there is one or not.
fn is_for(context: &ApiGatewayProxyRequestContext, parts: &Parts, route: &str) -> Result<(), Error> {
    let Some(generation) = said(context, "generation") else { return Ok(()) };
    let id: Option<GenerationId> = generation.parse().ok();
    let is_read = [Method::GET, Method::HEAD].contains(&parts.method) && READ_BY_TOKEN.contains(&route);
    let is_its_own = |id: GenerationId| {
        let names = [id.to_string(), ResponseId::of(id).to_string()];
        names.iter().any(|name| parts.uri.path() == route.replace("{id}", name))
    };
    if is_read && id.is_some_and(is_its_own) {
        return Ok(());
    }
    Err(Error::Forbidden(format!("this token is for reading {generation}, and nothing else")))
}

/// The scope that a route needs: to look is `read`, to delete is `admin`, and whatever else is done is `start`.
fn needed(method: &Method, route: &str) -> Scope {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Scope::Read,
        // It makes what reads less than the caller does.
        Method::POST if route.ends_with("/tokens") => Scope::Read,
        Method::POST => Scope::Start,
        _ => Scope::Admin,
    }
}

/// The id that API Gateway gave the request.
pub fn request_id(request: &Request) -> Option<String> {
    request_id_of(request.extensions())
}

/// The same, of a request in parts.
pub fn request_id_of(extensions: &Extensions) -> Option<String> {
    match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV1(context)) => context.request_id.clone(),
        _ => None,
    }
}
