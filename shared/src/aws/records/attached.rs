//! Places of attached starts: each such start occupies its function until its generation has ended, so all of a deployment share a number
//! of places.

use serde::{Deserialize, Serialize};

use super::Records;
use super::key::{ATTACHED, Key};
use crate::aws::clients::unexpected;
use crate::aws::tables::{query_all, query_partition};
use crate::error::Error;

/// How long the row of a place outlives its holder, seconds.
const ROW_TTL: i64 = 86_400;

/// Who holds a place is known by its time alone: the next holder's is later.
#[derive(Debug, Serialize, Deserialize)]
struct PlaceRow {
    held_until: i64,
    expires_at: i64,
}

impl PlaceRow {
    const fn new(held_until_ms: i64, now_ms: i64) -> Self {
        let later = if held_until_ms > now_ms { held_until_ms } else { now_ms };
        Self { held_until: held_until_ms, expires_at: later / 1_000 + ROW_TTL }
    }
}

#[derive(Debug, Deserialize)]
struct HeldRow {
    sk: String,
    held_until: i64,
}

impl Records {
    /// Takes a place until `until_ms`, if nobody holds it at `now_ms`. Costs one write unit.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn take_place(&self, place: u32, now_ms: i64, until_ms: i64) -> Result<bool, Error> {
        let condition = "attribute_not_exists(pk) OR held_until <= :now";
        let held = self.put_where(Key::Attached(place), &PlaceRow::new(until_ms, now_ms), condition, Some(now_ms)).await?;
        Ok(held.is_none())
    }

    /// Leaves the place that was taken until `until_ms`. Costs one write unit.
    ///
    /// # Errors
    /// [`Error::Aws`]: the place is free at `until_ms` at the latest.
    pub async fn leave_place(&self, place: u32, now_ms: i64, until_ms: i64) -> Result<(), Error> {
        let left = PlaceRow::new(0, now_ms);
        self.put_where(Key::Attached(place), &left, "held_until = :now", Some(until_ms)).await.map(drop)
    }

    /// The places that are held at `now_ms`, in their order. Eventually consistent: half a read unit for some forty places.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn held_places(&self, now_ms: i64) -> Result<Vec<u32>, Error> {
        let items = query_all(query_partition(&self.dynamodb, &self.table, ATTACHED.to_owned()), &self.meter).await?;
        let rows: Vec<HeldRow> = serde_dynamo::from_items(items).map_err(|error| unexpected("dynamodb Query", error))?;
        let mut held: Vec<u32> =
            rows.iter().filter(|row| row.held_until > now_ms).filter_map(|row| row.sk.parse().ok()).collect();
        held.sort_unstable();
        Ok(held)
    }
}
