//! Who calls: the organization, from the credential that API Gateway has checked, and from nothing else in the request.

use axum::extract::{FromRequestParts, Request};
use http::request::Parts;
use lambda_http::request::RequestContext;
use longhand::{Error, Organization};

use super::problem::Failure;

/// The caller's organization: what the authorizer put into its context; without an authorizer, the AWS account that signed.
pub struct Caller(pub Organization);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let Some(RequestContext::ApiGatewayV1(context)) = parts.extensions.get::<RequestContext>() else {
            return Err(Failure(Error::Unauthorized("the request did not come through API Gateway".into())));
        };
        let from_authorizer = context.authorizer.fields.get("organization").and_then(|name| name.as_str());
        let Some(name) = from_authorizer.or(context.identity.account_id.as_deref()) else {
            return Err(Failure(Error::Unauthorized("neither an authorizer nor a signature names one".into())));
        };
        name.parse().map(Self).map_err(|error| Failure(Error::Unauthorized(format!("{error}"))))
    }
}

/// The id that API Gateway gave the request.
pub fn request_id(request: &Request) -> Option<String> {
    match request.extensions().get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV1(context)) => context.request_id.clone(),
        _ => None,
    }
}
