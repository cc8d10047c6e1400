//! Deliberate faults. The simulation in `tests/sim` must find each of them: a proof that can't fail proves nothing.
//!
//! Without the feature `mutants` no fault can be switched on, and nothing is left of them in the program.

/// A guarantee that is broken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    // One.
    StartOverLive,
    ForgetRequest,
    ForgetRequestsAtRecovery,
    ForgetRequestsAtPurge,
    DequeueFromBack,
    CoalesceOldestWins,
    OverfillQueue,
    StartWithdrawn,
    // One worker.
    SkipLeaseWait,
    EndLeasesAtRecovery,
    ForgetLeaseAtPurge,
    HandOutSuspended,
    HandOutScheduled,
    DeliverWhileSuspended,
    DropPace,
    SweepLive,
    EndLeaseAtSweep,
    // Durable first.
    AnswerBeforeFlush,
    RejectBeforeFlush,
    ReadUncommitted,
    CarryOutBeforeFlush,
    NumberThenQueue,
    // Nothing lost.
    LoseRecord,
    ReuseArrivals,
    UnrememberReport,
    ForgetQueuedStart,
    LoseQueueAtRecovery,
    LeaveRowsAtPurge,
    SweepEarly,
    SweepByWallClock,
    LeaveOutlived,
    LoseTimersAtRecovery,
    LoseOffersAtRecovery,
    DropOffer,
    DropTimer,
    DropHandOut,
    DropClaimEnd,
    DropEvents,
    // Fenced.
    ReuseToken,
    StepBackAtRecovery,
    BelieveAnyProof,
    TakeReportAfterEnd,
    // Watch.
    SkipSequence,
    DropPublication,
    DropWithdrawal,
    DropPurge,
    KeepLifeAtRebirth,
    SubscribeLate,
    HideLag,
    HideGapAtResume,
    // Fail-stop.
    CarryOnAfterFailure,
    // Turns: what they schedule, and what instances tell each other.
    DropMessage,
    LoseMark,
    ForgetMarksAtRecovery,
    LoseOutboxAtRecovery,
    LoseTasksAtRecovery,
    DropTurnOffer,
    DropActivityOffer,
    KeepReleasedTurn,
    KeepLapsedTurn,
    TellFormerResults,
}

#[cfg(not(feature = "mutants"))]
impl Mutant {
    #[inline(always)]
    pub(crate) const fn is_on(self) -> bool {
        false
    }
}

/// What a thread is to do, with whatever fault is on in the one that starts it.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) const fn carry<T>(what: T) -> T {
    what
}

#[cfg(feature = "mutants")]
pub(crate) use switch::carry;
#[cfg(feature = "mutants")]
pub use switch::with;

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Does something with a fault switched on, in this thread.
    pub fn with<T>(mutant: Mutant, what: impl FnOnce() -> T) -> T {
        ON.set(Some(mutant));
        let done = what();
        ON.set(None);
        done
    }

    pub(crate) fn carry<T>(what: impl FnOnce() -> T) -> impl FnOnce() -> T {
        let on = ON.get();
        move || {
            ON.set(on);
            what()
        }
    }

    impl Mutant {
        pub const ALL: [Mutant; 51] = [
            Mutant::StartOverLive,
            Mutant::ForgetRequest,
            Mutant::ForgetRequestsAtRecovery,
            Mutant::ForgetRequestsAtPurge,
            Mutant::DequeueFromBack,
            Mutant::CoalesceOldestWins,
            Mutant::OverfillQueue,
            Mutant::StartWithdrawn,
            Mutant::SkipLeaseWait,
            Mutant::EndLeasesAtRecovery,
            Mutant::ForgetLeaseAtPurge,
            Mutant::HandOutSuspended,
            Mutant::HandOutScheduled,
            Mutant::DeliverWhileSuspended,
            Mutant::DropPace,
            Mutant::SweepLive,
            Mutant::EndLeaseAtSweep,
            Mutant::AnswerBeforeFlush,
            Mutant::RejectBeforeFlush,
            Mutant::ReadUncommitted,
            Mutant::CarryOutBeforeFlush,
            Mutant::NumberThenQueue,
            Mutant::LoseRecord,
            Mutant::ReuseArrivals,
            Mutant::UnrememberReport,
            Mutant::ForgetQueuedStart,
            Mutant::LoseQueueAtRecovery,
            Mutant::LeaveRowsAtPurge,
            Mutant::SweepEarly,
            Mutant::SweepByWallClock,
            Mutant::LeaveOutlived,
            Mutant::LoseTimersAtRecovery,
            Mutant::LoseOffersAtRecovery,
            Mutant::DropOffer,
            Mutant::DropTimer,
            Mutant::DropHandOut,
            Mutant::DropClaimEnd,
            Mutant::DropEvents,
            Mutant::ReuseToken,
            Mutant::StepBackAtRecovery,
            Mutant::BelieveAnyProof,
            Mutant::TakeReportAfterEnd,
            Mutant::SkipSequence,
            Mutant::DropPublication,
            Mutant::DropWithdrawal,
            Mutant::DropPurge,
            Mutant::KeepLifeAtRebirth,
            Mutant::SubscribeLate,
            Mutant::HideLag,
            Mutant::HideGapAtResume,
            Mutant::CarryOnAfterFailure,
        ];

        /// Those that the simulation, which has no turns, can't find: `tests/engine/turns` does.
        pub const OF_TURNS: [Mutant; 10] = [
            Mutant::DropMessage,
            Mutant::LoseMark,
            Mutant::ForgetMarksAtRecovery,
            Mutant::LoseOutboxAtRecovery,
            Mutant::LoseTasksAtRecovery,
            Mutant::DropTurnOffer,
            Mutant::DropActivityOffer,
            Mutant::KeepReleasedTurn,
            Mutant::KeepLapsedTurn,
            Mutant::TellFormerResults,
        ];

        pub(crate) fn is_on(self) -> bool {
            ON.get() == Some(self)
        }
    }
}
