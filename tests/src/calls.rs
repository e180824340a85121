//! Records which calls the functions make: each distinct call once, in the terms of IAM policies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use longhand_local::PartsOf;

use crate::tap::{self, Action, Call, Tap};

/// The folder that a run of the whole suite records into.
const FOLDER: &str = "LONGHAND_RECORDINGS";
/// A test that loses the invokes of `stream` sets this to a function that does not exist.
const FUNCTIONS: [&str; 2] = ["LONGHAND_STREAM_FUNCTION", "LONGHAND_DELIVER_FUNCTION"];

/// A call of a function, without what differs from one generation to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recorded {
    /// The function, by its handler's name.
    pub function: String,
    /// As in [`Call`].
    pub service: String,
    /// As in [`Call`]; for a transaction, the operation of each item. The suffix `:404` marks an answer of that status.
    pub operation: String,
    /// As in [`Call`], with `*` for the part of a key that names a generation.
    pub resource: String,
    /// The item's partition key in the same form; empty where there is none.
    pub partition: String,
}

impl fmt::Display for Recorded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, service, operation, resource, partition } = self;
        write!(formatter, "{function}\t{service}\t{operation}\t{resource}\t{partition}")
    }
}

impl Recorded {
    /// Reads a line of a recording.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next();
        Some(Self { function: next()?, service: next()?, operation: next()?, resource: next()?, partition: next()? })
    }

    fn all(function: &str, call: &Call) -> Vec<Self> {
        let one = |operation: &str, resource: String, partition| Self {
            function: function.to_owned(),
            service: call.service.to_owned(),
            operation: operation.to_owned(),
            resource,
            partition,
        };
        if call.items.is_empty() {
            return vec![one(&call.operation, resource(call), String::new())];
        }
        call.items.iter().map(|item| one(&item.operation, item.table.clone(), partition(&item.partition))).collect()
    }
}

/// Records calls. Clones share the recording.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<BTreeSet<Recorded>>,
    file: Option<File>,
}

impl Recorder {
    /// Every call so far.
    #[must_use]
    pub fn seen(&self) -> BTreeSet<Recorded> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `parts` behind a tap that records, for the options of a stack. `env`: the environment in the same options.
    #[must_use]
    pub fn in_front_of(&self, parts: PartsOf, env: &BTreeMap<String, String>) -> PartsOf {
        let recorder = self.clone();
        let missing: Vec<String> = FUNCTIONS.iter().filter_map(|name| env.get(*name).cloned()).collect();
        PartsOf::new(move |handler, services| {
            let (recorder, missing_functions) = (recorder.clone(), missing.clone());
            let tap = RecordingTap { recorder, function: handler.to_owned(), missing_functions };
            tap::in_front_of(parts.of(handler, services), Arc::new(tap))
        })
    }

    /// The recorder of the whole suite; `None` where the suite is not recorded.
    pub(crate) fn of_suite() -> Option<&'static Self> {
        static OF_SUITE: OnceLock<Option<Recorder>> = OnceLock::new();
        OF_SUITE.get_or_init(|| folder().map(|folder| Self::into_folder(&folder))).as_ref()
    }

    fn into_folder(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("the folder of the recordings");
        // Under nextest every test has its own process.
        let path = folder.join(std::process::id().to_string());
        let file = OpenOptions::new().create(true).append(true).open(path).expect("a recording");
        Self(Arc::new(Inner { seen: Mutex::default(), file: Some(file) }))
    }

    fn record(&self, recorded: Recorded) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut file) = self.0.file.as_ref().filter(|_| !seen.contains(&recorded)) {
            writeln!(file, "{recorded}").expect("a recording");
        }
        seen.insert(recorded);
    }
}

/// The folder of the suite's recorded calls; `None` where the suite is not recorded.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(|folder| PathBuf::from(folder).join("calls"))
}

#[derive(Debug)]
struct RecordingTap {
    recorder: Recorder,
    function: String,
    missing_functions: Vec<String>,
}

impl RecordingTap {
    fn record(&self, call: &Call) {
        for recorded in Recorded::all(&self.function, call) {
            self.recorder.record(recorded);
        }
    }
}

impl Tap for RecordingTap {
    fn call(&self, call: Call) -> BoxFuture<'static, Action> {
        if call.service != "provider" && !self.missing_functions.contains(&call.resource) {
            self.record(&call);
        }
        futures::future::ready(Action::Pass).boxed()
    }

    fn answered(&self, call: &Call, status: u16) {
        if call.service == "s3" && status == 404 {
            let call = Call { operation: format!("{}:404", call.operation), ..call.clone() };
            self.record(&call);
        }
    }
}

/// `bucket/organization/generation/name` as `bucket/*/name`, and `folder/secret` as `folder/*`.
fn resource(call: &Call) -> String {
    let parts: Vec<&str> = call.resource.split('/').collect();
    match (call.service, parts.as_slice()) {
        ("s3", [bucket, _, generation, name]) if generation.starts_with("gen_") => format!("{bucket}/*/{name}"),
        ("s3", [bucket, _, "batches", .., name]) => format!("{bucket}/*/{name}"),
        ("s3", [bucket, ".uploads", ..]) => format!("{bucket}/.uploads/*"),
        ("s3", [bucket, _, "subjects", ..]) => format!("{bucket}/*/subjects/*"),
        ("s3", [bucket, _, "runs", ..]) => format!("{bucket}/*/runs/*"),
        ("secretsmanager", [folder, _]) => format!("{folder}/*"),
        _ => call.resource.clone(),
    }
}

/// `organization#generation` as `*#gen_*`, `organization#batch` as `*#bat_*`, `organization#run` as `*#run_*`, `organization#subject:name` as `*#subject:*`, `organization#keys` as `*#keys`, `#key#hash` as `#key#*`.
fn partition(key: &str) -> String {
    let mut parts = key.split('#').enumerate();
    let shapes = parts.by_ref().map(|(place, part)| match (place, part) {
        (_, "") => "",
        (0, _) => "*",
        (_, part) if part.starts_with("gen_") => "gen_*",
        (_, part) if part.starts_with("bat_") => "bat_*",
        (_, part) if part.starts_with("run_") => "run_*",
        (_, part) if part.starts_with("subject:") => "subject:*",
        (_, part) if part.starts_with("delivery:") => "delivery:*",
        (_, part) if part.starts_with("event:") => "event:*",
        (_, part) if part.starts_with("inbox:") => "inbox:*",
        (1, part) => part,
        _ => "*",
    });
    shapes.collect::<Vec<_>>().join("#")
}
