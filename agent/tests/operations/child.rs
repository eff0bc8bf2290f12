//! An agent in a process of its own that is killed with -9: what it had accepted is known to the next, which takes it up.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use coffer_agent::operations::files::RealFiles;
use coffer_agent::operations::journal::Journal;
use coffer_agent::operations::record::{Kind, Progress, Record, State};
use coffer_format::{Digest, Id, Timestamp};
use coffer_proto::agent::v1;
use v1::OperationState;

use crate::stores::{Gate, Gated};
use crate::world::{Agents, World, backup_result, client, finish, start_agent, state};

const ROLE: &str = "COFFER_TEST_CHILD";
const DIRECTORY: &str = "COFFER_TEST_DIRECTORY";

/// Not a test by itself: what the processes do that the tests below start.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let directory = std::env::var(DIRECTORY).expect("its parent says where");
    match role.as_str() {
        "agent" => be_agent(Path::new(&directory)),
        "journal" => be_journal(Path::new(&directory)),
        other => panic!("nobody plays {other}"),
    }
}

/// Serves until it is killed, with a store that stops answering after some packs.
fn be_agent(directory: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let gate = Gate::after(6, || say("held"));
        let agent =
            start_agent(directory, Agents { stores: Arc::new(Gated(gate)), ..Agents::default() }).await;
        say(&format!("address {}", agent.address));
        std::future::pending::<()>().await;
    });
}

/// Saves newer and newer states of some operations, and says each that was saved.
fn be_journal(directory: &Path) {
    let (journal, records) = Journal::open(directory, Arc::new(RealFiles)).unwrap();
    let mut revision = records.iter().map(|(record, _)| record.revision).max().unwrap_or(0);
    loop {
        revision += 1;
        let record = record(revision % 3, revision);
        journal.save(&record).unwrap();
        say(&format!("saved {} {revision}", record.id));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Begins a line of its own, whatever the test harness has written before.
    writeln!(out, "\nchild: {line}").unwrap();
    out.flush().unwrap();
}

struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(role: &str, directory: &Path) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child::child", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(DIRECTORY, directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines }
    }

    /// What it says next; `None` when it is gone.
    fn hear(&mut self) -> Option<String> {
        self.lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("child: ").map(str::to_owned))
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a test that failed; whoever was killed already is gone.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agents_backup_is_interrupted_and_resumed_by_the_same_key() {
    let world = World::new();
    let bytes = world.volume("db", 12 << 20, 1);
    let mut process = Process::start("agent", world.directory.path());
    let address: SocketAddr = process.hear().unwrap().strip_prefix("address ").unwrap().parse().unwrap();
    let mut killed = client(address, "controller").await;
    let first = world.open_point("daily", &["db"]);
    let request = world.backup("k", &first, &["db"]);
    let id = killed.start_backup(request.clone()).await.unwrap().into_inner().id;
    let same = killed.start_backup(request.clone()).await.unwrap().into_inner();
    assert_eq!(same.id, id);
    assert_eq!(process.hear().unwrap(), "held");
    process.kill();

    let agent = world.agent().await;
    let mut client = agent.client().await;
    let found = client.get(v1::GetOperationRequest { id: id.clone() }).await.unwrap().into_inner();
    assert_eq!(state(&found), OperationState::Interrupted);
    assert_eq!(found.idempotency_key, "k");
    let status = client.start_backup(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "objects lie under its point: {status}");
    let second = world.open_point("daily", &["db"]);
    let request = world.backup("k", &second, &["db"]);
    let again = client.start_backup(request).await.unwrap().into_inner();
    assert_eq!((again.id.as_str(), again.attempt), (id.as_str(), 2));
    let done = finish(&mut client, &id).await;
    assert_eq!(state(&done), OperationState::Succeeded, "{:?}", done.error);
    let result = backup_result(&done);
    assert!(result.resumed_bytes > 0);
    assert_eq!(done.progress.as_ref().unwrap().resumed_bytes, result.resumed_bytes);
    let report = world.commit(&second, &[result]);
    let target = [("db", "db.new", v1::RestoreMode::New)];
    let request = world.restore("r", "daily", &report.point.to_string(), &target);
    let id = client.start_restore(request).await.unwrap().into_inner().id;
    assert_eq!(state(&finish(&mut client, &id).await), OperationState::Succeeded);
    assert_eq!(std::fs::read(world.path("db.new")).unwrap(), bytes);
    agent.end().await;
}

#[test]
fn a_journal_whose_writer_is_killed_again_and_again_holds_what_was_saved() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..12 {
        let mut process = Process::start("journal", directory.path());
        // It is killed somewhere in the saves after this one.
        let mut saved = std::collections::BTreeMap::new();
        for _ in 0..=round {
            let line = process.hear().unwrap();
            note(&mut saved, &line);
        }
        process.kill();
        while let Some(line) = process.hear() {
            note(&mut saved, &line);
        }
        let (_journal, found) = Journal::open(directory.path(), Arc::new(RealFiles)).unwrap();
        for (id, revision) in saved {
            let found = found
                .iter()
                .find(|(record, _)| record.id.to_string() == id)
                .expect("what was saved is there");
            assert!(found.0.revision >= revision, "{} of {id}, {revision} was saved", found.0.revision);
        }
        let left = std::fs::read_dir(directory.path().join("operations")).unwrap().count();
        assert_eq!(left, found.len(), "nothing else is left");
    }
}

fn note(saved: &mut std::collections::BTreeMap<String, u64>, line: &str) {
    let Some((id, revision)) = line.strip_prefix("saved ").and_then(|rest| rest.split_once(' ')) else {
        return;
    };
    // The last line of a killed process may be cut.
    if let Ok(revision) = revision.parse() {
        saved.insert(id.to_owned(), revision);
    }
}

fn record(number: u64, revision: u64) -> Record {
    Record {
        id: Id::from_parts(number, [7; 10]),
        kind: Kind::Verify,
        state: State::Running,
        key: format!("key {number}"),
        fingerprint: Digest::of(b"x"),
        team: "shop".parse().unwrap(),
        caller: "test".into(),
        created: Timestamp::from_unix_ms(1),
        started: None,
        ended: None,
        attempt: 1,
        volumes: vec!["x".repeat(usize::try_from(revision % 5_000).unwrap())],
        reference: None,
        points_used: Vec::new(),
        targets_begun: std::collections::BTreeMap::new(),
        progress: Progress::default(),
        log_sequence: 0,
        failure: None,
        outcome: None,
        revision,
    }
}
