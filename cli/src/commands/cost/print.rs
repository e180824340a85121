//! Prints bills and price lists for a person.

use std::io;

use longhand::estimate::{Estimate, Workload};
use serde_json::json;

use super::bill::{Bill, Item};
use super::fleet::Hour;
use super::prices::Prices;
use crate::options::Format;
use crate::terminal::output::{line, size, table};

pub fn list(prices: &Prices, format: Format) -> io::Result<()> {
    if format.json {
        return line(json!({ "object": "list", "data": prices.all() }));
    }
    let mark = |is_assumed: bool| if is_assumed { " *" } else { "" };
    let rows: Vec<_> = prices
        .all()
        .iter()
        .map(|price| {
            let asked = format!("${}{} for {} {}", price.dollars, mark(price.is_assumed), price.per, price.unit);
            [price.name.clone(), asked, price.as_of.clone(), price.source.clone()]
        })
        .collect();
    table(["PRICE", "DOLLARS", "AS OF", "SOURCE"], &rows)?;
    line("\n* is assumed, without a source: check it before you rely on it, and replace it with --price NAME=DOLLARS")
}

pub fn estimate(workload: &Workload, estimate: &Estimate) -> io::Result<()> {
    let watched = match workload.readers {
        0 => "unwatched".to_owned(),
        readers => format!("watched by {readers} for {:.0} s", workload.watched.as_secs_f64()),
    };
    let (whole, writes) = (workload.silence + workload.stream, &estimate.writes);
    line(format!(
        "{} in {} deltas over {:.0} s, {watched}: {} chunks, {} write units ({} start, {} log, {} lease, {} watching, {} outcome)\n",
        size(workload.output_bytes),
        workload.deltas,
        whole.as_secs_f64(),
        estimate.chunks,
        writes.total(),
        writes.start,
        writes.chunks,
        writes.lease,
        writes.watching,
        writes.outcome,
    ))
}

/// The items that cost something, the most expensive first.
pub fn bill(of: &str, bill: &Bill, prices: &Prices) -> anyhow::Result<()> {
    let mut items: Vec<&Item> = bill.items.iter().filter(|item| item.dollars > 0.0).collect();
    items.sort_by(|left, right| right.dollars.total_cmp(&left.dollars));
    let mut rows = Vec::new();
    for item in items {
        let price = prices.get(&item.price)?;
        let mark = if item.is_assumed { " *" } else { "" };
        let asked = format!("{} ${}{mark}", price.name, price.dollars);
        let share = format!("{:>5.1}%", item.dollars / bill.dollars * 100.0);
        rows.push([
            item.name.to_owned(),
            format!("{} {}", quantity(item.quantity), item.unit),
            asked,
            money(item.dollars),
            share,
        ]);
    }
    rows.push([of.to_owned(), String::new(), String::new(), money(bill.dollars), String::new()]);
    table(["ITEM", "QUANTITY", "PRICE", "DOLLARS", "SHARE"], &rows)?;
    Ok(line("")?)
}

pub fn fleet(hour: &Hour, at_once: u16) -> io::Result<()> {
    let cents = |dollars: f64| format!("${dollars:.4}");
    line(format!(
        "a worker costs {} an hour, a server {}, used or not: a generation's share is that of a worker with {at_once} at once\n",
        cents(hour.worker_dollars),
        cents(hour.server_dollars)
    ))
}

pub fn compared(tokens: f64, generation: f64) -> io::Result<()> {
    let percent = generation / tokens * 100.0;
    line(format!("the provider's tokens{:>14}; keeping them adds {percent:.2}%\n", money(tokens)))
}

#[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
pub fn month(number: u64, generation: f64, stack: f64) -> io::Result<()> {
    let generations = number as f64 * generation;
    let cents = |dollars: f64| format!("${dollars:.2}");
    line(format!(
        "{number} generations and the stack, a month: {} + {} = {}\n",
        cents(generations),
        cents(stack),
        cents(generations + stack)
    ))
}

pub fn notes(region: &str) -> io::Result<()> {
    line(format!(
        "List prices of {region} without free tiers; * is an assumption. --list-prices prints dates and sources, --price replaces one."
    ))
}

fn quantity(quantity: f64) -> String {
    match quantity {
        0.1.. => format!("{quantity:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{quantity:.2e}"),
    }
}

/// Six decimals: one generation costs little.
fn money(dollars: f64) -> String {
    if dollars >= 0.1 { format!("{dollars:.2}") } else { format!("{dollars:.7}") }
}
