//! A bad line between the engine and a server: every fault at every kind of request, once, a few times and for ever.
//!
//! A run ends in success or in a clear failure, never in a wrong success; and the next run on a good line heals what was left.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffer_engine::backup::TypeWish;
use coffer_engine::{Advice, EngineError};
use coffer_store::s3::{Patience, Tuning};
use coffer_store::{Key, ObjectStore};
use coffer_tests::chance::Chance;
use coffer_tests::s3::proxy::{Fault, Plan, Proxy, Step, Times};
use coffer_tests::s3::servers::{BUCKET, Server, versitygw};
use coffer_tests::s3::team::Team;
use coffer_tests::s3::{Endpoint, open};

const TMP: &str = env!("CARGO_TARGET_TMPDIR");
/// Where nothing moving is the fault.
const STALL: Duration = Duration::from_millis(250);
/// Elsewhere, a slow machine is none.
const LONG_STALL: Duration = Duration::from_secs(10);
/// How often a run may fail on a slow machine before the fault could strike.
const STARTS_MAX: u32 = 5;
/// For faults that never end.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// For those that end: enough on any machine.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// What is mostly waited for is time.
const AT_ONCE: usize = 16;
const TIMES: [Times; 3] = [Times::Once, Times::Few, Times::Ever];
const STEPS: [Step; 9] = [
    Step::Put,
    Step::Create,
    Step::Part,
    Step::Complete,
    Step::Range,
    Step::Get,
    Step::Head,
    Step::List,
    Step::Delete,
];

#[test]
fn every_fault_at_every_request_ends_well_or_clearly() {
    let server = versitygw(Path::new(TMP));
    let rows: Vec<(Fault, Step)> =
        Fault::ALL.into_iter().flat_map(|fault| STEPS.map(|step| (fault, step))).collect();
    let rows: Vec<_> = rows.into_iter().filter(|(fault, step)| fault.concerns(*step)).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((fault, step)) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let cells = row(&server, *fault, *step);
                    done.lock().expect("nobody panics with it").insert((fault.to_string(), *step), cells);
                }
            });
        }
    });
    let table = table(&done.into_inner().expect("nobody panics with it"));
    compare_with_the_page(&table);
}

/// One fault at one kind of request: once, a few times, for ever, and then a good line again.
fn row(server: &Server, fault: Fault, step: Step) -> [&'static str; 3] {
    let scene = Scene::new(server, fault, step);
    let cells = TIMES.map(|times| scene.strike(times));
    scene.heals();
    cells
}

/// One repository, and two ways to it.
struct Scene {
    fault: Fault,
    step: Step,
    proxy: Proxy,
    team: Team,
    direct: Arc<dyn ObjectStore>,
    prefix: String,
    image: Mutex<Arc<Vec<u8>>>,
    chance: Mutex<Chance>,
}

impl Scene {
    fn new(server: &Server, fault: Fault, step: Step) -> Self {
        let prefix = format!("{fault:?}/{step:?}");
        let proxy = Proxy::start(server.address());
        let direct: Arc<dyn ObjectStore> =
            Arc::new(server.endpoint().store(BUCKET, &prefix, Tuning::default()));
        let scene = Scene {
            fault,
            step,
            proxy,
            team: Team::init(direct.as_ref()),
            direct,
            prefix,
            image: Mutex::new(Arc::new(vec![0; image_len(step)])),
            chance: Mutex::new(Chance::new(fault as u64 * 16 + step as u64)),
        };
        // Two points: an old one, which is there to be forgotten, and one to restore.
        for _ in 0..2 {
            scene.change();
            scene.team.back_up(&scene.direct, &scene.image(), TypeWish::Full).expect("a good line");
        }
        scene
    }

    /// A store behind the proxy that remembers nothing: not what it was allowed, nor that the server ever answered.
    fn through(&self, patience: Duration) -> Arc<dyn ObjectStore> {
        let behind = Endpoint { url: self.proxy.url(), ca: None };
        let stall = if self.fault == Fault::Stall { STALL } else { LONG_STALL };
        Arc::new(open(&behind.address(BUCKET, &self.prefix, ""), for_faults(stall, patience)))
    }

    fn image(&self) -> Arc<Vec<u8>> {
        self.image.lock().expect("nobody panics with it").clone()
    }

    /// Another content, nothing of which compresses.
    fn change(&self) {
        let mut image = vec![0; image_len(self.step)];
        self.chance.lock().expect("nobody panics with it").fill(&mut image);
        *self.image.lock().expect("nobody panics with it") = Arc::new(image);
    }

    /// The verb that makes such requests, on the bad line; what became of it.
    fn strike(&self, times: Times) -> &'static str {
        let name = format!("{} at {:?}, {times:?}", self.fault, self.step);
        self.change();
        self.proxy.set_plan(Some(Plan { step: self.step, fault: self.fault, times }));
        let patience = if times == Times::Ever { PATIENCE } else { LONG_PATIENCE };
        let (mut result, mut struck) = (Ok(()), 0);
        for _ in 0..STARTS_MAX {
            result = self.run(times, &self.through(patience));
            struck = self.proxy.struck();
            if struck > 0 || result.is_ok() {
                break;
            }
        }
        self.proxy.set_plan(None);
        let (seen, broken) = (self.proxy.seen(), self.proxy.broken());
        assert!(struck > 0, "{name}: no request was struck; seen {seen:?}; the line: {broken:#?}");
        match result {
            Ok(()) => "succeeds",
            Err(error) => self.judge(&name, &error),
        }
    }

    fn run(&self, times: Times, store: &Arc<dyn ObjectStore>) -> Result<(), EngineError> {
        match self.step {
            Step::Range => self.restores(store),
            Step::List | Step::Delete => self.prunes(store),
            Step::Get if times == Times::Once => self.restores(store),
            _ => self.backs_up(store),
        }
    }

    /// A failure must say what to do, and the right thing.
    fn judge(&self, name: &str, error: &EngineError) -> &'static str {
        let advice = error.advice();
        let allowed: &[Advice] = match self.fault {
            Fault::Denied => &[Advice::Configure],
            // Before the first word of S3 a page is likely that of another server.
            Fault::NoSuchPage => &[Advice::Retry, Advice::Configure],
            // A list without TLS may name what is not there, and a guard may stop at that.
            Fault::Flipped if self.step == Step::List => &[Advice::Refused, Advice::Retry],
            Fault::Flipped => &[Advice::Retry, Advice::Corrupt],
            _ => &[Advice::Retry],
        };
        assert!(allowed.contains(&advice), "{name}: advice {advice:?} for: {}", chain(error));
        match advice {
            Advice::Configure => "fails: configure",
            Advice::Corrupt => "fails: corrupt",
            Advice::Refused => "refuses",
            _ => "fails: retry",
        }
    }

    fn backs_up(&self, store: &Arc<dyn ObjectStore>) -> Result<(), EngineError> {
        let image = self.image();
        // Only who builds on a point looks it up: whether it still stands.
        let wish = if self.step == Step::Head { TypeWish::Incremental } else { TypeWish::Full };
        let report = self.team.back_up(store, &image, wish)?;
        // Success was said: so the point is there, and holds what it should, whoever asks.
        let points = self.team.points(&self.direct)?;
        let point = points.iter().find(|point| point.id == report.point);
        let point =
            point.unwrap_or_else(|| panic!("{} at {:?}: success without a point", self.fault, self.step));
        let (restored, _) = self.team.restore(&self.direct, point)?;
        assert!(restored == *image, "{} at {:?}: success with other bytes", self.fault, self.step);
        Ok(())
    }

    fn restores(&self, store: &Arc<dyn ObjectStore>) -> Result<(), EngineError> {
        let points = self.team.points(&self.direct)?;
        let point = points.last().expect("there is one");
        let (restored, _) = self.team.restore(store, point)?;
        let (expected, _) = self.team.restore(&self.direct, point)?;
        assert!(restored == expected, "{} at {:?}: success with other bytes", self.fault, self.step);
        Ok(())
    }

    fn prunes(&self, store: &Arc<dyn ObjectStore>) -> Result<(), EngineError> {
        self.team.back_up(&self.direct, &self.image(), TypeWish::Full)?;
        self.team.forget_all_but(store, 1)?;
        self.team.prune(store)?;
        let left = self.team.left_over(&self.direct)?;
        // Who is shown another list deletes less, never more; the next prune does the rest.
        let shown_another = self.fault == Fault::Flipped && self.step == Step::List;
        assert!(
            shown_another || left.is_empty(),
            "{} at {:?}: success with leftovers: {left:?}",
            self.fault,
            self.step
        );
        Ok(())
    }

    /// On a good line everything works, all that stands is sound, and nothing is left lying.
    fn heals(&self) {
        let name = format!("after {} at {:?}", self.fault, self.step);
        self.change();
        let store = self.through(LONG_PATIENCE);
        self.team.drop_pins(&self.direct).expect("a good line");
        let image = self.image();
        let backup = self.team.back_up(&store, &image, TypeWish::Full);
        let backup = backup.unwrap_or_else(|error| panic!("{name}: backup: {}", chain(&error)));
        let problems = self.team.problems(&self.direct).expect("verify runs");
        assert!(problems.is_empty(), "{name}: {problems:?}");
        self.team.forget_all_but(&store, 1).expect("forget runs");
        self.team.prune(&store).expect("prune runs");
        let points = self.team.points(&store).expect("points are listed");
        assert_eq!(points.iter().map(|point| point.id).collect::<Vec<_>>(), [backup.point], "{name}");
        let (restored, _) = self.team.restore(&self.direct, &points[0]).expect("restore runs");
        assert!(restored == *image, "{name}: other bytes");
        assert_eq!(self.team.left_over(&self.direct).expect("a good line"), Vec::<String>::new(), "{name}");
    }
}

/// Requests of uploads in parts need a part and a bit.
fn image_len(step: Step) -> usize {
    match step {
        Step::Create | Step::Part | Step::Complete => (5 << 20) + (256 << 10),
        _ => 192 << 10,
    }
}

fn for_faults(stall: Duration, patience: Duration) -> Tuning {
    let patience = Patience { fresh: patience, established: patience };
    Tuning { stall, connect: LONG_STALL, patience: Some(patience), ..Tuning::default() }
}

fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        write!(text, ": {error}").expect("text grows");
        cause = error.source();
    }
    text
}

type Cells = BTreeMap<(String, Step), [&'static str; 3]>;

/// One line for each fault: what became of each kind of request, once, a few times and for ever.
fn table(cells: &Cells) -> String {
    let mut text = String::from("| fault |");
    for step in STEPS {
        write!(text, " {} |", name(step)).expect("text grows");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(STEPS.len()));
    for fault in Fault::ALL {
        write!(text, "\n| {fault} |").expect("text grows");
        for step in STEPS {
            match cells.get(&(fault.to_string(), step)) {
                None => text.push_str(" – |"),
                Some(cells) => {
                    let letters = cells.map(letter).join(" ");
                    write!(text, " {letters} |").expect("text grows");
                }
            }
        }
    }
    text.push('\n');
    text
}

fn letter(outcome: &str) -> &'static str {
    match outcome {
        "succeeds" => "✓",
        "fails: retry" => "R",
        "fails: configure" => "C",
        "fails: corrupt" => "D",
        "refuses" => "G",
        other => panic!("no letter for {other}"),
    }
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Put => "put",
        Step::Create => "create upload",
        Step::Part => "part",
        Step::Complete => "complete",
        Step::Range => "get range",
        Step::Get => "get",
        Step::Head => "head",
        Step::List => "list",
        Step::Delete => "delete",
        other => panic!("{other:?} has no column"),
    }
}

/// `docs/s3.md` holds this table between two marks; `UPDATE_DOCS=1` writes it anew.
fn compare_with_the_page(table: &str) {
    std::fs::write(Path::new(TMP).join("s3-faults.md"), table).expect("write the table");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/s3.md");
    let page = std::fs::read_to_string(&path).expect("read docs/s3.md");
    let (before, rest) = page.split_once("<!-- faults -->\n").expect("docs/s3.md has the first mark");
    let (kept, after) = rest.split_once("<!-- end of faults -->\n").expect("docs/s3.md has the second mark");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = format!("{before}<!-- faults -->\n{table}<!-- end of faults -->\n{after}");
        return std::fs::write(&path, page).expect("write docs/s3.md");
    }
    assert!(
        kept == table,
        "docs/s3.md does not hold this table; look at the difference, and run with UPDATE_DOCS=1:\n{table}"
    );
}

#[test]
fn an_outage_within_the_patience_is_waited_out() {
    let server = versitygw(Path::new(TMP));
    let (proxy, team, direct, image) = outage(&server);
    let behind = Endpoint { url: proxy.url(), ca: None };
    let store: Arc<dyn ObjectStore> =
        Arc::new(open(&behind.address(BUCKET, "outage", ""), for_faults(LONG_STALL, LONG_PATIENCE)));
    let began = Instant::now();
    let (report, gone) = std::thread::scope(|scope| {
        let backup = scope.spawn(|| team.back_up(&store, &image, TypeWish::Full));
        proxy.wait_for_strike();
        let cut = Instant::now();
        // Longer than the first five waits together.
        std::thread::sleep(Duration::from_secs(4));
        assert!(!backup.is_finished(), "it waits");
        proxy.set_plan(None);
        (backup.join().expect("it does not panic"), cut.elapsed())
    });
    let report = report.unwrap_or_else(|error| {
        panic!("it goes on: {}\nthe line: {:#?}\nthe server: {}", chain(&error), proxy.broken(), server.log())
    });
    assert!(began.elapsed() > gone);
    let points = team.points(&direct).expect("a good line");
    let point = points.iter().find(|point| point.id == report.point).expect("success was said");
    assert!(team.restore(&direct, point).expect("a good line").0 == *image, "other bytes");
    assert_eq!(team.problems(&direct).expect("a good line"), Vec::<String>::new());
}

#[test]
fn an_outage_beyond_the_patience_fails_clearly_and_loses_nothing() {
    let server = versitygw(Path::new(TMP));
    let (proxy, team, direct, image) = outage(&server);
    let behind = Endpoint { url: proxy.url(), ca: None };
    let store: Arc<dyn ObjectStore> =
        Arc::new(open(&behind.address(BUCKET, "outage", ""), for_faults(LONG_STALL, PATIENCE)));
    let error = team.back_up(&store, &image, TypeWish::Full).expect_err("nobody is there");
    assert!(proxy.struck() > 0, "{}", chain(&error));
    assert_eq!(error.advice(), Advice::Retry, "{}", chain(&error));
    let points = team.points(&direct).expect("a good line");
    assert_eq!(points.len(), 1, "the point before is there, and no other");
    proxy.set_plan(None);
    team.back_up(&store, &image, TypeWish::Full).expect("the next run succeeds");
    assert_eq!(team.problems(&direct).expect("a good line"), Vec::<String>::new());
}

/// A repository with a point, a large image, and a line that is gone from its first part on.
fn outage(server: &Server) -> (Proxy, Team, Arc<dyn ObjectStore>, Arc<Vec<u8>>) {
    let direct: Arc<dyn ObjectStore> = Arc::new(server.endpoint().store(BUCKET, "outage", Tuning::default()));
    let team = Team::init(direct.as_ref());
    let mut image = vec![0; 48 << 20];
    Chance::new(7).fill(&mut image);
    team.back_up(&direct, &Arc::new(vec![1; 100_000]), TypeWish::Full).expect("a good line");
    let proxy = Proxy::start(server.address());
    proxy.set_plan(Some(Plan { step: Step::Part, fault: Fault::Refused, times: Times::Ever }));
    (proxy, team, direct, Arc::new(image))
}

#[test]
fn without_a_signature_the_checksum_alone_finds_a_changed_byte() {
    let server = versitygw(Path::new(TMP));
    let proxy = Proxy::start(server.address());
    let behind = Endpoint { url: proxy.url(), ca: None };
    let address = behind.address(BUCKET, "unsigned", "&sign-payload=never");
    let store = open(&address, for_faults(LONG_STALL, LONG_PATIENCE));
    let key = |name: &str| Key::new(name).expect("a key");
    let body = |len: usize| {
        let mut body = vec![0; len];
        Chance::new(len as u64).fill(&mut body);
        Bytes::from(body)
    };
    let flip = |step, times| proxy.set_plan(Some(Plan { step, fault: Fault::Flipped, times }));

    flip(Step::Put, Times::Once);
    store.put(&key("put"), body(100_000)).expect("the second try comes through");
    assert_eq!(
        (proxy.struck(), store.get(&key("put"), u64::MAX).expect("it is there")),
        (1, body(100_000).to_vec())
    );

    flip(Step::Part, Times::Once);
    let upload = store.start_upload(&key("parts"), 6 << 20).expect("an upload begins");
    let tags =
        [1, 2].map(|number| store.put_part(&upload, number, body(6 << 20)).expect("a part comes through"));
    store.complete_upload(&upload, &tags).expect("the parts make the object");
    let whole = [body(6 << 20), body(6 << 20)].concat();
    assert!(proxy.struck() == 1 && store.get(&key("parts"), u64::MAX).expect("it is there") == whole);

    flip(Step::Put, Times::Ever);
    let refused = store.put(&key("never"), body(100_000)).expect_err("every try is changed");
    assert_eq!((refused.advice(), proxy.struck()), (coffer_store::Advice::Retry, 5), "{refused}");
    proxy.set_plan(None);
    assert!(!store.exists(&key("never")).expect("a good line"), "what was refused is not there");
}
