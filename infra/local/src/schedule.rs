//! Schedules: sends scheduled events to functions at the rate that the template gives.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    lambda::{Hosted, Lambda, request_id},
    template::{ACCOUNT, REGION, Schedule},
};

/// Runs every schedule. The first run is immediate, for work that fell due while the stack was off; the second comes after
/// `again_after`, when the leases of a killed stack have expired. Missed ticks (a laptop that slept) are skipped.
pub fn start(lambda: &Lambda, again_after: Duration, stop: &CancellationToken, tasks: &TaskTracker) {
    for hosted in lambda.functions() {
        for schedule in &hosted.definition.schedules {
            let tick = tick(lambda.clone(), hosted.clone(), schedule.clone(), again_after);
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(tick).await });
        }
    }
}

async fn tick(lambda: Lambda, hosted: Arc<Hosted>, schedule: Schedule, again_after: Duration) {
    send(&lambda, &hosted, &schedule);
    sleep(again_after).await;
    let mut ticks = interval(schedule.rate.0.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        send(&lambda, &hosted, &schedule);
    }
}

fn send(lambda: &Lambda, hosted: &Arc<Hosted>, schedule: &Schedule) {
    if let Err(error) = lambda.send(hosted, event(hosted, schedule)) {
        tracing::error!(error = format!("{error:#}"), "a scheduled event is lost");
    }
}

fn event(hosted: &Hosted, schedule: &Schedule) -> Value {
    let scheduled = || {
        json!({
            "version": "0",
            "id": request_id(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT,
            "time": format!("{:.0}", jiff::Timestamp::now()),
            "region": REGION,
            "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}{}", hosted.definition.id, schedule.name)],
            "detail": {},
        })
    };
    schedule.input.clone().unwrap_or_else(scheduled)
}
