//! The data as it will be when what is planned so far is written.

use std::collections::{HashMap, HashSet};

use crate::app::App;
use crate::error::Error;
use crate::hash::sha256_hex;
use crate::migrations::{Attributes, ObjectChange, Planned, RowKey, Verdict};
use crate::verbs::migrations::{Content, DataChange};

/// Rows and objects, with what is planned in place of what is stored.
pub struct View<'a> {
    app: &'a App,
    change: &'a dyn DataChange,
    rows: HashMap<RowKey, Attributes>,
    /// Objects that are planned, with their hashes.
    objects: HashMap<String, String>,
    /// Objects that this run has put for units that were refused.
    own: HashSet<String>,
}

impl<'a> View<'a> {
    /// The data as it is stored, for the plans of `change`.
    #[must_use]
    pub fn new(app: &'a App, change: &'a dyn DataChange) -> Self {
        Self { app, change, rows: HashMap::new(), objects: HashMap::new(), own: HashSet::new() }
    }

    /// The same, in which these objects count as absent, because the run itself has put them.
    #[must_use]
    pub fn without(self, own: HashSet<String>) -> Self {
        Self { own, ..self }
    }

    /// The product whose data it is.
    #[must_use]
    pub const fn app(&self) -> &App {
        self.app
    }

    /// Notes what is planned.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn note(&mut self, planned: &Planned) -> Result<(), Error> {
        let Verdict::Change(change) = &planned.verdict else { return Ok(()) };
        let rows: Vec<_> = change.rows.iter().filter(|row| self.change.is_shared(&row.key.pk)).collect();
        for row in rows {
            // A change names only what it changes of a row.
            let held = if row.is_new { None } else { self.row(&row.key).await? };
            self.rows.insert(row.key.clone(), row.apply(held.as_ref()));
        }
        let shared = change.objects.iter().filter(|object| self.change.is_shared(&object.object));
        self.objects.extend(shared.map(|object| (object.object.clone(), object.sha256.clone())));
        Ok(())
    }

    /// A row.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn row(&self, key: &RowKey) -> Result<Option<Attributes>, Error> {
        match self.rows.get(key) {
            Some(row) => Ok(Some(row.clone())),
            None => self.app.records.stored_row(key).await,
        }
    }

    /// The changes of the bucket that lead to these objects. `Err` of the inner result: there is another object under one of the keys.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn objects(&self, contents: &[Content]) -> Result<Result<Vec<ObjectChange>, String>, Error> {
        self.objects_in_place(contents, None).await
    }

    /// The same; other objects in `folder` are replaced.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn objects_in_place(
        &self,
        contents: &[Content],
        folder: Option<&str>,
    ) -> Result<Result<Vec<ObjectChange>, String>, Error> {
        let mut changes = Vec::with_capacity(contents.len());
        for content in contents {
            let sha256 = sha256_hex(&content.bytes);
            let held = self.object(&content.object).await?;
            let is_new = held.is_none();
            let replaces = held.filter(|held| *held != sha256);
            if replaces.is_some() && !folder.is_some_and(|folder| content.object.starts_with(folder)) {
                return Ok(Err(content.object.clone()));
            }
            let (object, bytes) = (content.object.clone(), content.bytes.len() as u64);
            changes.push(ObjectChange { object, sha256, bytes, is_new, replaces });
        }
        Ok(Ok(changes))
    }

    async fn object(&self, object: &str) -> Result<Option<String>, Error> {
        if let Some(sha256) = self.objects.get(object) {
            return Ok(Some(sha256.clone()));
        }
        if self.own.contains(object) {
            return Ok(None);
        }
        Ok(self.app.blobs.digest(object).await?.map(|(sha256, _)| sha256))
    }
}
