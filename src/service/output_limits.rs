//! `client-output-buffer-limit`: how many reply bytes a client may leave unread, and for how long.
//!
//! Written as groups of four words, `class hard-bytes soft-bytes soft-seconds`; clients here are `normal`, or `pubsub`
//! while they listen to channels. The third class is kept and shown.

use std::time::Duration;

use super::config::memory;

/// The classes in the order in which they are shown, with Redis's other name for the second one.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

/// Limits of one class; zeros for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limit {
    /// Bytes at which a client is disconnected at once.
    pub hard: u64,
    /// Bytes at which it is when they stay for so long.
    pub soft: u64,
    /// See `soft`.
    pub patience: Duration,
}

/// Limits of all classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits([Limit; 3]);

impl Limits {
    /// Redis's own for everybody but normal clients, who may leave so much unread.
    pub fn new(normal_hard: u64) -> Limits {
        let limit = |hard, soft, seconds| Limit { hard, soft, patience: Duration::from_secs(seconds) };
        Limits([limit(normal_hard, 0, 0), limit(256 << 20, 64 << 20, 60), limit(32 << 20, 8 << 20, 60)])
    }

    /// Those of ordinary clients.
    pub fn normal(&self) -> Limit {
        self.0[0]
    }

    /// Those of clients that listen to channels.
    pub fn pubsub(&self) -> Limit {
        self.0[2]
    }

    /// These limits with the classes changed that a text names, or Redis's words for what is wrong with it.
    pub fn with(mut self, text: &str) -> Result<Limits, &'static str> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (groups, rest) = words.as_chunks::<4>();
        if !rest.is_empty() || groups.is_empty() {
            return Err("Wrong number of arguments in buffer limit configuration.");
        }
        for [class, hard, soft, seconds] in groups {
            let class = if class.eq_ignore_ascii_case("replica") { "slave" } else { class };
            let class = CLASSES
                .iter()
                .position(|known| class.eq_ignore_ascii_case(known))
                .ok_or("Invalid client class specified in buffer limit configuration.")?;
            let read = || {
                let patience = Duration::from_secs(seconds.parse().ok()?);
                Some(Limit { hard: memory(hard.as_bytes())?, soft: memory(soft.as_bytes())?, patience })
            };
            self.0[class] =
                read().ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
        }
        Ok(self)
    }
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (class, limit)) in CLASSES.iter().zip(&self.0).enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{class} {} {} {}", limit.hard, limit.soft, limit.patience.as_secs())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_change_the_classes_they_name() {
        let limits = Limits::new(1 << 20);
        assert_eq!(limits.to_string(), "normal 1048576 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
        let changed = limits.with("normal 2mb 1mb 5 Replica 0 0 0").unwrap();
        assert_eq!(changed.to_string(), "normal 2097152 1048576 5 slave 0 0 0 pubsub 33554432 8388608 60");
        assert_eq!(changed.normal(), Limit { hard: 2 << 20, soft: 1 << 20, patience: Duration::from_secs(5) });
        for (text, wrong) in [
            ("", "Wrong number"),
            ("normal 1 2", "Wrong number"),
            ("master 0 0 0", "Invalid client class"),
            ("normal x 0 0", "Error in hard"),
            ("normal 0 0 -1", "Error in hard"),
        ] {
            assert!(limits.with(text).unwrap_err().starts_with(wrong), "{text}");
        }
    }
}
