//! What settings may be, and that `docs/agent.md` lists them all.

use std::collections::BTreeSet;

use super::*;

const LEAST: &str = "cluster = 'lab'\nrepositories = ['s3://']\n";
const TLS: &str = "[tls]\ncert = '/tls/tls.crt'\nkey = '/tls/tls.key'\nclient_ca = '/tls/ca.crt'\ntrust_domain = 'lab.example'\n";
const DOCUMENT: &str = include_str!("../../../docs/agent.md");

fn told() -> Told {
    Told { node: "node-1".into(), cluster: None }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, &told())
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The sample file of the document: its first TOML block.
fn sample() -> &'static str {
    DOCUMENT.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0
}

/// `table.key` for every value.
fn keys(table: &toml::Table, before: &str) -> BTreeSet<String> {
    let below = |key: &String, value: &toml::Value| match value {
        toml::Value::Table(inner) => keys(inner, &format!("{key}.")),
        toml::Value::Array(list) if list.first().is_some_and(toml::Value::is_table) => {
            list.iter().flat_map(|item| keys(item.as_table().unwrap(), &format!("{key}."))).collect()
        }
        _ => BTreeSet::from([format!("{before}{key}")]),
    };
    table.iter().flat_map(|(key, value)| below(key, value)).collect()
}

/// The keys that serde knows in a table, by what it answers to one that it does not know.
fn known(head: &str) -> BTreeSet<String> {
    let message = error(&format!("{head}\nno_such_key = 1\n"));
    let list = message.split_once("expected one of ").unwrap().1;
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_least_settings_are_a_private_agent_with_gentle_workers() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.node, "node-1");
    assert_eq!(config.listen.to_string(), "unix:/run/coffer/agent.sock");
    assert_eq!(config.memory, Size(256 << 20));
    assert_eq!(config.worker_priority(), (IoClass::Idle, 10));
    assert_eq!((config.metrics_listen, config.tls, config.limits), (None, None, Limits::default()));
}

#[test]
fn the_environment_tells_node_and_cluster_where_the_settings_do_not() {
    let by = |node: &str, cluster: &str| {
        Told::by(|name| Some(if name == "COFFER_NODE" { node.into() } else { cluster.into() }))
    };
    assert_eq!(by("node-7", "uid"), Told { node: "node-7".into(), cluster: Some("uid".into()) });
    assert_eq!(by("", ""), Told { node: host_name(), cluster: None });
    assert_eq!(Told::by(|_| None), Told { node: host_name(), cluster: None });
    let told = by("node-7", "uid");
    let config = |text: &str| Config::parse(text, &told);
    assert_eq!(config("repositories = ['s3://']").unwrap().cluster.to_string(), "uid");
    assert_eq!(config(LEAST).unwrap().cluster.to_string(), "lab");
    assert!(config("repositories = ['s3://']\nunknown = 1").unwrap_err().to_string().contains("line 2"));
}

#[test]
fn effective_values_are_settings_that_mean_the_same() {
    for text in [LEAST, sample()] {
        let config = parse(text).unwrap();
        assert_eq!(
            Config::parse(&config.effective(), &Told { node: "other".into(), cluster: None }).unwrap(),
            config
        );
    }
}

#[test]
fn the_sample_in_the_document_has_every_key() {
    let sampled = keys(&toml::from_str(sample()).unwrap(), "");
    let tables = [("", LEAST), ("limits.", "[limits]"), ("tls.", "[tls]"), ("teams.", "[[teams]]")];
    let named = tables
        .into_iter()
        .flat_map(|(before, head)| known(head).into_iter().map(move |key| format!("{before}{key}")));
    let named: BTreeSet<String> =
        named.filter(|key| !["limits", "tls", "teams"].contains(&key.as_str())).collect();
    assert!(named.len() > 30, "{named:?}");
    assert_eq!(sampled, named);
}

#[test]
fn the_table_in_the_document_tells_every_key_and_its_default() {
    let rows: Vec<Vec<&str>> = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let row = |key: &str| rows.iter().find(|row| row[1] == format!("`{key}`"));
    for key in keys(&toml::from_str(sample()).unwrap(), "") {
        assert!(row(&key).is_some(), "docs/agent.md has no row for `{key}`");
    }
    let defaults: toml::Table = toml::from_str(&parse(LEAST).unwrap().effective()).unwrap();
    let limits =
        defaults["limits"].as_table().unwrap().iter().map(|(key, value)| (format!("limits.{key}"), value));
    for (key, value) in defaults.iter().map(|(key, value)| (key.clone(), value)).chain(limits) {
        if ["node", "cluster", "repositories", "limits", "teams"].contains(&key.as_str()) {
            continue;
        }
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(row(&key).unwrap()[2], format!("`{shown}`"), "the default of `{key}` in docs/agent.md");
    }
}

#[test]
fn unknown_keys_are_refused_with_their_line_and_without_its_text() {
    let text = format!("{LEAST}\nsecret_access_key = 'topsecret'\n");
    let message = error(&text);
    assert!(message.contains("line 4") && message.contains("secret_access_key"), "{message}");
    assert!(!message.contains("topsecret"), "{message}");
    for table in ["[limits]\nx = 1", "[tls]\nx = 1", "[[teams]]\nname = 'a'\nx = 1"] {
        assert!(error(&format!("{LEAST}{table}")).contains("unknown field `x`"), "{table}");
    }
    assert!(error("cluster = ").contains("line 1"));
    assert!(error("repositories = ['s3://']").contains("cluster"));
}

#[test]
fn values_that_cannot_be_meant_are_refused_with_key_and_value() {
    let check = |more: &str, words: &[&str]| {
        let message = error(&format!("{LEAST}{more}"));
        for word in words {
            assert!(message.contains(word), "{more}: {message}");
        }
    };
    check("memory = '32MiB'", &["memory", "32MiB", "64MiB"]);
    check("memory = 'lots'", &["lots", "256MiB"]);
    check("memory = -1", &["never negative"]);
    check("operations_max = 0", &["operations_max", "1 to 1024"]);
    check("nice = 20", &["nice", "0 to 19"]);
    check("disk_share_percent = 0", &["disk_share_percent", "1 to 100"]);
    check("grace_period_seconds = 3601", &["grace_period_seconds", "3600"]);
    check("node = 'Node 1'", &["node", "Node 1"]);
    check("state_dir = 'relative'", &["state_dir", "absolute"]);
    check("roots = ['/srv/../etc']", &["roots", "/srv/../etc"]);
    check("roots = ['/srv/./x']", &["roots", "/srv/./x"]);
    check("device_classes = ['/dev/sda']", &["device_classes", "/dev/sda"]);
    check("io_class = 'realtime'", &["realtime", "best-effort"]);
    check("listen = 'somewhere'", &["somewhere", "unix:"]);
    check("listen = 'unix:relative'", &["unix:relative", "absolute"]);
    assert!(error("cluster = 'lab'\nrepositories = []").contains("s3://"));
}

#[test]
fn without_certificates_only_this_host_is_served() {
    for more in [
        "listen = '127.0.0.1:1'",
        "listen = '[::1]:1'",
        "listen = 'unix:/a'",
        "metrics_listen = '127.0.0.1:1'",
    ] {
        parse(&format!("{LEAST}{more}")).unwrap();
    }
    for more in [
        "listen = '0.0.0.0:9443'",
        "listen = '10.0.0.1:1'",
        "listen = '[::]:1'",
        "metrics_listen = '0.0.0.0:1'",
    ] {
        let message = error(&format!("{LEAST}{more}"));
        assert!(message.contains("add [tls]") && message.contains("anybody"), "{message}");
        parse(&format!("{LEAST}{more}\n{TLS}")).unwrap();
    }
    assert!(
        error(&format!("{LEAST}{}", TLS.replace("lab.example", "spiffe://lab"))).contains("trust_domain")
    );
}

#[test]
fn what_is_one_teams_is_no_other_teams() {
    let check = |teams: &str, word: &str| {
        let text = format!("{LEAST}roots = ['/srv']\n{teams}");
        match word {
            "" => drop(parse(&text).unwrap()),
            _ => assert!(error(&text).contains(word), "{teams}: {}", error(&text)),
        }
    };
    let two =
        |one: &str, other: &str| format!("[[teams]]\nname = 'a'\n{one}\n[[teams]]\nname = 'b'\n{other}\n");
    check(&two("namespaces = ['x']\nroots = ['/srv/a']", "namespaces = ['y']\nroots = ['/srv/b']"), "");
    check(&two("roots = ['/srv/a', '/srv/a/deep']", ""), "");
    check(&two("namespaces = ['x']", "namespaces = ['x']"), "team a's already");
    check(&two("volumes = ['/dev/vdb']", "volumes = ['/dev/vdb']"), "team a's already");
    check(&two("roots = ['/srv/a']", "roots = ['/srv/a/deep']"), "team b's already");
    check(&two("roots = ['/srv']", "roots = ['/srv/b']"), "team b's already");
    check(&two("roots = ['/etc']", ""), "below one of `roots`");
    check("[[teams]]\nname = 'a'\n[[teams]]\nname = 'a'\n", "already");
    check("[[teams]]\nname = 'A'\n", "label");
}
