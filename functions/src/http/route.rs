//! What a route is. The table of all routes is [`super::ROUTES`].

use axum::routing::{MethodFilter, MethodRouter};
use http::Method;
use longhand::{App, Scope};

/// The form of a route's errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Envelope {
    /// `application/problem+json` (RFC 9457). The Durable Streams protocol leaves the form open, and has this one.
    #[default]
    Problem,
    /// The `error` object of the `OpenAI` API.
    OpenAi,
}

/// One method of one path.
#[derive(Debug)]
pub struct Route {
    /// The `Handler` of the function that serves it.
    pub function: &'static str,
    /// The method. `GET` also serves `HEAD`, unless the path has a row for `HEAD`.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// The scope that a caller needs. `None`: everyone may call it.
    pub scope: Option<Scope>,
    /// Whether a read token opens it, for the generation that the token is for.
    pub by_token: bool,
    /// Whether a token for a user's notifications opens it.
    pub by_inbox_token: bool,
    /// Whether the token may be in the query, as `token`, where the client cannot send headers.
    pub token_in_query: bool,
    /// The form of its errors.
    pub envelope: Envelope,
    attach: fn(MethodRouter<App>, MethodFilter) -> MethodRouter<App>,
}

impl Route {
    /// A route whose errors are problems, and which no read token opens.
    pub(super) const fn new(
        function: &'static str,
        method: Method,
        path: &'static str,
        scope: Scope,
        attach: fn(MethodRouter<App>, MethodFilter) -> MethodRouter<App>,
    ) -> Self {
        Self {
            function,
            method,
            path,
            scope: Some(scope),
            by_token: false,
            by_inbox_token: false,
            token_in_query: false,
            envelope: Envelope::Problem,
            attach,
        }
    }

    /// The same, for everyone: it is called without a key and has no organization.
    pub(super) const fn open(mut self) -> Self {
        self.scope = None;
        self
    }

    /// The same, for read tokens too.
    pub(super) const fn by_token(mut self) -> Self {
        self.by_token = true;
        self
    }

    /// The same, for tokens for a user's notifications too.
    pub(super) const fn by_inbox_token(mut self) -> Self {
        self.by_inbox_token = true;
        self
    }

    /// The same, for read tokens too, also in the query.
    pub(super) const fn by_token_in_query(mut self) -> Self {
        self.token_in_query = true;
        self.by_token()
    }

    /// The same, with errors in `OpenAI`'s form.
    pub(super) const fn open_ai(mut self) -> Self {
        self.envelope = Envelope::OpenAi;
        self
    }

    /// Whether it is a page of the console or a file of one, and not part of the API.
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.path.starts_with("/console")
    }

    /// Adds the handler to the methods of the route's path.
    pub(super) fn attach_to(&self, path: MethodRouter<App>) -> MethodRouter<App> {
        match MethodFilter::try_from(self.method.clone()) {
            Ok(method) => (self.attach)(path, method),
            Err(_) => path,
        }
    }
}
