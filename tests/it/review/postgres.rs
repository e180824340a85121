//! The recipe of docs/review.md: a table of `PostgreSQL` that follows a deployment's entities, whose consumer is killed and starts again.
//! Needs Debian's `postgresql` and `python3`; without them it is skipped, and says so.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhand_tests::PATIENCE;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{SUBJECT, Scene};

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/recipes/postgres/consumer.py");
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The newest server that Debian has installed.
fn server() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions.flatten().map(|version| version.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file());
    found.sort();
    found.pop()
}

/// A server of its own, on a socket in its own folder.
struct Postgres {
    folder: TempDir,
    child: Child,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command as the user `postgres`: the server refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n"));
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

impl Postgres {
    fn start(bin: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        // The server's user must reach its folder.
        let chown = Command::new("chown").arg("postgres").arg(folder.path()).status();
        drop(chown);
        let data = folder.path().join("data");
        let made = as_postgres(&bin.join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "-N", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = as_postgres(&bin.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let postgres = Self { folder, child };
        let began = Instant::now();
        while postgres.query("SELECT 1").is_none() {
            assert!(began.elapsed() < PATIENCE, "the server does not start");
            std::thread::sleep(LOOK_EVERY);
        }
        postgres
    }

    fn psql(&self) -> Command {
        let mut command = Command::new("psql");
        command.env("PGHOST", self.folder.path()).env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        command
    }

    /// The answer's lines, its columns with `|` between them; `None`: it fails.
    fn query(&self, sql: &str) -> Option<Vec<String>> {
        let answer = self.psql().args(["-X", "-A", "-t", "-c", sql]).output().unwrap();
        let lines = String::from_utf8(answer.stdout).unwrap().lines().map(str::to_owned).collect();
        answer.status.success().then_some(lines)
    }
}

/// The recipe's process.
struct Consumer(Child);

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Consumer {
    fn start(postgres: &Postgres, scene: &Scene, secret: &str, port: u16) -> Self {
        let mut command = Command::new("python3");
        command.arg(RECIPE).env("PGHOST", postgres.folder.path()).env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        command.env("LONGHAND_URL", scene.url_of("")).env("LONGHAND_WEBHOOK_SECRET", secret).env("PORT", port.to_string());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

/// 10 capabilities, 70 competencies and 420 skills: 200 KB, with what is not plain in JSON, in COPY and in SQL.
fn large() -> Value {
    let odd = "C:\\u0000 \\.\n\t'ñ' \u{0}\u{0} \\\u{0}";
    let text = |number: usize| format!("{odd} {number} {}", "larga ".repeat(60));
    let skills: Vec<Value> =
        (0..6).map(|number| json!({ "name": format!("S{number} \u{0}"), "description": text(number) })).collect();
    let competencies: Vec<Value> = (0..7).map(|number| json!({ "name": format!("K{number}"), "skills": skills })).collect();
    let capabilities: Vec<Value> =
        (0..10).map(|number| json!({ "name": format!("C'{number}\""), "competencies": competencies })).collect();
    json!({ "scenario_metadata": { "name": "S" }, "capabilities": capabilities })
}

/// What both sides have of each entity.
async fn expected(scene: &Scene) -> Vec<String> {
    let mut rows = Vec::new();
    for query in ["", "&state=reverted"] {
        rows.extend(scene.entities(query).await);
    }
    let text = |entity: &Value, name: &str| entity[name].as_str().unwrap_or_default().to_owned();
    let row = |entity: &Value| {
        let [id, state, name, parent] =
            ["id", "state", "name", "parent"].map(|field| text(entity, field).replace('\0', "\u{fffd}"));
        let told = entity["fields"]["description"].as_str().map(|told| json!(told.replace('\0', "\u{fffd}")).to_string());
        let (level, told) = (entity["fields"]["level"].as_i64().unwrap_or(-1), told.unwrap_or_default());
        format!("{id}|{state}|{name}|{parent}|{level}|{}|{told}", entity["revision"])
    };
    let mut rows: Vec<String> = rows.iter().map(row).collect();
    rows.sort();
    rows
}

async fn equal(scene: &Scene, postgres: &Postgres) -> usize {
    let began = Instant::now();
    loop {
        let expected = expected(scene).await;
        let sql = "SELECT id, state, name, coalesce(parent, ''), coalesce(fields ->> 'level', '-1'), revision, \
                   coalesce((fields -> 'description')::text, '') FROM longhand_entities";
        let mut found = postgres.query(sql).unwrap_or_default();
        found.sort();
        if found == expected {
            return found.len();
        }
        let differing = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert!(began.elapsed() < PATIENCE, "{} rows, {} entities: {differing:?}", found.len(), expected.len());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn empty(postgres: &Postgres) {
    let began = Instant::now();
    while postgres.query("SELECT count(*) FROM longhand_entities").unwrap() != ["0"] {
        assert!(began.elapsed() < PATIENCE, "the entities of a deleted subject do not leave the table");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn table_of_postgres_equals_the_entities_whose_consumer_is_killed_and_restarted() {
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    let Some(bin) = server().filter(|_| has_python && Command::new("psql").arg("--version").output().is_ok()) else {
        eprintln!("SKIPPED: Debian's postgresql, psql or python3 is not installed");
        return;
    };
    let postgres = tokio::task::spawn_blocking(move || Postgres::start(&bin)).await.unwrap();
    let scene = Scene::start().await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let webhook = json!({ "url": format!("http://127.0.0.1:{port}/"), "events": ["entity.*", "import.*", "subject.*"] });
    let webhook = scene.done("POST", "webhooks", &webhook).await;
    let secret = webhook["secret"].as_str().unwrap();
    let consumer = Consumer::start(&postgres, &scene, secret, port);
    let import = scene.imported(&large()).await;
    assert_eq!(equal(&scene, &postgres).await, 500);
    let capabilities: Vec<&str> =
        import["report"]["capabilities"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    let path = |id: &str| format!("subjects/{SUBJECT}/entities/{id}");
    scene.done("POST", &format!("{}/promote", path(capabilities[0])), &json!({})).await;
    // Killed in the middle of what that has told.
    drop(consumer);
    for (number, skill) in import["report"]["skills"].as_array().unwrap().iter().rev().take(20).enumerate() {
        let edit = json!({ "name": format!("edited {number}"), "fields": { "level": number } });
        scene.done("PATCH", &path(skill["id"].as_str().unwrap()), &edit).await;
    }
    scene.decide("approve", &json!({ "all": true, "kind": "capability" })).await;
    let consumer = Consumer::start(&postgres, &scene, secret, port);
    scene.decide("approve", &json!({ "all": true, "kind": "competency" })).await;
    drop(consumer);
    scene.decide("archive", &json!({ "items": [{ "id": capabilities[0] }], "cascade": true })).await;
    scene.decide("reject", &json!({ "items": [{ "id": import["report"]["skills"][60]["id"] }] })).await;
    let consumer = Consumer::start(&postgres, &scene, secret, port);
    scene.decide("approve", &json!({ "all": true })).await;
    let id = import["id"].as_str().unwrap();
    scene.done("POST", &format!("subjects/{SUBJECT}/imports/{id}/revert"), &json!({})).await;
    assert_eq!(equal(&scene, &postgres).await, 500);
    let states = postgres.query("SELECT state, count(*) FROM longhand_entities GROUP BY state ORDER BY state").unwrap();
    // Deleted, it leaves the table; made again, its entities have the same ids, and revisions that begin anew.
    scene.done("DELETE", &format!("subjects/{SUBJECT}"), &Value::Null).await;
    empty(&postgres).await;
    let generation = import["generation"].as_str().unwrap();
    scene.accept(generation, &json!({ "import": true })).await;
    assert_eq!(equal(&scene, &postgres).await, 500);
    let one = &scene.entities("").await[0];
    scene.done("PATCH", &path(one["id"].as_str().unwrap()), &json!({ "name": "made again" })).await;
    assert_eq!(equal(&scene, &postgres).await, 500);
    // What the consumer has missed for good is found when everything is read again: nothing is told while it is away for a day.
    drop(consumer);
    postgres
        .query("UPDATE longhand_entities SET revision = 0, name = 'lost'; DELETE FROM longhand_entities WHERE kind = 'skill'")
        .unwrap();
    let query = "INSERT INTO longhand_entities SELECT 'ent_0', 'gone', kind, state, name, fields, parent, generation, 9, now(), now() \
                 FROM longhand_entities LIMIT 1";
    postgres.query(query).unwrap();
    let consumer = Consumer::start(&postgres, &scene, secret, port);
    assert_eq!(equal(&scene, &postgres).await, 500);
    println!("500 entities, three consumers one after the other: equal at the end, {states:?}");
    drop(consumer);
    scene.harness.stack.shutdown().await;
}
