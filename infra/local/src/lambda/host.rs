//! The functions of a process, and the tasks in which they run.

use std::{sync::Arc, time::Duration};

use longhand_functions::Function;
use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::template::HostedFunction;

/// A function and its handler.
pub struct Hosted {
    /// Its definition in the template.
    pub definition: HostedFunction,
    /// Its handler.
    pub function: Function,
}

/// Hosts functions. Clones share them, and their tasks.
#[derive(Clone)]
pub struct Host {
    functions: Arc<[Arc<Hosted>]>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Host {
    /// Hosts `functions`.
    pub fn new(functions: Vec<Hosted>) -> Self {
        let functions = functions.into_iter().map(Arc::new).collect();
        Self { functions, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Every function.
    pub fn functions(&self) -> &[Arc<Hosted>] {
        &self.functions
    }

    /// The function with this logical id, physical name, `Handler` or ARN.
    pub fn find(&self, name: &str) -> Option<&Arc<Hosted>> {
        let name = name.rsplit_once("function:").map_or(name, |(_, name)| name);
        let name = name.split(':').next().unwrap_or(name);
        let named = |hosted: &HostedFunction| [&hosted.id, &hosted.name, &hosted.handler].into_iter().any(|own| own == name);
        self.functions.iter().find(|hosted| named(&hosted.definition))
    }

    /// Runs `work` in a task. The result is `None` if the functions are stopped before `work` ends.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(work))
    }

    /// Waits up to `grace` for what runs, then stops it.
    pub async fn shutdown(&self, grace: Duration) {
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
        self.stop.cancel();
        self.tasks.wait().await;
    }

    /// Stops all functions when dropped.
    pub fn stop_on_drop(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }
}
