//! The way of a command through a node, in stages whose times and batch sizes are counted.

/// A stage. Each is one thing done for many commands at once, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Bytes of one read are cut into requests; size: requests. One batch of 16 is counted.
    Parse,
    /// Submissions wait for their machine's thread; the time of the one that waited longest; size: submissions.
    Queue,
    /// They become one entry or a few; size: bytes of the entries.
    Evaluate,
    /// The log is written; size: bytes of the entries.
    Log,
    /// And synced; size: the same.
    Fsync,
    /// From where an entry has its place in the log to where it is committed, fsyncs included; size: entries that are
    /// committed together. Leaders only.
    Replicate,
    /// Committed entries become state, and the answers that wait for them are found; size: entries.
    Apply,
    /// Answers go to whoever waits for them; size: answers.
    Publish,
    /// Replies are written to a connection; size: bytes. One batch of 16 is counted.
    Reply,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 9] = [
        Stage::Parse,
        Stage::Queue,
        Stage::Evaluate,
        Stage::Log,
        Stage::Fsync,
        Stage::Replicate,
        Stage::Apply,
        Stage::Publish,
        Stage::Reply,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Parse => "parse",
            Stage::Queue => "queue",
            Stage::Evaluate => "evaluate",
            Stage::Log => "log",
            Stage::Fsync => "fsync",
            Stage::Replicate => "replicate",
            Stage::Apply => "apply",
            Stage::Publish => "publish",
            Stage::Reply => "reply",
        }
    }
}

/// Says of each call in turn whether it is the one of 16 that is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampler(u8);

impl Sampler {
    /// Whether this one is counted.
    pub fn take(&mut self) -> bool {
        self.0 = (self.0 + 1) % 16;
        self.0 == 1
    }
}
