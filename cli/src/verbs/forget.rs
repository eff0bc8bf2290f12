//! `coffer forget`: by name, or by the rules of one plan. The engine keeps the newest complete point whatever is asked.

use clap::Args;
use coffer_engine::{Access, ForgetRequest, KeepRules, Verdict, forget_by_rules, forget_points};
use coffer_format::{Id, Timestamp};
use jiff::tz::TimeZone;

use crate::documents::forget::ForgetDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{IdentityOptions, KeyOptions, RepositoryOptions};
use crate::selection::one_plan;
use crate::session::Session;
use crate::values;

const EXAMPLES: &str = "\
Examples:
  coffer forget --repo file:///srv/backup --plan web --keep-days 3 --dry-run
  coffer forget --repo file:///srv/backup --plan web --keep-last 24 --keep-daily 7 --keep-monthly 12
  coffer forget --repo file:///srv/backup 01jd3k5x6v8q2m4n7p9r0s1t2w

A point stays if any rule keeps it. The newest complete point, held points and points being restored always stay. Space comes back
with `coffer prune`.

In an encrypted repository a key is needed, and a writer key is enough: signatures tell which points, confirmations and holds are genuine,
and what forget announces is signed. --dry-run needs none and goes by digests. With --unverified rules go by digests for real. What is
weaker then, as whoever can write to the store can make objects with right digests:
- a made-up newer point or confirmation counts, so that genuine points are given up for it (never the manifest of the newest that counts);
- a made-up record can hold a point, or make one void, which then counts for no rule and is not given up;
- what forget announces is not signed: it makes a prune look again. A backup that builds on a point which goes meanwhile notices by the
  missing manifest only, and a hold that is set in that moment can come too late without a word.
Rules refuse to decide while a point of the plan lies in the future.";

/// Options of `forget`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ForgetArguments {
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,

    /// Points to forget
    #[arg(value_name = "POINT", value_parser = values::format_value::<Id>)]
    points: Vec<Id>,

    #[command(flatten)]
    identity: IdentityOptions,

    #[command(flatten)]
    rules: RuleOptions,

    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

/// What stays.
#[derive(Args, Debug)]
#[command(next_help_heading = "Rules")]
struct RuleOptions {
    /// Keep all points of the last N times 24 hours
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_days: Option<u32>,

    /// Keep the N newest points
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_last: Option<u32>,

    /// Keep the newest point of each of the N newest hours that have one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_hourly: Option<u32>,

    /// Keep the newest point of each of the N newest days that have one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_daily: Option<u32>,

    /// Keep the newest point of each of the N newest weeks that have one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_weekly: Option<u32>,

    /// Keep the newest point of each of the N newest months that have one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_monthly: Option<u32>,

    /// Time zone of hours, days, weeks and months
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = values::time_zone)]
    time_zone: TimeZone,

    /// Decide as if it were this time; needs --dry-run or --force
    #[arg(long, value_name = "RFC3339", value_parser = values::time)]
    as_of: Option<Timestamp>,

    /// Without a key in an encrypted repository: go by digests, which prove no author (see below)
    #[arg(long)]
    unverified: bool,

    /// Forget for real with --as-of
    #[arg(long, requires = "as_of")]
    force: bool,
}

impl RuleOptions {
    fn keep_rules(&self) -> KeepRules {
        KeepRules {
            days: self.keep_days,
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
        }
    }
}

pub(crate) fn run(session: &Session, arguments: &ForgetArguments) -> Result<ExitStatus, CliError> {
    let rules = arguments.rules.keep_rules();
    check(arguments, &rules)?;
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let filter = arguments.identity.filter();
    let verdict: Verdict = if arguments.points.is_empty() {
        let (plan, _) = one_plan(&repository, &filter)?;
        let request = ForgetRequest {
            plan: &plan,
            rules: &rules,
            as_of: arguments.rules.as_of,
            zone: &arguments.rules.time_zone,
            dry_run: arguments.dry_run,
            unverified: arguments.rules.unverified,
        };
        forget_by_rules(&repository, &request)?
    } else {
        forget_points(&repository, &arguments.points, &filter, arguments.dry_run)?
    };
    if matches!(repository.access(), Access::Locked) {
        session.output.remark("no key given: this went by digests, which prove no author");
    }
    session.output.show(&ForgetDocument::new(verdict, arguments.dry_run))?;
    Ok(ExitStatus::Done)
}

fn check(arguments: &ForgetArguments, rules: &KeepRules) -> Result<(), CliError> {
    let by_name = !arguments.points.is_empty();
    let by_rule = *rules != KeepRules::default();
    let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
    match (by_name, by_rule) {
        (true, true) => return usage("name points or give --keep-... rules, not both"),
        (true, false) if arguments.rules.as_of.is_some() => {
            return usage("--as-of is about rules; leave it out where points are named");
        }
        (false, false) => {
            return usage(
                "say which points go (POINT...) or what stays (--keep-days, --keep-last, --keep-hourly, --keep-daily, \
                 --keep-weekly, --keep-monthly)",
            );
        }
        _ => {}
    }
    if by_rule && arguments.identity.plan.is_none() {
        return usage("rules need the plan they are about: give --plan P");
    }
    if arguments.rules.as_of.is_some() && !arguments.dry_run && !arguments.rules.force {
        return usage(
            "--as-of plans for another moment: add --dry-run to look, or --force to forget for real",
        );
    }
    Ok(())
}
