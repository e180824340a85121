//! The organization that must not be seen: generations in every state, keys and tokens good and spent.

use std::time::{Duration, Instant};

use longhand::{Clock, Scope};
use longhand_local::playback::Ending;
use longhand_local::{Options, Playback, Script};
use longhand_tests::receiver::Receiver;
use longhand_tests::sensitive::play;
use longhand_tests::{Api, Harness, PATIENCE, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::probes::{
    AUDIT, BATCH, Credential, DELIVERY, ENTITY, GENERATION, IMPORT, ORGANIZATION, PART, PIPELINE, Probe, RESPONSE, RUN, SUBJECT,
    UPLOAD, USED_KEY, USER, WEBHOOK,
};
use crate::access::keys::key;

/// Its name.
pub const NAME: &str = "acme";
/// What must never be in an answer to another.
pub const MARKS: [&str; 3] = ["output-of-acme", "prompt-of-acme", "metadata-of-acme"];
/// The `Idempotency-Key`s that it has used, for a generation and for a response.
const ITS_KEYS: [&str; 2] = ["key-of-acme", "response-key-of-acme"];
/// Its subject, which has a version, and one that nobody has.
const SUBJECTS: [&str; 2] = ["s.first", "s.other"];
/// Its subject with an import.
const IMPORTED: &str = SUBJECTS[0];
/// Its pipeline, and one that nobody has.
const PIPELINES: [&str; 2] = ["their-plan", "other-plan"];
/// Its user, who has a notification, and one that nobody has.
const USERS: [&str; 2] = ["ada@acme.example", "bob@acme.example"];
/// Those that nobody has.
const OTHER_KEYS: [&str; 2] = ["other-key", "other-response-key"];

/// Replacements: what stands in a probe, and what for.
pub type Names = Vec<(&'static str, String)>;

pub struct Victim {
    api: Api,
    generations: Vec<String>,
    batch: String,
    run: String,
    upload: String,
    import: String,
    entity: String,
    audit: String,
    webhook: String,
    delivery: String,
    pub token: String,
    worthless: Vec<(Credential, String)>,
    _providers: [Playback; 4],
    _receiver: Receiver,
}

impl Victim {
    pub async fn start() -> (Harness, Self) {
        let (providers, playing) = providers();
        // What stalls stays as it is, however long the probes take.
        let idle = ("LONGHAND_IDLE_TIMEOUT_MS", "1800000");
        let env = environment(
            "",
            &[
                ("LONGHAND_PROVIDERS", providers.as_str()),
                ("LONGHAND_MAX_RUNNING", "1000"),
                ("LONGHAND_IMPORT_GENERATION", "true"),
                idle,
            ],
        );
        let clock = Clock::system();
        let options = Options { authorize: true, organization: NAME.to_owned(), env, clock: clock.clone(), ..Options::default() };
        let harness = Harness::with(options).await;
        let (expiring, expired) = key(&harness, NAME, &Scope::ALL, Some(Duration::from_secs(1))).await;
        clock.advance(Duration::from_secs(1));
        let (id, revoked) = key(&harness, NAME, &Scope::ALL, None).await;
        let app = harness.stack.app().await.unwrap();
        app.revoke_key(&NAME.parse().unwrap(), &id.parse().unwrap()).await.unwrap();

        let api = harness.with_key(&harness.stack.key().unwrap().text);
        let generations = generations(&api).await;
        let batch = batch(&api).await;
        pipeline(&api).await;
        let run = run(&api).await;
        let upload = upload(&api).await;
        let [import, entity, audit] = import(&api).await;
        let receiver = Receiver::start().await;
        let (webhook, delivery) = webhook(&api, &receiver).await;
        let (_, token) = api.create_token(&generations[0]).await;
        let token = token["token"].as_str().unwrap().to_owned();
        let forged = format!("{}A{}", &token[..30], &token[31..]);
        let worthless = vec![
            (Credential::Expired, expired.reveal().to_owned()),
            (Credential::Revoked, revoked.reveal().to_owned()),
            (Credential::KeyId, expiring),
            (Credential::Forged, forged),
        ];
        let victim = Self {
            api,
            generations,
            batch,
            run,
            upload,
            import,
            entity,
            audit,
            webhook,
            delivery,
            token,
            worthless,
            _providers: playing,
            _receiver: receiver,
        };
        (harness, victim)
    }

    /// Credentials that open nothing.
    pub fn worthless(&self) -> Vec<(Credential, Option<String>)> {
        self.worthless.iter().map(|(kind, text)| (*kind, Some(text.clone()))).collect()
    }

    /// The ids without their prefixes.
    pub fn ulids(&self) -> impl Iterator<Item = &str> {
        let own = [
            ("whe_", &self.webhook),
            ("dlv_", &self.delivery),
            ("bat_", &self.batch),
            ("upl_", &self.upload),
            ("imp_", &self.import),
            ("ent_", &self.entity),
            ("aud_", &self.audit),
        ];
        let own = own.map(|(prefix, id)| id.strip_prefix(prefix));
        self.generations.iter().filter_map(|id| id.strip_prefix("gen_")).chain(own.into_iter().flatten())
    }

    /// Everything that it sees of its own. Others must not change it.
    pub async fn state(&self) -> Vec<Value> {
        let mut state = vec![self.api.get("generations?limit=100").await.1];
        state.push(self.api.get("usage?by=day,provider,model").await.1);
        for way in ["", "/versions", "/versions/1/output"] {
            let (status, told) = self.api.get(&format!("subjects/{}{way}", SUBJECTS[0])).await;
            assert!(status.is_success(), "{told}");
            state.push(told);
        }
        for way in ["", "/versions/1"] {
            let (status, told) = self.api.get(&format!("pipelines/{}{way}", PIPELINES[0])).await;
            assert!(status.is_success(), "{told}");
            state.push(told);
        }
        let accepted = [
            format!("subjects/{IMPORTED}/accepted_prompt"),
            format!("subjects/{IMPORTED}/imports/{}", self.import),
            format!("subjects/{IMPORTED}/entities?limit=100"),
            "audit?limit=100".to_owned(),
            format!("importers/{}", PIPELINES[0]),
        ];
        for path in accepted {
            let (status, told) = self.api.get(&path).await;
            assert!(status.is_success(), "{told}");
            state.push(told);
        }
        for way in ["", "/steps", "/report"] {
            let (status, told) = self.api.get(&format!("runs/{}{way}", self.run)).await;
            assert!(status.is_success(), "{told}");
            state.push(told);
        }
        for way in ["", "/items"] {
            let (status, told) = self.api.get(&format!("batches/{}{way}", self.batch)).await;
            assert!(status.is_success(), "{told}");
            state.push(told);
        }
        for path in ["webhooks", &format!("webhooks/{}/deliveries", self.webhook), &format!("notifications?user={}", USERS[0])] {
            let (status, told) = self.api.get(path).await;
            assert!(status.is_success(), "{told}");
            state.push(told);
        }
        for id in &self.generations {
            let (status, record) = self.api.get(&format!("generations/{id}")).await;
            assert!(status.is_success(), "{record}");
            state.extend([record, json!(self.api.events(id).await)]);
        }
        state
    }

    /// What a probe is filled with: each time what is there and is another's, and what is not there.
    pub fn names(&self, probe: &Probe, credential: Credential) -> Vec<(Names, Names)> {
        let generations = match credential {
            // It may read the first of them.
            Credential::TheirToken => &self.generations[1..],
            _ if probe.is_plain => &self.generations[..],
            _ if probe.has_id() => &self.generations[..2],
            _ => &self.generations[..1],
        };
        let forms = if probe.is_plain && probe.has_id() { &["gen_", "resp_"][..] } else { &[form(probe)][..] };
        let pairs = generations.iter().flat_map(|id| forms.iter().map(move |form| (id, *form)));
        let route = usize::from(probe.path.starts_with("/v1/responses"));
        pairs
            .map(|(id, form)| {
                let theirs = [
                    NAME,
                    ITS_KEYS[route],
                    SUBJECTS[0],
                    &self.webhook,
                    &self.delivery,
                    USERS[0],
                    &self.batch,
                    PIPELINES[0],
                    &self.run,
                    &self.upload,
                    &self.import,
                    &self.entity,
                    &self.audit,
                ];
                let (webhook, delivery) = (absent(&self.webhook), absent(&self.delivery));
                let (batch, run, upload) = (absent(&self.batch), absent(&self.run), absent(&self.upload));
                let (import, entity, audit) = (absent(&self.import), absent(&self.entity), absent(&self.audit));
                let nobodys = [
                    "nobody",
                    OTHER_KEYS[route],
                    SUBJECTS[1],
                    &webhook,
                    &delivery,
                    USERS[1],
                    &batch,
                    PIPELINES[1],
                    &run,
                    &upload,
                    &import,
                    &entity,
                    &audit,
                ];
                (names(id, form, theirs), names(&absent(id), form, nobodys))
            })
            .collect()
    }
}

/// What the providers are set to, and they themselves.
fn providers() -> (String, [Playback; 4]) {
    let theirs = play(Script::new(["output-of-acme ", "and more"])).unwrap();
    let stall = play(Script { ending: Ending::Stall, ..Script::new(["output-of-acme"]) }).unwrap();
    let ours = play(Script::new(["ours"])).unwrap();
    let answer = json!({ "scenario_metadata": { "name": "output-of-acme" }, "capabilities": [{ "name": "output-of-acme" }] });
    let scenario = play(Script::new([answer.to_string()])).unwrap();
    let all = [("theirs", &theirs), ("stall", &stall), ("ours", &ours), ("scenario", &scenario)];
    let providers = json!(
        all.map(|(name, playback)| (name, json!({ "base_url": playback.base_url() })))
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
    );
    (providers.to_string(), [theirs, stall, ours, scenario])
}

/// One that completed, one that runs, one that was cancelled, and one whose buffer is gone.
async fn generations(api: &Api) -> Vec<String> {
    let body = |provider: &str, extra: Value| {
        let mut body =
            json!({ "provider": provider, "model": "m", "prompt": "prompt-of-acme", "metadata": { "of": "metadata-of-acme" } });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let (_, completed) =
        api.post_once(ITS_KEYS[0], &json!({ "provider": "theirs", "model": "m", "prompt": "prompt-of-acme" })).await;
    let mut ids = vec![completed["id"].as_str().unwrap().to_owned()];
    let last = json!({ "delete_after": true, "subject": SUBJECTS[0], "notify": { "users": [USERS[0]] } });
    for (provider, extra) in [("stall", json!({})), ("stall", json!({})), ("theirs", last)] {
        let (_, started) = api.post(&body(provider, extra)).await;
        ids.push(started["id"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned());
    }
    let response = json!({ "model": "theirs/m", "input": "prompt-of-acme", "background": true, "stream": true });
    let request = api.http.post(api.url_of("/v1/responses")).header("idempotency-key", ITS_KEYS[1]);
    let request = request.json(&response).build().unwrap();
    let events = api.execute(request).await.text().await.unwrap();
    let (_, rest) = events.split_once("\"id\":\"resp_").unwrap();
    ids.push(format!("gen_{}", &rest[..26]));
    for stalled in [1, 2] {
        api.until(&ids[stalled], |record| record["progress"]["received_chunks"].as_u64() > Some(0)).await;
    }
    api.cancel(&ids[2]).await;
    for ended in [0, 2, 3, 4] {
        api.ended(&ids[ended]).await;
    }
    let subject = format!("subjects/{}", SUBJECTS[0]);
    let put = api.http.put(api.url_of(&format!("/v1/{subject}"))).json(&json!({ "title": "metadata-of-acme" }));
    assert!(api.send(put.build().unwrap()).await.0.is_success());
    // The last change of it, whatever the probes do.
    while api.get(&subject).await.1["current"].is_null() {
        sleep(Duration::from_millis(10)).await;
    }
    // Nor is anything of it counted later.
    while api.get("usage").await.1["total"]["generations"]["total"] != 4 {
        sleep(Duration::from_millis(10)).await;
    }
    ids
}

/// A batch that has ended.
async fn batch(api: &Api) -> String {
    let item = json!({ "custom_id": "metadata-of-acme", "request": { "prompt": "prompt-of-acme" } });
    let body =
        json!({ "name": "metadata-of-acme", "items": [item], "defaults": { "provider": "theirs", "model": "m" }, "wait": 60 });
    let post = api.http.post(api.url_of("/v1/batches")).json(&body);
    let (status, batch) = api.send(post.build().unwrap()).await;
    assert!(status.is_success() && batch["status"] == "completed", "{batch}");
    batch["id"].as_str().unwrap().to_owned()
}

/// A pipeline of two versions.
async fn pipeline(api: &Api) {
    for prompt in ["prompt-of-acme", "prompt-of-acme, again"] {
        let step = json!({ "id": "A", "provider": "theirs", "model": "m", "prompt": prompt });
        let body = json!({ "longhand": "pipeline/1", "name": PIPELINES[0], "title": "metadata-of-acme", "steps": [step] });
        let put = api.http.put(api.url_of(&format!("/v1/pipelines/{}", PIPELINES[0]))).json(&body);
        let (status, told) = api.send(put.build().unwrap()).await;
        assert_eq!(status, StatusCode::CREATED, "{told}");
    }
}

/// A run of it that has ended.
async fn run(api: &Api) -> String {
    let body = json!({ "pipeline": PIPELINES[0], "metadata": { "of": "metadata-of-acme" } });
    let post = api.http.post(api.url_of("/v1/runs")).json(&body);
    let (status, told) = api.send(post.build().unwrap()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{told}");
    let id = told["id"].as_str().unwrap().to_owned();
    let began = Instant::now();
    while api.get(&format!("runs/{id}")).await.1["ended_at"].is_null() {
        assert!(began.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20)).await;
    }
    id
}

/// What it has accepted and imported: the import, an entity, and an entry of its audit.
async fn import(api: &Api) -> [String; 3] {
    let document = json!({ "longhand": "importer/1", "name": PIPELINES[0], "title": "metadata-of-acme", "collections": [{ "name": "a", "kind": "b" }] });
    let put = api.http.put(api.url_of(&format!("/v1/importers/{}", PIPELINES[0]))).json(&document);
    assert_eq!(api.send(put.build().unwrap()).await.0, StatusCode::CREATED);
    let start = json!({ "provider": "scenario", "model": "m", "prompt": "prompt-of-acme", "subject": IMPORTED });
    let (_, started) = api.post(&start).await;
    let id = started["id"].as_str().unwrap_or_else(|| panic!("{started}"));
    api.ended(id).await;
    let post = api.http.post(api.url_of(&format!("/v1/generations/{id}/accept"))).json(&json!({ "import": true }));
    let (status, accepted) = api.send(post.build().unwrap()).await;
    assert_eq!(status, StatusCode::CREATED, "{accepted}");
    let import = &accepted["import"];
    let audit = api.get("audit?limit=1").await.1["data"][0]["id"].clone();
    [&import["id"], &import["report"]["capabilities"][0]["id"], &audit].map(|id| id.as_str().unwrap().to_owned())
}

/// A file that is uploaded.
async fn upload(api: &Api) -> String {
    let post = api.http.post(api.url_of("/v1/uploads")).json(&json!({ "purpose": "batch" }));
    let (status, upload) = api.send(post.build().unwrap()).await;
    assert!(status.is_success(), "{upload}");
    let put = api.http.put(upload["url"].as_str().unwrap()).body(r#"{"request":{"prompt":"prompt-of-acme"}}"#);
    let headers = upload["headers"].as_object().unwrap().iter();
    let put = headers.fold(put, |put, (name, value)| put.header(name, value.as_str().unwrap()));
    assert!(put.send().await.unwrap().status().is_success());
    upload["id"].as_str().unwrap().to_owned()
}

/// Its webhook, and a delivery that has ended.
async fn webhook(api: &Api, receiver: &Receiver) -> (String, String) {
    let ask = async |path: &str, body: &Value| {
        let post = api.http.post(api.url_of(&format!("/v1/{path}"))).json(body);
        let (status, told) = api.send(post.build().unwrap()).await;
        assert!(status.is_success(), "{told}");
        told["id"].as_str().unwrap().to_owned()
    };
    let body = json!({ "url": receiver.url(), "description": "metadata-of-acme", "events": ["batch.*"] });
    let webhook = ask("webhooks", &body).await;
    let delivery = ask(&format!("webhooks/{webhook}/test"), &json!({})).await;
    while api.get(&format!("webhooks/{webhook}/deliveries?status=succeeded")).await.1["data"][0].is_null() {
        sleep(Duration::from_millis(10)).await;
    }
    while api.get(&format!("notifications?user={}", USERS[0])).await.1["unread"] != 1 {
        sleep(Duration::from_millis(10)).await;
    }
    (webhook, delivery)
}

fn form(probe: &Probe) -> &'static str {
    if probe.path.starts_with("/v1/responses") { "resp_" } else { "gen_" }
}

fn names(
    id: &str,
    form: &str,
    [organization, key, subject, webhook, delivery, user, batch, pipeline, run, upload, import, entity, audit]: [&str; 13],
) -> Names {
    let ulid = id.strip_prefix("gen_").unwrap();
    vec![
        (PART, format!("{form}{ulid}")),
        (GENERATION, format!("gen_{ulid}")),
        (RESPONSE, format!("resp_{ulid}")),
        (ORGANIZATION, organization.to_owned()),
        (USED_KEY, key.to_owned()),
        (SUBJECT, subject.to_owned()),
        (WEBHOOK, webhook.to_owned()),
        (DELIVERY, delivery.to_owned()),
        (USER, user.to_owned()),
        (BATCH, batch.to_owned()),
        (PIPELINE, pipeline.to_owned()),
        (RUN, run.to_owned()),
        (UPLOAD, upload.to_owned()),
        (IMPORT, import.to_owned()),
        (ENTITY, entity.to_owned()),
        (AUDIT, audit.to_owned()),
    ]
}

/// An id of the same moment that nobody has.
fn absent(id: &str) -> String {
    format!("{}zzzzzzzz", &id[..id.len() - 8])
}
