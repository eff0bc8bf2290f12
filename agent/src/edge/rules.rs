//! The closed table of who may call what. Pure. `docs/agent-rules.md` is made from it.
//!
//! What has no rule is refused, and a call of ours without a rule does not compile.

use coffer_format::Label;
use coffer_proto::Rpc;

use super::identity::Identity;

/// How far a caller may go with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For every team.
    All,
    /// For what is the caller's own team's; the service asks [`Identity::may_act_for`].
    OwnTeam,
    /// Not at all.
    Never,
}

/// What a request's path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// One of our own services' calls.
    Agent(Rpc),
    /// `grpc.health.v1.Health/Check`.
    HealthCheck,
    /// `grpc.reflection.v1.ServerReflection`, with its older name.
    Reflection,
    /// Anything else.
    Unknown,
}

/// Who may make one call.
struct Rule {
    controller: Access,
    team: Access,
    scraper: Access,
}

/// The controller alone, and whoever is on the node without certificates.
const CONTROLLER_ONLY: Rule = Rule { controller: Access::All, team: Access::Never, scraper: Access::Never };
/// The controller for all teams, a team for itself.
const TEAMS: Rule = Rule { controller: Access::All, team: Access::OwnTeam, scraper: Access::Never };
/// The controller and teams; there is nothing of a team's in it.
const NODE_FACTS: Rule = Rule { controller: Access::All, team: Access::All, scraper: Access::Never };
/// Everybody with an identity.
const EVERYBODY: Rule = Rule { controller: Access::All, team: Access::All, scraper: Access::All };
/// Nobody.
const NOBODY: Rule = Rule { controller: Access::Never, team: Access::Never, scraper: Access::Never };

/// The table. No arm may stand for calls that it does not name.
fn rule(call: Call) -> Rule {
    match call {
        Call::Agent(rpc) => match rpc {
            Rpc::NodeInfo => NODE_FACTS,
            Rpc::NodeDrain => CONTROLLER_ONLY,
            Rpc::OperationsStartBackup
            | Rpc::OperationsStartRestore
            | Rpc::OperationsStartVerify
            | Rpc::OperationsGet
            | Rpc::OperationsList
            | Rpc::OperationsWatch
            | Rpc::OperationsCancel => TEAMS,
            Rpc::VolumesList | Rpc::VolumesDescribe => TEAMS,
        },
        Call::HealthCheck => EVERYBODY,
        Call::Reflection => CONTROLLER_ONLY,
        Call::Unknown => NOBODY,
    }
}

/// How far `identity` may go with `call`.
pub fn access(identity: &Identity, call: Call) -> Access {
    let rule = rule(call);
    match identity {
        // Who reaches a listener without certificates is on the node and may do what the controller may.
        Identity::Controller | Identity::Local => rule.controller,
        Identity::Team(_) => rule.team,
        Identity::Scraper => rule.scraper,
    }
}

/// Whether `identity` may make `call` about what is `team`'s: the whole decision, edge and service together.
pub fn allows(identity: &Identity, call: Call, team: &Label) -> bool {
    match access(identity, call) {
        Access::All => true,
        Access::OwnTeam => identity.may_act_for(team),
        Access::Never => false,
    }
}

/// Whether `identity` may read metrics.
pub fn may_read_metrics(identity: &Identity) -> bool {
    match identity {
        Identity::Controller | Identity::Scraper | Identity::Local => true,
        Identity::Team(_) => false,
    }
}

impl Call {
    /// The call with this path.
    pub fn of_path(path: &str) -> Call {
        match path {
            "/grpc.health.v1.Health/Check" => Call::HealthCheck,
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Call::Reflection,
            _ => Rpc::from_path(path).map_or(Call::Unknown, Call::Agent),
        }
    }

    /// Its name in metrics, logs and tables: a closed set, whatever a caller may send.
    pub fn name(self) -> &'static str {
        match self {
            Call::Agent(rpc) => rpc.path().trim_start_matches("/coffer.agent.v1."),
            Call::HealthCheck => "Health/Check",
            Call::Reflection => "Reflection",
            Call::Unknown => "unknown",
        }
    }

    /// Every call that can be told apart.
    pub fn all() -> impl Iterator<Item = Call> {
        Rpc::ALL.iter().copied().map(Call::Agent).chain([Call::HealthCheck, Call::Reflection, Call::Unknown])
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use super::*;

    const HEAD: &str = "\
# Who may call the agent

Made from the agent's own table; `UPDATE_DOCS=1 cargo test -p coffer-agent rules` writes it anew. `yes`: the call is made. `-`: it is refused with
PERMISSION_DENIED (a call that does not exist: UNIMPLEMENTED). What belongs to another team is not shown either: asked for by its id it is
NOT_FOUND. A connection whose certificate names nobody gets UNAUTHENTICATED for every call.

A team's certificate makes calls about its own team's volumes, operations and repositories. *Local* is whoever reaches a listener
without certificates, which is on loopback or a Unix socket only.

";

    fn callers() -> [(&'static str, Identity); 4] {
        let team = Identity::Team("own".parse().unwrap());
        let (controller, scraper, local) = (Identity::Controller, Identity::Scraper, Identity::Local);
        [("controller", controller), ("team", team), ("scraper", scraper), ("local", local)]
    }

    fn word(yes: bool) -> &'static str {
        if yes { "yes" } else { "-" }
    }

    fn matrix() -> String {
        let teams: [Label; 2] = ["own".parse().unwrap(), "other".parse().unwrap()];
        let mut out = format!("{HEAD}| call |");
        for (name, _) in callers() {
            write!(out, " {name}: own team | {name}: other team |").unwrap();
        }
        write!(out, "\n|---|{}\n", "---|".repeat(8)).unwrap();
        for call in Call::all() {
            write!(out, "| `{}` |", call.name()).unwrap();
            for (_, identity) in callers() {
                for team in &teams {
                    write!(out, " {} |", word(allows(&identity, call, team))).unwrap();
                }
            }
            out.push('\n');
        }
        out.push_str("| `GET /metrics` |");
        for (_, identity) in callers() {
            write!(out, " {0} | {0} |", word(may_read_metrics(&identity))).unwrap();
        }
        out.push('\n');
        out
    }

    #[test]
    fn the_table_in_the_documents_is_the_one_in_force() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agent-rules.md");
        let made = matrix();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == made,
            "docs/agent-rules.md is not what the rules say; run with UPDATE_DOCS=1 and look at the difference"
        );
    }

    #[test]
    fn what_must_hold_for_any_table_holds() {
        let (own, other): (Label, Label) = ("own".parse().unwrap(), "other".parse().unwrap());
        let [(_, controller), (_, team), (_, scraper), (_, local)] = callers();
        for call in Call::all() {
            let known = call != Call::Unknown;
            assert_eq!(allows(&controller, call, &other), known, "{call:?}");
            assert_eq!(allows(&local, call, &other), known, "{call:?}");
            assert_eq!(allows(&scraper, call, &own), call == Call::HealthCheck, "{call:?}");
            let of_no_team = [Call::Agent(Rpc::NodeInfo), Call::HealthCheck].contains(&call);
            assert_eq!(allows(&team, call, &other), of_no_team, "{call:?}");
        }
        for call in [Rpc::OperationsStartRestore, Rpc::VolumesList].map(Call::Agent) {
            assert!(allows(&team, call, &own));
        }
        assert!(!allows(&team, Call::Agent(Rpc::NodeDrain), &own) && !may_read_metrics(&team));
    }

    #[test]
    fn a_path_is_one_call_or_unknown() {
        for rpc in Rpc::ALL {
            assert_eq!(Call::of_path(rpc.path()), Call::Agent(*rpc));
        }
        for path in [
            "",
            "/",
            "/coffer.agent.v1.Node/info",
            "/coffer.agent.v1.Node/Info/",
            "//coffer.agent.v1.Node/Info",
            "/coffer.agent.v1.Node/Inf%6F",
            "/coffer.agent.v2.Node/Info",
            "/grpc.health.v1.Health/Watch",
            "/grpc.health.v1.Health/List",
        ] {
            assert_eq!(Call::of_path(path), Call::Unknown, "{path}");
        }
    }

    #[test]
    fn names_in_metrics_are_told_apart() {
        let names: std::collections::BTreeSet<_> = Call::all().map(Call::name).collect();
        assert_eq!(names.len(), Call::all().count());
        assert!(names.contains("Operations/StartBackup"), "{names:?}");
    }
}
