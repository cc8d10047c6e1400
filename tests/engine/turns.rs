//! Executions that are run in turns: whatever their workers do and whenever the server dies, what one instance tells
//! another arrives exactly once, nothing waits for ever, and the rows are those that the instances refer to.

mod book;
mod crowd;
mod growth;
mod house;
#[cfg(feature = "mutants")]
mod mutants;
mod player;
mod rows;
mod unwilling;

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use soloist::{
    core::partitioning::PartitionId,
    engine::Refusal,
    store::{Batch, Store, Table, Write},
};

use house::{House, Op};

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any::<u64>().prop_map(Op::Turn),
        5 => any::<u16>().prop_map(Op::Activity),
        4 => Just(Op::Flush),
        4 => any::<u8>().prop_map(Op::CarryOut),
        3 => Just(Op::Settle),
        3 => (0..4_u8).prop_map(Op::Pass),
        2 => any::<u8>().prop_map(Op::Suspend),
        3 => any::<u8>().prop_map(Op::Resume),
        2 => any::<u16>().prop_map(Op::Abandon),
        2 => any::<u16>().prop_map(Op::Forget),
        1 => Just(Op::Leave),
        3 => any::<u8>().prop_map(Op::Raise),
        1 => any::<u8>().prop_map(Op::Terminate),
        1 => any::<u8>().prop_map(Op::Purge),
        2 => any::<u8>().prop_map(Op::Start),
        2 => Just(Op::Crash),
        1 => any::<bool>().prop_map(Op::Fail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_said_arrives_once_and_nothing_waits_for_ever(ops in proptest::collection::vec(any_op(), 1..150)) {
        let mut house = House::new();
        ops.into_iter().for_each(|op| house.act(op));
        house.come_to_rest();
    }
}

/// A life with turns, activities, timers, children, events and their messages: long enough that each of them is under
/// way at some step.
fn a_life() -> Vec<Op> {
    (0..16_u16)
        .flat_map(|n| {
            let seed = u64::from(n) * 7_919 + 1;
            [Op::Turn(seed), Op::Flush, Op::CarryOut(2), Op::Turn(seed + 3), Op::Activity(n), Op::Raise(n as u8)]
        })
        .collect()
}

/// The same life, and at this step the store fails, with or without having written what it was to write.
fn live_with_a_failure(life: &[Op], at: usize, applied: bool) {
    let mut house = House::new();
    life[..at].iter().cloned().for_each(|op| house.act(op));
    house.act(Op::Fail(applied));
    life[at..].iter().cloned().for_each(|op| house.act(op));
    house.come_to_rest();
}

#[test]
fn a_store_that_fails_at_any_step_ends_it_and_all_that_was_durable_is_done_once() {
    let life = a_life();
    for at in 0..life.len() {
        [false, true].into_iter().for_each(|applied| live_with_a_failure(&life, at, applied));
    }
}

/// An activity whose row was gone was handed out, not told, taken back and handed out again, as fast as it went.
#[test]
fn an_activity_whose_row_is_lost_is_known_for_damaged() {
    let mut house = House::new();
    house.schedule_one_activity();
    house.act(Op::Crash);
    // The row with the latest number is what schedules it.
    let claims = house.memory.claim(&PartitionId::all().collect::<Vec<_>>()).expect("claimed");
    let rows = house.memory.scan(Table::History, None, 100).expect("rows");
    let key = rows.last().expect("a history").key;
    let claim = claims.iter().find(|claim| claim.partition == house.partition_of_first()).expect("all are claimed");
    let write = Write::Delete { table: Table::History, key };
    let (partition, epoch, revision) = (claim.partition, claim.epoch, claim.revision);
    let batch = Batch { partition, epoch, sequence: claim.sequence + 1, revision, writes: vec![write] };
    house.memory.commit(&[batch]).expect("committed");
    house.act(Op::Crash);
    let activity = house.activity_at_hand();
    let told = house.told(&activity).map(|content| content.is_some());
    assert!(matches!(told, Err(Refusal::Damaged(_))), "{told:?}");
}

/// The results of the former execution took all the room of the turns of the next: such a turn told nothing at all,
/// which some SDKs take for an error.
#[test]
fn no_turn_tells_nothing_however_much_a_former_execution_has_left() {
    let mut house = House::new();
    house.go_on_after_timers(2_500);
    house.come_to_rest();
}
