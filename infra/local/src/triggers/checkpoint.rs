//! The position of a trigger in its stream, stored in a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::folder;

pub struct Checkpoint {
    path: PathBuf,
    position: Option<String>,
    is_new: bool,
}

impl Checkpoint {
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let (position, is_new) = match fs::read(&path) {
            // A crash while writing leaves a torn file: then everything is delivered again.
            Ok(bytes) => (String::from_utf8(bytes).ok().filter(|position| is_position(position)), false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, true),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        Ok(Self { path, position, is_new })
    }

    /// Whether the trigger has never run with this folder.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The sequence number of the last record that is done.
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    pub fn advance(&mut self, position: &str) -> Result<()> {
        folder::write(&self.path, position.as_bytes())?;
        self.position = Some(position.to_owned());
        Ok(())
    }
}

/// A sequence number has only digits.
fn is_position(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
