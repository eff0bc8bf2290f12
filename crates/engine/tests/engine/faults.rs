//! A store that fails at any step, in any way: never a false success, never a lost point, and all is well once it works again.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_engine::backup::TypeWish;
use coffer_engine::{
    Advice, EngineError, PruneRequest, RestoreMode, RestoreRequest, RestoreVolume, forget_points, hold,
    run_prune, run_restore,
};
use coffer_format::{BlockSize, Id};
use coffer_store::fault::{Failure, Fault, Moment};
use coffer_store::{FaultPlan, FaultStore, MemoryStore, Operation};

use crate::history::{Made, copy_of};
use crate::world::{Disk, Image, Silent, World};

const BLOCK: usize = 16 << 10;

type PlanAt = fn(u64) -> FaultPlan;

/// How the store fails from or at step `n`.
const FAULTS: [(&str, PlanAt); 6] = [
    ("refused", |n| FaultPlan::none().fail_at(n, Fault::Before(Failure::Unavailable))),
    ("answer lost", |n| FaultPlan::none().fail_at(n, Fault::After(Failure::Unavailable))),
    ("full", |n| FaultPlan::none().full_from(n)),
    ("half deleted", |n| FaultPlan::none().fail_at(n, Fault::Half(Failure::Unavailable))),
    ("dies before", |n| FaultPlan::none().die_at(n, Moment::Before)),
    ("dies after", |n| FaultPlan::none().die_at(n, Moment::After)),
];

/// A volume `vol` at three points in two chains, the leftovers of a run that died, and what the next point would hold.
struct Past {
    world: World,
    store: Arc<MemoryStore>,
    made: Vec<Made>,
    next: Image,
}

impl Past {
    fn new(seed: u64, encrypted: bool) -> Past {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, encrypted).in_small_steps();
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        world.full_every = 2;
        let mut image = Image::mixed(seed, 9 * BLOCK + 5, BLOCK);
        // Incompressible, so that a pack has several parts.
        image.mutate(seed, BLOCK, 0.9);
        image
            .bytes
            .iter_mut()
            .zip(0_u32..)
            .for_each(|(byte, at)| *byte ^= (at.wrapping_mul(2_654_435_761) >> 13) as u8);
        let mut made = Vec::new();
        for step in 0..3 {
            made.push(world.make(&[("vol", &image)]));
            image.bytes[step * BLOCK] ^= 1;
        }
        let dying = FaultStore::new(
            store.clone(),
            FaultPlan::none().nth(Operation::CompleteUpload, 0, Fault::After(Failure::Unavailable)),
        );
        world.over(Arc::new(dying)).try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap_err();
        Past { world, store, made, next: image }
    }

    fn world_on(&self, store: Arc<MemoryStore>) -> World {
        self.world.over(store)
    }
}

/// What one operation reported under faults: points it says were made, and points that it may have forgotten.
#[derive(Default)]
struct Claim {
    made: Vec<Made>,
    forgotten: Vec<Id>,
}

type Job = fn(&World, &Past) -> Result<Claim, EngineError>;

/// Runs `job` with every fault at every step; the states that are left are held to everything that was ever reported.
fn check(past: &Past, name: &str, may_forget: &[Id], job: Job) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (fault, plan) in FAULTS {
        for step in 0.. {
            let store = copy_of(&past.store);
            let faulty = Arc::new(FaultStore::new(store.clone(), plan(step)));
            let result = job(&past.world.over(faulty.clone()), past);
            let context = format!("{name}, {fault} at step {step}");
            if faulty.steps() <= step && faulty.struck() == 0 {
                result.unwrap_or_else(|error| panic!("{context}: no fault, and {error}"));
                break;
            }
            let struck = if faulty.struck() > 0 { fault } else { "not struck" };
            let outcome = if result.is_ok() { "done" } else { "failed" };
            *counts.entry((struck, outcome)).or_default() += 1;
            check_after(past, store, result, may_forget, &context);
        }
    }
    println!("{name}: {counts:?}");
    for fault in ["refused", "answer lost", "dies before", "dies after"] {
        assert!(
            counts.get(&(fault, "failed")).is_some_and(|count| *count > 1),
            "{name}, {fault}: {counts:?}"
        );
    }
}

fn check_after(
    past: &Past,
    store: Arc<MemoryStore>,
    result: Result<Claim, EngineError>,
    may_forget: &[Id],
    context: &str,
) {
    let world = past.world_on(store);
    let claim = match result {
        Ok(claim) => {
            let listed = claim.forgotten.iter().filter(|id| world.find(**id).is_some()).count();
            assert_eq!(listed, 0, "{context}: what was reported forgotten is listed");
            claim
        }
        Err(error) => {
            let clear = matches!(
                error.advice(),
                Advice::Retry | Advice::Configure | Advice::Fenced | Advice::NotFound
            );
            assert!(clear, "{context}: {:?}: {error:?}", error.advice());
            // Who failed to forget may have forgotten; nobody else may.
            Claim { made: Vec::new(), forgotten: may_forget.to_vec() }
        }
    };
    let mut due: Vec<Made> =
        past.made.iter().filter(|made| !claim.forgotten.contains(&made.id)).cloned().collect();
    due.extend(claim.made);
    world.assert_all_restore(&due, context);
    assert_eq!(world.verify(true).problems, [], "{context}");
    let next = world.try_backup_of(TypeWish::Auto, &[("vol", &past.next)]);
    let next = next.unwrap_or_else(|error| panic!("{context}: the next backup: {error}"));
    due.push(Made::new(next.point, &[("vol", &past.next)]));
    for _ in 0..2 {
        run_prune(&world.repository(), &PruneRequest::default())
            .unwrap_or_else(|error| panic!("{context}: prune: {error}"));
    }
    world.assert_nothing_unneeded(context);
    world.assert_all_restore(&due, &format!("{context}, after prune"));
    assert_eq!(world.verify(true).problems, [], "{context}, after prune");
}

fn backup(wish: TypeWish) -> impl Fn(&World, &Past) -> Result<Claim, EngineError> {
    move |world, past| {
        let report = world.try_backup_of(wish, &[("vol", &past.next)])?;
        Ok(Claim { made: vec![Made::new(report.point, &[("vol", &past.next)])], ..Claim::default() })
    }
}

#[test]
fn a_full_backup_is_done_or_not_done() {
    check(&Past::new(1, true), "full", &[], |world, past| backup(TypeWish::Full)(world, past));
}

#[test]
fn an_incremental_backup_is_done_or_not_done() {
    check(&Past::new(2, true), "incremental", &[], |world, past| backup(TypeWish::Incremental)(world, past));
}

#[test]
fn a_backup_without_encryption_is_done_or_not_done() {
    check(&Past::new(3, false), "unencrypted", &[], |world, past| backup(TypeWish::Auto)(world, past));
}

#[test]
fn forget_gives_up_nothing_else() {
    let past = Past::new(4, false);
    let ids: Vec<Id> = past.made[..2].iter().map(|made| made.id).collect();
    check(&past, "forget", &ids, |world, past| {
        let ids: Vec<Id> = past.made[..2].iter().map(|made| made.id).collect();
        forget_points(&world.open()?, &ids, &Default::default(), false)?;
        Ok(Claim { forgotten: ids, ..Claim::default() })
    });
}

#[test]
fn prune_takes_nothing_that_is_needed() {
    let mut past = Past::new(5, false);
    let gone: Vec<Id> = past.made.drain(..2).map(|made| made.id).collect();
    forget_points(&past.world.repository(), &gone, &Default::default(), false).unwrap();
    check(&past, "prune", &[], |world, _| {
        run_prune(&world.open()?, &PruneRequest::default())?;
        Ok(Claim::default())
    });
}

#[test]
fn restore_writes_what_was_backed_up_or_fails() {
    check(&Past::new(6, true), "restore", &[], |world, past| {
        let repository = world.open()?;
        for made in &past.made {
            let point = coffer_engine::find_point(&repository, &Default::default(), made.id)?;
            world.restore_made(&point, made)?;
        }
        Ok(Claim::default())
    });
}

#[test]
fn a_hold_that_is_reported_holds() {
    check(&Past::new(7, false), "hold", &[], |world, past| {
        let repository = world.open()?;
        let made = &past.made[1];
        let point = coffer_engine::find_point(&repository, &Default::default(), made.id)?;
        hold(&repository, &point, "test")?;
        let refused = forget_points(&repository, &[made.id], &Default::default(), false);
        match refused {
            Ok(_) => panic!("a held point was forgotten"),
            Err(EngineError::Refused(_)) => Ok(Claim::default()),
            Err(error) => Err(error),
        }
    });
}

/// A fault is no clean bill: verify fails, or lists what it could not read.
#[test]
fn verify_never_calls_unread_objects_sound() {
    let past = Past::new(8, true);
    let mut struck = 0;
    // A lost "there is no such object" is no fault of the store's that anybody could see.
    for (fault, plan) in
        FAULTS.into_iter().filter(|(fault, _)| ["refused", "dies before", "dies after"].contains(fault))
    {
        for step in 0.. {
            let faulty = Arc::new(FaultStore::new(copy_of(&past.store), plan(step)));
            let result = past.world.over(faulty.clone()).try_verify(true);
            if faulty.struck() == 0 {
                assert_eq!(result.unwrap().problems, []);
                break;
            }
            struck += 1;
            let is_clean = result.is_ok_and(|report| report.problems.is_empty());
            assert!(!is_clean, "{fault} at step {step}");
        }
    }
    assert!(struck > 100, "{struck}");
}

/// A restore of every point, from opening the repository on; how many reads had to be repeated.
fn restore_all(world: &World, past: &Past) -> Result<u64, EngineError> {
    let repository = world.open()?;
    for made in &past.made {
        let point = coffer_engine::find_point(&repository, &Default::default(), made.id)?;
        let disk = Disk::filled(made.volumes[0].1.len(), 0xa5);
        let volume = RestoreVolume {
            name: "vol".parse().unwrap(),
            target: Some(Box::new(disk.clone())),
            label: "memory".into(),
            mode: RestoreMode::Write,
            write_all_zeroes: false,
        };
        let request = RestoreRequest { point: &point, volumes: vec![volume], progress: &Silent };
        let report = run_restore(&repository, &world.resources, &request)?;
        assert!(disk.bytes() == *made.volumes[0].1, "success, and the volume is not whole");
        assert!(report.rereads <= repository.reread_count());
    }
    Ok(repository.reread_count())
}

/// One bit flipped on the way, at every read: it is read again, and said so.
#[test]
fn an_answer_that_is_wrong_once_is_asked_for_again() {
    let past = Past::new(9, true);
    let (mut struck, mut healed) = (0, 0);
    for step in 0.. {
        let plan = FaultPlan::new(step).fail_at(step, Fault::Flip);
        let faulty = Arc::new(FaultStore::new(copy_of(&past.store), plan));
        let looks = restore_all(&past.world.over(faulty.clone()), &past)
            .unwrap_or_else(|error| panic!("flipped at step {step}: {error}"));
        if faulty.struck() == 0 {
            assert_eq!(looks, 0);
            break;
        }
        struck += 1;
        healed += looks;
    }
    println!("{struck} struck, {healed} read again");
    // The others are listings, questions whether something exists, and the pin: no bytes come back.
    assert!(healed >= 10 && healed <= struck, "{healed} of {struck}");
}

/// The same for verify: what was hurt on the way is no problem of what is stored.
#[test]
fn verify_asks_again_before_it_calls_anything_damaged() {
    let past = Past::new(10, true);
    let (mut struck, mut noticed) = (0, 0);
    for step in 0.. {
        let plan = FaultPlan::new(step).fail_at(step, Fault::Flip);
        let faulty = Arc::new(FaultStore::new(copy_of(&past.store), plan));
        let report = past.world.over(faulty.clone()).try_verify(true);
        let report = report.unwrap_or_else(|error| panic!("flipped at step {step}: {error}"));
        assert_eq!(report.problems, [], "flipped at step {step}");
        if faulty.struck() == 0 {
            break;
        }
        struck += 1;
        noticed += usize::from(report.notices.iter().any(|notice| notice.contains("right when repeated")));
    }
    println!("{struck} struck, {noticed} noticed");
    assert!(noticed > 15 && noticed <= struck, "{noticed} of {struck}");
}

/// What is wrong each time is damaged, and a wrong byte is never written.
#[test]
fn answers_that_are_wrong_each_time_are_not_believed() {
    let past = Past::new(11, true);
    let mut failed = 0;
    for step in 0.. {
        let plan = FaultPlan::new(step).burst(step..step + 1_000, Fault::Flip);
        let faulty = Arc::new(FaultStore::new(copy_of(&past.store), plan));
        let world = past.world.over(faulty.clone());
        let result = world.open().and_then(|repository| {
            past.made.iter().try_for_each(|made| {
                let point = coffer_engine::find_point(&repository, &Default::default(), made.id)?;
                world.restore_made(&point, made)
            })
        });
        if faulty.struck() == 0 {
            result.unwrap();
            break;
        }
        // The last steps read nothing that is checked.
        if let Err(error) = result {
            assert_eq!(error.advice(), Advice::Corrupt, "{error}");
            failed += 1;
        }
    }
    assert!(failed > 15, "{failed}");
}

/// One cut answer of the store, at every read: restore never writes what it was given.
#[test]
fn answers_that_are_cut_are_not_believed() {
    let past = Past::new(9, true);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for step in 0.. {
        let store = copy_of(&past.store);
        let faulty = Arc::new(FaultStore::new(store, FaultPlan::new(step).fail_at(step, Fault::Short)));
        let result = restore_all(&past.world.over(faulty.clone()), &past);
        if faulty.struck() == 0 {
            result.unwrap();
            break;
        }
        *counts.entry(if result.is_ok() { "exact" } else { "failed" }).or_default() += 1;
    }
    println!("{counts:?}");
    // Ranges are asked for again; configuration, manifest and chain key the store gives whole or not at all.
    assert!(counts["failed"] >= 3 && counts["exact"] > 3, "{counts:?}");
}
