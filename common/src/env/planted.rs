//! Planted bugs: each is a mistake that the code could have, switched on by the simulation, which has to find it.
//!
//! In a release build [`planted`] is `false` and nothing of this is left.

use std::cell::Cell;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The log is written and not synced before it is acknowledged.
    MissingFsync,
    /// A commit is answered when it has its LSN, before it is durable.
    EarlyAcknowledgement,
    /// A leader gives read LSNs without making sure that it still leads.
    StaleLease,
    /// Whoever gets a lock from a commit on its way to the disk is not told what that commit wrote.
    LostHandOver,
    /// The lock of a transaction that commits stays in the lock table.
    LockNotPassedOn,
    /// The sequencer accepts whatever comes.
    ConflictCheckOff,
    /// A new leader begins with an empty conflict window.
    WindowForgotten,
    /// What depends on ranges or versions of an earlier leader is accepted by a later one.
    OldTermAccepted,
    /// A commit goes past locks that somebody else holds.
    LocksNotHonoured,
    /// Recovery takes a record whose body does not match its checksum.
    TornTailAccepted,
    /// A commit that comes twice is carried out twice.
    DuplicateApply,
    /// A new leader does not know the outcomes of earlier commits.
    OutcomesForgotten,
    /// A new leader begins its counters anew.
    CountersForgotten,
    /// A value of a counter is given before the log says that it is taken.
    ReservationNotAwaited,
    /// A new leader does not hold the locks of prepared transactions.
    PreparedLocksForgotten,
    /// A vote is given and not written down.
    VoteNotSaved,
    /// What a leader has written is archived before it is committed.
    UncommittedArchived,
    /// A page server answers at an LSN that it has not applied.
    ReadBelowApplied,
    /// A manifest replaces one of the same number.
    ManifestOverwrites,
    /// A page server reports as durable what it has only applied.
    DurableTooEarly,
}

impl Bug {
    pub const ALL: [Bug; 20] = [
        Bug::MissingFsync,
        Bug::EarlyAcknowledgement,
        Bug::StaleLease,
        Bug::LostHandOver,
        Bug::LockNotPassedOn,
        Bug::ConflictCheckOff,
        Bug::WindowForgotten,
        Bug::OldTermAccepted,
        Bug::LocksNotHonoured,
        Bug::TornTailAccepted,
        Bug::DuplicateApply,
        Bug::OutcomesForgotten,
        Bug::CountersForgotten,
        Bug::ReservationNotAwaited,
        Bug::PreparedLocksForgotten,
        Bug::VoteNotSaved,
        Bug::UncommittedArchived,
        Bug::ReadBelowApplied,
        Bug::ManifestOverwrites,
        Bug::DurableTooEarly,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Makes the code that runs on this thread have `bug`, and no other.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether the code that runs on this thread is to have `bug`.
pub fn planted(bug: Bug) -> bool {
    cfg!(debug_assertions) && PLANTED.get() == Some(bug)
}
