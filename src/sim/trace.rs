//! What happened, as a rolling hash over every event, as recent history for a violation's story, and as lines on the
//! screen with `--trace`.
//!
//! Invariant: nothing here changes what happens: a traced run has the hash of an untraced one.

use std::collections::VecDeque;
use std::fmt;

use crate::base::{Nanos, NodeId};

/// Lines kept for the story of a violation.
const STORY_LINES: usize = 400;

/// The record of one run.
pub struct Trace {
    hash: u64,
    events: u64,
    print: bool,
    story: VecDeque<String>,
}

impl Trace {
    /// An empty record; `print` shows each line as it happens.
    pub fn new(print: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, print, story: VecDeque::new() }
    }

    /// Mixes an event into the hash: its time and up to three numbers that tell it from others.
    pub fn mix(&mut self, now: Nanos, kind: u64, a: u64, b: u64) {
        self.events += 1;
        for word in [now.0, kind, a, b] {
            // A multiply and a shift per word: weak against people, strong enough against accidents, and cheap.
            self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.hash ^= self.hash >> 29;
        }
    }

    /// A noteworthy event: kept for the story. The closure runs always, so keep these rare.
    pub fn note(&mut self, now: Nanos, node: Option<NodeId>, what: fmt::Arguments<'_>) {
        let who = node.map_or_else(|| "world".to_owned(), |node| format!("node {node}"));
        let line = format!("{:>13.6} s  {who:<7} {what}", now.0 as f64 / 1e9);
        if self.print {
            println!("{line}");
        }
        if self.story.len() == STORY_LINES {
            self.story.pop_front();
        }
        self.story.push_back(line);
    }

    /// Whether lines are printed: what is costly to say need not be worked out otherwise.
    pub fn prints(&self) -> bool {
        self.print
    }

    /// Like [`Trace::note`] for frequent events: formatted only when lines are printed.
    pub fn detail(&mut self, now: Nanos, node: Option<NodeId>, what: fmt::Arguments<'_>) {
        if self.print {
            let who = node.map_or_else(|| "world".to_owned(), |node| format!("node {node}"));
            println!("{:>13.6} s  {who:<7}   {what}", now.0 as f64 / 1e9);
        }
    }

    /// The hash over all events so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last noteworthy lines, oldest first.
    pub fn story(&self) -> Vec<String> {
        self.story.iter().cloned().collect()
    }
}
