//! Pages in a real browser: what a foreign page reaches of `longhand dev`, and the page of `docs/browser.md`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use longhand_local::Script;
use longhand_tests::PATIENCE;
use longhand_tests::hostile::{self, Hostile, wire};
use longhand_tests::sensitive::play;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::dev::{Dev, Place};
use super::doors::{Door, doors};

/// A host that leads to this machine, as after an attacker has changed a name's address (DNS rebinding).
const REBOUND: &str = "rebound.example";

/// The program of the variable `LONGHAND_CHROMIUM`; without it, the test is skipped aloud.
fn chromium() -> Option<String> {
    let program = std::env::var("LONGHAND_CHROMIUM").ok();
    if program.is_none() {
        eprintln!("SKIPPED: pages in a browser. Set LONGHAND_CHROMIUM to the program of Chromium (Debian: chromium).");
    }
    program
}

/// A site with one page, which reports to it.
struct Site {
    listener: TcpListener,
    origin: String,
}

/// A browser with a profile of its own.
struct Browser {
    process: Child,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Browser {
    fn open(program: &str, url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-proxy-server",
            ])
            .arg("--disable-background-networking")
            .arg(format!("--host-resolver-rules=MAP {REBOUND} 127.0.0.1"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, _profile: profile }
    }
}

impl Site {
    async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, origin }
    }

    /// Opens `page` in the browser, and returns what it posts to `/report`.
    async fn visit(self, program: &str, page: String) -> Value {
        let (reports, mut reported) = mpsc::unbounded_channel();
        let report = async move |body: String| drop(reports.send(body));
        let page = Arc::new(page);
        let routes = Router::new().route("/", get(async move || Html(page.to_string()))).route("/report", post(report));
        let server = tokio::spawn(axum::serve(self.listener, routes).into_future());
        let browser = Browser::open(program, &self.origin);
        let report = timeout(PATIENCE, reported.recv()).await.unwrap().unwrap();
        drop(browser);
        server.abort();
        serde_json::from_str(&report).unwrap()
    }
}

/// Tries every door in each way that a page has, and reports what it could read.
const BURGLAR: &str = r#"<!doctype html><script>
  const attempt = async (door, how, host, options) => {
    const body = door.method === "GET" ? undefined : door.body;
    try {
      const url = `http://${host}:${door.port}${door.path}`;
      const answer = await fetch(url, { method: door.method, body, ...options, signal: AbortSignal.timeout(5000) });
      return { service: door.service, how, type: answer.type, read: await answer.text() };
    } catch (error) {
      return { service: door.service, how, error: String(error) };
    }
  };
  const listen = (door, how, host) => new Promise((resolve) => {
    const source = new EventSource(`http://${host}:${door.port}${door.path}`);
    source.onopen = () => resolve({ service: door.service, how, type: "events", read: "open" });
    source.onerror = () => { source.close(); resolve({ service: door.service, how, error: "closed" }); };
  });
  (async () => {
    const results = [];
    for (const door of DOORS) {
      for (const host of ["127.0.0.1", "localhost", "REBOUND"]) {
        const signed = { "content-type": "application/json", "authorization": "Bearer lh_bogus", "x-amz-target": door.target ?? "none" };
        results.push(await attempt(door, `${host}: plain text`, host, { headers: { "content-type": "text/plain" } }));
        results.push(await attempt(door, `${host}: with headers`, host, { headers: signed }));
        results.push(await attempt(door, `${host}: no-cors`, host, { mode: "no-cors" }));
        results.push(await attempt(door, `${host}: with credentials`, host, { credentials: "include" }));
        results.push(await listen(door, `${host}: EventSource`, host));
      }
    }
    await fetch("/report", { method: "POST", body: JSON.stringify(results) });
  })();
</script>"#;

#[tokio::test(flavor = "multi_thread")]
async fn foreign_page_opens_no_door() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let provider = ["--expose", "--provider", "openai", "--base-url", "http://127.0.0.1:1/v1"];
    let (_dev, place) = Dev::start(folder.path(), &provider, &[("OPENAI_API_KEY", "k")]).await;
    let doors = doors(&place, folder.path(), true);
    let described = doors.iter().map(Door::describe).collect::<Value>().to_string();
    let page = BURGLAR.replace("DOORS", &described).replace("REBOUND", REBOUND);
    let results = Site::bind().await.visit(&chromium, page).await;
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), doors.len() * 3 * 5);
    for result in results {
        let (service, how) = (result["service"].as_str().unwrap(), result["how"].as_str().unwrap());
        let seen = result["error"].as_str().or(result["type"].as_str()).unwrap();
        println!("{service:8} | {how:28} | {seen}");
        let is_opaque = result["type"] == "opaque" && result["read"] == "";
        assert!(is_opaque || result["error"].is_string(), "{result}");
    }
    let listed = place.client().list(None, None).await.unwrap();
    assert!(listed.data.is_empty(), "a page started a generation");
}

/// The page of the guide, word for word, but for its three constants.
fn guide(api: &str, generation: &str, token: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let guide = std::fs::read_to_string(root.join("docs/browser.md")).unwrap();
    let (_, page) = guide.split_once("```html\n").unwrap();
    let (mut page, _) = page.split_once("```").map(|(page, rest)| (page.to_owned(), rest)).unwrap();
    for (constant, value) in [("http://127.0.0.1:4000", api), ("gen_01arz3ndektsv4rrffq69g5fav", generation), ("lht_…", token)]
    {
        assert_eq!(page.matches(&format!("\"{constant}\"")).count(), 1, "{constant}");
        page = page.replace(constant, value);
    }
    page
}

/// Reports the text of a page once it shows a status.
const REPORT: &str = r##"<script>
      const timer = setInterval(() => {
        const [status, text] = ["#status", "#text"].map((name) => document.querySelector(name).textContent);
        if (!status) return;
        clearInterval(timer);
        fetch("/report", { method: "POST", body: JSON.stringify({ status, text }) });
      }, 20);
    </script>"##;

/// Hides the page of the guide once it shows some text, and shows it again after the generation has gone on; reports what it read meanwhile.
const HIDE: &str = r##"<script>
  const shown = () => document.querySelector("#text").textContent;
  const turn = (hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  };
  const until = async (holds) => { while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20)); };
  const received = async () => {
    const answer = await fetch(`${api}/v1/generations/${generation}/progress`, { headers: { authorization: `Bearer ${token}` } });
    return (await answer.json()).progress.received_chunks;
  };
  (async () => {
    await until(() => shown().length > 60);
    turn(true);
    const [before, count] = [shown(), await received()];
    await until(async () => (await received()) > count + 5);
    const grew = shown() !== before;
    turn(false);
    const status = document.querySelector("#status");
    await until(() => status.textContent);
    await fetch("/report", { method: "POST", body: JSON.stringify({ status: status.textContent, text: shown(), grew }) });
  })();
</script>"##;

async fn token_of(place: &Place, id: &str) -> String {
    place.client().create_token(id, None).await.unwrap().token.clone()
}

/// What the page of the guide reports of a generation of so many lines, at so many a second; and the whole text.
async fn report_of_guide(chromium: &str, lines: usize, tempo: f64, report: &str) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<String> = (0..lines).map(|number| format!("<b>{number}</b> ñ 😀\n")).collect();
    let playback = play(Script { tempo, ..Script::new(words.iter().map(String::as_str)) }).unwrap();
    let site = Site::bind().await;
    let environment = [("OPENAI_API_KEY", "k"), ("LONGHAND_CORS_ORIGIN", site.origin.as_str())];
    let (_dev, place) =
        Dev::start(folder.path(), &["--provider", "openai", "--base-url", playback.base_url()], &environment).await;
    let request = json!({ "provider": "openai", "model": "m", "prompt": "p" });
    let id = place.client().start(&request, None).await.unwrap().id.to_string();
    let token = token_of(&place, &id).await;
    (site.visit(chromium, guide(&place.url, &id, &token) + report).await, words.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_the_guide_shows_a_generation_live() {
    let Some(chromium) = chromium() else { return };
    let (report, text) = report_of_guide(&chromium, 40, 20.0, REPORT).await;
    assert_eq!((&report["status"], &report["text"]), (&json!("completed"), &json!(text)));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_the_guide_reads_nothing_in_the_background() {
    let Some(chromium) = chromium() else { return };
    let (report, text) = report_of_guide(&chromium, 120, 30.0, HIDE).await;
    assert_eq!(report, json!({ "status": "completed", "text": text, "grew": false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_the_guide_says_when_its_token_is_refused() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = Site::bind().await;
    let (_dev, place) = Dev::start(folder.path(), &[], &[("LONGHAND_CORS_ORIGIN", site.origin.as_str())]).await;
    let page = guide(&place.url, "gen_01arz3ndektsv4rrffq69g5fav", "lht_e30.AAAA") + REPORT;
    let report = site.visit(&chromium, page).await;
    assert_eq!(report, json!({ "status": "closed", "text": "" }));
}

/// The first attempt breaks off and is begun again; the second says its text in two items, with a tool call between them.
#[tokio::test(flavor = "multi_thread")]
async fn page_of_the_guide_shows_the_result_of_attempts_and_items() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let call = json!([{ "index": 0, "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let cut = hostile::Script::stream([wire::text("NO ")]).ending(hostile::Ending::Cut);
    let whole = [wire::text("uno "), wire::delta(json!({ "tool_calls": call })), wire::text("dos"), wire::ending()];
    let hostile = Hostile::start([("test", vec![cut, hostile::Script::stream(whole)])]).await;
    let site = Site::bind().await;
    let provider = ["--provider", "test", "--base-url", &hostile.base_url("test")];
    let (_dev, place) = Dev::start(folder.path(), &provider, &[("LONGHAND_CORS_ORIGIN", site.origin.as_str())]).await;
    let request = json!({ "provider": "test", "model": "m", "prompt": "p" });
    let id = place.client().start(&request, None).await.unwrap().id.to_string();
    let token = token_of(&place, &id).await;
    let report = site.visit(&chromium, guide(&place.url, &id, &token) + REPORT).await;
    assert_eq!(report, json!({ "status": "completed", "text": "uno dos" }));
}
