//! `longhand migrate stratos` and `longhand backfill accepted-prompt`, as a person runs them: on a stack that runs, killed, resumed and undone.

mod accepted;
mod again;
mod backfill;
mod database;
mod drill;
mod kills;
mod odd;
mod stratos;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand_local::{Data, Durability, Options};
use longhand_tests::Harness;
use longhand_tests::sampling::rounds;
use serde_json::Value;

/// Generations in a full run and in a sampled one, and bytes of the large ones.
const GENERATIONS: (u64, u64) = (200, 40);
const LARGE: (u64, u64) = (20_000_000, 1_200_000);

fn generations() -> i64 {
    rounds(GENERATIONS.0, GENERATIONS.1).cast_signed()
}

fn large() -> usize {
    usize::try_from(rounds(LARGE.0, LARGE.1)).unwrap()
}

/// A stack on a folder.
struct Place {
    folder: tempfile::TempDir,
    harness: Harness,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    /// The lines of its stdout, as JSON.
    fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The run that it began.
    fn run(&self) -> String {
        let line = self.stderr.lines().find(|line| line.starts_with("run     "));
        assert!(line.is_some(), "{self:?}");
        line.unwrap()["run     ".len()..].to_owned()
    }
}

/// All rows and objects, but for those of migrations themselves.
#[derive(Debug, PartialEq)]
struct Everything {
    rows: BTreeMap<(String, String), BTreeMap<String, AttributeValue>>,
    objects: BTreeMap<PathBuf, Vec<u8>>,
}

impl Everything {
    /// Fails where two of them differ, and names what does.
    fn assert_same(&self, other: &Self) {
        let keys = self.rows.keys().chain(other.rows.keys());
        for key in keys {
            assert_eq!(self.rows.get(key), other.rows.get(key), "{key:?}");
        }
        for object in self.objects.keys().chain(other.objects.keys()) {
            assert!(self.objects.get(object) == other.objects.get(object), "{}", object.display());
        }
    }
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::Folder(folder.path().join("data"));
        let env = [("LONGHAND_IMPORT_GENERATION".to_owned(), "true".to_owned())].into();
        let harness = Harness::with(Options { data, durability: Durability::Normal, env, ..Options::default() }).await;
        Self { folder, harness }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A new path for a backup.
    fn backup(&self) -> String {
        self.folder.path().join(format!("backup-{}", fastrand::u32(..))).display().to_string()
    }

    /// The command with these arguments, on this stack.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
        let always = ["--yes", "--lease-seconds", "1", "--write-units-per-second", "40000"];
        command.args(arguments).arg("--data").arg(self.data()).args(always);
        command
    }

    async fn say(&self, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    async fn everything(&self) -> Everything {
        let config = self.harness.config("api");
        let client = self.harness.clients().await.dynamodb;
        let mut rows = BTreeMap::new();
        for table in [&config.records_table, &config.buffer_table] {
            let mut pages = client.scan().table_name(table).into_paginator().items().send();
            while let Some(row) = pages.next().await {
                let mut row: BTreeMap<String, AttributeValue> = row.unwrap().into_iter().collect();
                let mut word = |name: &str| row.remove(name).unwrap().as_s().unwrap().clone();
                let key = (word("pk"), word("sk"));
                if key.0 != "#migrations" && key.0 != "#sweep" {
                    rows.insert(key, row);
                }
            }
        }
        let mut objects = BTreeMap::new();
        let bucket = self.data().join("s3").join(&config.bucket);
        files(&bucket, &mut objects);
        objects.retain(|path, _| !path.starts_with(bucket.join(".migrations")));
        let objects = objects.into_iter().map(|(path, bytes)| (path.strip_prefix(&bucket).unwrap().to_owned(), bytes));
        Everything { rows, objects: objects.collect() }
    }
}

fn files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
}

/// A database in a folder of its own.
fn database(large: usize) -> (tempfile::TempDir, String, Vec<database::Expected>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stratos.sqlite");
    let expected = database::make(&path, generations(), large);
    let path = path.display().to_string();
    (folder, path, expected)
}

/// The arguments of the migration of a database.
fn migrate(database: &str) -> Vec<&str> {
    vec!["migrate", "stratos", "--from", database, "--organization", "1=local"]
}
