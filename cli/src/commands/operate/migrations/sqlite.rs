//! The database of the field, read as one snapshot.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use longhand::migrations::stratos::source::{Cell, Columns, SourceGeneration};
use longhand::{Error, Source};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use crate::failure;

const GENERATIONS: &str = "scenario_generations";
const CHUNKS: &str = "generation_chunks";
/// Columns without which a row cannot be told.
const NEEDED: [&str; 3] = ["id", "organization_id", "status"];
/// Columns without which a chunk row cannot be told.
const NEEDED_OF_CHUNKS: [&str; 3] = ["scenario_generation_id", "sequence", "chunk"];
/// Rows that have a number of their own, where the table does not see to that.
const NAMED: &str = "temp.longhand_named";
/// The chunk rows by their generation, where the table has no index for that.
const ORDERED: &str = "temp.longhand_ordered";
/// Rows without a number that are told one by one.
const NAMELESS_TOLD: usize = 100;

/// A database that is open for reading. What it lacks to be read quickly is in temporary tables, of which the file knows nothing.
pub struct Database {
    name: String,
    connection: Mutex<Connection>,
    /// The query of a generation's row, by its number.
    row: String,
    /// The query of its chunk rows; `None`: there are none.
    chunks: Option<String>,
    /// The query of numbers.
    ids: String,
    nameless: Vec<String>,
}

impl Database {
    /// Opens it, and checks that it is whole and has the tables.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("the database {} cannot be read", path.display());
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).with_context(named)?;
        // One snapshot: the application there may go on writing.
        connection.execute_batch("BEGIN").with_context(named)?;
        let checked: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).with_context(named)?;
        ensure!(
            checked == "ok",
            "the database {} is damaged: {checked}; make a whole one of it first: sqlite3 FILE .recover",
            path.display()
        );
        let lacks = |table: &str, needed: [&str; 3], columns: &[String]| {
            let missing: Vec<&str> = needed.into_iter().filter(|name| !columns.iter().any(|column| column == name)).collect();
            let what = format!("expected a table {table} with the columns {}", needed.join(", "));
            let message = format!("--from: {what}; {} are missing in {}", missing.join(", "), path.display());
            if missing.is_empty() { Ok(()) } else { Err(failure::usage(message)) }
        };
        lacks(GENERATIONS, NEEDED, &columns_of(&connection, GENERATIONS).with_context(named)?)?;
        let columns = columns_of(&connection, CHUNKS).with_context(named)?;
        if !columns.is_empty() {
            lacks(CHUNKS, NEEDED_OF_CHUNKS, &columns)?;
        }
        let chunks = if columns.is_empty() { None } else { Some(chunks_query(&connection).with_context(named)?) };
        let has_key = has_key(&connection).with_context(named)?;
        let nameless = if has_key { Vec::new() } else { name_rows(&connection).with_context(named)? };
        let (row, ids) = if has_key {
            (format!("SELECT * FROM {GENERATIONS} WHERE id = ?1"), GENERATIONS)
        } else {
            (format!("SELECT * FROM {GENERATIONS} WHERE rowid = (SELECT place FROM {NAMED} WHERE id = ?1)"), NAMED)
        };
        let ids = format!("SELECT id FROM {ids} WHERE id > ?1 ORDER BY id LIMIT ?2");
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, connection: Mutex::new(connection), row, chunks, ids, nameless })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &rusqlite::Error) -> Error {
        Error::Configuration(format!("the database {} cannot be read: {error}", self.name))
    }

    fn generation(&self, id: i64) -> rusqlite::Result<SourceGeneration> {
        let connection = self.connection();
        let columns = connection.prepare_cached(&self.row)?.query_row([id], cells)?;
        let mut chunks = Vec::new();
        if let Some(query) = &self.chunks {
            let mut statement = connection.prepare_cached(query)?;
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
            let mut statement = connection.prepare_cached(&self.ids)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            statement.query_map([after.unwrap_or(i64::MIN), limit], |row| row.get(0))?.collect()
        };
        read().map_err(|error| self.failed(&error))
    }

    fn nameless(&self) -> Result<Vec<String>, Error> {
        Ok(self.nameless.clone())
    }

    fn read(&self, id: i64) -> Result<SourceGeneration, Error> {
        self.generation(id).map_err(|error| self.failed(&error))
    }
}

/// Whether the table sees to it that each row has a whole number as its id, and no two the same.
fn has_key(connection: &Connection) -> rusqlite::Result<bool> {
    let query = "SELECT count(*) FILTER (WHERE name = 'id' AND pk = 1 AND upper(type) = 'INTEGER') = 1 AND sum(pk) = 1
        FROM pragma_table_info(?1)";
    connection.query_row(query, [GENERATIONS], |row| row.get(0))
}

/// Finds the rows that have a number of their own, and returns the others.
fn name_rows(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection.execute_batch(&format!(
        "CREATE TABLE {NAMED} (id INTEGER PRIMARY KEY, place INTEGER NOT NULL);
         INSERT INTO {NAMED} SELECT id, min(rowid) FROM {GENERATIONS} WHERE typeof(id) = 'integer' GROUP BY id HAVING count(*) = 1;"
    ))?;
    let query = format!("SELECT rowid FROM {GENERATIONS} WHERE rowid NOT IN (SELECT place FROM {NAMED}) ORDER BY rowid");
    let places: Vec<i64> = connection.prepare(&query)?.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut told: Vec<String> = places.iter().take(NAMELESS_TOLD).map(|place| format!("rowid {place}")).collect();
    if places.len() > told.len() {
        told.push(format!("{} more rows", places.len() - told.len()));
    }
    Ok(told)
}

/// The query of a generation's chunk rows in their order.
fn chunks_query(connection: &Connection) -> rusqlite::Result<String> {
    let query = "SELECT count(*) > 0 FROM pragma_index_list(?1) AS list, pragma_index_info(list.name) AS info
        WHERE info.seqno = 0 AND info.name = 'scenario_generation_id'";
    let has_index: bool = connection.query_row(query, [CHUNKS], |row| row.get(0))?;
    if connection.prepare(&format!("SELECT rowid FROM {CHUNKS}")).is_err() {
        return Ok(format!("SELECT * FROM {CHUNKS} WHERE scenario_generation_id = ?1 ORDER BY sequence"));
    }
    if has_index {
        return Ok(format!("SELECT * FROM {CHUNKS} WHERE scenario_generation_id = ?1 ORDER BY sequence, rowid"));
    }
    // By a number that is text too, as the comparison there does it.
    connection.execute_batch(&format!(
        "CREATE TABLE {ORDERED} (generation INTEGER, sequence, place INTEGER, PRIMARY KEY (generation, sequence, place));
         INSERT INTO {ORDERED} SELECT scenario_generation_id, sequence, rowid FROM {CHUNKS};"
    ))?;
    Ok(format!(
        "SELECT chunk.* FROM {ORDERED} AS ordered JOIN {CHUNKS} AS chunk ON chunk.rowid = ordered.place
         WHERE ordered.generation = ?1 ORDER BY ordered.sequence, ordered.place"
    ))
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
