//! Finds what the runtime tests need and this workspace does not build by itself.
//!
//! A variable that is set is a promise: what it names must be there and current, or the test fails. `.ci/run` sets all of
//! them. Without it a test is skipped, and says so.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder with the functions' release binaries, as `NAME` or as `NAME/bootstrap`.
const BOOTSTRAPS: &str = "LONGHAND_BOOTSTRAPS";
/// The runtime interface emulator, which comes with aws-sam-cli.
const RIE: &str = "LONGHAND_RIE";
/// The executable of ministack, in a virtual environment that has boto3 and aws-sam-translator too.
const MINISTACK: &str = "LONGHAND_MINISTACK";

const FUNCTIONS: [&str; 6] = ["start", "stream", "compact", "api", "sweep", "tail"];
const BUILD: &str = "cargo bootstraps";

/// The functions' release binaries.
pub struct Bootstraps(PathBuf);

impl Bootstraps {
    /// The binary of a function.
    pub fn of(&self, function: &str) -> PathBuf {
        let packed = self.0.join(function).join("bootstrap");
        if packed.is_file() { packed } else { self.0.join(function) }
    }

    /// Every function and its binary.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        FUNCTIONS.into_iter().map(|function| (function, self.of(function)))
    }

    /// What is wrong with them: one is not there, or older than the sources that it is built from. Cargo decides by the same
    /// times. `Cargo.lock` is not among them: cargo may find that a change of it does not concern these binaries.
    fn fault(&self) -> Option<String> {
        let root = workspace();
        let newest = ["shared", "functions", "infra/schemas"].into_iter().filter_map(|folder| newest(&root.join(folder))).max();
        self.all().find_map(|(_, binary)| match (modified(&binary), newest) {
            (None, _) => Some(format!("{} is not there", binary.display())),
            (Some(built), Some(edited)) if built < edited => Some(format!("{} is older than its sources", binary.display())),
            _ => None,
        })
    }
}

/// The release binaries and the emulator.
pub fn rie() -> Option<(Bootstraps, PathBuf)> {
    let how = "install aws-sam-cli; it is samcli/local/rapid/aws-lambda-rie-x86_64 in its site-packages";
    let tools = (bootstraps()?, executable(RIE, "Lambda's runtime interface emulator", how)?);
    Some(tools)
}

/// The release binaries and ministack.
pub fn ministack() -> Option<(Bootstraps, PathBuf)> {
    let how = "pip install ministack==1.5.33 boto3 aws-sam-translator in a virtual environment; it is bin/ministack there";
    let tools = (bootstraps()?, executable(MINISTACK, "ministack", how)?);
    Some(tools)
}

/// Those in the folder that is named; else those that cargo last built, if they are current.
fn bootstraps() -> Option<Bootstraps> {
    let named = env::var_os(BOOTSTRAPS).map(PathBuf::from);
    let is_promised = named.is_some();
    let found = Bootstraps(named.map_or_else(|| workspace().join("target/release"), |folder| workspace().join(folder)));
    match found.fault() {
        None => Some(found),
        Some(fault) if is_promised => panic!("{BOOTSTRAPS}: {fault}; build with `{BUILD}`"),
        Some(fault) => skip(&format!("{fault}. `{BUILD}` builds it; {BOOTSTRAPS} names another folder.")),
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
fn skip<T>(why: &str) -> Option<T> {
    eprintln!("SKIPPED: {why}");
    None
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
