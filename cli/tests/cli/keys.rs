//! `longhand dev` asks for a key and has one; `longhand keys` makes more, and takes them away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use longhand_tests::PATIENCE;
use serde_json::Value;

/// `longhand dev`, whose words go to files in its folder.
pub struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn dev(folder: &Path, arguments: &[&str]) -> (Dev, Value) {
    let file = |name: &str| fs::File::create(folder.join(name)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.arg("dev").args(arguments).arg("--data").arg(folder.join("data")).env_clear();
    let dev = Dev(command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap());
    let began = Instant::now();
    loop {
        let place = fs::read(folder.join("data/stack.json")).ok();
        let place = place.and_then(|text| serde_json::from_slice::<Value>(&text).ok()).filter(|place| place["pid"] == dev.0.id());
        let told = fs::read_to_string(folder.join("stderr")).unwrap().contains("Ctrl-C stops it");
        if let Some(place) = place.filter(|_| told) {
            return (dev, place);
        }
        assert!(began.elapsed() < PATIENCE, "longhand dev did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn longhand(folder: &Path, key: Option<&str>, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(arguments).env_clear().current_dir(folder).stdin(Stdio::null());
    if let Some(key) = key {
        command.env("LONGHAND_API_KEY", key);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

#[test]
fn dev_shows_its_key_once_and_the_other_commands_find_it() {
    let folder = tempfile::tempdir().unwrap();
    let words = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (first, place) = dev(folder.path(), &[]);
    let key = place["key"].as_str().unwrap().to_owned();
    assert!(words("stdout").contains(&key) && !words("stderr").contains(&key), "{}", words("stdout"));
    for name in ["stack.json", "key"] {
        let mode = fs::metadata(folder.path().join("data").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let (listed, _, told) = longhand(folder.path(), None, &["list", "--data", "data"]);
    assert!(listed && told == "no generations\n", "{told}");
    drop(first);
    let (_second, place) = dev(folder.path(), &[]);
    assert_eq!(place["key"], key);
    assert!(!words("stdout").contains(&key), "it is shown once");
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, place) = dev(folder.path(), &[]);
    let url = place["url"].as_str().unwrap();
    let run = |key: Option<&str>, arguments: &[&str]| longhand(folder.path(), key, arguments);
    let create = ["keys", "create", "--data", "data", "--organization", "acme", "--expires-in", "30d", "--json", "--name", "ci"];
    let (made, created, told) = run(None, &create);
    assert!(made, "{told}");
    let created: Value = serde_json::from_str(&created).unwrap();
    let (key, id) = (created["key"].as_str().unwrap(), created["id"].as_str().unwrap());
    assert_eq!(created["scopes"], serde_json::json!(["start", "read"]));
    assert!(run(Some(key), &["list", "--url", url]).0);

    let (_, listed, _) = run(None, &["keys", "list", "--data", "data", "--organization", "acme"]);
    assert!(listed.contains(id) && listed.contains("good") && !listed.contains(key), "{listed}");
    let (revoked, text, _) = run(None, &["keys", "revoke", id, "--data", "data", "--organization", "acme"]);
    assert!(revoked && text.contains("revoked 20"), "{text}");
    let (_, none, told) = run(None, &["keys", "list", "--data", "data", "--organization", "globex"]);
    assert_eq!((none.as_str(), told.as_str()), ("", "globex has no keys\n"));

    let (refused, _, told) = run(None, &["list", "--url", url]);
    assert!(!refused && told.starts_with("error: a good API key is needed"), "{told}");
    assert!(told.contains("LONGHAND_API_KEY"), "{told}");
}

#[test]
fn without_authentication_everybody_is_let_in_and_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, place) = dev(folder.path(), &["--no-auth"]);
    let stderr = fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert!(stderr.contains("warning: --no-auth: every program and every person on this machine can use this API"), "{stderr}");
    assert!(place["key"].is_null());
    let (listed, ..) = longhand(folder.path(), None, &["list", "--url", place["url"].as_str().unwrap()]);
    assert!(listed);
}

#[test]
fn no_key_and_no_token_is_ever_in_a_log_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, place) = dev(folder.path(), &["-vv"]);
    let (url, own) = (place["url"].as_str().unwrap(), place["key"].as_str().unwrap());
    let run = |key: Option<&str>, arguments: &[&str]| longhand(folder.path(), key, arguments);
    let (_, created, told) = run(None, &["keys", "create", "-vv", "--data", "data", "--json"]);
    let created: Value = serde_json::from_str(&created).unwrap();
    let made = created["key"].as_str().unwrap().to_owned();
    let wrong = format!("{}0", &own[..own.len() - 1]);
    let mut told = vec![told];
    for (key, arguments) in [
        (made.as_str(), vec!["-vv", "list", "--url", url]),
        (&wrong, vec!["-vv", "list", "--url", url]),
        ("lht_forged.token", vec!["-vv", "list", "--url", url]),
        (own, vec!["-vv", "get", own, "--url", url]),
        (own, vec!["-vv", "keys", "revoke", own, "--data", "data"]),
        (own, vec!["-vv", "keys", "revoke", created["id"].as_str().unwrap(), "--data", "data"]),
        (own, vec!["-vv", "keys", "list", "--data", "data"]),
        (own, vec!["-vv", "quota", "show", "--data", "data"]),
    ] {
        let (_, stdout, stderr) = run(Some(key), &arguments);
        // What a person gives as an id is told back to that person.
        if arguments.contains(&"get") {
            continue;
        }
        told.extend([stdout, stderr]);
    }
    let token_key = fs::read_to_string(folder.path().join("data/token-key")).unwrap();
    drop(dev);
    told.push(fs::read_to_string(folder.path().join("stderr")).unwrap());
    assert!(told.iter().any(|text| text.contains("An API key was created")), "the log is on: {told:?}");
    for secret in [own, &made, &wrong, "lht_forged.token", &token_key] {
        let found = told.iter().find(|text| text.contains(secret));
        assert!(found.is_none(), "{secret} is in: {}", found.unwrap());
    }
}

#[test]
fn lifetime_is_read_in_seconds_minutes_hours_and_days() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, _) = dev(folder.path(), &[]);
    for (lifetime, seconds) in [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("30d", 2_592_000), ("36500d", 3_153_600_000)] {
        let create = ["keys", "create", "--data", "data", "--json", "--expires-in", lifetime];
        let (made, created, told) = longhand(folder.path(), None, &create);
        assert!(made, "{lifetime}: {told}");
        let key: Value = serde_json::from_str(&created).unwrap();
        let second = |name: &str| key[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
        assert!((second("expires_at") - second("created_at") - seconds).abs() <= 1, "{lifetime}: {key}");
    }
}
