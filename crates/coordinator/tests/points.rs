//! The coordinator as a library, over agents in this process that back real files up with the real engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../cli/tests/harness/fake_agent.rs"]
mod fake_agent;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffer_blockio::DocumentSource;
use coffer_coordinator::{
    Agents, ConnectOptions, CoordinatorError, OwnVolumes, Part, PointMade, PointOrder, Progress, Standing,
    StopWish, make_point,
};
use coffer_engine::backup::{PointRequest, TypeWish, VolumeSource};
use coffer_engine::catalog::Filter;
use coffer_engine::{
    CancelToken, EngineError, Environment, MEMORY_BYTES_MIN, Repository, Resources, find_point,
    restore_to_stream,
};
use coffer_format::{PlanId, PointState, VolumeName};
use coffer_proto::agent::v1;
use coffer_store::{OpenOptions, RepositoryUrl};
use fake_agent::work::System;
use fake_agent::{Act, FakeAgent, Script};
use tokio::sync::watch;

#[derive(Default)]
struct Heard(Mutex<Vec<Standing>>);

impl Progress for Heard {
    fn show(&self, standing: Standing) {
        self.0.lock().unwrap().push(standing);
    }
}

/// A repository without encryption, and files to back up.
struct World {
    directory: tempfile::TempDir,
    url: String,
    repository: Repository,
    stop: watch::Sender<bool>,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}", directory.path().join("repository").display());
        let options = OpenOptions { create: true, ..OpenOptions::default() };
        let store = coffer_store::open(&RepositoryUrl::parse(&url).unwrap(), options).unwrap();
        let cancel = CancelToken::default();
        let environment = Environment { clock: Arc::new(System), entropy: Arc::new(System), cancel };
        Repository::init(store.as_ref(), &environment, false, &mut |_| Ok(())).unwrap();
        let repository = Repository::open(store, environment, None).unwrap();
        World { directory, url, repository, stop: watch::channel(false).0 }
    }

    fn image(&self, name: &str, byte: u8) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, vec![byte; 300_000]).unwrap();
        path
    }

    fn connect(&self, agents: &[&FakeAgent]) -> Agents {
        let options = ConnectOptions {
            addresses: agents.iter().map(|agent| agent.named().parse().unwrap()).collect(),
            tls: None,
            patience: Duration::from_secs(20),
        };
        Agents::connect(options, StopWish::new(self.stop.subscribe())).unwrap()
    }

    /// A point of `plan` with one volume at each agent.
    fn order(&self, plan: &str, key: Option<&str>, volumes: &[(&str, &Path)]) -> PointOrder {
        let label = |text: &str| text.parse().unwrap();
        let part = |(agent, (name, path)): (usize, &(&str, &Path))| Part {
            agent,
            names: vec![name.parse().unwrap()],
            volumes: vec![v1::BackupVolume {
                name: (*name).into(),
                source: path.display().to_string(),
                block_bytes: 0,
                changes: "auto".into(),
            }],
        };
        PointOrder {
            point: PointRequest {
                resources: Vec::new(),
                resources_only: false,
                plan: PlanId {
                    team: label("default"),
                    cluster: label("c1"),
                    namespace: label("default"),
                    plan: label(plan),
                },
                volumes: volumes.iter().map(|(name, _)| name.parse().unwrap()).collect(),
                type_wish: TypeWish::Auto,
                full_every: 24,
                list_base: None,
                snapshot_time: None,
                idempotency_key: key.map(str::to_owned),
                description: String::new(),
                tags: Default::default(),
                writer: "a test".into(),
            },
            key: key.unwrap_or("drawn").into(),
            parts: volumes.iter().enumerate().map(part).collect(),
            repository: v1::Repository { url: self.url.clone(), ..Default::default() },
            compression: "lz4".into(),
            read_engine: "pread".into(),
            own: None,
        }
    }

    fn make(&self, agents: &Agents, order: &PointOrder) -> Result<PointMade, CoordinatorError> {
        make_point(agents, &self.repository, order, Arc::new(()))
    }
}

#[test]
fn volumes_of_two_agents_make_one_point_and_progress_is_heard() {
    let world = World::new();
    let (a, b) = (FakeAgent::start("a", Script::default()), FakeAgent::start("b", Script::default()));
    let (one, two) = (world.image("one.img", 1), world.image("two.img", 2));
    let agents = world.connect(&[&a, &b]);
    assert_eq!(agents.nodes(), ["a", "b"]);
    let order = world.order("web", None, &[("one", &one), ("two", &two)]);
    let heard = Arc::new(Heard::default());
    let made = make_point(&agents, &world.repository, &order, heard.clone()).unwrap();
    assert_eq!((made.report.state, made.report.volumes.len()), (PointState::Available, 2));
    assert!(!heard.0.lock().unwrap().is_empty());
}

#[test]
fn an_agent_that_is_cut_off_takes_another_point_and_the_same_key_makes_one() {
    let world = World::new();
    let script = Script { acts: [Act::Interrupt].into(), ..Script::default() };
    let agent = FakeAgent::start("a", script);
    let image = world.image("one.img", 1);
    let agents = world.connect(&[&agent]);
    let order = world.order("web", Some("order-1"), &[("one", &image)]);
    let made = world.make(&agents, &order).unwrap();
    let again = world.make(&agents, &order).unwrap();
    assert_eq!((made.report.point, again.report.repeated), (again.report.point, true));
    assert_eq!(agent.asked(|asked| asked.backups.len()), 2, "one that was cut off, one that was done");
}

#[test]
fn a_key_of_another_plan_and_a_wish_to_stop_are_errors_of_their_own() {
    let world = World::new();
    let agent = FakeAgent::start("a", Script { acts: [Act::Hang].into(), ..Script::default() });
    let image = world.image("one.img", 1);
    let agents = world.connect(&[&agent]);
    let hanging = world.order("web", Some("shared"), &[("one", &image)]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| world.make(&agents, &hanging));
        agent.wait_for_watch();
        let other =
            world.make(&world.connect(&[&agent]), &world.order("mail", Some("shared"), &[("one", &image)]));
        assert!(matches!(other, Err(CoordinatorError::KeyOfAnotherPlan { .. })), "{:?}", other.err());
        world.stop.send_replace(true);
        let stopped = first.join().unwrap();
        assert!(
            matches!(stopped, Err(CoordinatorError::Engine(EngineError::Cancelled))),
            "{:?}",
            stopped.err()
        );
    });
}

#[test]
fn the_coordinators_own_volume_is_in_the_point_beside_the_agents() {
    let world = World::new();
    let a = FakeAgent::start("a", Script::default());
    let one = world.image("one.img", 1);
    let agents = world.connect(&[&a]);
    let mut order = world.order("web", None, &[("one", &one)]);
    let document = br#"{"kind":"List"}"#.to_vec();
    let name: VolumeName = "resources".parse().unwrap();
    order.point.volumes.push(name.clone());
    order.own = Some(OwnVolumes {
        volumes: vec![VolumeSource {
            name: name.clone(),
            source: Ok(Box::new(DocumentSource::new("resources".into(), document.clone()))),
        }],
        resources: Resources::within(MEMORY_BYTES_MIN, 1).unwrap(),
    });
    let made = world.make(&agents, &order).unwrap();
    assert_eq!(made.report.state, PointState::Available);
    let kinds: Vec<String> = made.report.volumes.iter().map(|volume| volume.kind.to_string()).collect();
    assert_eq!(kinds, ["image", "resources"]);
    let point = find_point(&world.repository, &Filter::default(), made.report.point).unwrap();
    let resources = Resources::within(MEMORY_BYTES_MIN, 1).unwrap();
    let mut out = Vec::new();
    restore_to_stream(&world.repository, &resources, &point, &name, &mut out).unwrap();
    assert_eq!(out, document);
}
