//! Stories about a leader: a few faults, timed against each other, at the one place and moment where a broken rule
//! would show. Chance alone hardly ever makes them: a vote right after a voter's restart, a transfer whose message
//! arrives after the leader took it back, a leader that hears nobody while everybody hears it.
//!
//! A drama is drawn with the plan and staged when its time comes, around whoever leads then. Meanwhile clients hurry
//! and every node has readers, so that an answer that should not have been given is given to somebody.

use std::time::Duration;

use super::clock::WALL_OFFSET_MS_MAX;
use super::network::{Cut, Weather};
use super::plan::Fault;
use crate::base::{GroupId, NodeId, Rng};

/// A kind of story. Each names the rule of `docs/architecture.md` that it was written for; it serves others as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drama {
    /// The leader is alone, and goes on answering for as long as it believes to lead (rules 27, 32, 35).
    Alone,
    /// Nobody hears the leader, which hears everybody.
    Mute,
    /// The leader hears nobody, but its entries arrive: they are committed by its successor, and when it hears again
    /// it has to be sent a snapshot that covers them (rules 29, 30).
    Deaf,
    /// The leader is stopped for longer than its lease (rule 35).
    Stopped,
    /// One follower is cut off and campaigns; the other voters restart, forget that there is a leader, and elect it
    /// while the leader's lease lasts (rule 34).
    ForgetfulVoters,
    /// The successor of a transfer is stopped; it campaigns when the leader has taken the transfer back and leads
    /// on, and the leader does not learn of it (rule 33).
    LateSuccessor,
    /// A transfer comes to nothing while entries of the same term are on their way (rules 26, 29).
    FailedTransfer,
    /// The leader dies with entries that its followers have and whose acknowledgements it never saw.
    LostAcknowledgements,
    /// A majority dies for longer than a client waits, the leader with it or not (rule 30).
    LostMajority,
    /// A leader with a fast wall clock is followed by one with a slow one (rules 24, 39).
    SlowerClock,
    /// The leader's raft worker is not scheduled between two of its effects (rule 37).
    Preempted,
    /// The leader's raft worker is not scheduled after it asked a successor to campaign and before its machine hears of
    /// it (rule 33).
    HalfTold,
    /// Leadership goes to a follower and back, again and again: who leads anew remembers what it knew before.
    BackAndForth,
    /// A follower is cut off until only a snapshot helps; it leads as soon as it has it, or dies while it installs it
    /// (rules 16, 20, 31, 38).
    LeftBehind,
    /// Answers reach the leader ever later, and then it is not heard any more: it is deposed while answers to what it
    /// sent before still arrive (rules 27, 33, 36).
    LateAnswers,
    /// A few batches of one follower take long; meanwhile they ran elsewhere, were answered and acknowledged, and their
    /// receiver leads again when they arrive (rule 31).
    LateBatches,
    /// The leader dies, and of the others only one has all that was acknowledged: it leads, and holds a lease, long
    /// before the voters that it has to bring up to date let it commit anything (rule 32).
    LaggingVoters,
    /// Two followers campaign at the same time over slow links, and the third voter, which was the leader, restarts
    /// again and again between its answers (rule 4).
    ForgottenVotes,
    /// Who was handed the leadership and gave it back is elected later, while the lease of its successor lasts: what
    /// ended in the term of the hand-over says nothing of this one (rules 33, 34).
    OldHandOver,
}

/// All of them, with the name under which coverage counts them.
pub const DRAMAS: &[(Drama, &str)] = &[
    (Drama::Alone, "leader alone"),
    (Drama::Mute, "leader mute"),
    (Drama::Deaf, "leader deaf"),
    (Drama::Stopped, "leader stopped"),
    (Drama::ForgetfulVoters, "forgetful voters"),
    (Drama::LateSuccessor, "late successor"),
    (Drama::FailedTransfer, "failed transfer"),
    (Drama::LostAcknowledgements, "lost acknowledgements"),
    (Drama::LostMajority, "lost majority"),
    (Drama::SlowerClock, "slower clock"),
    (Drama::Preempted, "leader preempted"),
    (Drama::HalfTold, "machine not told"),
    (Drama::BackAndForth, "back and forth"),
    (Drama::LeftBehind, "left behind"),
    (Drama::LateAnswers, "late answers"),
    (Drama::LateBatches, "late batches"),
    (Drama::LaggingVoters, "lagging voters"),
    (Drama::ForgottenVotes, "forgotten votes"),
    (Drama::OldHandOver, "old hand-over"),
];

/// Who plays.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The group that it is about.
    pub group: GroupId,
    /// Its leader.
    pub leader: NodeId,
    /// Everybody else, at least one.
    pub followers: Vec<NodeId>,
}

/// The faults of a drama, each with its delay from now. Clients hurry from now on; the first fault leaves them a
/// moment to get going.
pub fn stage(drama: Drama, cast: &Cast, rng: &mut Rng) -> Vec<(Duration, Fault)> {
    let &Cast { group, leader, ref followers } = cast;
    let start = rng.range(20, 200);
    let one = *rng.pick(followers);
    let others: Vec<NodeId> = followers.iter().copied().filter(|node| *node != one).collect();
    let alone = Cut::Sides(vec![leader], followers.clone());
    let deaf = Cut::OneWay(followers.clone(), vec![leader]);
    let mut faults = Vec::new();
    let mut at = |after: u64, fault: Fault| faults.push((Duration::from_millis(start + after), fault));
    match drama {
        Drama::Alone => at(0, Fault::Partition { cut: alone, length: between(rng, 500, 1_500) }),
        Drama::Mute => {
            let cut = Cut::OneWay(vec![leader], followers.clone());
            at(0, Fault::Partition { cut, length: between(rng, 500, 1_500) });
        }
        Drama::Deaf => at(0, Fault::Partition { cut: deaf, length: between(rng, 600, 2_000) }),
        Drama::Stopped => at(0, Fault::Pause { node: leader, length: between(rng, 350, 1_500) }),
        Drama::ForgetfulVoters | Drama::OldHandOver => {
            let mut cut_off = 20;
            if drama == Drama::OldHandOver {
                at(20, Fault::Transfer { group, to: one });
                at(120, Fault::Transfer { group, to: leader });
                cut_off = 220;
            }
            // Without writes the one that is cut off has all entries, and can be elected.
            let restart = cut_off + rng.range(500, 1_000);
            at(0, Fault::Hush { length: Duration::from_millis(restart) });
            let cut = Cut::OneWay(vec![leader], vec![one]);
            at(cut_off, Fault::Partition { cut, length: between(rng, 1_500, 2_000) });
            at(restart, Fault::Partition { cut: alone, length: between(rng, 600, 1_200) });
            for node in others {
                at(restart, Fault::Crash { node, down: between(rng, 1, 6) });
            }
        }
        Drama::LateSuccessor => {
            let late = rng.range(420, 700);
            at(0, Fault::Hush { length: Duration::from_millis(20 + late) });
            at(20, Fault::Pause { node: one, length: Duration::from_millis(late) });
            at(21, Fault::Transfer { group, to: one });
            let cut = if rng.chance(1, 2) { alone } else { deaf };
            at(20 + late - rng.range(1, 30), Fault::Partition { cut, length: between(rng, 300, 900) });
        }
        Drama::FailedTransfer => {
            let late = between(rng, 380, 480);
            if rng.chance(1, 2) {
                for &node in followers {
                    at(0, Fault::Pause { node, length: late });
                }
            } else {
                let links = followers.iter().flat_map(|node| [(leader, *node), (*node, leader)]).collect();
                let weather = Weather { delay: late / 2, ..Weather::FAIR };
                at(0, Fault::Weather { links, weather, length: between(rng, 500, 1_500) });
            }
            at(rng.range(2, 40), Fault::Transfer { group, to: one });
        }
        Drama::LostAcknowledgements => {
            at(0, Fault::Partition { cut: deaf, length: between(rng, 100, 300) });
            at(rng.range(2, 60), Fault::Crash { node: leader, down: between(rng, 5, 1_500) });
        }
        Drama::LostMajority => {
            let mut survivors = followers.len() / 2;
            if rng.chance(2, 3) {
                at(0, Fault::Crash { node: leader, down: between(rng, 2_400, 3_200) });
            } else {
                // It keeps what it appended, and leads again when the others are back.
                survivors = (followers.len() - 1) / 2;
            }
            for &node in &followers[survivors..] {
                at(rng.below(5), Fault::Crash { node, down: between(rng, 2_400, 3_200) });
            }
        }
        Drama::SlowerClock => {
            let most = WALL_OFFSET_MS_MAX as i64;
            at(0, Fault::SetWallTo { node: leader, ahead_ms: most });
            for &node in followers {
                at(0, Fault::SetWallTo { node, ahead_ms: -most });
            }
            let later = rng.range(100, 500);
            match rng.below(3) {
                0 => at(later, Fault::Transfer { group, to: one }),
                1 => at(later, Fault::Crash { node: leader, down: between(rng, 5, 500) }),
                // Its clock goes on, the log's stamp does not (rule 24).
                _ => {
                    at(later, Fault::Hush { length: Duration::from_millis(900) });
                    at(later, Fault::Partition { cut: alone, length: between(rng, 600, 1_200) });
                }
            }
        }
        Drama::Preempted => {
            for round in 0..rng.range(1, 4) {
                let effects = rng.below(60);
                at(round * 150, Fault::Preempt { node: leader, effects, length: between(rng, 1, 600) });
            }
            if rng.chance(1, 2) {
                at(rng.below(300), Fault::Transfer { group, to: one });
            }
        }
        Drama::HalfTold => {
            // Without writes the successor has everything and can be asked at once.
            at(0, Fault::Hush { length: Duration::from_millis(70) });
            at(60, Fault::PreemptMidway { node: leader, length: between(rng, 200, 600) });
            at(60, Fault::Transfer { group, to: one });
        }
        Drama::BackAndForth => {
            let mut time = 0;
            while time < 1_400 {
                at(time, Fault::Transfer { group, to: one });
                time += rng.range(15, 90);
                at(time, Fault::Transfer { group, to: leader });
                time += rng.range(15, 90);
            }
        }
        Drama::LeftBehind => {
            let length = rng.range(400, 1_100);
            let everybody = others.iter().copied().chain([leader]).collect();
            let cut = Cut::Sides(vec![one], everybody);
            at(0, Fault::Partition { cut, length: Duration::from_millis(length) });
            if rng.chance(1, 2) {
                at(length, Fault::CrashAtEffect { node: one, effects: rng.below(40), down: between(rng, 5, 200) });
            }
            for after in [60, 150, 300] {
                at(length + after, Fault::Transfer { group, to: one });
            }
        }
        Drama::LateAnswers => {
            // In steps that are shorter than the leader's patience: it hears somebody at any time.
            const STEPS: u64 = 5;
            for step in 0..STEPS {
                let links = followers.iter().map(|node| (*node, leader)).collect();
                let weather = Weather { delay: Duration::from_millis(350 * (step + 1)), ..Weather::FAIR };
                at(350 * step, Fault::Weather { links, weather, length: Duration::from_millis(4_000 - 350 * step) });
            }
            let cut = Cut::OneWay(vec![leader], followers.clone());
            let silence = 350 * STEPS + rng.below(50);
            at(silence, Fault::Partition { cut, length: between(rng, 1_800, 2_200) });
            // What is proposed now is never committed, and reads behind it are not answered: so nobody writes until a
            // successor serves. What the last reader here asks then may not be answered by what is on its way.
            at(silence - 20, Fault::Hush { length: Duration::from_millis(900) });
            at(silence - 20, Fault::HangUp { node: leader });
            at(silence + rng.range(900, 1_500), Fault::HangUp { node: leader });
        }
        Drama::LateBatches => {
            let heir = others.first().copied().unwrap_or(one);
            let links = vec![(one, leader)];
            let (late, hold) = (between(rng, 500, 1_200), rng.range(10, 60));
            let weather = |delay| Weather { delay, reorder: true, ..Weather::FAIR };
            at(0, Fault::Weather { links: links.clone(), weather: weather(late), length: late * 2 });
            at(hold, Fault::Weather { links, weather: weather(Weather::FAIR.delay), length: late * 2 });
            at(hold, Fault::Transfer { group, to: heir });
            for after in [100, 200, 300] {
                at(hold + after, Fault::Transfer { group, to: leader });
            }
        }
        Drama::LaggingVoters => {
            let death = rng.range(100, 300);
            let cut = Cut::OneWay(vec![leader], others.clone());
            at(0, Fault::Partition { cut, length: Duration::from_millis(death + 50) });
            let links = others.iter().flat_map(|other| [(one, *other), (*other, one)]).collect();
            let weather = Weather { delay: between(rng, 40, 150), ..Weather::FAIR };
            at(death, Fault::Weather { links, weather, length: HURRY });
            at(death, Fault::Crash { node: leader, down: between(rng, 1_200, 2_500) });
        }
        Drama::ForgottenVotes => {
            // Both candidates must ask for the term's vote before either hears of the other.
            let all = || followers.iter().chain([&leader]);
            let between_candidates = |from: &NodeId, to: &NodeId| from != to && followers.contains(to);
            let links = all().flat_map(|from| all().map(move |to| (*from, *to)));
            let links = links.filter(|(from, to)| between_candidates(from, to)).collect();
            let delay = between(rng, 60, 250);
            at(0, Fault::Hush { length: Duration::from_millis(300) });
            at(100, Fault::Weather { links, weather: Weather { delay, ..Weather::FAIR }, length: HURRY });
            let mut time = 100;
            while time < 1_500 {
                at(time, Fault::Crash { node: leader, down: between(rng, 1, 4) });
                time += rng.range(10, 60);
            }
        }
    }
    faults
}

/// For how long clients hurry after most dramas were staged.
const HURRY: Duration = Duration::from_millis(1_800);

impl Drama {
    /// For how long clients hurry after it was staged.
    pub fn hurry(self) -> Duration {
        if self == Drama::LateAnswers { Duration::from_millis(4_000) } else { HURRY }
    }
}

fn between(rng: &mut Rng, low_ms: u64, high_ms: u64) -> Duration {
    Duration::from_micros(rng.range(low_ms * 1_000, high_ms * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drama_has_faults_for_every_size_of_cluster() {
        let mut rng = Rng::new(1);
        for &(drama, _) in DRAMAS {
            for nodes in [2, 3, 5] {
                for leader in (1..=nodes).map(NodeId) {
                    let followers = (1..=nodes).map(NodeId).filter(|node| *node != leader).collect();
                    let cast = Cast { group: GroupId(1), leader, followers };
                    let faults = stage(drama, &cast, &mut rng);
                    assert!(!faults.is_empty(), "{drama:?}");
                    let in_time = faults.iter().all(|(after, _)| *after < drama.hurry());
                    assert!(in_time, "{drama:?} outlasts the hurry: {faults:?}");
                }
            }
        }
    }
}
