//! Two organizations that cannot meet. Every route of the template, every way to name what is another's: the answer must be that
//! for what is not there.

mod probes;
mod victim;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use longhand::{ApiKey, Scope};
use longhand_local::{TEMPLATE, Template};
use longhand_tests::Harness;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use self::probes::{Credential, Probe, probes};
use self::victim::{MARKS, Names, Victim};
use crate::access::keys::key;

const ASKED_AT_ONCE: usize = 8;
const ULID_CHARS: usize = 26;

/// What an answer tells, without what is each request's own: its id, the time, and the names that were asked for.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: StatusCode,
    headers: BTreeMap<String, Vec<String>>,
    body: String,
}

/// Method and path of every route but those of the console's files, which have no organization; what takes any method is asked by each.
fn routes() -> BTreeSet<(String, String)> {
    const ALL: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    let functions = Template::read(TEMPLATE).unwrap().functions;
    let mut routes = BTreeSet::new();
    for route in functions.into_iter().flat_map(|function| function.routes).filter(|route| !route.path.starts_with("/console")) {
        let methods = if route.method == "ANY" { ALL.to_vec() } else { vec![route.method.as_str()] };
        routes.extend(methods.into_iter().map(|method| (method.to_owned(), route.path.clone())));
    }
    routes
}

/// What is told, and all that was in the answer.
async fn ask(harness: &Harness, probe: &Probe, names: &Names, bearer: Option<&str>) -> (Told, String) {
    let fill = |text: &str| names.iter().fold(text.to_owned(), |text, (mark, name)| text.replace(mark, name));
    let method = Method::from_bytes(probe.method.as_bytes()).unwrap();
    let mut request = harness.http.request(method, harness.api.url_of(&fill(&probe.path)));
    request = probe.headers.iter().fold(request, |request, (name, value)| request.header(*name, fill(value)));
    if let Some(body) = &probe.body {
        request = request.header("content-type", "application/json").body(fill(body));
    }
    request = bearer.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
    let response = request.send().await.unwrap();
    let status = response.status();
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in response.headers() {
        headers.entry(name.to_string()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let body = String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned();
    let all = format!("{headers:?}\n{body}");
    (Told { status, headers, body }.without_what_is_its_own(names), all)
}

impl Told {
    fn without_what_is_its_own(mut self, names: &Names) -> Self {
        for name in ["date", "x-request-id", "content-length"] {
            self.headers.remove(name);
        }
        if self.status.is_success() {
            // Of what was created or listed, which is the caller's own, the form.
            let mut form = BTreeSet::new();
            keys_of(&serde_json::from_str(&self.body).unwrap_or_default(), "", &mut form);
            self.body = format!("{form:?}");
            self.headers.remove("location");
            return self;
        }
        let request_id = self.body.split(r#""request_id":""#).nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
        let own: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).chain(request_id.as_deref()).collect();
        self.body = own.iter().fold(self.body.clone(), |text, name| text.replace(name, "(own)"));
        // Any other id is the caller's own, or it is found as a leak.
        while let Some((at, mark)) = ["gen_", "resp_", "bat_", "whe_", "dlv_", "upl_", "imp_", "ent_", "aud_"]
            .iter()
            .find_map(|mark| Some((self.body.find(mark)?, mark)))
        {
            let end = (at + mark.len() + ULID_CHARS).min(self.body.len());
            self.body.replace_range(at..end, "(id)");
        }
        self
    }
}

fn keys_of(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.insert(format!("{at}/{name}"));
            keys_of(value, &format!("{at}/{name}"), found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, at, found)),
        _ => {}
    }
}

/// What must not be in the answer: the other's words, and its ids but for those asked for, or named by the token itself.
fn leaked<'a>(victim: &'a Victim, all: &str, names: &Names, credential: Credential) -> Option<&'a str> {
    let is_known = |ulid: &str| names.iter().any(|(_, name)| name.contains(ulid));
    let ids = victim.ulids().skip(usize::from(credential == Credential::TheirToken)).filter(|ulid| !is_known(ulid));
    MARKS.into_iter().chain(ids).find(|mark| all.contains(mark))
}

/// Every kind of caller that the other organization does not want.
async fn callers(harness: &Harness, victim: &Victim) -> BTreeMap<Credential, Option<String>> {
    let mut callers: BTreeMap<Credential, Option<String>> = victim.worthless().into_iter().collect();
    for scope in Scope::ALL {
        let (_, scoped) = key(harness, "globex", &[scope], None).await;
        callers.insert(Credential::Scoped(scope), Some(scoped.reveal().to_owned()));
    }
    let (_, whole) = key(harness, "globex", &Scope::ALL, None).await;
    let api = harness.with_key(whole.reveal());
    let own = api.start_generation(json!({ "provider": "ours" })).await;
    api.ended(&own).await;
    // What it is told of itself has the same form from now on.
    while api.get("usage").await.1["total"]["generations"]["total"] == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (_, token) = api.create_token(&own).await;
    callers.insert(Credential::Whole, Some(whole.reveal().to_owned()));
    callers.insert(Credential::OwnToken, Some(token["token"].as_str().unwrap().to_owned()));
    let body = json!({ "items": [{}], "defaults": { "provider": "ours", "model": "m", "prompt": "p" } });
    let (_, batch) = api.send(api.http.post(api.url_of("/v1/batches")).json(&body).build().unwrap()).await;
    let tokens = format!("/v1/batches/{}/tokens", batch["id"].as_str().unwrap());
    let (_, token) = api.send(api.http.post(api.url_of(&tokens)).json(&json!({})).build().unwrap()).await;
    callers.insert(Credential::OwnBatchToken, Some(token["token"].as_str().unwrap().to_owned()));
    let step = json!({ "id": "A", "provider": "ours", "model": "m", "prompt": "p" });
    let document = json!({ "longhand": "pipeline/1", "name": "a-plan", "steps": [step] });
    let (status, _) = api.send(api.http.put(api.url_of("/v1/pipelines/a-plan")).json(&document).build().unwrap()).await;
    assert_eq!(status, StatusCode::CREATED);
    let started = api.http.post(api.url_of("/v1/runs")).json(&json!({ "pipeline": "a-plan" }));
    let (_, run) = api.send(started.build().unwrap()).await;
    let run = run["id"].as_str().unwrap();
    while api.get(&format!("runs/{run}")).await.1["ended_at"].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let tokens = format!("/v1/runs/{run}/tokens");
    let (_, token) = api.send(api.http.post(api.url_of(&tokens)).json(&json!({})).build().unwrap()).await;
    callers.insert(Credential::OwnRunToken, Some(token["token"].as_str().unwrap().to_owned()));
    let post = api.http.post(api.url_of("/v1/notifications/tokens")).json(&json!({ "user": "eve@globex.example" }));
    let (_, token) = api.send(post.build().unwrap()).await;
    callers.insert(Credential::OwnInboxToken, Some(token["token"].as_str().unwrap().to_owned()));
    let post = api.http.post(api.url_of("/v1/tokens")).json(&json!({ "scope": "read" }));
    let (_, token) = api.send(post.build().unwrap()).await;
    callers.insert(Credential::OwnReadToken, Some(token["token"].as_str().unwrap().to_owned()));
    callers.insert(Credential::TheirToken, Some(victim.token.clone()));
    callers.insert(Credential::Unknown, Some(ApiKey::generate().unwrap().reveal().to_owned()));
    callers.insert(Credential::None, None);
    callers
}

#[tokio::test(flavor = "multi_thread")]
async fn other_organizations_data_looks_absent() {
    let (harness, victim) = Victim::start().await;
    let before = victim.state().await;
    let callers = callers(&harness, &victim).await;
    let mut asked = Vec::new();
    for (method, path) in routes() {
        for probe in probes(&method, &path) {
            for (credential, bearer) in callers.iter().filter(|(credential, _)| probe.is_for(**credential)) {
                let pairs = victim.names(&probe, *credential).into_iter();
                asked.extend(pairs.map(|names| (probe.clone(), *credential, bearer.as_deref(), names)));
            }
        }
    }
    let count = asked.len();
    let leaks: Vec<String> = stream::iter(asked)
        .map(async |(probe, credential, bearer, (theirs, nobodys))| {
            let (told, all) = ask(&harness, &probe, &theirs, bearer).await;
            let (expected, _) = ask(&harness, &probe, &nobodys, bearer).await;
            let leaked = leaked(&victim, &all, &theirs, credential);
            let is_well = told == expected && leaked.is_none();
            (!is_well).then(|| format!("{credential:?} {probe:?} {theirs:?}: {leaked:?}\n{told:#?} is not\n{expected:#?}"))
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(leaks.is_empty(), "{} of {count} combinations: {}", leaks.len(), leaks[..leaks.len().min(3)].join("\n"));
    assert!(count >= 700, "{count} combinations");
    assert_eq!(victim.state().await, before, "what is theirs is as it was");
    eprintln!("{count} combinations of route, name and credential: 0 leaks");
    harness.stack.shutdown().await;
}
