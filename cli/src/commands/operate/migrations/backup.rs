//! The backup before a run, which is checked: on AWS one of DynamoDB's, of a stack of this machine a copy of its folder.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use longhand::App;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::MigrationArgs;
use crate::failure;

/// A backup that was made before must be this young.
const AGE_MAX_MS: i64 = 60 * 60 * 1000;
/// The pause between two looks at a backup that is being made, and how often it is looked at.
const LOOK: Duration = Duration::from_secs(2);
const LOOKS: u32 = 900;
const DATABASE: &str = "dynamodb.sqlite";
const OBJECTS: &str = "s3";
const MANIFEST: &str = "manifest.json";
/// How often something is copied that changes while it is.
const COPIES: u32 = 5;

/// Makes and checks the backup, and returns its name.
pub async fn make(app: &App, args: &MigrationArgs, migration: &str) -> anyhow::Result<String> {
    let destination = args.backup.clone().unwrap_or_default();
    if args.deployment.aws {
        return of_table(app, &destination, migration).await;
    }
    let (data, folder) = (args.deployment.folder.data.clone(), PathBuf::from(&destination));
    tokio::task::spawn_blocking(move || of_folder(&data, &folder)).await?
}

/// A backup of the table. The bucket keeps old versions of objects, and a run replaces none.
async fn of_table(app: &App, destination: &str, migration: &str) -> anyhow::Result<String> {
    let recovery =
        app.has_point_in_time_recovery().await.context("whether the table has point-in-time recovery cannot be told")?;
    ensure!(recovery, "the table has no point-in-time recovery: turn it on first, nothing was written");
    let arn = match destination {
        "new" => {
            let time = longhand::clock::rfc3339(app.now_ms()).replace(':', "-");
            app.create_backup(&format!("longhand-{migration}-{time}"))
                .await
                .context("no backup can be made; nothing was written")?
        }
        arn if arn.starts_with("arn:") => arn.to_owned(),
        other => return Err(failure::usage(format!("--backup: expected `new` or the ARN of a backup, not {other:?}"))),
    };
    for _ in 0..LOOKS {
        let backup = app.backup(&arn).await.context("the backup cannot be checked; nothing was written")?;
        ensure!(
            app.now_ms() - backup.created_ms <= AGE_MAX_MS,
            "the backup {arn} is older than an hour: give --backup new; nothing was written"
        );
        if backup.is_available {
            return Ok(backup.arn);
        }
        sleep(LOOK).await;
    }
    bail!("the backup {arn} is not available after {} min; nothing was written", LOOK.as_secs() * u64::from(LOOKS) / 60)
}

/// A copy of a stack's tables and objects, compared with them, with the hashes of its files, each read again.
fn of_folder(data: &Path, folder: &Path) -> anyhow::Result<String> {
    let database = data.join(DATABASE);
    ensure!(database.is_file(), "the stack on {} has its tables in memory, of which no copy can be made", data.display());
    if folder.exists() && fs::read_dir(folder).with_context(|| format!("--backup {}", folder.display()))?.next().is_some() {
        return Err(failure::usage(format!("--backup: expected a new or empty folder, and {} has files", folder.display())));
    }
    fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let copy = folder.join(DATABASE);
    let rows = copy_database(&database, &copy).context("the tables cannot be copied; nothing was written")?;
    let mut files = vec![(DATABASE.to_owned(), hash(&copy).context(DATABASE)?)];
    copy_files(&data.join(OBJECTS), &folder.join(OBJECTS), OBJECTS, &mut files)
        .context("the objects cannot be copied; nothing was written")?;
    let manifest: Vec<_> = files.iter().map(|(file, sha256)| json!({ "file": file, "sha256": sha256 })).collect();
    let manifest = serde_json::to_vec_pretty(&json!({ "rows": rows, "files": manifest }))?;
    fs::write(folder.join(MANIFEST), manifest)?;
    for (file, sha256) in &files {
        ensure!(
            hash(&folder.join(file)).context("the backup does not read back")? == *sha256,
            "{file} of the backup does not read back; nothing was written"
        );
    }
    Ok(folder.canonicalize()?.display().to_string())
}

/// What a database has: for each table its name, how many rows, and a sum of their hashes, which does not depend on their order.
type Contents = Vec<(String, u64, u128)>;

/// Copies the tables as one snapshot, compares the copy with them, and returns how many rows all its tables have. Where somebody writes
/// meanwhile, it is done again.
fn copy_database(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    source.busy_timeout(Duration::from_secs(30))?;
    // Of this connection it changes only when another one has written.
    let version = || source.query_row("PRAGMA data_version", (), |row| row.get::<_, i64>(0));
    for _ in 0..COPIES {
        let before = version()?;
        let there = contents(&source)?;
        source.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
        if version()? != before {
            fs::remove_file(to)?;
            continue;
        }
        let copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let checked: String = copy.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
        ensure!(checked == "ok", "the copy of the tables is damaged: {checked}");
        let here = contents(&copy)?;
        ensure!(!here.is_empty(), "the copy has no tables");
        ensure!(here == there, "the copy of the tables has other rows than they have");
        return Ok(here.iter().map(|(_, rows, _)| rows).sum());
    }
    bail!("the tables were written to during each of {COPIES} copies: stop what writes to them")
}

fn contents(connection: &Connection) -> rusqlite::Result<Contents> {
    let mut names =
        connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")?;
    let names: Vec<String> = names.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let of_table = |name: String| {
        let mut statement = connection.prepare(&format!("SELECT * FROM \"{}\"", name.replace('"', "\"\"")))?;
        let columns = statement.column_count();
        let (mut rows, mut count, mut sum) = (statement.query(())?, 0, 0_u128);
        while let Some(row) = rows.next()? {
            let mut sha256 = Sha256::new();
            for column in 0..columns {
                let (kind, bytes) = match row.get_ref(column)? {
                    ValueRef::Null => (0, Vec::new()),
                    ValueRef::Integer(number) => (1, number.to_be_bytes().to_vec()),
                    ValueRef::Real(number) => (2, number.to_be_bytes().to_vec()),
                    ValueRef::Text(text) => (3, text.to_vec()),
                    ValueRef::Blob(blob) => (4, blob.to_vec()),
                };
                sha256.update([kind]);
                sha256.update(bytes.len().to_be_bytes());
                sha256.update(bytes);
            }
            count += 1;
            let digest = sha256.finalize();
            sum = digest.iter().take(16).fold(0, |sum: u128, byte| (sum << 8) | u128::from(*byte)).wrapping_add(sum);
        }
        Ok((name, count, sum))
    };
    names.into_iter().map(of_table).collect()
}

fn copy_files(from: &Path, to: &Path, name: &str, files: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (name, to) = (format!("{name}/{}", entry.file_name().to_string_lossy()), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &to, &name, files)?;
            continue;
        }
        match copy_file(&entry.path(), &to) {
            Ok(Some(sha256)) => files.push((name, sha256)),
            Ok(None) => bail!("{name} was written to during each of {COPIES} copies: stop what writes to it"),
            // It was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| name.clone()),
        }
    }
    Ok(())
}

/// Copies a file and compares the copy with it. `None`: it was another one each time.
fn copy_file(from: &Path, to: &Path) -> io::Result<Option<String>> {
    for _ in 0..COPIES {
        fs::copy(from, to)?;
        let sha256 = hash(from)?;
        if hash(to)? == sha256 {
            return Ok(Some(sha256));
        }
    }
    Ok(None)
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let (mut sha256, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(format!("{:x}", sha256.finalize()));
        }
        sha256.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_differs_in_one_value_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.sqlite"), folder.path().join("to.sqlite"));
        let source = Connection::open(&from).unwrap();
        source
            .execute_batch(
                "CREATE TABLE one (a, b); INSERT INTO one VALUES (1, 'x'), (2.5, x'00'), (NULL, ''), (1, 'x');
                 CREATE TABLE other (pk TEXT PRIMARY KEY, value) WITHOUT ROWID; INSERT INTO other VALUES ('k', '1');",
            )
            .unwrap();
        assert_eq!(copy_database(&from, &to).unwrap(), 5);
        let whole = contents(&source).unwrap();
        for change in [
            "UPDATE other SET value = 1",
            "UPDATE one SET b = 'y' WHERE rowid = 1",
            "DELETE FROM one WHERE rowid = 4",
            "INSERT INTO one VALUES (2, 'z')",
            "CREATE TABLE more (a)",
        ] {
            let copy = Connection::open(&to).unwrap();
            assert_eq!(contents(&copy).unwrap(), whole);
            copy.execute_batch(&format!("BEGIN; {change}")).unwrap();
            assert_ne!(contents(&copy).unwrap(), whole, "{change}");
        }
        let (file, copy) = (folder.path().join("file"), folder.path().join("copy"));
        fs::write(&file, b"text").unwrap();
        assert_eq!(copy_file(&file, &copy).unwrap().unwrap(), hash(&copy).unwrap());
    }
}
