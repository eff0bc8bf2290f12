//! The node agent as a process, over mTLS, driven by the program `coffer` as a coordinator would: with real files and devices, a real S3 server,
//! and kill -9.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use coffer_tests::chance::Chance;
use coffer_tests::content;
use coffer_tests::devices::LoopDevice;
use coffer_tests::node::Node;
use coffer_tests::process::{Outcome, Program, run};
use coffer_tests::repository::{PLAN, Place, Repository, text};
use coffer_tests::s3::{ACCESS_KEY, SECRET_KEY, servers};
use serde_json::Value;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// What is waited for comes in seconds; a machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(100);
const LOOK: Duration = Duration::from_millis(20);

/// A node, a repository, and a caller.
struct World {
    node: Node,
    coffer: Program,
    repository: Repository,
    place: Place,
    directory: TempDir,
}

impl World {
    #[track_caller]
    fn new(place: impl FnOnce(&Path) -> Place, settings: impl FnOnce(&Path) -> String) -> World {
        let directory = tempfile::tempdir().expect("make a directory");
        let coffer = Program::new(env!("CARGO_BIN_EXE_coffer-under-test"));
        let place = place(directory.path());
        let repository = Repository::at(&coffer, place.clone(), directory.path());
        run(repository.init_command()).expect_status(0);
        let settings = settings(directory.path());
        let agent = env!("CARGO_BIN_EXE_coffer-agent-under-test");
        let node = Node::start(agent, &directory.path().join("node"), &settings);
        World { node, coffer, repository, place, directory }
    }

    /// On a directory, with images below `images`, which is the agent's only root.
    fn local(more: &str) -> World {
        let place = |directory: &Path| Place::directory(&directory.join("repository"));
        World::new(place, |directory| {
            let images = directory.join("images");
            std::fs::create_dir(&images).expect("make a directory");
            let shown = directory.display();
            let more = more.replace("DIRECTORY", &shown.to_string());
            format!(
                "cluster = \"lab\"\nrepositories = [\"file://{shown}/repository\"]\nroots = [\"{shown}/images\"]\n{more}\n"
            )
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn image(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path("images").join(name);
        std::fs::write(&path, bytes).expect("write an image");
        path
    }

    fn command(&self, caller: &str, words: &[&str]) -> Command {
        let mut command = self.node.command(&self.coffer, caller, words);
        command.envs(self.place.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--json");
        command
    }

    fn backup(&self, caller: &str, volumes: &[String], options: &[&str]) -> Command {
        self.backup_of(PLAN, caller, volumes, options)
    }

    fn backup_of(&self, plan: &str, caller: &str, volumes: &[String], options: &[&str]) -> Command {
        let key = self.path("writer.key");
        let mut words =
            vec!["backup", "--quiet", "--repo", &self.place.url, "--plan", plan, "--cluster", "lab", "--key"];
        words.push(key.to_str().expect("paths here are text"));
        words.extend(options);
        words.extend(volumes.iter().map(String::as_str));
        self.command(caller, &words)
    }

    fn restore(&self, point: &str, volume: &str, target: &Path, options: &[&str]) -> Command {
        let key = self.path("recovery.key");
        let word = format!("{volume}={}", target.display());
        let mut words = vec!["restore", "--quiet", "--repo", &self.place.url, "--key"];
        words.push(key.to_str().expect("paths here are text"));
        words.extend(["--volume", &word, point]);
        words.extend(options);
        self.command("controller", &words)
    }

    fn operations(&self) -> Vec<Value> {
        let outcome = run(self.command("controller", &["operations", "list"])).expect_status(0);
        let document = outcome.json();
        document.as_array().cloned().unwrap_or_else(|| panic!("no list: {}", outcome.story()))
    }

    /// Waits until an operation fits.
    #[track_caller]
    fn until(&self, what: &str, fits: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        while !self.operations().iter().any(&fits) {
            assert!(began.elapsed() < PATIENCE, "never {what}: {:?}\n{}", self.operations(), self.node.log());
            std::thread::sleep(LOOK);
        }
    }
}

#[track_caller]
fn point_of(outcome: &Outcome) -> String {
    text(&outcome.json()["point"])
}

#[track_caller]
fn check_equal(left: &Path, right: &[u8]) {
    let left = std::fs::read(left).expect("read a restored volume");
    let difference = content::first_difference(&left[..right.len().min(left.len())], right);
    assert!(difference.is_none(), "{difference:?}");
}

#[test]
fn a_volume_is_protected_on_s3_through_an_agent_that_is_killed_in_the_middle() {
    let server = servers::versitygw(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let url = server.endpoint().address(servers::BUCKET, "teams/a", "");
    let limits = "limits = { upload_bytes_per_second = \"2MiB\" }";
    let mut world = World::new(
        |_| Place::s3(&url, ACCESS_KEY, SECRET_KEY),
        |directory| {
            std::fs::create_dir(directory.join("images")).expect("make a directory");
            format!(
                "cluster = \"lab\"\nrepositories = [\"s3://?endpoint={}\"]\nroots = [\"{}/images\"]\ndevice_classes = [\"loop\"]\n{limits}\n",
                server.endpoint().url,
                directory.display()
            )
        },
    );
    let mut chance = Chance::new(11);
    let mut bytes = content::mixed(&mut chance, 24 * MIB);
    let backing = world.image("volume.img", &bytes);
    // Where there are no loop devices the image itself is the volume.
    let device = LoopDevice::attach(&backing).ok();
    let source = device.as_ref().map_or(backing.clone(), |device| device.path().to_path_buf());
    let volume = format!("volume={}", source.display());

    let slow = world.backup("controller", std::slice::from_ref(&volume), &["--idempotency-key", "monday"]);
    let client = std::thread::spawn(move || run(slow));
    world.until("looks at blocks", |operation| {
        operation["state"] == "running" && operation["progress"]["done_bytes"].as_u64() > Some(0)
    });
    world.node.kill();
    world.node.change_settings(limits, "");
    world.node.start_again();
    let full = client.join().expect("the client does not panic").expect_status(0);
    assert_eq!(full.json()["type"], "full", "{}", full.story());

    content::change(&mut chance, &mut bytes);
    std::fs::write(&source, &bytes).expect("write to the volume");
    let incremental = run(world.backup("controller", &[volume], &[])).expect_status(0);
    assert_eq!(incremental.json()["type"], "incremental", "{}", incremental.story());

    let target = world.path("images").join("restored.img");
    run(world.restore(&point_of(&incremental), "volume", &target, &[])).expect_status(0);
    check_equal(&target, &bytes);
    run(world.restore(&point_of(&full), "volume", &target, &["--in-place"])).expect_status(0);
    // What coffer itself restores without an agent is the same.
    let direct = world.path("direct.img");
    let word = format!("--volume=volume={}", direct.display());
    run(world.repository.restore(&point_of(&full), &[&word])).expect_status(0);
    check_equal(&target, &std::fs::read(direct).expect("read a restored volume"));
    world.repository.expect_clean(&["--read-data"]);
}

#[test]
fn the_same_key_does_the_work_once_also_across_a_kill() {
    let mut world = World::local("");
    let image = world.image("db.img", &content::mixed(&mut Chance::new(5), 4 * MIB));
    let volume = [format!("db={}", image.display())];
    let first = run(world.backup("controller", &volume, &["--idempotency-key", "k"])).expect_status(0);
    let again = run(world.backup("controller", &volume, &["--idempotency-key", "k"])).expect_status(0);
    assert_eq!(point_of(&first), point_of(&again));
    world.node.kill();
    world.node.start_again();
    let after = run(world.backup("controller", &volume, &["--idempotency-key", "k"])).expect_status(0);
    assert_eq!(point_of(&first), point_of(&after));
    assert_eq!(world.repository.point_ids(), [point_of(&first)]);
    assert_eq!(world.operations().len(), 1, "{:?}", world.operations());
}

#[test]
fn a_team_sees_and_runs_what_is_its_own() {
    let teams =
        "[[teams]]\nname = \"default\"\nroots = [\"DIRECTORY/images/own\"]\n\n[[teams]]\nname = \"bank\"\n";
    let world = World::local(teams);
    std::fs::create_dir(world.path("images/own")).expect("make a directory");
    let own = world.image("own/db.img", &content::mixed(&mut Chance::new(6), MIB));
    let foreign = world.image("foreign.img", &content::mixed(&mut Chance::new(7), MIB));
    let own = [format!("db={}", own.display())];
    run(world.backup("default", &own, &[])).expect_status(0);
    let listed = |caller: &str| run(world.command(caller, &["operations", "list"])).expect_status(0).json();
    assert_eq!(listed("default").as_array().map(Vec::len), Some(1));
    assert_eq!(listed("bank").as_array().map(Vec::len), Some(0));
    // Another team's volume is not there; another team's plan is refused.
    let outcome = run(world.backup("default", &[format!("db={}", foreign.display())], &[]));
    assert!(matches!(outcome.status, Some(3 | 4)), "{}", outcome.story());
    let outcome = run(world.backup("bank", &own, &[]));
    assert_eq!(outcome.json()["error"]["kind"], "permission-denied", "{}", outcome.story());
    // A list has the files of the team's own directory, and the controller's has all.
    let paths = |caller: &str| -> Vec<PathBuf> {
        let listed = run(world.command(caller, &["volumes"])).expect_status(0).json();
        let images = listed.as_array().into_iter().flatten().filter(|volume| volume["kind"] == "image");
        images.map(|volume| text(&volume["path"]).into()).collect()
    };
    assert_eq!(paths("default"), [world.path("images/own/db.img")]);
    assert_eq!(paths("bank"), Vec::<PathBuf>::new());
    assert_eq!(paths("controller"), [world.path("images/foreign.img"), world.path("images/own/db.img")]);
    // The scraper calls nothing.
    let outcome = run(world.command("scraper", &["operations", "list"]));
    assert_eq!(outcome.json()["error"]["kind"], "permission-denied", "{}", outcome.story());
}

#[test]
fn a_plan_of_another_cluster_is_refused_and_a_restore_of_one_is_not() {
    let world = World::local("");
    let bytes = content::mixed(&mut Chance::new(8), MIB);
    let image = world.image("db.img", &bytes);
    let volumes = [format!("db={}", image.display())];
    let key = world.path("writer.key").display().to_string();
    let words = [
        "backup",
        "--quiet",
        "--repo",
        &world.place.url,
        "--plan",
        PLAN,
        "--cluster",
        "elsewhere",
        "--key",
        &key,
        &volumes[0],
    ];
    let outcome = run(world.command("controller", &words));
    assert_eq!(outcome.json()["error"]["kind"], "refused", "{}", outcome.story());
    assert!(outcome.stderr.contains("belongs to cluster lab"), "{}", outcome.story());
    assert_eq!(world.repository.point_ids(), Vec::<String>::new());
    // Made by hand on the other cluster's behalf, it comes back here.
    let made = run(world.repository.backup(&volumes, &["--cluster", "elsewhere"])).expect_status(0);
    let target = world.path("images/back.img");
    run(world.restore(&point_of(&made), "db", &target, &[])).expect_status(0);
    check_equal(&target, &bytes);
}

#[test]
fn what_no_rule_allows_is_refused() {
    let world = World::local("");
    let outside = world.path("outside.img");
    std::fs::write(&outside, vec![1; 1 << 20]).expect("write an image");
    let link = world.path("images").join("link.img");
    std::os::unix::fs::symlink(&outside, &link).expect("make a link");
    for path in [&outside, &link] {
        let outcome = run(world.backup("controller", &[format!("db={}", path.display())], &[]));
        assert_ne!(outcome.status, Some(0), "{}", outcome.story());
    }
    assert_eq!(world.repository.point_ids(), Vec::<String>::new());
}

#[test]
fn sixteen_volumes_at_once_stay_below_the_cap_and_the_memory_goes_back() {
    let world = World::local("memory = \"128MiB\"");
    let clients: Vec<_> = (0..16_u64)
        .map(|number| {
            let mut bytes = vec![0; 24 << 20];
            Chance::new(number).fill(&mut bytes);
            let image = world.image(&format!("v{number}.img"), &bytes);
            let volume = [format!("v={}", image.display())];
            let command = world.backup_of(&format!("plan-{number}"), "controller", &volume, &[]);
            std::thread::spawn(move || run(command))
        })
        .collect();
    for client in clients {
        client.join().expect("the client does not panic").expect_status(0);
    }
    assert_eq!(world.operations().iter().filter(|operation| operation["state"] == "succeeded").count(), 16);
    assert!(
        status_kib(world.node.id(), "VmHWM:") < 128 << 10,
        "{} KiB",
        status_kib(world.node.id(), "VmHWM:")
    );
    let began = Instant::now();
    // Code of an unoptimised build is many times larger than of a shipped one, so only what was allocated counts.
    while status_kib(world.node.id(), "RssAnon:") > 20 << 10 {
        assert!(began.elapsed() < PATIENCE, "{} KiB", status_kib(world.node.id(), "RssAnon:"));
        std::thread::sleep(LOOK);
    }
}

/// A figure of a process.
#[track_caller]
fn status_kib(id: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the agent runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}
