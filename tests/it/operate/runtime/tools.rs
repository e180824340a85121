//! Finds what the runtime tests need and this workspace does not build by itself.
//!
//! A variable that is set is a promise: what it names must be there and current, or the test fails. `.ci/run` sets all of
//! them. Without it a test is skipped, and says so.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The release binary that is every function.
const BOOTSTRAP: &str = "LONGHAND_BOOTSTRAP";
/// The runtime interface emulator, which comes with aws-sam-cli.
const RIE: &str = "LONGHAND_RIE";
/// The executable of ministack, in a virtual environment that has boto3 and aws-sam-translator too.
const MINISTACK: &str = "LONGHAND_MINISTACK";
/// The AWS CLI.
const AWS: &str = "LONGHAND_AWS";
/// What `sam build` has made for the template's default architecture: a folder.
const SAM_BUILD: &str = "LONGHAND_SAM_BUILD";

const BUILD: &str = "cargo bootstrap";

/// The release binary and the emulator.
pub fn rie() -> Option<(PathBuf, PathBuf)> {
    let how = "install aws-sam-cli; it is samcli/local/rapid/aws-lambda-rie-x86_64 in its site-packages";
    let tools = (bootstrap()?, executable(RIE, "Lambda's runtime interface emulator", how)?);
    Some(tools)
}

/// The release binary and ministack.
pub fn ministack() -> Option<(PathBuf, PathBuf)> {
    let how = "pip install ministack==1.5.33 boto3 aws-sam-translator in a virtual environment; it is bin/ministack there";
    let tools = (bootstrap()?, executable(MINISTACK, "ministack", how)?);
    Some(tools)
}

/// The AWS CLI.
pub fn aws() -> Option<PathBuf> {
    executable(AWS, "the AWS CLI", "pip install awscli in a virtual environment; it is bin/aws there")
}

/// The folder of `sam build`, and the emulator for its architecture.
pub fn sam_build() -> Option<(PathBuf, PathBuf)> {
    let Some(named) = env::var_os(SAM_BUILD) else {
        return skip(&format!("{SAM_BUILD} must name the folder of `sam build --build-dir`; `.ci/run full` builds it"));
    };
    let (_, rie) = rie()?;
    let folder = workspace().join(named);
    assert!(folder.join("template.yaml").is_file(), "{SAM_BUILD}: {} has no template.yaml", folder.display());
    Some((folder, rie.with_file_name("aws-lambda-rie-arm64")))
}

/// The one that is named; else the one that cargo last built, if it is current.
fn bootstrap() -> Option<PathBuf> {
    let named = env::var_os(BOOTSTRAP);
    let is_promised = named.is_some();
    let found = workspace().join(named.unwrap_or_else(|| "target/release/bootstrap".into()));
    match fault(&found) {
        None => Some(found),
        Some(fault) if is_promised => panic!("{BOOTSTRAP}: {fault}; build with `{BUILD}`"),
        Some(fault) => skip(&format!("{fault}. `{BUILD}` builds it; {BOOTSTRAP} names another file.")),
    }
}

/// What is wrong with the binary: it is not there, or older than the sources that it is built from. Cargo decides by the same
/// times. `Cargo.lock` is not among them: cargo may find that a change of it does not concern this binary.
pub fn fault(binary: &Path) -> Option<String> {
    let folders = ["shared", "functions", "infra/schemas"];
    let edited = folders.into_iter().filter_map(|folder| newest(&workspace().join(folder))).max();
    match modified(binary) {
        None => Some(format!("{} is not there", binary.display())),
        Some(built) if edited.is_some_and(|edited| built < edited) => {
            Some(format!("{} is older than its sources", binary.display()))
        }
        Some(_) => None,
    }
}

fn executable(variable: &str, what: &str, how: &str) -> Option<PathBuf> {
    let Some(named) = env::var_os(variable) else {
        return skip(&format!("{variable} must name {what}. Run .ci/run, which installs it, or do so by hand: {how}."));
    };
    let path = workspace().join(named);
    assert!(path.is_file(), "{variable}: there is no file {}; {how}", path.display());
    Some(path)
}

#[expect(clippy::print_stderr, reason = "a test that did not run must not look like one that passed")]
pub fn skip<T>(why: &str) -> Option<T> {
    eprintln!("SKIPPED: {why}");
    None
}

/// A program that a shell would find by this name.
pub fn executable_in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A sample event of `infra/events`.
pub fn sample(function: &str) -> serde_json::Value {
    let text = fs::read_to_string(workspace().join(format!("infra/events/{function}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries.filter_map(|entry| if entry.path().is_dir() { newest(&entry.path()) } else { modified(&entry.path()) }).max()
}
