//! Captures the functions' log lines: in memory for a test that reads them, and in a file where the suite is recorded
//! (`LONGHAND_RECORDINGS`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use longhand_functions::logs::{JsonLines, layered};
use serde_json::Value;

/// The levels that are recorded.
const FILTER: &str = "info,longhand=debug,longhand_functions=debug,longhand_local=debug";

static STARTED: Once = Once::new();
static CAPTURES: AtomicBool = AtomicBool::new(false);
static CAPTURED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static FILE: Mutex<Option<File>> = Mutex::new(None);

/// The folder that the suite is recorded into, if it is recorded.
#[must_use]
pub fn recordings() -> Option<PathBuf> {
    std::env::var_os("LONGHAND_RECORDINGS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// A new file of the recording.
pub(crate) fn file(kind: &str, name: &str) -> Option<File> {
    let folder = recordings()?.join(kind);
    fs::create_dir_all(&folder).expect("the folder of the recording");
    let unique = format!("{}-{name}", std::process::id());
    Some(File::options().create(true).append(true).open(folder.join(unique)).expect("a file of the recording"))
}

/// The standard error of a process that a test starts: the recording, or nothing.
pub fn of_child() -> Stdio {
    file("logs", "child.log").map_or_else(Stdio::null, Stdio::from)
}

/// Copies the log of a server into the recording.
pub fn record_file(log: &Path) {
    if let (Some(mut kept), Ok(lines)) = (file("logs", "server.log"), fs::read(log)) {
        kept.write_all(&lines).expect("a file of the recording");
    }
}

/// Records this process's lines, if the suite is recorded.
pub fn record() {
    if recordings().is_some() {
        start();
    }
}

/// Captures this process's lines from now on. Tests that share the process share them.
pub fn capture() {
    CAPTURES.store(true, Ordering::SeqCst);
    start();
}

/// The lines captured so far.
pub fn captured() -> Vec<Value> {
    let lines = CAPTURED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = String::from_utf8(lines).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn start() {
    STARTED.call_once(|| {
        *FILE.lock().unwrap_or_else(PoisonError::into_inner) = file("logs", "test.jsonl");
        let lines = JsonLines { writer: || Tee, namespace: Some("longhand".to_owned()) };
        // A test's own subscriber has precedence.
        let _ = tracing::subscriber::set_global_default(layered(FILTER, lines));
    });
}

struct Tee;

impl Write for Tee {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if CAPTURES.load(Ordering::SeqCst) {
            CAPTURED.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        }
        if let Some(file) = FILE.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            file.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
