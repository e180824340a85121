//! The embedded DynamoDB: dynoxide on loopback, in its own thread because its handlers block.

mod tables;
mod upkeep;

use std::{
    net::{Ipv4Addr, TcpListener},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use dynoxide::Database;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{environment, folder::Folder, template::HostedTable};

/// How long running requests may take when the stack stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A running DynamoDB. Dropping it stops it without waiting.
pub struct DynamoDb {
    endpoint: String,
    stop: CancellationToken,
    stopped: oneshot::Receiver<()>,
}

impl DynamoDb {
    /// Opens the folder's database, serves it on a free loopback port, and creates missing tables.
    ///
    /// # Errors
    /// The database cannot be opened, or a table differs from its definition in the template.
    pub async fn start(folder: &Folder, tables: &[HostedTable]) -> Result<Self> {
        let database =
            Database::new(folder.database()).map_err(|error| anyhow!("the database in {}: {error}", folder.path().display()))?;
        upkeep::index(folder.database())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port for DynamoDB")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let (stopping, stopped) = oneshot::channel();
        let job = Job { database, path: folder.database().to_owned(), listener, stop: stop.clone(), _stopping: stopping };
        thread::Builder::new()
            .name("dynamodb".to_owned())
            .spawn(move || job.run())
            .context("the thread of DynamoDB cannot start")?;
        let running = Self { endpoint, stop, stopped };
        tables::create(&environment::dynamodb(&running.endpoint), tables).await?;
        Ok(running)
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops, and waits until the database is closed.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // The sender is dropped when the thread ends.
        let _ = (&mut self.stopped).await;
    }
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Job {
    database: Database,
    path: String,
    listener: TcpListener,
    stop: CancellationToken,
    _stopping: oneshot::Sender<()>,
}

impl Job {
    fn run(self) {
        if let Err(error) = self.serve() {
            tracing::error!(error = format!("{error:#}"), "the embedded DynamoDB stopped");
        }
    }

    fn serve(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        self.listener.set_nonblocking(true)?;
        let (stop, database) = (self.stop, self.database);
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            tokio::spawn(upkeep::run(database.clone(), self.path, stop.clone()));
            let serving = dynoxide::server::serve_with_shutdown(listener, database, stop.clone().cancelled_owned());
            let expired = async {
                stop.cancelled().await;
                tokio::time::sleep(STOP_GRACE).await;
            };
            tokio::select! {
                served = serving => served.map_err(|error| anyhow!(error)),
                () = expired => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
