//! What the page holds, and that Prometheus' own checker finds nothing to say about it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use coffer_proto::Rpc;
use tonic::Code;

use super::*;

/// Metrics on which everything has happened once.
fn used() -> Metrics {
    let metrics = Metrics::new("1.2.3");
    metrics.set_levels_source(|| Levels {
        running: [2, 1, 0],
        queued: 7,
        arena_used_bytes: 4_096,
        arena_limit_bytes: 8_192,
    });
    for (bytes, amount) in (1..).zip(Amount::ALL) {
        metrics.add(amount, bytes);
    }
    for call in Call::all() {
        metrics.call_ended(call, Code::Ok, Duration::from_millis(3));
    }
    metrics.call_ended(Call::Agent(Rpc::NodeDrain), Code::PermissionDenied, Duration::ZERO);
    metrics.operation_ended(OperationKind::Backup, Ended::Succeeded, Duration::from_secs(20));
    metrics.fell_back(Fallback::UringUnavailable);
    metrics.refused(Refused::Handshake);
    metrics.add_store_requests(StoreRequest::Put, 3);
    metrics.sample_mismatches(5);
    metrics.certificate_ends(SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000));
    metrics
}

fn has(page: &str, line: &str) {
    assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
}

#[test]
fn the_page_shows_what_was_counted() {
    let page = used().page();
    for line in [
        "coffer_agent_build_info{version=\"1.2.3\"} 1",
        "coffer_agent_read_bytes_total 1",
        "coffer_agent_changed_bytes_total 2",
        "coffer_agent_uploaded_bytes_total 3",
        "coffer_agent_restored_bytes_total 4",
        "coffer_agent_requests_total{code=\"PERMISSION_DENIED\",rpc=\"Node/Drain\"} 1",
        "coffer_agent_request_duration_seconds_count{rpc=\"Node/Drain\"} 2",
        "coffer_agent_request_duration_seconds_bucket{rpc=\"Node/Info\",le=\"0.001\"} 0",
        "coffer_agent_request_duration_seconds_bucket{rpc=\"Node/Info\",le=\"0.005\"} 1",
        "coffer_agent_operations_total{kind=\"backup\",state=\"succeeded\"} 1",
        "coffer_agent_operations_running{kind=\"backup\"} 2",
        "coffer_agent_operations_running{kind=\"restore\"} 1",
        "coffer_agent_operations_running{kind=\"verify\"} 0",
        "coffer_agent_operations_queued 7",
        "coffer_agent_arena_used_bytes 4096",
        "coffer_agent_arena_limit_bytes 8192",
        "coffer_agent_sample_mismatches_total 5",
        "coffer_agent_fallbacks_total{reason=\"uring_unavailable\"} 1",
        "coffer_agent_fallbacks_total{reason=\"sample_mismatch\"} 0",
        "coffer_agent_refused_total{reason=\"handshake\"} 1",
        "coffer_agent_store_requests_total{request=\"put\"} 3",
        "coffer_agent_certificate_end_timestamp_seconds 1893456000",
    ] {
        has(&page, line);
    }
    let resident = page.lines().find_map(|line| line.strip_prefix("coffer_agent_resident_memory_bytes "));
    assert!(resident.unwrap().parse::<u64>().unwrap() > 1 << 20);
}

#[test]
fn a_fresh_agent_shows_zeroes_that_alerts_can_look_at() {
    let page = Metrics::new("1").page();
    for reason in Refused::ALL {
        has(&page, &format!("coffer_agent_refused_total{{reason=\"{}\"}} 0", reason.as_str()));
    }
    has(&page, "coffer_agent_operations_queued 0");
}

/// What every page must keep to, whether or not Prometheus' checker is installed here.
#[test]
fn every_family_has_our_prefix_a_help_and_a_name_that_fits_its_type() {
    let page = used().page();
    let (mut kinds, mut helped) = (BTreeMap::new(), BTreeSet::new());
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, text] => {
                assert!(text.ends_with('.') && helped.insert(name.to_owned()), "{line}")
            }
            ["#", "TYPE", name, kind] => assert!(kinds.insert(name, kind).is_none(), "{line}"),
            _ => {
                let name = line.split(['{', ' ']).next().unwrap();
                let parts = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
                let family = parts.filter(|family| kinds.get(family) == Some(&"histogram")).unwrap_or(name);
                assert!(kinds.contains_key(family), "{line}");
                line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            }
        }
    }
    assert!(kinds.len() > 15);
    for (name, kind) in kinds {
        assert!(name.starts_with("coffer_agent_") && helped.contains(name), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
}

#[test]
fn labels_come_from_closed_sets() {
    let page = used().page();
    let series = page.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<&str> = series
        .filter_map(|line| line.split_once('{')?.1.split_once('}'))
        .flat_map(|(labels, _)| labels.split(','))
        .filter_map(|label| label.split_once('='))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, BTreeSet::from(["code", "kind", "le", "reason", "request", "rpc", "state", "version"]));
}

#[test]
fn prometheus_own_checker_is_content() {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut checker = match started {
        Ok(checker) => checker,
        Err(error) => {
            eprintln!("promtool was not run ({error}); the test above keeps to the same rules");
            return;
        }
    };
    checker.stdin.take().unwrap().write_all(used().page().as_bytes()).unwrap();
    let output = checker.wait_with_output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn every_metric_is_in_the_document() {
    let document = include_str!("../../../docs/agent.md");
    let page = used().page();
    let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE coffer_agent_")?.split(' ').next());
    let missing: Vec<&str> = names.filter(|name| !document.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/agent.md names {missing:?} nowhere");
}
