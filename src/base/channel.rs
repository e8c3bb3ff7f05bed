//! Channels: what is published to them, and whom to ask who listens.

use bytes::Bytes;

/// The two name spaces of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChannelKind {
    /// Those of PUBLISH and SUBSCRIBE, which patterns match.
    Plain,
    /// Those of SPUBLISH and SSUBSCRIBE, which are routed like keys.
    Shard,
}

/// One message for everybody who listens to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Which name space.
    pub kind: ChannelKind,
    /// Name of the channel in it.
    pub channel: Bytes,
    /// What is said.
    pub message: Bytes,
}

impl Publication {
    /// Bytes of channel and message.
    pub fn bytes(&self) -> usize {
        self.channel.len() + self.message.len()
    }
}

/// Who listens, as far as it is known where one asks. A count for people and replies: nothing that must be right rests
/// on it.
pub trait Audience: std::fmt::Debug + Send + Sync {
    /// Subscriptions to a channel itself.
    fn subscribers(&self, kind: ChannelKind, channel: &[u8]) -> u64;

    /// Copies that a message would be delivered in: to subscribers of the channel, and of each pattern that matches it.
    fn receivers(&self, kind: ChannelKind, channel: &[u8]) -> u64;

    /// Channels with subscribers, those that match a pattern (all without one), ascending.
    fn channels(&self, kind: ChannelKind, pattern: Option<&[u8]>) -> Vec<Bytes>;

    /// How many different patterns have subscribers.
    fn patterns(&self) -> u64;
}

/// Where nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Audience for Nobody {
    fn subscribers(&self, _kind: ChannelKind, _channel: &[u8]) -> u64 {
        0
    }

    fn receivers(&self, _kind: ChannelKind, _channel: &[u8]) -> u64 {
        0
    }

    fn channels(&self, _kind: ChannelKind, _pattern: Option<&[u8]>) -> Vec<Bytes> {
        Vec::new()
    }

    fn patterns(&self) -> u64 {
        0
    }
}
