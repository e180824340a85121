//! `longhand notifications`: what a user is told, over the API.

use std::process::ExitCode;

use clap::Args;
use longhand::{Inbox, InboxId, MarkedRead, UserId};
use longhand_client::Method;
use serde_json::{Value, json};

use crate::api::{flags, read, said, with_query};
use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{json_line, table};

/// Show what has happened, as the key's user is told it
#[derive(Args, Clone, Debug)]
pub struct NotificationsArgs {
    /// Another user, which needs the scope `admin`
    #[arg(long)]
    user: Option<UserId>,
    /// Only what was not read
    #[arg(long)]
    unread: bool,
    /// Begin after this notification
    #[arg(long, value_name = "ID")]
    after: Option<InboxId>,
    /// Mark these as read; without an id, all
    #[arg(long, value_name = "ID", num_args = 0.., conflicts_with_all = ["unread", "after"])]
    read: Option<Vec<InboxId>>,
    /// Delete all that is kept of the user
    #[arg(long, requires = "user", conflicts_with_all = ["unread", "after", "read"])]
    delete: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: NotificationsArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect(&args.target).await?;
    let user = args.user.as_ref().map(ToString::to_string);
    if args.delete {
        let (gone, whole): (Value, String) =
            read(client.request(Method::DELETE, &with_query("/v1/notifications", &[("user", user)])?)).await?;
        said(args.format, &whole, &format!("{} rows are deleted\n", gone["rows"]))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(ids) = args.read {
        let body = if ids.is_empty() { json!({ "all": true }) } else { json!({ "ids": ids }) };
        let path = with_query("/v1/notifications/read", &[("user", user)])?;
        let (marked, whole): (MarkedRead, String) = read(client.request(Method::POST, &path).json(&body)).await?;
        said(args.format, &whole, &format!("{} marked as read, {} left\n", marked.read, marked.unread))?;
        return Ok(ExitCode::SUCCESS);
    }
    let unread = args.unread.then(|| "true".to_owned());
    let after = args.after.map(|after| after.to_string());
    let path = with_query("/v1/notifications", &[("user", user.clone()), ("unread", unread), ("after", after)])?;
    let (list, whole): (Inbox, String) = read(client.request(Method::GET, &path)).await?;
    if args.format.json {
        json_line(&whole)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = Vec::with_capacity(list.data.len());
    for entry in list.data {
        let mark = if entry.read_at.is_some() { "" } else { "*" };
        rows.push([entry.id.to_string(), mark.to_owned(), entry.at, entry.title, entry.link.unwrap_or_default()]);
    }
    table(["NOTIFICATION", "NEW", "AT", "WHAT", "LINK"], &rows)?;
    eprintln!("{} unread", list.unread);
    if let (true, Some(last)) = (list.has_more, list.last_id) {
        let filters = flags([("user", user)]);
        let unread = if args.unread { " --unread" } else { "" };
        eprintln!("more: longhand notifications --after {last}{filters}{unread}{}", args.target.as_flags());
    }
    Ok(ExitCode::SUCCESS)
}
