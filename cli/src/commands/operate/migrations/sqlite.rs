//! The database of the field, read as one snapshot.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use longhand::migrations::stratos::source::{Cell, Columns, SourceGeneration};
use longhand::{Error, Source};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use crate::failure;

const GENERATIONS: &str = "scenario_generations";
const CHUNKS: &str = "generation_chunks";
/// Columns without which a row cannot be told.
const NEEDED: [&str; 3] = ["id", "organization_id", "status"];

/// A database that is open for reading.
pub struct Database {
    name: String,
    connection: Mutex<Connection>,
    has_chunks: bool,
}

impl Database {
    /// Opens it, and checks that it has the tables.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("the database {} cannot be read", path.display());
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).with_context(named)?;
        // One snapshot: the application there may go on writing.
        connection.execute_batch("BEGIN").with_context(named)?;
        let columns = columns_of(&connection, GENERATIONS).with_context(named)?;
        let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !columns.iter().any(|column| column == name)).collect();
        if !missing.is_empty() {
            let what = format!("expected a table {GENERATIONS} with the columns {}", NEEDED.join(", "));
            return Err(failure::usage(format!("--from: {what}; {} are missing in {}", missing.join(", "), path.display())));
        }
        let has_chunks = columns_of(&connection, CHUNKS)?.iter().any(|column| column == "chunk");
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, connection: Mutex::new(connection), has_chunks })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &rusqlite::Error) -> Error {
        Error::Configuration(format!("the database {} cannot be read: {error}", self.name))
    }

    fn generation(&self, id: i64) -> rusqlite::Result<SourceGeneration> {
        let connection = self.connection();
        let query = format!("SELECT * FROM {GENERATIONS} WHERE id = ?1");
        let columns = connection.prepare_cached(&query)?.query_row([id], cells)?;
        let mut chunks = Vec::new();
        if self.has_chunks {
            let query = format!("SELECT * FROM {CHUNKS} WHERE scenario_generation_id = ?1 ORDER BY sequence, rowid");
            let mut statement = connection.prepare_cached(&query)?;
            chunks = statement.query_map([id], cells)?.collect::<Result<_, _>>()?;
        }
        Ok(SourceGeneration { columns, chunks })
    }
}

impl Source for Database {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn ids(&self, after: Option<i64>, limit: usize) -> Result<Vec<i64>, Error> {
        let read = || -> rusqlite::Result<Vec<i64>> {
            let connection = self.connection();
            let query = format!("SELECT id FROM {GENERATIONS} WHERE id > ?1 ORDER BY id LIMIT ?2");
            let mut statement = connection.prepare_cached(&query)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            statement.query_map([after.unwrap_or(i64::MIN), limit], |row| row.get(0))?.collect()
        };
        read().map_err(|error| self.failed(&error))
    }

    fn read(&self, id: i64) -> Result<SourceGeneration, Error> {
        self.generation(id).map_err(|error| self.failed(&error))
    }
}

fn columns_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn cells(row: &Row<'_>) -> rusqlite::Result<Columns> {
    let names = row.as_ref().column_names();
    let cell = |place: usize| -> rusqlite::Result<Cell> {
        Ok(match row.get_ref(place)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(bytes) => Cell::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
        })
    };
    names.iter().enumerate().map(|(place, name)| Ok(((*name).to_owned(), cell(place)?))).collect()
}
