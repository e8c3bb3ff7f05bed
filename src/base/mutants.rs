//! Bugs that can be put back in on purpose, to see whether the simulator finds them: each breaks one rule of
//! docs/engine-rules.md, or repeats a bug of docs/regressions.md.
//!
//! The place of a bug in the code asks [`Mutant::is_in`]. Without the cargo feature `mutants` that is `false` while
//! compiling, so the place disappears and nothing can put a bug into a production binary. With the feature
//! `holdfast sim --mutant NAME` puts one in, and `scripts/mutants` demands that the simulator finds every one.
//!
//! Invariant: at most one is in, chosen before the first seed runs. It is the one global of this crate: handed down as
//! an argument, it would pass through production code that must not know it.

/// Declares the list: variant, the rules and regressions it breaks, and what the bug is.
macro_rules! mutants {
    ($($variant:ident, $breaks:literal, $what:literal;)*) => {
        /// A known bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $what] $variant,)*
        }

        impl Mutant {
            /// All of them, by layer from the log to the clients.
            pub const ALL: &[Mutant] = &[$(Mutant::$variant),*];

            /// The rules (by number) and regressions (by id) that it breaks.
            pub const fn breaks(self) -> &'static str {
                match self {
                    $(Mutant::$variant => $breaks,)*
                }
            }

            /// The bug in one sentence.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Mutant::$variant => $what,)*
                }
            }
        }
    };
}

mutants! {
    // store: the log's twin in memory, generations, the record cache, the overlay
    FailedLogWriteCountsAsDone, "5", "A failed write or sync of the log is reported as done.";
    WrittenCountsAsPersisted, "18", "The state database calls durable what is only written.";
    RemovedRangesStayBelow, "17", "A generation goes down without the ranges that it removed.";
    CopiesOutliveTheirState, "38", "Snapshots, removed ranges and leader changes leave the cached records as they are.";
    CopiesAreNotUpdated, "38", "What is written below the cache leaves the cached record as it was.";
    LateFillOverwrites, "38", "A lookup that was overtaken by a write fills the cache with what it read before.";
    AppliedEntryHidesLaterOnes, "26", "Once an entry is applied, later ones of the same record are forgotten.";

    // group: consensus
    FollowersAnswerBeforeFsync, "1", "Followers promise what their disk does not have yet.";
    LeaderCommitsBeforeFsync, "1, E1", "A leader counts its own copy of an entry before its fsync.";
    UnsyncedEntriesAreForgotten, "3, R18", "Entries leave memory before the log holds them.";
    VoteIsNotWritten, "4, R19", "The vote is not written.";
    HardStateIsLeftOut, "4, R19", "Log batches lack term, vote and commit index.";
    LostSnapshotIsNotReported, "11, T9", "Nobody tells the leader that a snapshot was lost.";
    CommitIsNotRaised, "16", "After a restart the commit index may be below the applied one.";
    StateAheadIsNotRepaired, "16, R13", "A replica whose state is ahead of its log starts from the log as it is.";
    LogIsCutAboveTheState, "18, E2", "The log is cut at the applied index, flushed or not.";
    SnapshotAcknowledgedEarly, "20, R13", "A snapshot is acknowledged before it is installed.";
    LogIsResetBeforeTheState, "20, R13", "The log is reset to a snapshot before the state is replaced.";
    ServesBeforeTheFirstEntry, "32, T2", "A new leader answers reads before an entry of its term is committed.";
    LeaseFromNewestRound, "33", "A late answer renews the lease from the newest round that was sent.";
    LeaseKeptAfterTransfer, "33, T3", "A leader that took a transfer back uses leases again.";
    TransferIgnoresTheMachine, "33, T3", "A successor is asked to campaign while the machine may use the lease.";
    LeaseIsNotWaitedFor, "34, T6", "A new leader serves at once, although its predecessor's lease may last.";
    EndedLeaseEndsAll, "33, 34", "The lease that one transfer ended counts as the end of every other term's.";
    RestartForgetsTheLease, "34", "A voter that restarted says that it never acknowledged anything.";
    ReadContextsAreReused, "36, T1", "All quorum rounds for reads have the same context.";

    // host: many groups
    RefusedGenerationGoesOn, "26, T13", "After a refused proposal, later ones that were evaluated on it are appended.";
    RegistrationIsAskedForOnce, "E4", "A node that asked once to be registered believes that it is.";

    // machine: evaluation and apply
    AppliedIndexAlone, "17, E2", "The record that says how far the state is does not travel with its mutations.";
    ReplicasApplyTheirClock, "23", "What is applied depends on the clock of the replica.";
    EvaluatesBeforeOwnFirstEntry, "25, 32, R5", "A new leader evaluates before all that was committed is applied.";
    DroppedOverlayIsKept, "26, T13", "After a refused proposal, evaluation goes on with its effects.";
    CountsSurviveARefusal, "26", "After a refused proposal, keys are counted on from where it left the counts.";
    AnswersWhenProposed, "27, R2", "Replies leave when an entry is appended, not when it is applied.";
    ReadsBeforeTheirEntry, "27", "A read is answered before the entry that it observed is applied.";
    ReadsAreNotConfirmed, "27", "Answers to what changed nothing leave without lease or quorum round.";
    RunningRoundConfirms, "27, 36", "A quorum round confirms what was evaluated after it began.";
    IndexWithoutTerm, "29", "An answer stands when any entry is applied at its index, whatever the term.";
    OrphansAreNotWaitedFor, "29", "Who takes a transfer back evaluates before its entries of before are applied.";
    MachineDeniesDoubt, "30, J2", "Where a snapshot passed over an entry, the machine says that it did not run.";
    RepliesAreNotStored, "31, J1", "A numbered batch leaves no reply behind: sent again, it runs again.";
    LateDuplicatesRun, "31, J1", "A batch that was acknowledged and arrives once more runs once more.";
    StampsGoBack, "39", "A leader stamps entries with its own clock alone.";
    WatchesOutliveTheirLeader, "R8", "A watch of an earlier leader still counts.";
    ServedWaitersAreForgotten, "31, J1", "Who was served after a wait leaves no reply behind: asked again, it takes once more.";
    WaitersAreParkedTwice, "31, J1", "A waiting command that arrives once more waits beside its copy, and both are served.";
    OnlyTheLeaderTells, "23", "Replicas that follow hand nobody what entries say to who listens.";

    // data: what ends when
    ExpiresByTheLocalClock, "24, 39", "A local read calls a key gone when its own clock says so.";
    EndsWithoutDeletion, "39", "A leader calls a key gone without deleting it in the log.";
    DeadlinesStayIndexed, "39", "A deadline that is replaced stays in the index.";

    // service: forwarding
    ForwarderDeniesDoubt, "30, J2", "A numbered batch in doubt ends as CLUSTERDOWN when its time is over.";
    OwnDoubtIsDenied, "30, R7", "A write at the own machine ends as CLUSTERDOWN when its time is over.";
    DoubtIsForgotten, "30, J1", "After a broken connection a batch counts as never sent and gets another number.";
    OwnDoubtRunsAgain, "30, J1", "What the own machine cannot tell the fate of is submitted again.";
    BlocksAreNotNumbered, "31, J1", "Transactions are forwarded without a number, like reads.";
    SharesAreShifted, "R9", "The replies of a client that gave up go to the next one.";
}

impl Mutant {
    /// Whether this bug is in.
    #[cfg(not(feature = "mutants"))]
    #[inline(always)]
    pub const fn is_in(self) -> bool {
        false
    }

    /// Whether this bug is in.
    #[cfg(feature = "mutants")]
    #[inline(always)]
    pub fn is_in(self) -> bool {
        CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == self as usize
    }

    /// Puts this bug in, for the rest of the process.
    #[cfg(feature = "mutants")]
    pub fn put_in(self) {
        CHOSEN.store(self as usize, std::sync::atomic::Ordering::Relaxed);
    }

    /// The name on the command line: the variant's, in words with hyphens.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Mutant> {
        Mutant::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }
}

// The places of bugs are decided while compiling, or this would not be.
#[cfg(not(feature = "mutants"))]
const _: () = assert!(!Mutant::ALL[0].is_in());

/// The bug that is in; a number that no bug has, for none.
#[cfg(feature = "mutants")]
static CHOSEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_find_their_bug() {
        assert_eq!(Mutant::ReadContextsAreReused.name(), "read-contexts-are-reused");
        assert!(Mutant::ALL.iter().all(|mutant| Mutant::named(&mutant.name()) == Some(*mutant)));
        assert_eq!(Mutant::named("none-of-them"), None);
    }

    #[test]
    fn none_is_in_unless_it_was_put_in() {
        assert!(Mutant::ALL.iter().all(|mutant| !mutant.is_in()));
    }
}
