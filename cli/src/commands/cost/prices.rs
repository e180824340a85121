//! AWS's prices: a list for each region, of which each price can be replaced.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::failure;

const LISTS: &str = include_str!("prices.json");

/// One price of a region's list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Price {
    pub name: String,
    pub dollars: f64,
    /// The quantity that `dollars` pays for.
    pub per: f64,
    pub unit: String,
    /// The date of the source.
    pub as_of: String,
    pub source: String,
    /// No source states the price.
    #[serde(default)]
    pub is_assumed: bool,
}

impl Price {
    /// Dollars for a quantity.
    pub fn of(&self, quantity: f64) -> f64 {
        quantity / self.per * self.dollars
    }
}

/// `NAME=DOLLARS`.
#[derive(Clone, Debug)]
pub struct Override {
    name: String,
    dollars: f64,
}

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (name, dollars) = text.split_once('=')?;
            let dollars: f64 = dollars.trim_start_matches('$').parse().ok()?;
            (dollars.is_finite() && dollars >= 0.0).then(|| Self { name: name.to_owned(), dollars })
        };
        read().ok_or_else(|| {
            "expected NAME=DOLLARS, such as dynamodb-write=0.705; `longhand cost --list-prices` names them".to_owned()
        })
    }
}

/// The prices of one region.
pub struct Prices(Vec<Price>);

impl Prices {
    /// The list of `region`, with what a person knows better.
    pub fn of(region: &str, overrides: &[Override]) -> anyhow::Result<Self> {
        let mut lists: BTreeMap<String, Vec<Price>> = serde_json::from_str(LISTS).context("the price lists are damaged")?;
        let known = lists.keys().cloned().collect::<Vec<_>>().join(", ");
        let mut list = lists.remove(region).ok_or_else(|| {
            failure::usage(format!(
                "there is no price list of {region:?}, only of {known}: take that, and give what differs with --price"
            ))
        })?;
        for own in overrides {
            let names = list.iter().map(|price| price.name.as_str()).collect::<Vec<_>>().join(", ");
            let price = list.iter_mut().find(|price| price.name == own.name);
            let price = price.ok_or_else(|| failure::usage(format!("--price: {:?} is none of the prices: {names}", own.name)))?;
            price.dollars = own.dollars;
            price.is_assumed = false;
            "--price".clone_into(&mut price.source);
            "now".clone_into(&mut price.as_of);
        }
        Ok(Self(list))
    }

    pub fn all(&self) -> &[Price] {
        &self.0
    }

    pub fn get(&self, name: &str) -> anyhow::Result<&Price> {
        self.0.iter().find(|price| price.name == name).with_context(|| format!("the price list has no {name}"))
    }
}
