use coffer_api::{Chain, LabelSelector, Schedule, Selection};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::*;

fn spec(cron: &str) -> ContinuityPlanSpec {
    ContinuityPlanSpec {
        location: "main".into(),
        select: Selection { claims: Some(LabelSelector::default()), ..Selection::default() },
        schedule: Some(Schedule {
            cron: cron.into(),
            time_zone: "UTC".into(),
            jitter_seconds: 0,
            starting_deadline_seconds: None,
        }),
        suspend: false,
        trigger: None,
        chain: Chain::default(),
        retention: None,
        objectives: None,
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A plan in simulated time.
struct Plan {
    spec: ContinuityPlanSpec,
    memory: Memory,
}

impl Plan {
    fn new(cron: &str) -> Plan {
        Plan { spec: spec(cron), memory: Memory::default() }
    }

    fn step(&mut self, now: &str, is_running: bool) -> Option<String> {
        self.step_at(time(now), is_running).begin.map(|begin| begin.name)
    }

    fn step_at(&mut self, now: Timestamp, is_running: bool) -> Decision {
        let slots = self.spec.schedule.as_ref().map(|schedule| Slots::parse(schedule, "uid").unwrap());
        let seen = Seen { name: "web", spec: &self.spec, slots: slots.as_ref(), is_running, now };
        let decision = decide(&seen, &self.memory);
        // Killed before the status was written, it decides the same.
        assert_eq!(decide(&seen, &self.memory), decision);
        self.memory = decision.memory.clone();
        decision
    }
}

#[test]
fn nothing_runs_when_a_plan_is_made_and_each_slot_runs_once() {
    let mut plan = Plan::new("0 * * * *");
    assert_eq!(plan.step("2026-01-01T00:30:00Z", false), None);
    assert_eq!(plan.step("2026-01-01T00:59:59Z", false), None);
    assert_eq!(plan.step("2026-01-01T01:00:00Z", false), Some("web-20260101-010000".into()));
    assert_eq!(plan.step("2026-01-01T01:00:01Z", false), None);
    assert_eq!(plan.step("2026-01-01T02:00:05Z", false), Some("web-20260101-020000".into()));
    assert_eq!(plan.memory.missed_slots, 0);
}

#[test]
fn slots_that_pass_while_a_run_is_at_work_become_one() {
    let mut plan = Plan::new("0 * * * *");
    plan.step("2026-01-01T00:30:00Z", false);
    assert!(plan.step("2026-01-01T01:00:00Z", false).is_some());
    assert_eq!(plan.step("2026-01-01T02:00:00Z", true), None);
    assert_eq!(plan.step("2026-01-01T04:00:00Z", true), None);
    assert_eq!(plan.step("2026-01-01T04:20:00Z", false), Some("web-20260101-040000".into()));
    assert_eq!(plan.memory.missed_slots, 2);
    assert_eq!(plan.step("2026-01-01T04:21:00Z", false), None);
}

#[test]
fn a_suspended_plan_does_not_catch_up() {
    let mut plan = Plan::new("0 * * * *");
    plan.step("2026-01-01T00:30:00Z", false);
    plan.spec.suspend = true;
    assert_eq!(plan.step("2026-01-01T05:00:00Z", false), None);
    plan.spec.suspend = false;
    assert_eq!(plan.step("2026-01-01T05:30:00Z", false), None);
    assert_eq!(plan.step("2026-01-01T06:00:00Z", false), Some("web-20260101-060000".into()));
    assert_eq!(plan.memory.missed_slots, 0);
}

#[test]
fn a_slot_past_its_deadline_is_left_out() {
    let mut plan = Plan::new("0 * * * *");
    plan.spec.schedule.as_mut().unwrap().starting_deadline_seconds = Some(600);
    plan.step("2026-01-01T00:30:00Z", false);
    assert_eq!(plan.step("2026-01-01T01:10:01Z", false), None);
    assert_eq!(plan.memory.missed_slots, 1);
    assert_eq!(plan.step("2026-01-01T02:10:00Z", false), Some("web-20260101-020000".into()));
}

#[test]
fn a_trigger_makes_one_run_also_while_suspended() {
    let mut plan = Plan::new("0 * * * *");
    plan.spec.suspend = true;
    plan.spec.trigger = Some("before the upgrade".into());
    let name = plan.step("2026-01-01T00:30:00Z", false).unwrap();
    assert!(name.starts_with("web-t1-"), "{name}");
    assert_eq!(plan.step("2026-01-01T00:30:01Z", false), None);
    plan.spec.trigger = Some("and again".into());
    assert_eq!(plan.step("2026-01-01T00:30:02Z", true), None);
    let other = plan.step("2026-01-01T00:30:03Z", false).unwrap();
    assert_ne!(name, other);
    plan.spec.trigger = Some("before the upgrade".into());
    let again = plan.step("2026-01-01T00:30:04Z", false).unwrap();
    assert!(again != name && again != other, "the first word again makes a run of its own");
}

#[test]
fn a_trigger_at_a_slot_makes_one_run_for_both() {
    let mut plan = Plan::new("0 * * * *");
    plan.step("2026-01-01T00:30:00Z", false);
    plan.spec.trigger = Some("now".into());
    let decision = plan.step_at(time("2026-01-01T01:00:00Z"), false);
    assert!(decision.begin.unwrap().name.starts_with("web-t1-"));
    assert_eq!(plan.step("2026-01-01T01:00:01Z", false), None);
    assert_eq!(plan.memory.missed_slots, 0);
}

#[test]
fn a_plan_wakes_up_for_its_next_run() {
    let mut plan = Plan::new("0 * * * *");
    let decision = plan.step_at(time("2026-01-01T00:59:00Z"), false);
    assert_eq!(decision.wake_after, Duration::from_secs(60));
    assert_eq!(decision.next_run, Some(time("2026-01-01T01:00:00Z")));
    plan.spec.schedule = None;
    assert_eq!(plan.step_at(time("2026-01-01T01:00:00Z"), false).wake_after, WAKE_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Three months of an hourly plan whose controller looks when it likes, with runs that take their time.
    #[test]
    fn every_slot_is_served_or_counted_as_missed(steps in proptest::collection::vec((1_i64..400, any::<bool>()), 200)) {
        let mut plan = Plan::new("0 * * * *");
        let mut now = time("2026-02-01T00:30:00Z");
        plan.step_at(now, false);
        let (mut served, mut is_running) = (0_i64, false);
        for (minutes, ends) in steps {
            now += SignedDuration::from_mins(minutes);
            is_running = is_running && !ends;
            if let Some(begin) = plan.step_at(now, is_running).begin {
                prop_assert!(!is_running);
                prop_assert!(begin.slot.unwrap() <= now);
                served += 1;
                is_running = true;
            }
        }
        plan.step_at(now, false).begin.into_iter().for_each(|_| served += 1);
        let hours = now.duration_since(time("2026-02-01T00:00:00Z")).as_hours();
        prop_assert_eq!(served + plan.memory.missed_slots, hours);
    }
}
