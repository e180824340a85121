//! Two readers of the same generation. One stays connected, one keeps disconnecting; both must read the same text.

use anyhow::Context as _;
use longhand_client::{Client, Follow, ResultText};
use tokio::task::JoinHandle;

use super::proof::sha256;

/// Events after which the second reader disconnects.
const DISCONNECTS_AFTER: usize = 25;

/// What a reader has read.
#[derive(Debug, Default)]
pub struct Seen {
    /// SHA-256 of the result's text, in hex.
    pub sha256: String,
    /// How often it reconnected.
    pub returns: usize,
}

/// Both readers, each in a task.
#[derive(Debug)]
pub struct Readers {
    stayed: JoinHandle<anyhow::Result<Seen>>,
    returned: JoinHandle<anyhow::Result<Seen>>,
}

impl Readers {
    pub fn start(client: &Client, id: &str) -> Self {
        let read = |disconnects_after| tokio::spawn(read(client.follow(id, None), disconnects_after));
        Self { stayed: read(usize::MAX), returned: read(DISCONNECTS_AFTER) }
    }

    /// What the reader that stayed has read, and what the other has.
    pub async fn finish(self) -> anyhow::Result<(Seen, Seen)> {
        let stayed = self.stayed.await?.context("the reader that stayed")?;
        Ok((stayed, self.returned.await?.context("the reader that reconnected")?))
    }
}

async fn read(mut log: Follow, disconnects_after: usize) -> anyhow::Result<Seen> {
    let (mut text, mut read, mut returns) = (ResultText::default(), 0, 0);
    while let Some(event) = log.next().await? {
        text.push(&event.event);
        read += 1;
        if read == disconnects_after && event.event.end().is_none() {
            log.disconnect();
            (read, returns) = (0, returns + 1);
        }
    }
    Ok(Seen { sha256: sha256(text.as_str()), returns })
}
