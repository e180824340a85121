//! What `infra/sam-local` makes for `sam local`: the image's file system and the resources in an emulator by themselves, and the functions
//! with them where there is an engine.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use longhand_tests::Api;
use longhand_tests::serial::turn;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::background::{Background, free_ports};
use super::emulator::Emulator;
use super::ministack::{Ministack, key};
use super::tools::{self, executable_in_path, sample, skip, workspace};

/// A payload that a function refuses before it needs any store.
const REFUSED: &str = r#"the payload must be {"organization":…,"generation":…}"#;

fn script(bootstrap: &Path, rie: &Path) -> Command {
    let mut script = Command::new(workspace().join("infra/sam-local/image"));
    script.env("LONGHAND_BOOTSTRAP", bootstrap).env("LONGHAND_RIE", rie);
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn image_has_the_files_of_a_function() {
    let _turn = turn().await;
    let Some((bootstrap, rie)) = tools::rie() else { return };
    let Some(chroot) = executable_in_path("chroot").filter(|_| is_root()) else {
        skip::<()>("only root may change the root directory");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    assert!(script(&bootstrap, &rie).arg("--root").arg(&root).status().unwrap().success());
    // An engine gives each container its devices.
    fs::create_dir(root.join("dev")).unwrap();
    let null = Command::new("mknod").args(["-m", "666"]).arg(root.join("dev/null")).args(["c", "1", "3"]).status();
    if !null.is_ok_and(|status| status.success()) {
        skip::<()>("this root may not make devices");
        return;
    }
    let [port, runtime_port] = free_ports();
    let (address, runtime) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{runtime_port}"));
    let arguments = [root.to_str().unwrap(), "/var/rapid/aws-lambda-rie", "--log-level", "error"];
    let addresses = ["--runtime-interface-emulator-address", &address, "--runtime-api-address", &runtime];
    let settings = [
        // As `sam local` tells the emulator the function's Handler.
        ("AWS_LAMBDA_FUNCTION_HANDLER", "stream"),
        ("AWS_LAMBDA_FUNCTION_NAME", "StreamFunction"),
        ("AWS_REGION", "us-east-1"),
        ("LONGHAND_BUFFER_TABLE", "BufferTable"),
        ("LONGHAND_RECORDS_TABLE", "RecordsTable"),
        ("LONGHAND_BUCKET", "Bucket"),
    ];
    let _emulator = Background::start(&chroot, &[&arguments[..], &addresses[..]].concat(), settings, port);
    let url = format!("http://{}:{port}/2015-03-31/functions/function/invocations", Ipv4Addr::LOCALHOST);
    let answer = reqwest::Client::new().post(url).body("{}").send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("a JSON answer: {answer}"));
    assert!(answer["errorMessage"].as_str().unwrap_or_default().contains(REFUSED), "{answer}");
}

/// Makes what the functions need in `ministack`, and answers with their variables.
fn resources(ministack: &Ministack) -> BTreeMap<String, String> {
    let script = workspace().join("infra/sam-local/resources");
    let output = ministack.python().arg(script).arg(&ministack.url).env("OPENAI_API_KEY", "sk-test").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(made["Parameters"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_what_the_functions_need() {
    let _turn = turn().await;
    let (Some((_, executable)), Some((bootstrap, rie))) = (tools::ministack(), tools::rie()) else { return };
    let ministack = Ministack::start(executable);
    let made = resources(&ministack);
    assert_eq!(made, resources(&ministack), "made once, and kept");
    // As the template tells the functions behind the API.
    let stage = ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH".to_owned(), "true".to_owned());
    let environment: BTreeMap<String, String> = ministack.services().into_iter().chain(made).chain([stage]).collect();
    let host = |function| Emulator::start(&rie, (function, &bootstrap), environment.clone(), 20);
    let started = host("start").invoke(&sample("start")).await;
    assert_eq!(started["statusCode"], 202, "{started}");
    let id = serde_json::from_str::<Value>(started["body"].as_str().unwrap()).unwrap()["id"].take();
    // By one index, and by the other.
    let listed = host("api").invoke(&sample("api")).await;
    let listed: Value = serde_json::from_str(listed["body"].as_str().unwrap()).unwrap();
    assert_eq!(listed["data"][0]["id"], id, "{listed}");
    let swept = host("sweep").invoke(&sample("sweep")).await;
    assert_eq!(swept["open"], 1, "{swept}");
    // By the secret that signs tokens, which is read before the key is looked up.
    let refused = host("authorize").invoke(&sample("authorize")).await;
    assert_eq!(refused["errorMessage"], "Unauthorized", "{refused}");
}

/// A running engine, and `sam`.
fn engine(rie: &Path) -> Option<(PathBuf, PathBuf)> {
    let is_up = |engine: &PathBuf| Command::new(engine).arg("info").output().is_ok_and(|output| output.status.success());
    let Some(engine) = ["docker", "finch", "podman"].into_iter().filter_map(executable_in_path).find(is_up) else {
        return skip("there is no Docker engine: docker, finch or podman");
    };
    // The emulator's own sam: …/lib/pythonX/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64, and …/bin/sam.
    let sam = rie.ancestors().nth(7).unwrap().join("bin/sam");
    let sam = if sam.is_file() { Some(sam) } else { executable_in_path("sam") };
    let Some(sam) = sam else { return skip("sam is not installed: pip install aws-sam-cli") };
    Some((engine, sam))
}

/// The parameters of samconfig.toml, for this machine.
fn parameters() -> String {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    format!("Arch={architecture} ResponseStreaming=false")
}

/// What `sam` needs of a shell.
fn shell() -> Vec<(String, String)> {
    let mut shell: Vec<_> =
        ["PATH", "HOME", "DOCKER_HOST"].into_iter().filter_map(|name| Some((name.to_owned(), env::var(name).ok()?))).collect();
    let set = [("SAM_CLI_TELEMETRY", "0"), ("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "us-east-1")];
    let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    shell.extend(set.into_iter().chain(credentials).map(|(name, value)| (name.to_owned(), value.to_owned())));
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn sam_local_invokes_a_function() {
    let _turn = turn().await;
    let Some((bootstrap, rie)) = tools::rie() else { return };
    let Some((engine, sam)) = engine(&rie) else { return };
    assert!(script(&bootstrap, &rie).env("ENGINE", &engine).status().unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let event = folder.path().join("event.json");
    fs::write(&event, json!({}).to_string()).unwrap();
    let output = Command::new(sam)
        .current_dir(workspace())
        // Not what `sam build` may have left.
        .args([
            "local",
            "invoke",
            "StreamFunction",
            "--template",
            "template.yaml",
            "--parameter-overrides",
            &parameters(),
            "--event",
        ])
        .arg(&event)
        .env_clear()
        .envs(shell())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let answer = told.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default();
    let message = answer["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains(REFUSED), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The address of this machine at which containers reach it. Docker Desktop has its own way, by loopback.
fn gateway(engine: &Path) -> Option<Ipv4Addr> {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let output = Command::new(engine).args(["network", "inspect", "bridge", "--format", format]).output().unwrap();
    let address = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    let address = address.filter(|address| TcpListener::bind((*address, 0)).is_ok());
    address.or_else(|| skip("the engine's network has no address on this machine"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sam_local_serves_the_api_with_keys() {
    let _turn = turn().await;
    let (Some((_, executable)), Some((bootstrap, rie))) = (tools::ministack(), tools::rie()) else { return };
    let Some((engine, sam)) = engine(&rie) else { return };
    let Some(host) = gateway(&engine) else { return };
    let ministack = Ministack::start_at(executable, host);
    let made = resources(&ministack);
    let address = ministack.url.replace(&host.to_string(), "host.docker.internal");
    assert!(script(&bootstrap, &rie).arg(&address).env("ENGINE", &engine).status().unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let variables = folder.path().join("env.json");
    fs::write(&variables, json!({ "Parameters": made }).to_string()).unwrap();
    let [port] = free_ports();
    let template = workspace().join("template.yaml");
    let config = workspace().join("samconfig.toml");
    let arguments = [
        "local",
        "start-api",
        "--template",
        template.to_str().unwrap(),
        "--config-file",
        config.to_str().unwrap(),
        "--env-vars",
        variables.to_str().unwrap(),
        "--parameter-overrides",
        &parameters(),
        "--port",
        &port.to_string(),
    ];
    let _sam = Background::start(&sam, &arguments, shell(), port);
    let url = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
    // SAM's own response, not the one of the API's description.
    let refused = reqwest::get(format!("{url}/v1/generations")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "without a key");
    let api = Api::open(&url).with_key(&key(&ministack.services().into_iter().chain(made).collect()).await);
    let (status, listed): (_, Value) = api.get("generations").await;
    assert_eq!((status, &listed["data"]), (StatusCode::OK, &json!([])), "{listed}");
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
