//! A fleet's part of a bill: its tasks on Fargate, their queue and their load balancer, as `infra/fleet/fargate.yaml` has them.

use longhand::estimate::Workload;
use longhand::fleet::Visibility;
use serde::Serialize;

use super::prices::Prices;

const GB: f64 = 1e9;
const HOUR: f64 = 3_600.0;
/// Processors and gigabytes of a worker and of a server.
const WORKER: [f64; 2] = [1.0, 2.0];
const SERVER: [f64; 2] = [0.5, 1.0];
/// Readers at once of a server.
const READERS: f64 = 1_000.0;
/// Requests to the queue of one job: it is sent, received and deleted.
const QUEUE_REQUESTS: f64 = 3.0;
/// The deployment's lease: `LONGHAND_LEASE_SECONDS`.
const LEASE: std::time::Duration = std::time::Duration::from_secs(30);

/// A fleet whose tasks are full.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Generations that a worker writes at once.
    pub at_once: u16,
    /// The names of the prices of a processor's and a gigabyte's hour.
    pub prices: [&'static str; 2],
}

/// What tasks cost an hour, whether they are used or not.
#[derive(Debug, Serialize)]
pub struct Hour {
    pub worker_dollars: f64,
    pub server_dollars: f64,
}

impl Fleet {
    /// What a generation has of the fleet: names, quantities, and the names of their prices. `sent_bytes`: to its readers.
    pub fn items(&self, workload: &Workload, sent_bytes: f64, riders: u32) -> [(&'static str, f64, &'static str); 6] {
        let whole = (workload.silence + workload.stream).as_secs_f64();
        let [processors, memory] = self.prices;
        let writing = whole / HOUR / f64::from(self.at_once);
        #[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
        let reading = workload.readers as f64 * workload.watched.as_secs_f64() / HOUR / READERS;
        let renewals = (whole / Visibility::of_lease(LEASE).renew_every.as_secs_f64()).floor();
        [
            ("Fargate worker, processors", WORKER[0] * writing, processors),
            ("Fargate worker, memory", WORKER[1] * writing, memory),
            ("Fargate server, processors", SERVER[0] * reading, processors),
            ("Fargate server, memory", SERVER[1] * reading, memory),
            ("SQS", (QUEUE_REQUESTS + renewals) / f64::from(riders), "queue-requests"),
            ("Load balancer, data", sent_bytes / GB, "balancer-data"),
        ]
    }

    /// What a task costs an hour.
    pub fn hour(&self, prices: &Prices) -> anyhow::Result<Hour> {
        let [processor, gigabyte] = self.prices.map(|name| prices.get(name).map(|price| price.of(1.0)));
        let (processor, gigabyte) = (processor?, gigabyte?);
        let of = |[processors, memory]: [f64; 2]| processors * processor + memory * gigabyte;
        Ok(Hour { worker_dollars: of(WORKER), server_dollars: of(SERVER) })
    }
}
