//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR, and which reads of a session are remembered.
//!
//! Error lines, and the order in which mistakes are found, are Redis's.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::tracker::{Mode, Tracked, Tracker};
use super::{Full, Trackers};
use crate::command::batch::UnitReply;
use crate::command::{Flags, Spec};
use crate::resp::Value;
use crate::service::Service;
use crate::service::node::Outcome;
use crate::service::session::Session;
use crate::service::words::{integer, is, not_an_integer, syntax_error};

const FULL: &str = "ERR the copies that clients of this node keep take all the memory that they may";

/// What CLIENT TRACKING is told.
#[derive(Default)]
struct Options {
    redirect: u64,
    broadcasts: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<Bytes>,
}

impl Options {
    fn mode(&self) -> Mode {
        match (self.broadcasts, self.opt_in, self.opt_out) {
            (true, ..) => Mode::Broadcast,
            (_, true, _) => Mode::Announced,
            (_, _, true) => Mode::NotExempt,
            _ => Mode::All,
        }
    }

    /// Whether they go together, and with what the client asked for before.
    fn check(&self, before: Option<&Tracked>) -> Result<(), String> {
        let mode = before.map(|before| before.mode);
        let switched = |what: &str| {
            format!(
                "ERR You can't switch {what} before disabling tracking for this client, and then re-enabling it with a \
                 different mode."
            )
        };
        if !self.broadcasts && !self.prefixes.is_empty() {
            return Err("ERR PREFIX option requires BCAST mode to be enabled".into());
        }
        if mode.is_some_and(|mode| (mode == Mode::Broadcast) != self.broadcasts) {
            return Err(switched("BCAST mode on/off"));
        }
        if self.broadcasts && (self.opt_in || self.opt_out) {
            return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".into());
        }
        if self.opt_in && self.opt_out {
            return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".into());
        }
        if (self.opt_in && mode == Some(Mode::NotExempt)) || (self.opt_out && mode == Some(Mode::Announced)) {
            return Err(switched("OPTIN/OPTOUT mode"));
        }
        Ok(())
    }

    /// The prefixes of one client must not overlap: it would be told twice.
    fn check_prefixes(&self, before: &BTreeSet<Bytes>) -> Result<(), Value> {
        let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
        let refusal = |prefix: &[u8], middle: &[u8], other: &[u8]| {
            let tail = b"'. Prefixes for a single client must not overlap.";
            Value::error_with(&[b"ERR Prefix '", prefix, middle, other, tail])
        };
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = before.iter().find(|other| overlap(prefix, other)) {
                return Err(refusal(prefix, b"' overlaps with an existing prefix '", other));
            }
            if let Some(other) = self.prefixes[at + 1..].iter().find(|other| overlap(prefix, other)) {
                return Err(refusal(prefix, b"' overlaps with another provided prefix '", other));
            }
        }
        Ok(())
    }
}

impl Service {
    /// `CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`
    pub(in crate::service) fn tracking(&self, session: &mut Session, mode: &Bytes, words: &[Bytes]) -> Value {
        let options = match self.tracking_options(words) {
            Ok(options) => options,
            Err(refusal) => return refusal,
        };
        if is(mode, "off") {
            session.tracked = None;
            return Value::OK;
        }
        if !is(mode, "on") {
            return syntax_error();
        }
        if let Err(refusal) = options.check(session.tracked.as_deref()) {
            return Value::error(refusal);
        }
        self.begin_tracking(session, options).unwrap_or(Value::OK)
    }

    fn tracking_options(&self, words: &[Bytes]) -> Result<Options, Value> {
        let mut options = Options::default();
        let mut rest = words;
        while let [word, behind @ ..] = rest {
            rest = behind;
            match (word, behind) {
                (word, [id, behind @ ..]) if is(word, "redirect") => {
                    if options.redirect != 0 {
                        return Err(Value::error("ERR A client can only redirect to a single other client"));
                    }
                    let id = integer(id).ok_or_else(not_an_integer)?;
                    let id = u64::try_from(id).ok().filter(|id| self.clients.get(*id).is_some());
                    options.redirect =
                        id.ok_or_else(|| Value::error("ERR The client ID you want redirect to does not exist"))?;
                    rest = behind;
                }
                (word, [prefix, behind @ ..]) if is(word, "prefix") => {
                    options.prefixes.push(prefix.clone());
                    rest = behind;
                }
                (word, _) if is(word, "bcast") => options.broadcasts = true,
                (word, _) if is(word, "optin") => options.opt_in = true,
                (word, _) if is(word, "optout") => options.opt_out = true,
                (word, _) if is(word, "noloop") => options.no_loop = true,
                _ => return Err(syntax_error()),
            }
        }
        Ok(options)
    }

    /// Begins, or goes on in another manner. Says why not.
    fn begin_tracking(&self, session: &mut Session, options: Options) -> Option<Value> {
        let (trackers, client, inbox) = (self.trackers.clone(), session.client.clone(), session.open_inbox());
        let mode = options.mode();
        if let Some(refusal) =
            session.tracked.as_ref().and_then(|before| options.check_prefixes(&before.prefixes).err())
        {
            return Some(refusal);
        }
        if let Err(refusal) = options.check_prefixes(&BTreeSet::new()) {
            return Some(refusal);
        }
        let redirect = (options.redirect != 0).then(|| (self.clients.clone(), options.redirect));
        let fresh = || Tracked {
            trackers: trackers.clone(),
            client: client.clone(),
            mode,
            author: 0,
            prefixes: BTreeSet::new(),
            is_told: false,
            expects_reads: false,
        };
        let tracked = session.tracked.get_or_insert_with(|| Box::new(fresh()));
        // Random bits are nobody else's in the cluster.
        let author = if options.no_loop { self.node.random().max(1) } else { 0 };
        (tracked.mode, tracked.author) = (mode, author);
        client.tracking.store(true, Relaxed);
        client.broadcasts.store(options.broadcasts, Relaxed);
        client.redirect.store(options.redirect, Relaxed);
        client.is_redirect_broken.store(false, Relaxed);
        trackers.join(Tracker { inbox, client: client.clone(), redirect, mode, author });
        let all = [Bytes::new()];
        let prefixes = match &options.prefixes[..] {
            [] if options.broadcasts => &all[..],
            prefixes => prefixes,
        };
        for prefix in prefixes {
            let prefix = Bytes::copy_from_slice(prefix);
            if let Err(Full) = trackers.broadcast(client.id, &prefix) {
                return Some(Value::error(FULL));
            }
            tracked.prefixes.insert(prefix);
        }
        None
    }

    /// A command with keys is about to run: what it reads is remembered, if the client wants that. Whether the answer
    /// shall tell it, which a script's must ([`Service::remember_answers`]).
    pub(in crate::service) fn remember(&self, session: &mut Session, spec: &Spec, args: &[Bytes]) -> bool {
        const READS: Flags = Flags::of("readonly");
        let Some(tracked) = session.tracked.as_mut().filter(|tracked| tracked.remembers()) else { return false };
        if spec.runs_scripts() {
            tracked.expects_reads = true;
            self.trackers.expect_reads(session.client.id);
            return true;
        }
        if spec.flags.has(READS) {
            self.trackers.remember(session.client.id, keys_of(spec, args), self.node.monotonic());
        }
        false
    }

    /// Everything that a client asked for is answered: what its scripts read is remembered. The answers are those of
    /// ordinary units then.
    pub(in crate::service) fn remember_answers(&self, session: &mut Session, outcomes: &mut [Outcome]) {
        let mut told = Vec::new();
        let replies = outcomes.iter_mut().filter_map(|outcome| match outcome {
            Outcome::Replies(replies) => Some(replies),
            _ => None,
        });
        for reply in replies.flatten() {
            if let UnitReply::Read { reply: inner, keys } = reply {
                told.push(std::mem::take(keys));
                *reply = std::mem::replace(&mut **inner, UnitReply::Noted);
            }
        }
        if let Some(tracked) = session.tracked.as_mut().filter(|tracked| tracked.expects_reads) {
            tracked.expects_reads = false;
            self.trackers.remember_late(session.client.id, &told, self.node.monotonic());
        }
    }

    /// A read that waited was answered with what came meanwhile, and with that its keys may have been told already: they
    /// are told again, behind the answer.
    pub(in crate::service) fn doubt(&self, session: &Session, spec: &Spec, args: &[Bytes]) {
        let Some(tracked) = &session.tracked else { return };
        if tracked.reads() && spec.flags.has(Flags::of("readonly")) {
            self.trackers.doubt(session.client.id, keys_of(spec, args), self.node.monotonic());
        }
    }
}

fn keys_of<'a>(spec: &Spec, args: &'a [Bytes]) -> impl Iterator<Item = &'a [u8]> {
    let found: Vec<usize> = spec.keys_of(args).map(|(at, _)| at).collect();
    found.into_iter().filter_map(|at| args.get(at).map(|key| &key[..]))
}

/// `CLIENT CACHING YES|NO`: whether the next command's reads are remembered.
pub(in crate::service) fn caching(session: &mut Session, word: &Bytes) -> Value {
    let Some(tracked) = session.tracked.as_mut() else {
        return Value::error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        );
    };
    match (is(word, "yes"), is(word, "no"), tracked.mode) {
        (true, _, Mode::Announced) | (_, true, Mode::NotExempt) => {
            tracked.is_told = true;
            Value::OK
        }
        (true, ..) => Value::error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
        (_, true, _) => Value::error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
        _ => syntax_error(),
    }
}

/// `CLIENT TRACKINGINFO`
pub(in crate::service) fn info(session: &Session) -> Value {
    let tracked = session.tracked.as_ref();
    let mut flags = vec![if tracked.is_some() { "on" } else { "off" }];
    if let Some(tracked) = tracked {
        match tracked.mode {
            Mode::All => {}
            Mode::Broadcast => flags.push("bcast"),
            Mode::Announced => flags.push("optin"),
            Mode::NotExempt => flags.push("optout"),
        }
        match tracked.mode {
            Mode::Announced if tracked.is_told => flags.push("caching-yes"),
            Mode::NotExempt if tracked.is_told => flags.push("caching-no"),
            _ => {}
        }
        if tracked.author != 0 {
            flags.push("noloop");
        }
        if session.client.is_redirect_broken.load(Relaxed) {
            flags.push("broken_redirect");
        }
    }
    let prefixes = tracked.into_iter().flat_map(|tracked| tracked.prefixes.iter().cloned().map(Value::Bulk));
    Value::Map(vec![
        (Value::bulk("flags"), Value::Set(flags.into_iter().map(Value::bulk).collect())),
        (Value::bulk("redirect"), redirection(session)),
        (Value::bulk("prefixes"), Value::Array(prefixes.collect())),
    ])
}

/// `CLIENT GETREDIR`: who hears for this connection, 0 for itself, -1 without tracking.
pub(in crate::service) fn redirection(session: &Session) -> Value {
    let redirect = session.client.redirect.load(Relaxed);
    Value::Integer(if session.tracked.is_some() { redirect as i64 } else { -1 })
}

impl Trackers {
    /// Takes what CONFIG says from now on.
    pub(in crate::service) fn configure(&self, limit: crate::service::output_limits::Limit, keys_max: &[u8]) {
        self.set_limit(limit);
        self.set_keys_max(integer(keys_max).and_then(|number| usize::try_from(number).ok()).unwrap_or(0));
    }
}
