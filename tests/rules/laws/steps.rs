//! The steps of a random life.

use proptest::prelude::*;
use soloist::core::policy::{ConflictPolicy, Replaceable};

/// A step of a life: how long it takes, and what happens then.
#[derive(Clone, Debug)]
pub struct Step {
    pub lapse: Lapse,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Lapse {
    Micros(i64),
    /// Until something is due, and so many microseconds more or less.
    UntilDue(i64),
    /// The wall clock is set by so much.
    WallSet(i64),
}

#[derive(Clone, Debug)]
pub enum Action {
    Start {
        policy: ConflictPolicy,
        replaceable: Replaceable,
        request: Option<(u8, u8)>,
        function: u8,
        max_queue: u32,
        signals: bool,
        /// How far ahead it is scheduled.
        ahead: Option<i64>,
    },
    Restart {
        expected: Expected,
        request: Option<(u8, u8)>,
    },
    Raise(Expected),
    Suspend(Expected),
    Resume(Expected),
    Terminate(Expected),
    Withdraw(Which),
    Purge(Expected),
    Grant {
        other: bool,
        ttl: i64,
    },
    Report {
        by: By,
        body: Body,
    },
    Renew(By),
    TakeBack(By),
    Lengthen(i64),
    Tick,
    /// The timers do what is due.
    Fire,
    /// Another server takes over.
    TakeOver,
}

#[derive(Clone, Copy, Debug)]
pub enum Expected {
    Any,
    Current,
    Other,
}

/// Which execution is named.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    Current,
    /// The n-th in the queue, from 0.
    Waiting(usize),
    Other,
}

/// Whose proof is shown: that of the n-th newest grant, perhaps with another secret.
#[derive(Clone, Copy, Debug)]
pub struct By {
    pub grants_ago: usize,
    pub forged: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Body {
    Accept,
    Progress(bool),
    Acked(u64),
    Completed,
    Failed { non_retriable: bool },
    Continue,
    Stopped,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (lapse(), action()).prop_map(|(lapse, action)| Step { lapse, action });
    proptest::collection::vec(step, 1..60)
}

fn lapse() -> impl Strategy<Value = Lapse> {
    prop_oneof![
        6 => (0..100_000_i64).prop_map(Lapse::Micros),
        2 => (0..20_000_000_i64).prop_map(Lapse::Micros),
        1 => (0..90_000_000_000_i64).prop_map(Lapse::Micros),
        4 => (-1..2_i64).prop_map(Lapse::UntilDue),
        1 => (-10_000_000_000..10_000_000_000_i64).prop_map(Lapse::WallSet),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let by = || {
        let grants_ago = prop_oneof![8 => Just(0_usize), 1 => 1..4_usize];
        (grants_ago, prop::bool::weighted(0.1)).prop_map(|(grants_ago, forged)| By { grants_ago, forged })
    };
    let policy = prop_oneof![
        2 => Just(ConflictPolicy::Fail),
        1 => Just(ConflictPolicy::UseExisting),
        2 => Just(ConflictPolicy::Replace),
        4 => Just(ConflictPolicy::Queue),
        2 => Just(ConflictPolicy::Coalesce),
    ];
    let replaceable =
        prop_oneof![8 => Just(Replaceable::ALL), 1 => Just(Replaceable::LIVE), 1 => Just(Replaceable::NONE)];
    let ids = || proptest::option::weighted(0.4, (0..4_u8, 0..2_u8));
    let ahead = proptest::option::weighted(0.2, -1_000_000..50_000_000_i64);
    let start = (policy, replaceable, ids(), 0..3_u8, 1..4_u32, any::<bool>(), ahead).prop_map(
        |(policy, replaceable, request, function, max_queue, signals, ahead)| Action::Start {
            policy,
            replaceable,
            request,
            function,
            max_queue,
            signals,
            ahead,
        },
    );
    let body = prop_oneof![
        4 => Just(Body::Accept),
        1 => any::<bool>().prop_map(Body::Progress),
        2 => (0..12_u64).prop_map(Body::Acked),
        1 => Just(Body::Completed),
        2 => prop::bool::weighted(0.2).prop_map(|non_retriable| Body::Failed { non_retriable }),
        1 => Just(Body::Continue),
        2 => Just(Body::Stopped),
    ];
    let expected = || prop_oneof![4 => Just(Expected::Any), 1 => Just(Expected::Current), 1 => Just(Expected::Other)];
    let grant = (prop::bool::weighted(0.1), 1..20_000_000_i64).prop_map(|(other, ttl)| Action::Grant { other, ttl });
    let which =
        prop_oneof![1 => Just(Which::Current), 3 => (0..3_usize).prop_map(Which::Waiting), 1 => Just(Which::Other)];
    let restart = (expected(), ids()).prop_map(|(expected, request)| Action::Restart { expected, request });
    prop_oneof![
        6 => start,
        1 => restart,
        2 => expected().prop_map(Action::Raise),
        1 => expected().prop_map(Action::Suspend),
        1 => expected().prop_map(Action::Resume),
        1 => expected().prop_map(Action::Terminate),
        1 => which.prop_map(Action::Withdraw),
        2 => expected().prop_map(Action::Purge),
        6 => grant,
        8 => (by(), body).prop_map(|(by, body)| Action::Report { by, body }),
        2 => by().prop_map(Action::Renew),
        1 => by().prop_map(Action::TakeBack),
        1 => (1..30_000_000_i64).prop_map(Action::Lengthen),
        2 => Just(Action::Tick),
        5 => Just(Action::Fire),
        1 => Just(Action::TakeOver),
    ]
}
