//! The data folder: its lock and the paths in it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tempfile::TempDir;

use crate::options::Data;

/// Held by the stack that runs on a data folder.
const LOCK: &str = "stack.lock";
/// The file with the format of the folder, and the newest format that this version knows.
const FORMAT_FILE: &str = "format";
const FORMAT: u32 = 1;
/// The folder of the socket, and its file.
const RUN: &str = "run";
const SOCKET: &str = "stack.sock";
/// The shortest `sun_path` of the systems that Rust knows (macOS) has 104 bytes with its end.
const SOCKET_PATH_BYTES_MAX: usize = 103;
/// Prompts, outputs and a key: for their owner alone.
const PRIVATE: u32 = 0o700;

/// A data folder, locked for this process until dropped.
pub struct Folder {
    path: PathBuf,
    database: String,
    /// Where the path of a socket in the data folder would be too long.
    run: Option<TempDir>,
    _lock: File,
    _temporary: Option<TempDir>,
}

impl Folder {
    /// Creates the folder if it is missing, closes it to other users, and locks it.
    ///
    /// # Errors
    /// The folder cannot be created, or another stack has locked it.
    pub fn open(data: &Data) -> Result<Self> {
        let (path, temporary) = match data {
            Data::Folder(path) => (path.clone(), None),
            Data::Memory => {
                let temporary = private_folder()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        make_private(&path).with_context(|| format!("the data folder {} cannot be created", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("the data folder {}", path.display()))?;
        let lock = lock(&path)?;
        check_format(&path)?;
        let database = match &temporary {
            None => {
                let file = path.join("dynamodb.sqlite");
                // SQLite gives its log and its index the permissions of this file.
                close(&file).with_context(|| format!("{} cannot be closed to other users", file.display()))?;
                file.to_string_lossy().into_owned()
            }
            Some(_) => format!("file:{}?mode=memory&cache=shared", path.join("dynamodb").display()),
        };
        let is_short = path.join(RUN).join(SOCKET).as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
        let run = if is_short { None } else { Some(private_folder()?) };
        Ok(Self { path, database, run, _lock: lock, _temporary: temporary })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SQLite database: a file, or a shared in-memory database with a unique name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The folder of objects.
    pub fn s3(&self) -> PathBuf {
        self.path.join("s3")
    }

    /// The folder of mails. It is made with the first of them.
    pub fn mail(&self) -> PathBuf {
        self.path.join("mail")
    }

    /// The folder of stream positions.
    pub fn triggers(&self) -> PathBuf {
        self.path.join("triggers")
    }

    /// The folder of unfinished async invocations.
    pub fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// The folder of on-failure records.
    pub fn failures(&self) -> PathBuf {
        self.path.join("failures")
    }

    /// The socket of the services, for commands.
    pub fn socket(&self) -> PathBuf {
        let folder = self.run.as_ref().map_or_else(|| self.path.join(RUN), |folder| folder.path().to_owned());
        folder.join(SOCKET)
    }

    /// Whether the tables are in memory, and end with the stack.
    pub fn is_in_memory(&self) -> bool {
        self.database.starts_with("file:")
    }

    /// Writes `stack.json`, from which clients read the addresses of the running stack and its key.
    pub fn announce(&self, announcement: &impl Serialize) -> Result<()> {
        write_secret(&self.path.join("stack.json"), &serde_json::to_vec_pretty(announcement)?)
    }

    /// Removes `stack.json`, as dropping does.
    pub fn withdraw(&self) {
        let _ = fs::remove_file(self.path.join("stack.json"));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.withdraw();
    }
}

fn private_folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("longhand-").tempdir().context("a temporary folder cannot be created")
}

/// Creates a data folder for its owner alone. A folder of an earlier version, and its own folders, are closed to others as well;
/// another folder that exists and has other files is left as it is.
fn make_private(path: &Path) -> std::io::Result<()> {
    let is_own = !path.exists() || path.join(LOCK).exists() || fs::read_dir(path)?.next().is_none();
    DirBuilder::new().recursive(true).mode(PRIVATE).create(path)?;
    if is_own {
        fs::set_permissions(path, Permissions::from_mode(PRIVATE))?;
    }
    for name in ["s3", "triggers", "failures", "events", RUN] {
        let folder = path.join(name);
        DirBuilder::new().recursive(true).mode(PRIVATE).create(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(PRIVATE))?;
    }
    Ok(())
}

/// Marks a new folder with the format of this version, and refuses one of a newer version. Older ones are migrated.
fn check_format(path: &Path) -> Result<()> {
    let file = path.join(FORMAT_FILE);
    let found = match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} is damaged", file.display()))?,
        // Folders of before the file was written have the first format.
        Err(error) if error.kind() == ErrorKind::NotFound => 1,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
    };
    if found > FORMAT {
        bail!(
            "{} was made by a newer longhand (its format is {found}; this version knows up to {FORMAT}): use that version, or choose another data folder",
            path.display()
        );
    }
    write_secret(&file, FORMAT.to_string().as_bytes())
}

/// Creates a file for its owner alone, or closes one that exists.
fn close(file: &Path) -> std::io::Result<()> {
    File::options().create(true).append(true).mode(0o600).open(file)?.set_permissions(Permissions::from_mode(0o600))
}

/// Whether a stack of this user runs on a data folder: its lock is held, and `stack.json` is this user's.
///
/// # Errors
/// Another user wrote `stack.json`, or the files cannot be read.
pub fn is_running(path: &Path) -> Result<bool> {
    let held = match File::open(path.join(LOCK)) {
        Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be opened", path.join(LOCK).display())),
    };
    if !held {
        return Ok(false);
    }
    let announced = path.join("stack.json");
    let Ok(owner) = fs::metadata(&announced).map(|metadata| metadata.uid()) else { return Ok(false) };
    // A new file belongs to the user of this process.
    let user = tempfile::tempfile().and_then(|file| file.metadata()).context("a temporary file cannot be created")?.uid();
    if owner != user {
        bail!("{} belongs to another user, and is not trusted", announced.display());
    }
    Ok(true)
}

fn lock(path: &Path) -> Result<File> {
    let name = path.join(LOCK);
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&name)
        .with_context(|| format!("{} cannot be opened", name.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another longhand stack is running on {}: stop it, or choose another data folder", path.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", name.display())),
    }
}

/// Replaces a small file atomically.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, File::options().create(true).write(true).truncate(true))
}

/// Replaces a small file atomically with one that only its owner may read.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let _ = fs::remove_file(path.with_extension("new"));
    replace(path, bytes, File::options().create_new(true).write(true).mode(0o600))
}

fn replace(path: &Path, bytes: &[u8], options: &OpenOptions) -> Result<()> {
    let beside = path.with_extension("new");
    let written = options.open(&beside).and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&beside, path));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_locked_by_one_stack() {
        let temporary = tempfile::tempdir().unwrap();
        let data = Data::Folder(temporary.path().join("data"));
        let held = Folder::open(&data).unwrap();
        let message = format!("{:#}", Folder::open(&data).err().unwrap());
        assert!(message.contains("another longhand stack is running on"), "{message}");
        drop(held);
        Folder::open(&data).unwrap();
    }

    #[test]
    fn folder_of_a_newer_version_is_refused_by_name() {
        let temporary = tempfile::tempdir().unwrap();
        let data = Data::Folder(temporary.path().to_owned());
        drop(Folder::open(&data).unwrap());
        let format = temporary.path().join(FORMAT_FILE);
        assert_eq!(fs::read_to_string(&format).unwrap(), FORMAT.to_string());
        fs::write(&format, "7\n").unwrap();
        let message = format!("{:#}", Folder::open(&data).err().unwrap());
        assert!(message.contains("was made by a newer longhand (its format is 7"), "{message}");
    }

    #[test]
    fn folder_is_its_owners_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("deep/data");
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        drop(Folder::open(&Data::Folder(path.clone())).unwrap());
        for folder in ["", "s3", "events", "run"] {
            assert_eq!(fs::metadata(path.join(folder)).unwrap().permissions().mode() & 0o777, PRIVATE, "{folder}");
        }
    }

    #[test]
    fn stack_runs_while_its_lock_is_held() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        assert!(!is_running(&path).unwrap(), "no folder");
        let folder = Folder::open(&Data::Folder(path.clone())).unwrap();
        assert!(!is_running(&path).unwrap(), "nothing is announced");
        folder.announce(&"x").unwrap();
        assert!(is_running(&path).unwrap());
        drop(folder);
        write(&path.join("stack.json"), b"{}").unwrap();
        assert!(!is_running(&path).unwrap(), "a file that was left or copied");
    }
}
