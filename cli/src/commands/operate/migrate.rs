//! `longhand migrate`: brings generations of another system over.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use longhand::migrations::stratos::convert::Options;
use longhand::migrations::stratos::time;
use longhand::{Organization, Stratos, SubjectId};

use super::migrations::{self, MigrationArgs, sqlite::Database};
use crate::failure;
use crate::options::key_value;

/// Bring generations of another system over, without losing one
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Clone, Debug, Subcommand)]
enum From {
    Stratos(StratosArgs),
}

/// Those of a Stratos database. Nothing is written without --apply; the same row always becomes the same generation
#[derive(Args, Clone, Debug)]
struct StratosArgs {
    /// The database, SQLite; it is only read
    #[arg(long, value_name = "FILE.sqlite")]
    from: PathBuf,
    /// The organization of a number there; of other numbers it is `stratos-N`. Can be repeated
    #[arg(long = "organization", value_name = "N=NAME", value_parser = organization)]
    organizations: Vec<(String, Organization)>,
    /// The time zone of the stamps there: `UTC`, an offset such as +01:00, a name such as Europe/Madrid, or a POSIX rule
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// The name of the database, where several are imported: it tells their rows apart. The same each time
    #[arg(long, value_name = "NAME", default_value = "stratos", value_parser = database)]
    database: String,
    /// What the subjects of scenarios are called, before their number
    #[arg(long, value_name = "TEXT", default_value = "scenario-")]
    subject_prefix: String,
    #[command(flatten)]
    migration: MigrationArgs,
}

fn organization(text: &str) -> Result<(String, Organization), String> {
    let (number, name) = key_value(text).map_err(|_| format!("expected NUMBER=NAME, such as 1=acme, not {text:?}"))?;
    Ok((number, name.parse().map_err(|error: longhand::ids::InvalidId| error.to_string())?))
}

fn database(text: &str) -> Result<String, String> {
    let is_name = |text: &str| text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
    let is_name = (1..=64).contains(&text.len()) && is_name(text);
    if is_name { Ok(text.to_owned()) } else { Err(format!("expected 1 to 64 letters, digits, `.`, `_` or `-`, not {text:?}")) }
}

pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let From::Stratos(args) = args.from;
    let zone = time::parse_zone(&args.time_zone).map_err(|error| failure::usage(format!("--time-zone: {error}")))?;
    if format!("{}1", args.subject_prefix).parse::<SubjectId>().is_err() {
        return Err(failure::usage("--subject-prefix: expected letters, digits, `.`, `_`, `:`, `@` or `-`"));
    }
    let organizations = args.organizations.iter().cloned().collect();
    let source = Arc::new(Database::open(&args.from)?);
    let known: Vec<Organization> = args.organizations.into_iter().map(|(_, name)| name).collect();
    let change =
        Stratos::new(source, Options { organizations, database: args.database, zone, subject_prefix: args.subject_prefix });
    Box::pin(migrations::run(&change, &args.migration, known)).await
}
