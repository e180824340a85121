//! Two readers of the same generation: one stays, one keeps leaving and coming back. Both must see the same text.

use anyhow::Context as _;
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::terminal::follow;

/// The second reader leaves after so many events.
const LEAVES_AFTER: usize = 25;

/// What a reader saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// SHA-256 of the newest item's text: what came before it belongs to an attempt that was given up.
    pub sha256: String,
    /// How often it left and came back.
    pub returns: usize,
}

/// Both readers at work.
#[derive(Debug)]
pub struct Readers {
    stayed: JoinHandle<anyhow::Result<Seen>>,
    returned: JoinHandle<anyhow::Result<Seen>>,
}

impl Readers {
    pub fn start(api: &Api, id: &str) -> Self {
        let read = |leaves_after| tokio::spawn(read(api.clone(), id.to_owned(), leaves_after));
        Self { stayed: read(usize::MAX), returned: read(LEAVES_AFTER) }
    }

    /// What the one who stayed saw, and what the other did.
    pub async fn finish(self) -> anyhow::Result<(Seen, Seen)> {
        let stayed = self.stayed.await?.context("the reader that stayed")?;
        Ok((stayed, self.returned.await?.context("the reader that came back")?))
    }
}

async fn read(api: Api, id: String, leaves_after: usize) -> anyhow::Result<Seen> {
    let (mut text, mut item, mut after, mut returns) = (String::new(), 0, None, 0);
    'connection: loop {
        let Some(mut events) = api.follow(&id, after).await? else { break };
        let mut read = 0;
        while let Some(event) = events.next().await {
            let event = event?;
            after = Some(event.seq);
            if event.kind == "output_text.delta" {
                if event.output_index != item {
                    text.clear();
                    item = event.output_index;
                }
                text += &event.delta;
            }
            if follow::has_ended(&event.kind) {
                break 'connection;
            }
            read += 1;
            if read == leaves_after {
                break;
            }
        }
        returns += 1;
    }
    Ok(Seen { sha256: format!("{:x}", Sha256::digest(text)), returns })
}
