//! The image for `sam local`: its file system by itself, and the image where there is an engine to run it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use longhand_tests::serial::turn;
use serde_json::{Value, json};

use super::background::{Background, free_ports};
use super::tools::{self, executable_in_path, skip, workspace};

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

#[test]
fn sam_local_invokes_a_function() {
    let Some((bootstrap, rie)) = tools::rie() else { return };
    let is_up = |engine: &PathBuf| Command::new(engine).arg("info").output().is_ok_and(|output| output.status.success());
    let Some(engine) = ["docker", "finch", "podman"].into_iter().filter_map(executable_in_path).find(is_up) else {
        skip::<()>("there is no Docker engine: docker, finch or podman");
        return;
    };
    // The emulator's own sam: …/lib/pythonX/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64, and …/bin/sam.
    let sam = rie.ancestors().nth(7).unwrap().join("bin/sam");
    let sam = if sam.is_file() { Some(sam) } else { executable_in_path("sam") };
    let Some(sam) = sam else {
        skip::<()>("sam is not installed: pip install aws-sam-cli");
        return;
    };
    assert!(script(&bootstrap, &rie).env("ENGINE", &engine).status().unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let event = folder.path().join("event.json");
    fs::write(&event, json!({}).to_string()).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let output = Command::new(sam)
        .current_dir(workspace())
        .args(["local", "invoke", "StreamFunction", "--skip-pull-image", "--event"])
        .arg(&event)
        .args(["--parameter-overrides", &format!("Arch={architecture} ResponseStreaming=false")])
        .envs([("SAM_CLI_TELEMETRY", "0"), ("AWS_DEFAULT_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let answer = told.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default();
    let message = answer["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains(REFUSED), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
