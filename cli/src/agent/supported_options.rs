//! Which options make sense through an agent. Pure, and closed: an option that this table does not know is refused, so that none is ever
//! ignored in silence.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// Options that a verb takes through an agent, by their ids.
const TAKEN: [(&str, &[&str]); 3] = [
    (
        "backup",
        &[
            "repo",
            "key",
            "volumes",
            "plan",
            "team",
            "cluster",
            "namespace",
            "type_wish",
            "full_every",
            "changes",
            "block_size",
            "compression",
            "io",
            "snapshot_time",
            "tag",
            "description",
            "idempotency_key",
        ],
    ),
    (
        "restore",
        &[
            "repo",
            "key",
            "point",
            "pick",
            "time_zone",
            "team",
            "cluster",
            "namespace",
            "plan",
            "volume",
            "to",
            "overwrite",
            "in_place",
        ],
    ),
    ("verify", &["repo", "key", "team", "cluster", "namespace", "plan", "read_data"]),
];

/// Verbs that are about agents.
const ABOUT_AGENTS: [&str; 3] = ["volumes", "operations", "node"];

/// What to say of an option that is not taken.
fn reason(id: &str) -> &'static str {
    match id {
        "memory" | "limit_read" | "limit_upload" => "an agent's own limits hold for all that it does",
        "list_base" | "sample" => "lists of changes do not go through an agent yet",
        "dry_run" => "targets are on the agent's node, where nothing can be looked at beforehand",
        "sparse" => "an agent leaves holes in new files",
        "volume" | "tag" | "since" | "until" | "expect_head" => "run it without --agent, it needs no volume",
        _ => "it works on this machine only",
    }
}

/// What is wrong with the words that were `given` to `command`, if work goes through agents.
pub(crate) fn contradiction(command: &Command, given: &ArgMatches) -> Option<String> {
    let (verb, words) = given.subcommand()?;
    let on_line = |matches: &ArgMatches, id: &str| {
        matches.ids().any(|known| known == id) && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let asked = on_line(words, "agent");
    if ABOUT_AGENTS.contains(&verb) {
        return None;
    }
    let Some((_, taken)) = TAKEN.iter().find(|(name, _)| *name == verb) else {
        // With COFFER_AGENT in the environment these verbs work on the repository as ever.
        let text = format!("--agent: coffer {verb} does not go through an agent; leave --agent out");
        return asked.then_some(text);
    };
    words.ids().any(|id| id == "agent").then_some(())?;
    let own = command.find_subcommand(verb)?.get_arguments().filter(|argument| !argument.is_global_set());
    let refused = own
        .filter(|argument| on_line(words, argument.get_id().as_str()))
        .find(|argument| !taken.contains(&argument.get_id().as_str()))?;
    let id = refused.get_id().as_str();
    let option = refused.get_long().map_or_else(|| id.to_owned(), |long| format!("--{long}"));
    Some(format!("{option} does not go through an agent: {}; leave it or --agent out", reason(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, says: Option<&str>) {
        let command = crate::command();
        let given = command.clone().try_get_matches_from(line.split(' ')).unwrap();
        let found = contradiction(&command, &given);
        match says {
            None => assert_eq!(found, None, "{line}"),
            Some(part) => {
                assert!(found.as_ref().is_some_and(|text| text.contains(part)), "{line}: {found:?}")
            }
        }
    }

    #[test]
    fn options_of_this_machine_are_refused_and_all_others_taken() {
        let agent = "--agent unix:/run/agent";
        check("coffer backup --repo file:///r --plan p /dev/vdb --memory 1GiB", None);
        check(
            &format!("coffer backup {agent} --repo file:///r --plan p /dev/vdb --tag a=b --io pread"),
            None,
        );
        check(
            &format!("coffer {agent} backup --repo file:///r --plan p /dev/vdb --memory 1GiB"),
            Some("--memory does not"),
        );
        check(
            &format!("coffer backup {agent} --repo file:///r --plan p /dev/vdb --limit-read 1MiB"),
            Some("own limits"),
        );
        check(
            &format!("coffer restore {agent} --repo file:///r --pick latest --to /x --dry-run"),
            Some("--dry-run"),
        );
        check(
            &format!("coffer verify {agent} --repo file:///r --since 2026-01-01T00:00:00Z"),
            Some("--since"),
        );
        check(&format!("coffer points {agent} --repo file:///r"), Some("coffer points does not go through"));
        check(&format!("coffer volumes {agent} --namespace shop"), None);
    }

    #[test]
    fn the_table_names_options_that_exist() {
        let mut command = crate::command();
        command.build();
        for (verb, taken) in TAKEN {
            let verb = command.find_subcommand(verb).unwrap();
            for id in taken {
                assert!(
                    verb.get_arguments().any(|argument| argument.get_id() == id),
                    "{} {id}",
                    verb.get_name()
                );
            }
        }
    }
}
