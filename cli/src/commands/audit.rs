//! `longhand audit`: who decided what, over the API.

use std::process::ExitCode;

use clap::Args;
use longhand::audit::Action;
use longhand::{AuditList, EntryView, SubjectId};
use longhand_client::Method;

use crate::api::{flags, read, with_query};
use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{json_line, table};

/// Entries of one page.
const LIMIT: u32 = 100;

/// List who decided what, newest first
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    /// About this subject alone, and what belongs to it
    #[arg(long)]
    subject: Option<SubjectId>,
    /// About the subject, import or entity of this id alone
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// Of this action alone, such as `approve`
    #[arg(long)]
    action: Option<Action>,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    /// Begin after this entry
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// How many entries at most, up to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = LIMIT)]
    limit: u32,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let pairs = [
        ("subject", args.subject.clone().map(String::from)),
        ("object", args.object.clone()),
        ("action", args.action.map(|action| action.as_str().to_owned())),
        ("order", args.oldest_first.then(|| "asc".to_owned())),
        ("after", args.after),
        ("limit", Some(args.limit.to_string())),
    ];
    let path = with_query("/v1/audit", &pairs)?;
    let (page, whole): (AuditList, String) =
        read(running_stack::connect(&args.target).await?.request(Method::GET, &path)).await?;
    if args.format.json {
        json_line(&whole)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |entry: EntryView| {
        let by = entry.user.map(String::from).or(entry.actor).unwrap_or_else(|| "-".to_owned());
        let action = entry.action.as_str().to_owned();
        [entry.at, action, entry.target_id, entry.revision.to_string(), by, entry.note.unwrap_or_default()]
    };
    let rows: Vec<[String; 6]> = page.data.into_iter().map(row).collect();
    table(["TIME", "ACTION", "OBJECT", "REVISION", "BY", "NOTE"], &rows)?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        let filters = flags([
            ("subject", args.subject.map(String::from)),
            ("object", args.object),
            ("action", args.action.map(|action| action.as_str().to_owned())),
            ("limit", Some(args.limit.to_string()).filter(|_| args.limit != LIMIT)),
        ]);
        let order = if args.oldest_first { " --oldest-first" } else { "" };
        eprintln!("more: longhand audit --after {last}{filters}{order}{}", args.target.as_flags());
    }
    Ok(ExitCode::SUCCESS)
}
