//! The embedded DynamoDB: dynoxide over SQLite.

mod group;
mod interests;
mod operations;
mod streams;
mod tables;
mod upkeep;
mod workers;

use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::{Router, body::Bytes, extract::DefaultBodyLimit, routing::post};
use dynoxide::Database;
use futures::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    environment::{Connection, Endpoints},
    folder::Folder,
    options::Durability,
    services::Services,
    template::{HostedTable, Pattern},
};
use group::Group;
pub use streams::Streams;
pub use workers::Counts;
use workers::Workers;

/// A running DynamoDB. Dropping it stops it without waiting.
pub struct DynamoDb {
    workers: Workers,
    stop: CancellationToken,
}

impl DynamoDb {
    /// Opens the folder's database, and creates missing tables.
    ///
    /// # Errors
    /// The database cannot be opened, or a table differs from its definition in the template.
    pub async fn start(folder: &Folder, tables: &[HostedTable], durability: Durability) -> Result<Self> {
        let open =
            || Database::new(folder.database()).map_err(|error| anyhow!("the database in {}: {error}", folder.path().display()));
        let database = open()?;
        upkeep::index(folder.database())?;
        let running = Self { workers: Workers::start(database.clone())?, stop: CancellationToken::new() };
        tables::create(&running.client(), tables).await?;
        // Two connections to a shared database in memory lock its tables against each other.
        if !folder.is_in_memory() {
            running.workers.add_reader(open()?)?;
            let group =
                Group::open(folder.database(), durability).map_err(|error| anyhow!("a connection for writes: {error}"))?;
            running.workers.add_group(group)?;
        }
        tokio::spawn(upkeep::run(database, folder.database().to_owned(), running.stop.clone()));
        Ok(running)
    }

    /// The service, for requests that arrive over HTTP.
    pub fn router(&self) -> Router {
        let limit = DefaultBodyLimit::max(operations::REQUEST_BYTES_MAX);
        Router::new().route("/", post(operations::answer)).layer(limit).with_state(self.workers.clone())
    }

    /// Adds the service at `endpoint`.
    pub fn add_to(&self, services: &Services, endpoint: &str) {
        let workers = self.workers.clone();
        let operations = move |target: String, body: Bytes| {
            let workers = workers.clone();
            async move { operations::document(&workers, &target, &body).await }.boxed()
        };
        services.add_operations(endpoint, self.router(), Arc::new(operations));
    }

    /// Changes after each write to `table` whose stream record may match one of the filters.
    pub fn writes(&self, table: &str, filters: &[Pattern]) -> watch::Receiver<u64> {
        self.workers.interests().add(table, filters)
    }

    /// The streams of its tables.
    pub fn streams(&self) -> Streams {
        Streams(self.workers.clone())
    }

    /// What has been done since the start.
    pub fn counts(&self) -> Counts {
        self.workers.counts()
    }

    /// A client in this process.
    pub fn client(&self) -> aws_sdk_dynamodb::Client {
        let (services, endpoints) = (Services::default(), Endpoints::in_process());
        self.add_to(&services, &endpoints.dynamodb);
        Connection::unsigned(endpoints, services).dynamodb()
    }

    /// Stops, and waits until the database is closed.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for stopped in self.workers.stop() {
            // The sender is dropped when the thread ends.
            let _ = stopped.await;
        }
    }
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.workers.stop());
    }
}

#[cfg(test)]
mod tests;
