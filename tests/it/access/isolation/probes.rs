//! Ways to name what may be another's: in the path, in cursors, in headers, in bodies.

use longhand::Scope;

/// Stands in a probe for the id of a generation, as `gen_…`.
pub const GENERATION: &str = "<generation>";
/// The same as a response's.
pub const RESPONSE: &str = "<response>";
/// The id of a batch.
pub const BATCH: &str = "<batch>";
/// The id of an upload.
pub const UPLOAD: &str = "<upload>";
/// Stands for a subject in the path.
pub const SUBJECT: &str = "<subject>";
/// Stands for a webhook in the path.
pub const WEBHOOK: &str = "<webhook>";
/// Stands for a pipeline in the path.
pub const PIPELINE: &str = "<pipeline>";
/// Stands for an import in the path.
pub const IMPORT: &str = "<import>";
/// Stands for an entity in the path.
pub const ENTITY: &str = "<entity>";
/// Stands for an entry of the audit.
pub const AUDIT: &str = "<audit>";
/// Stands for a run in the path.
pub const RUN: &str = "<run>";
/// Stands for a delivery in the path.
pub const DELIVERY: &str = "<delivery>";
/// Stands for somebody who is notified.
pub const USER: &str = "<user>";
/// Stands for a part of the path.
pub const PART: &str = "<part>";
/// Stands for the other organization's name, or one that nobody has.
pub const ORGANIZATION: &str = "<organization>";
/// Stands for an `Idempotency-Key` that was used, or was not.
pub const USED_KEY: &str = "<used-key>";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// A key with every scope.
    Whole,
    /// A key with one.
    Scoped(Scope),
    /// A token for a generation of one's own.
    OwnToken,
    /// A token for a batch of one's own.
    OwnBatchToken,
    /// A token for a run of one's own.
    OwnRunToken,
    /// A token for the notifications of a user of one's own.
    OwnInboxToken,
    /// A token for all of one's own organization.
    OwnReadToken,
    /// A good token of the other organization's, for one of its generations.
    TheirToken,
    /// No header.
    None,
    /// A key that is nobody's.
    Unknown,
    /// The other organization's, revoked.
    Revoked,
    /// The other organization's, expired.
    Expired,
    /// The id of the other organization's key.
    KeyId,
    /// The other organization's token, its end moved.
    Forged,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Probe {
    pub method: String,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    /// The plainest way to ask: every credential asks it, for everything.
    pub is_plain: bool,
}

const QUERIES: [&str; 32] = [
    "state=incubating&kind=capability&after=<entity>&limit=100",
    "parent=<entity>&import=<import>&format=ndjson",
    "object=<entity>&subject=<subject>&order=asc",
    "action=accept&after=<audit>&format=ndjson",
    "after=<run>&limit=100",
    "pipeline=<pipeline>&status=completed",
    "limit=100&after=<pipeline>",
    "batch=<batch>",
    "after=<batch>&name=metadata-of-acme&status=ended",
    "metadata.of=metadata-of-acme",
    "order=asc&after=<generation>&model=m&status=completed",
    "after=0",
    "after=2&limit=1",
    "after=<generation>",
    "after=<response>",
    "limit=1&order=asc&after=msg_<generation>",
    "wait=0&after=1",
    "partial=json",
    "prefix=s&after=<subject>",
    "subject=<subject>",
    "from=1&to=1",
    "by=day,provider,model",
    "offset=-1",
    "offset=now",
    "offset=0000000000000001&live=long-poll",
    "offset=0000000000000001&live=sse&cursor=7",
    "stream=true",
    "stream=true&starting_after=1",
    "organization=<organization>",
    "user=<user>",
    "status=succeeded&after=<delivery>",
    "generation=<generation>&id=<generation>",
];

const HEADERS: [(&str, &str); 15] = [
    ("last-event-id", "1"),
    ("accept", "text/event-stream"),
    ("if-none-match", "\"<generation>:0:5:c\""),
    ("if-none-match", "*"),
    ("if-match", "\"1\""),
    ("x-organization", "<organization>"),
    ("organization", "<organization>"),
    ("openai-organization", "<organization>"),
    ("openai-project", "<organization>"),
    ("x-amzn-request-context", "{\"authorizer\":{\"organization\":\"<organization>\"}}"),
    ("x-forwarded-user", "<organization>"),
    ("cookie", "organization=<organization>"),
    ("idempotency-key", "<used-key>"),
    ("x-stainless-retry-count", "1"),
    ("range", "bytes=0-99"),
];

/// What a body may say. The first two are those that the other organization has sent.
const BODIES: [&str; 25] = [
    r#"{"provider":"theirs","model":"m","prompt":"prompt-of-acme"}"#,
    r#"{"model":"theirs/m","input":"prompt-of-acme","background":true}"#,
    r#"{"provider":"ours","model":"m","prompt":"p","organization":"<organization>"}"#,
    r#"{"provider":"ours","model":"m","prompt":"p","metadata":{"organization":"<organization>","id":"<generation>"}}"#,
    r#"{"model":"ours/m","input":"p","background":true,"previous_response_id":"<response>"}"#,
    r#"{"model":"ours/m","input":[{"type":"item_reference","id":"<response>"}],"background":true}"#,
    r#"{"model":"ours/m","input":"p","background":true,"conversation":"<response>"}"#,
    r#"{"expires_in":60,"generation":"<generation>","organization":"<organization>"}"#,
    r#"{"id":"<generation>"}"#,
    r#"{"items":[{"request":{"prompt":"p"}}],"defaults":{"provider":"ours","model":"m"},"metadata":{"retry_of":"<batch>"}}"#,
    r#"{"pipeline":"<pipeline>","input":{"topic":"t"}}"#,
    r#"{"pipeline":"own","input_from":{"a":{"run":"<run>","path":"result"},"b":{"subject":"<subject>"}}}"#,
    r#"{"from":"A","version":"latest"}"#,
    r#"{"since":"2026-01-01T00:00:00Z"}"#,
    r#"{"all":true}"#,
    r#"{"document":{"longhand":"pipeline/1","name":"<pipeline>","steps":[{"use":"<pipeline>"},{"use":"<pipeline>@1"}]}}"#,
    r#"{"items_from":"<upload>","defaults":{"provider":"ours","model":"m"}}"#,
    r#"{"subject":"<subject>","import":true,"replace":true,"importer":"<pipeline>"}"#,
    r#"{"items":[{"type":"capability","id":"<entity>"}],"cascade":true,"note":"n"}"#,
    r#"{"all":true,"kind":"capability"}"#,
    r#"{"name":"ours","fields":{"description":"ours"}}"#,
    r#"{"document":{"longhand":"importer/1","name":"<pipeline>","collections":[{"name":"a","kind":"b"}]},"generation":"<generation>","subject":"<subject>"}"#,
    r#"{"purpose":"batch","bytes":7}"#,
    r#"{"user":"<user>","expires_in":60}"#,
    r#"{"scope":"read","expires_in":60}"#,
];

/// Every probe of one route.
pub fn probes(method: &str, route: &str) -> Vec<Probe> {
    let parts = route.split('/').map(|part| match part {
        "{subject}" => SUBJECT,
        "{id}" if route.starts_with("/v1/batches") => BATCH,
        "{number}" => "1",
        "{import}" => IMPORT,
        "{entity}" => ENTITY,
        "{id}" if route.starts_with("/v1/importers") => PIPELINE,
        "{id}" if route.starts_with("/v1/webhooks") => WEBHOOK,
        "{id}" if route.starts_with("/v1/pipelines") => PIPELINE,
        "{id}" if route.starts_with("/v1/runs") => RUN,
        "{step}" => "A",
        "{id}" if route.starts_with("/v1/deliveries") => DELIVERY,
        part if part.starts_with('{') => PART,
        part => part,
    });
    let path = parts.collect::<Vec<_>>().join("/");
    let plain = Probe { method: method.to_owned(), path, headers: Vec::new(), body: None, is_plain: true };
    let with_query = |query: &&str| Probe { path: format!("{}?{query}", plain.path), is_plain: false, ..plain.clone() };
    let mut probes = vec![plain.clone()];
    probes.extend(QUERIES.iter().map(with_query));
    for (name, value) in HEADERS {
        let headers = vec![(name, value.to_owned())];
        // A header that repeats a request does so with its body.
        let body = (method == "POST").then(|| BODIES[usize::from(route.contains("responses"))].to_owned());
        probes.push(Probe { headers, body, is_plain: false, ..plain.clone() });
    }
    if ["POST", "PATCH"].contains(&method) && (method == "POST" || route.contains("{entity}")) {
        probes.extend(BODIES.iter().map(|body| Probe { body: Some((*body).to_owned()), is_plain: false, ..plain.clone() }));
    }
    probes
}

impl Probe {
    /// Whether this caller asks it.
    pub fn is_for(&self, credential: Credential) -> bool {
        self.is_plain || credential == Credential::Whole
    }

    /// Whether it names a generation at all.
    pub fn has_id(&self) -> bool {
        let texts = self.headers.iter().map(|(_, value)| value).chain(&self.body).chain([&self.path]);
        texts.into_iter().any(|text| [GENERATION, RESPONSE, PART].iter().any(|mark| text.contains(mark)))
    }
}
