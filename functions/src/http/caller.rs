//! Who calls, and what the caller may do: from the credential that API Gateway has checked, and from nothing else.
//!
//! Every handler takes its organization from here, so every route checks its scope.

use std::fmt::Display;

use axum::extract::FromRequestParts;
use http::Method;
use http::request::Parts;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyRequestContext;
use lambda_http::request::RequestContext;
use longhand::responses::ResponseId;
use longhand::{App, Error, GenerationId, GenerationKey, KeyId, Organization, Scope, Scopes, UserId};
use serde_json::Value;

use super::problem::Problem;
use super::route::Route;

/// The caller of a route, with the right to call it.
#[derive(Debug)]
pub struct Caller {
    /// The organization that the authorizer names; without an authorizer, the AWS account that signed the request.
    pub organization: Organization,
    /// The API key, if the credential is one.
    pub key: Option<KeyId>,
    /// Who calls, as users are told: by the key's name, or else its id.
    pub user: Option<UserId>,
    /// What the credential grants.
    pub scopes: Scopes,
    /// When the credential expires, in milliseconds since the epoch; `None`: not by itself.
    pub valid_until: Option<i64>,
    /// Whether it is a read token, for all of the organization.
    pub is_token: bool,
}

impl Caller {
    /// Checks a scope that the request needs beside that of its route.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn require(&self, needed: Scope) -> Result<(), Error> {
        check_scope(&self.scopes, needed, self.key.as_ref())
    }

    /// The user whose list is asked for: the caller, or whom `named` names, which another than the caller needs the scope `admin` for.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: nobody is named, or a text that is no user. [`Error::Forbidden`].
    pub fn user(&self, named: Option<&str>) -> Result<UserId, Error> {
        let named = named.map(str::parse).transpose().map_err(|error| Error::invalid("user", format!("{error}")))?;
        self.user_at("user", named)
    }

    /// The same, where `at` of the request names the user.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: nobody is named. [`Error::Forbidden`].
    pub fn user_at(&self, at: &str, named: Option<UserId>) -> Result<UserId, Error> {
        let Some(user) = named else {
            let missing = || Error::invalid(at, "must be given, because the credential names no user");
            return self.user.clone().ok_or_else(missing);
        };
        if self.user.as_ref() != Some(&user) {
            self.require(Scope::Admin)?;
        }
        Ok(user)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(RequestContext::ApiGatewayV1(context)) = parts.extensions.get::<RequestContext>() else {
            return Err(Error::Unauthorized("the request did not come through API Gateway".into()).into());
        };
        let Some(route) = parts.extensions.get::<&'static Route>() else {
            return Err(Error::Forbidden("the request has no route".into()).into());
        };
        let organization = organization(context)?;
        let valid_until = check_expiry(context)?;
        let scopes = scopes(context);
        if let Some(scope) = route.scope {
            check_scope(&scopes, scope, context_field(context, "key"))?;
        }
        check_token(context, route, parts, &organization).await?;
        let key = context_field(context, "key").and_then(|key| key.parse().ok());
        let user = context_field(context, "user").and_then(|user| user.parse().ok());
        let is_token = context_field(context, "reads").is_some();
        Ok(Self { organization, key, user, scopes, valid_until, is_token })
    }
}

fn organization(context: &ApiGatewayProxyRequestContext) -> Result<Organization, Error> {
    let name = context_field(context, "organization").or(context.identity.account_id.as_deref());
    let name = name.ok_or_else(|| Error::Unauthorized("the credential names no organization".into()))?;
    name.parse().map_err(|error| Error::Unauthorized(format!("{error}")))
}

/// A field of the authorizer's context.
fn context_field<'a>(context: &'a ApiGatewayProxyRequestContext, name: &str) -> Option<&'a str> {
    context.authorizer.fields.get(name).and_then(Value::as_str)
}

/// API Gateway caches the authorizer's context, for longer than a credential may last.
fn check_expiry(context: &ApiGatewayProxyRequestContext) -> Result<Option<i64>, Error> {
    let until = context_field(context, "valid_until").and_then(|until| until.parse::<i64>().ok());
    match until {
        Some(until) if context.request_time_epoch >= until => Err(Error::Unauthorized("a good API key is needed".into())),
        _ => Ok(until),
    }
}

/// An authorizer that names the organization grants the scopes that it names, and no others. Without one (IAM, which has
/// policies of its own) every scope is granted.
fn scopes(context: &ApiGatewayProxyRequestContext) -> Scopes {
    match context_field(context, "scopes") {
        Some(scopes) => scopes.parse().unwrap_or_default(),
        None if context.authorizer.fields.contains_key("organization") => Scopes::default(),
        None => Scopes::all(),
    }
}

fn check_scope(granted: &Scopes, needed: Scope, key: Option<impl Display>) -> Result<(), Error> {
    if granted.contains(needed) {
        return Ok(());
    }
    let holder = key.map_or_else(|| "the credential".to_owned(), |key| format!("the key {key}"));
    Err(Error::Forbidden(format!("this needs the scope `{needed}`, and {holder} has `{granted}`")))
}

/// A read token opens the routes for tokens, with the id of what it is for, whether another one exists or not. That of a batch or a run opens
/// those of its generations, too. That of a user's notifications names the user, whom the caller is then, and opens their two routes. That of
/// an organization opens each route that reads, and none by which something is made: not even another token, which would outlive it.
async fn check_token(
    context: &ApiGatewayProxyRequestContext,
    route: &Route,
    parts: &Parts,
    organization: &Organization,
) -> Result<(), Error> {
    if let Some(user) = context_field(context, "inbox") {
        let refused = || Error::Forbidden(format!("this token is for the notifications of {user}, and nothing else"));
        return if route.by_inbox_token { Ok(()) } else { Err(refused()) };
    }
    if let Some(scope) = context_field(context, "reads") {
        let is_read = scope == Scope::Read.as_str() && route.scope == Some(Scope::Read);
        let refused = || Error::Forbidden("this token reads, and changes nothing".into());
        return if is_read && [Method::GET, Method::HEAD].contains(&route.method) { Ok(()) } else { Err(refused()) };
    }
    // A token of something else has a generation too, which is none.
    let kinds = ["batch", "run", "generation"];
    let Some((kind, reads)) = kinds.iter().find_map(|kind| Some((*kind, context_field(context, kind)?))) else { return Ok(()) };
    let names = |name: &str| is_path(route.path, parts.uri.path(), name);
    let is_own = match kind {
        _ if !route.by_token => false,
        "generation" => names(reads) || names(&response_of(reads)),
        _ => names(reads) || is_of(route, parts, organization, (kind, reads)).await?,
    };
    if is_own { Ok(()) } else { Err(Error::Forbidden(format!("this token is for reading {reads}, and nothing else"))) }
}

/// Whether a path is that of a route with this id. What stands below the id, such as a step, may be any.
fn is_path(route: &str, path: &str, id: &str) -> bool {
    let (mut expected, mut found) = (route.split('/'), path.split('/'));
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return true,
            (Some("{step}"), Some(_)) => {}
            (Some(expected), Some(segment)) if segment == if expected == "{id}" { id } else { expected } => {}
            _ => return false,
        }
    }
}

/// The name of a generation in `OpenAI`'s API.
fn response_of(generation: &str) -> String {
    generation.parse().map(|id| ResponseId::of(id).to_string()).unwrap_or_default()
}

/// Whether the path names a try of one of the items of a batch, or of one of the steps of a run.
async fn is_of(route: &Route, parts: &Parts, organization: &Organization, (kind, parent): (&str, &str)) -> Result<bool, Error> {
    let Some((before, after)) = route.path.split_once("{id}") else { return Ok(false) };
    let name = parts.uri.path().strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap_or_default();
    let generation =
        name.parse::<GenerationId>().ok().or_else(|| name.parse::<ResponseId>().ok().map(|id| id.generation().clone()));
    let (Some(generation), Some(app)) = (generation, parts.extensions.get::<App>()) else { return Ok(false) };
    let key = GenerationKey::new(organization.clone(), generation);
    match kind {
        "batch" => match parent.parse() {
            Ok(batch) => app.is_of_batch(&key, &batch).await,
            Err(_) => Ok(false),
        },
        _ => match parent.parse() {
            Ok(run) => app.is_of_run(&key, &run).await,
            Err(_) => Ok(false),
        },
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use serde_json::json;

    use super::*;
    use crate::http::ROUTES;

    /// What a caller with this context is granted at `POST /v1/generations`.
    async fn call(authorizer: Value, account_id: Option<&str>) -> Result<Caller, Problem> {
        let mut context = ApiGatewayProxyRequestContext::default();
        context.authorizer.fields = serde_json::from_value(authorizer).unwrap();
        context.identity.account_id = account_id.map(str::to_owned);
        let route = ROUTES.iter().find(|route| route.method == Method::POST && route.path == "/v1/generations").unwrap();
        let request = Request::builder().extension(RequestContext::ApiGatewayV1(context)).extension(route);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Caller::from_request_parts(&mut parts, &()).await
    }

    #[test]
    fn path_is_a_routes_with_one_id() {
        let id = "run_1";
        for (route, path, expected) in [
            ("/v1/runs/{id}", "/v1/runs/run_1", true),
            ("/v1/runs/{id}/steps/{step}", "/v1/runs/run_1/steps/E5", true),
            ("/v1/runs/{id}/steps/{step}", "/v1/runs/run_2/steps/run_1", false),
            ("/v1/runs/{id}/steps/{step}", "/v1/runs/run_1/steps/E5/x", false),
            ("/v1/runs/{id}", "/v1/runs/run_1/steps", false),
            ("/v1/runs", "/v1/runs/run_1", false),
            ("/v1/runs/{id}", "/v1/runs/{id}", false),
        ] {
            assert_eq!(is_path(route, path, id), expected, "{route} {path}");
        }
    }

    #[tokio::test]
    async fn iam_grants_every_scope() {
        let caller = call(json!({}), Some("123456789012")).await.unwrap();
        assert_eq!(caller.organization.as_str(), "123456789012");
    }

    #[tokio::test]
    async fn named_scopes_are_granted() {
        assert!(call(json!({ "organization": "acme", "scopes": "read start" }), None).await.is_ok());
        let refused = call(json!({ "organization": "acme", "scopes": "read", "key": "key_1" }), None).await.unwrap_err().0;
        assert!(matches!(&refused, Error::Forbidden(why) if why.contains("`start`") && why.contains("`read`")), "{refused}");
    }

    #[tokio::test]
    async fn organization_without_scopes_is_granted_none() {
        for authorizer in [
            json!({ "organization": "acme" }),
            json!({ "organization": "acme", "scopes": "everything" }),
            json!({ "organization": "acme", "scopes": ["start"] }),
            json!({ "organization": null }),
        ] {
            let refused = call(authorizer.clone(), Some("123456789012")).await;
            assert!(matches!(&refused, Err(Problem(Error::Forbidden(_)))), "{authorizer}: {refused:?}");
        }
    }
}
