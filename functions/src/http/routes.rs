//! Every route of the product: who serves it, who may call it, and how it answers errors.

use axum::extract::{MatchedPath, Request};
use http::Method;
use longhand::Scope::{Admin, Read, Review, Start};

use super::route::Route;
use super::{
    acceptance, access, audit, batches, chat_completions, console, durable, entities, events, generations, health, importers,
    imports, models, notifications, pipelines, responses, runs, statistics, subjects, uploads, webhooks,
};

const GET: Method = Method::GET;
const HEAD: Method = Method::HEAD;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// The table of routes. A path and a method have one row.
pub static ROUTES: &[Route] = &[
    // `start` writes what it starts, and may stream its answer.
    Route::new("start", POST, "/v1/generations", Start, |at, method| at.on(method, generations::start)),
    Route::new("start", POST, "/v1/responses", Start, |at, method| at.on(method, responses::create)).open_ai(),
    Route::new("start", POST, "/v1/chat/completions", Start, |at, method| at.on(method, chat_completions::create)).open_ai(),
    Route::new("start", POST, "/v1/generations/{id}/retry", Start, |at, method| at.on(method, generations::retry)),
    Route::new("start", POST, "/v1/subjects/{subject}/regenerate", Start, |at, method| at.on(method, subjects::regenerate)),
    Route::new("start", POST, "/v1/batches", Start, |at, method| at.on(method, batches::start)),
    Route::new("start", PATCH, "/v1/batches/{id}", Start, |at, method| at.on(method, batches::update)),
    Route::new("start", POST, "/v1/batches/{id}/retry", Start, |at, method| at.on(method, batches::retry)),
    Route::new("start", POST, "/v1/runs", Start, |at, method| at.on(method, runs::start)),
    // Its place is another run's, which begins then.
    Route::new("start", POST, "/v1/runs/{id}/cancel", Start, |at, method| at.on(method, runs::cancel)),
    Route::new("start", POST, "/v1/runs/{id}/redrive", Start, |at, method| at.on(method, runs::redrive)),
    // `tail` follows logs live, and sends what is long.
    Route::new("tail", GET, "/v1/generations/{id}/events", Read, |at, method| at.on(method, events::events)).by_token_in_query(),
    Route::new("tail", GET, "/v1/stream/generations/{id}", Read, |at, method| at.on(method, durable::read)).by_token_in_query(),
    Route::new("tail", HEAD, "/v1/stream/generations/{id}", Read, |at, method| at.on(method, durable::head)).by_token_in_query(),
    Route::new("tail", GET, "/v1/responses/{id}", Read, |at, method| at.on(method, responses::retrieve)).by_token().open_ai(),
    Route::new("tail", GET, "/v1/batches/{id}/events", Read, |at, method| at.on(method, batches::events)).by_token_in_query(),
    Route::new("tail", GET, "/v1/batches/{id}/results", Read, |at, method| at.on(method, batches::results)).by_token(),
    Route::new("tail", GET, "/v1/runs/{id}/events", Read, |at, method| at.on(method, runs::events)).by_token_in_query(),
    // The bytes of files pass API Gateway as they are in a response that is streamed, so that they can be compressed.
    Route::new("tail", GET, "/console", Read, |at, method| at.on(method, console::redirect)).open(),
    Route::new("tail", GET, "/console/index.html", Read, |at, method| at.on(method, console::page)).open(),
    Route::new("tail", GET, "/console/{build}/{file}", Read, |at, method| at.on(method, console::file)).open(),
    // `api` answers at once.
    Route::new("api", GET, "/healthz", Read, |at, method| at.on(method, health::get)).open(),
    Route::new("api", GET, "/v1/generations", Read, |at, method| at.on(method, generations::list)),
    Route::new("api", GET, "/v1/generations/{id}", Read, |at, method| at.on(method, generations::get)).by_token(),
    Route::new("api", HEAD, "/v1/generations/{id}", Read, |at, method| at.on(method, generations::get)).by_token(),
    Route::new("api", DELETE, "/v1/generations/{id}", Admin, |at, method| at.on(method, generations::delete)),
    Route::new("api", GET, "/v1/generations/{id}/validation_issues", Read, |at, method| at.on(method, generations::issues)),
    Route::new("api", GET, "/v1/generations/{id}/progress", Read, |at, method| at.on(method, generations::progress)).by_token(),
    Route::new("api", POST, "/v1/generations/{id}/cancel", Start, |at, method| at.on(method, generations::cancel)),
    Route::new("api", GET, "/v1/generations/{id}/output", Read, |at, method| at.on(method, generations::output)).by_token(),
    // A token can do less than the caller who makes it.
    Route::new("api", POST, "/v1/generations/{id}/tokens", Read, |at, method| at.on(method, generations::create_token)),
    Route::new("api", POST, "/v1/uploads", Start, |at, method| at.on(method, uploads::create)),
    Route::new("api", GET, "/v1/batches", Read, |at, method| at.on(method, batches::list)),
    Route::new("api", GET, "/v1/batches/{id}", Read, |at, method| at.on(method, batches::get)).by_token(),
    Route::new("api", DELETE, "/v1/batches/{id}", Admin, |at, method| at.on(method, batches::delete)),
    Route::new("api", GET, "/v1/batches/{id}/items", Read, |at, method| at.on(method, batches::items)).by_token(),
    Route::new("api", GET, "/v1/batches/{id}/report", Read, |at, method| at.on(method, batches::report)).by_token(),
    Route::new("api", POST, "/v1/batches/{id}/cancel", Start, |at, method| at.on(method, batches::cancel)),
    Route::new("api", POST, "/v1/batches/{id}/tokens", Read, |at, method| at.on(method, batches::create_token)),
    Route::new("api", GET, "/v1/runs", Read, |at, method| at.on(method, runs::list)),
    Route::new("api", GET, "/v1/runs/{id}", Read, |at, method| at.on(method, runs::get)).by_token(),
    Route::new("api", DELETE, "/v1/runs/{id}", Admin, |at, method| at.on(method, runs::delete)),
    Route::new("api", GET, "/v1/runs/{id}/steps", Read, |at, method| at.on(method, runs::steps)).by_token(),
    Route::new("api", GET, "/v1/runs/{id}/steps/{step}", Read, |at, method| at.on(method, runs::step)).by_token(),
    Route::new("api", GET, "/v1/runs/{id}/report", Read, |at, method| at.on(method, runs::report)).by_token(),
    Route::new("api", POST, "/v1/runs/{id}/tokens", Read, |at, method| at.on(method, runs::create_token)),
    Route::new("api", GET, "/v1/subjects", Read, |at, method| at.on(method, subjects::list)),
    Route::new("api", GET, "/v1/subjects/{subject}", Read, |at, method| at.on(method, subjects::get)),
    Route::new("api", PUT, "/v1/subjects/{subject}", Start, |at, method| at.on(method, subjects::put)),
    Route::new("api", DELETE, "/v1/subjects/{subject}", Admin, |at, method| at.on(method, subjects::delete)),
    Route::new("api", GET, "/v1/subjects/{subject}/versions", Read, |at, method| at.on(method, subjects::versions)),
    Route::new("api", POST, "/v1/subjects/{subject}/versions", Start, |at, method| at.on(method, subjects::edit)),
    Route::new("api", GET, "/v1/subjects/{subject}/versions/{number}", Read, |at, method| at.on(method, subjects::version)),
    Route::new("api", GET, "/v1/subjects/{subject}/versions/{number}/output", Read, |at, method| at.on(method, subjects::output)),
    Route::new("api", POST, "/v1/subjects/{subject}/versions/{number}/restore", Start, |at, method| {
        at.on(method, subjects::restore)
    }),
    Route::new("api", PUT, "/v1/subjects/{subject}/versions/{number}/labels", Start, |at, method| at.on(method, subjects::label)),
    Route::new("api", GET, "/v1/subjects/{subject}/diff", Read, |at, method| at.on(method, subjects::diff)),
    Route::new("api", GET, "/v1/subjects/{subject}/export", Read, |at, method| at.on(method, subjects::export)),
    // Whoever accepts a generation, or decides what becomes of it, answers for it.
    Route::new("api", POST, "/v1/generations/{id}/accept", Review, |at, method| at.on(method, acceptance::accept)),
    Route::new("api", GET, "/v1/generations/{id}/import_audit", Read, |at, method| at.on(method, imports::attempts)),
    // A prompt may hold what no reader should have.
    Route::new("api", GET, "/v1/subjects/{subject}/accepted_prompt", Admin, |at, method| at.on(method, acceptance::prompt)),
    Route::new("api", GET, "/v1/subjects/{subject}/imports", Read, |at, method| at.on(method, imports::list)),
    Route::new("api", GET, "/v1/subjects/{subject}/imports/{import}", Read, |at, method| at.on(method, imports::get)),
    Route::new("api", POST, "/v1/subjects/{subject}/imports/{import}/revert", Review, |at, method| {
        at.on(method, imports::revert)
    }),
    Route::new("api", GET, "/v1/subjects/{subject}/entities", Read, |at, method| at.on(method, entities::list)),
    Route::new("api", POST, "/v1/subjects/{subject}/entities/approve", Review, |at, method| at.on(method, entities::approve)),
    Route::new("api", POST, "/v1/subjects/{subject}/entities/reject", Review, |at, method| at.on(method, entities::reject)),
    Route::new("api", POST, "/v1/subjects/{subject}/entities/archive", Review, |at, method| at.on(method, entities::archive)),
    Route::new("api", GET, "/v1/subjects/{subject}/entities/{entity}", Read, |at, method| at.on(method, entities::get)),
    Route::new("api", PATCH, "/v1/subjects/{subject}/entities/{entity}", Review, |at, method| at.on(method, entities::edit)),
    Route::new("api", POST, "/v1/subjects/{subject}/entities/{entity}/promote", Review, |at, method| {
        at.on(method, entities::promote)
    }),
    Route::new("api", GET, "/v1/audit", Read, |at, method| at.on(method, audit::list)),
    Route::new("api", GET, "/v1/importers", Read, |at, method| at.on(method, importers::list)),
    Route::new("api", GET, "/v1/importers/{id}", Read, |at, method| at.on(method, importers::get)),
    // Whoever publishes an importer decides what becomes of what others accept.
    Route::new("api", PUT, "/v1/importers/{id}", Admin, |at, method| at.on(method, importers::publish)),
    Route::new("api", POST, "/v1/importers/{id}/check", Admin, |at, method| at.on(method, importers::check)),
    Route::new("api", GET, "/v1/importers/{id}/versions/{number}", Read, |at, method| at.on(method, importers::version)),
    Route::new("api", GET, "/v1/pipelines", Read, |at, method| at.on(method, pipelines::list)),
    Route::new("api", GET, "/v1/pipelines/{id}", Read, |at, method| at.on(method, pipelines::get)),
    // Whoever publishes a pipeline decides what others spend on its runs.
    Route::new("api", PUT, "/v1/pipelines/{id}", Admin, |at, method| at.on(method, pipelines::publish)),
    Route::new("api", POST, "/v1/pipelines/{id}/check", Admin, |at, method| at.on(method, pipelines::check)),
    Route::new("api", GET, "/v1/pipelines/{id}/versions/{number}", Read, |at, method| at.on(method, pipelines::version)),
    Route::new("api", GET, "/v1/credential", Read, |at, method| at.on(method, access::credential)),
    // A token can do less than the caller who makes it.
    Route::new("api", POST, "/v1/tokens", Read, |at, method| at.on(method, access::create_token)),
    Route::new("api", GET, "/v1/quota", Read, |at, method| at.on(method, access::quota)),
    Route::new("api", GET, "/v1/usage", Read, |at, method| at.on(method, statistics::usage)),
    Route::new("api", GET, "/v1/webhooks", Read, |at, method| at.on(method, webhooks::list)),
    // Whoever makes an endpoint decides where an organization's events go.
    Route::new("api", POST, "/v1/webhooks", Admin, |at, method| at.on(method, webhooks::create)),
    Route::new("api", GET, "/v1/webhooks/{id}", Read, |at, method| at.on(method, webhooks::get)),
    Route::new("api", PATCH, "/v1/webhooks/{id}", Admin, |at, method| at.on(method, webhooks::change)),
    Route::new("api", DELETE, "/v1/webhooks/{id}", Admin, |at, method| at.on(method, webhooks::delete)),
    Route::new("api", POST, "/v1/webhooks/{id}/rotate", Admin, |at, method| at.on(method, webhooks::rotate)),
    Route::new("api", POST, "/v1/webhooks/{id}/test", Admin, |at, method| at.on(method, webhooks::test)),
    Route::new("api", POST, "/v1/webhooks/{id}/recover", Admin, |at, method| at.on(method, webhooks::recover)),
    Route::new("api", GET, "/v1/webhooks/{id}/deliveries", Read, |at, method| at.on(method, webhooks::deliveries)),
    Route::new("api", POST, "/v1/deliveries/{id}/resend", Admin, |at, method| at.on(method, webhooks::resend)),
    // A user's own, or with `admin` anybody's.
    Route::new("api", GET, "/v1/notifications", Read, |at, method| at.on(method, notifications::list)).by_inbox_token(),
    Route::new("api", POST, "/v1/notifications/tokens", Read, |at, method| at.on(method, notifications::create_token)),
    Route::new("api", DELETE, "/v1/notifications", Admin, |at, method| at.on(method, notifications::delete)),
    Route::new("api", POST, "/v1/notifications/read", Read, |at, method| at.on(method, notifications::mark_read))
        .by_inbox_token(),
    Route::new("api", GET, "/v1/notifications/preferences", Read, |at, method| at.on(method, notifications::preferences)),
    Route::new("api", PUT, "/v1/notifications/preferences", Read, |at, method| at.on(method, notifications::set_preferences)),
    Route::new("api", GET, "/v1/models", Read, |at, method| at.on(method, models::list)).open_ai(),
    Route::new("api", GET, "/v1/models/{model}", Read, |at, method| at.on(method, models::get)).open_ai(),
    Route::new("api", DELETE, "/v1/responses/{id}", Admin, |at, method| at.on(method, responses::delete)).open_ai(),
    Route::new("api", POST, "/v1/responses/{id}/cancel", Start, |at, method| at.on(method, responses::cancel)).open_ai(),
    Route::new("api", GET, "/v1/responses/{id}/input_items", Read, |at, method| at.on(method, responses::input_items)).open_ai(),
];

/// Puts the request's row, if it has one, among the request's extensions, as `&'static Route`.
pub async fn identify(mut request: Request) -> Request {
    let path = request.extensions().get::<MatchedPath>();
    let route = path.and_then(|path| find(request.method(), path.as_str()));
    if let Some(route) = route {
        request.extensions_mut().insert(route);
    }
    request
}

fn find(method: &Method, path: &str) -> Option<&'static Route> {
    let row = |method: &Method| ROUTES.iter().find(|route| route.path == path && route.method == method);
    row(method).or_else(|| row(&GET).filter(|_| method == HEAD))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::route::Envelope;

    #[test]
    fn each_method_of_a_path_has_one_row() {
        let rows: BTreeSet<(&str, &str)> = ROUTES.iter().map(|route| (route.method.as_str(), route.path)).collect();
        assert_eq!(rows.len(), ROUTES.len());
    }

    #[test]
    fn head_falls_back_to_get() {
        let found = |method: Method, path: &str| find(&method, path).map(|route| &route.method);
        assert_eq!(found(HEAD, "/v1/generations/{id}"), Some(&HEAD));
        assert_eq!(found(HEAD, "/v1/generations/{id}/output"), Some(&GET));
        assert_eq!(found(HEAD, "/v1/stream/generations/{id}"), Some(&HEAD));
        assert_eq!(found(HEAD, "/v1/generations/{id}/cancel"), None);
        assert_eq!(found(POST, "/v1/generations/{id}"), None);
    }

    #[test]
    fn read_tokens_open_reads_only() {
        for route in ROUTES {
            assert!(!route.by_token || route.scope == Some(Read) && [GET, HEAD].contains(&route.method), "{route:?}");
        }
    }

    #[test]
    fn inbox_tokens_open_a_users_list_only() {
        let opened: Vec<(&Method, &str)> =
            ROUTES.iter().filter(|route| route.by_inbox_token).map(|route| (&route.method, route.path)).collect();
        assert_eq!(opened, [(&GET, "/v1/notifications"), (&POST, "/v1/notifications/read")]);
    }

    #[test]
    fn openai_paths_have_openai_errors() {
        for route in ROUTES {
            let is_openai =
                ["/v1/responses", "/v1/chat/", "/v1/models"].iter().any(|beginning| route.path.starts_with(beginning));
            assert_eq!(route.envelope == Envelope::OpenAi, is_openai, "{route:?}");
        }
    }
}
