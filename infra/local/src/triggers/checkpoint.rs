//! How far a trigger has come in its stream, kept in a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::folder;

pub struct Checkpoint {
    path: PathBuf,
    position: Option<String>,
}

impl Checkpoint {
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let position = match fs::read_to_string(&path) {
            // Empty where the machine stopped while it was written: the trigger then begins anew.
            Ok(position) => Some(position).filter(|position| !position.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        Ok(Self { path, position })
    }

    /// The sequence number of the last record that is done with.
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    pub fn advance(&mut self, position: &str) -> Result<()> {
        folder::write(&self.path, position.as_bytes())?;
        self.position = Some(position.to_owned());
        Ok(())
    }
}
