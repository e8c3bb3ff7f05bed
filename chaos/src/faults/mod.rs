//! The faults, a file per family. Each begins, lasts, and ends with everything as it was; it tells whom it hit and whether
//! it took effect.

mod clock;
mod disk;
mod links;
mod partition;
mod power;
mod process;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::dice::Dice;
use crate::history::History;
use crate::kinds::Kind;
use crate::stage::Stage;

/// What a fault did.
#[derive(Clone, Debug)]
pub struct Done {
    /// Nodes whose clients may see errors.
    pub victims: BTreeSet<usize>,
    /// When it began and when all was well again, in nanoseconds of the history's clock.
    pub from: u64,
    pub to: u64,
    /// Something was really hit: a connection was reset, a sync failed.
    pub effect: bool,
    /// Writes that were torn, where power was cut.
    pub torn: u64,
    /// Details for people.
    pub note: String,
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    pub shortest: Duration,
    pub longest: Duration,
}

impl Lengths {
    fn draw(&self, dice: &mut Dice) -> Duration {
        dice.duration(self.shortest, self.longest)
    }
}

/// What a fault needs.
pub struct Context<'a> {
    pub stage: &'a Stage,
    pub history: &'a History,
    pub lengths: Lengths,
    /// Whom to hit, where the kind itself does not say.
    pub aim: Option<usize>,
    pub dice: Dice,
}

/// Plays a fault from beginning to end. `None` when another fault has what this one needs. An error is something that must
/// not happen, such as a node that does not come back.
pub async fn play(kind: Kind, context: &mut Context<'_>) -> Result<Option<Done>, String> {
    match kind {
        Kind::KillLeader | Kind::KillRandom | Kind::KillMajority | Kind::KillAll | Kind::Restart => {
            process::end(kind, context).await
        }
        Kind::PauseLeader | Kind::PauseRandom => process::pause(kind, context).await,
        Kind::IsolateLeader | Kind::Halves | Kind::OneWay | Kind::Ring => partition::play(kind, context).await,
        Kind::PeerDelay | Kind::PeerStall | Kind::PeerReset | Kind::PeerCut => links::peers(kind, context).await,
        Kind::ClientDelay | Kind::ClientStall | Kind::ClientReset | Kind::ClientCut => {
            links::clients(kind, context).await
        }
        Kind::SlowDisk => disk::slow(context).await,
        Kind::FullDisk => disk::full(context).await,
        Kind::SyncError => disk::sync_error(context).await,
        Kind::LostWrites | Kind::PowerCutAll => power::cut(kind, context).await,
        Kind::ClockOffset => clock::play(context).await,
    }
}

/// What this machine cannot do of these kinds, and why.
pub fn unavailable(kinds: &[Kind], stage: &Stage) -> Vec<(Kind, String)> {
    kinds.iter().filter_map(|kind| Some((*kind, stage.missing.get(&kind.need())?.clone()))).collect()
}

impl Context<'_> {
    fn now(&self) -> u64 {
        self.history.now()
    }

    fn any_node(&mut self) -> usize {
        if let Some(node) = self.aim {
            return node;
        }
        self.dice.between(1, self.stage.cluster.nodes.len() as u64) as usize
    }

    /// So many nodes at random.
    fn some_nodes(&mut self, count: usize) -> BTreeSet<usize> {
        let mut ids = self.stage.cluster.ids();
        self.dice.shuffle(&mut ids);
        ids.into_iter().take(count).collect()
    }
}
