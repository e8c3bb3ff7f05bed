//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE: making the state of this node durable, and SHUTDOWN.
//!
//! What is acknowledged is in the synced logs of a majority. A save writes the *state* that this node made of the log, so
//! that the log can be cut and a start replays little: nothing is lost without it. Nodes do it by themselves every so
//! often; BGREWRITEAOF is the same, seen from the log.

use bytes::Bytes;

use super::Service;
use super::node::Shutdown;
use super::session::Session;
use super::words::{is, syntax_error};
use crate::resp::Value;

const UNDER_WAY: &str = "ERR Background save already in progress";

/// What SHUTDOWN asks for.
pub(super) enum Farewell {
    Begin(Shutdown),
    Abort,
}

impl Service {
    /// `SAVE`, and what DEBUG RELOAD and LOADAOF come to: waits until the state is durable.
    pub(super) async fn save(&self) -> Value {
        if self.node.saves().under_way > 0 {
            return Value::error(UNDER_WAY);
        }
        match self.node.save().await {
            Ok(()) => Value::OK,
            // What it was is in the log of the node.
            Err(_) => Value::error("ERR the state could not be made durable"),
        }
    }

    /// `BGSAVE [SCHEDULE]`
    pub(super) fn save_in_background(&self, session: &Session, args: &[Bytes]) -> Value {
        match &args[1..] {
            [] => {}
            [word] if is(word, "schedule") => {}
            _ => return syntax_error(),
        }
        if self.node.saves().under_way > 0 {
            return Value::error(UNDER_WAY);
        }
        drop(self.node.save());
        Value::Simple(if session.in_block { "Background saving scheduled" } else { "Background saving started" }.into())
    }

    /// `BGREWRITEAOF`
    pub(super) fn rewrite_in_background(&self, session: &Session) -> Value {
        let waits = session.in_block || self.node.saves().under_way > 0;
        drop(self.node.save());
        let what = if waits { "scheduled" } else { "started" };
        Value::Simple(format!("Background append only file rewriting {what}").into())
    }

    /// `LASTSAVE`: seconds since the epoch at the end of the last good save, or at the start.
    pub(super) fn last_save(&self) -> i64 {
        (self.node.saves().last.0 / 1000) as i64
    }

    /// Fields of INFO.
    pub(super) fn save_fields(&self) -> [(&'static str, String); 5] {
        let saves = self.node.saves();
        [
            ("rdb_last_save_time", self.last_save().to_string()),
            ("rdb_bgsave_in_progress", u8::from(saves.under_way > 0).to_string()),
            ("rdb_last_bgsave_status", if saves.failed { "err" } else { "ok" }.to_string()),
            ("rdb_last_bgsave_time_sec", saves.took.map_or(-1, |took| took.as_secs() as i64).to_string()),
            ("rdb_saves", saves.count.to_string()),
        ]
    }
}

/// Reads `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`. FORCE says nothing here: a state that cannot be saved stops no
/// shutdown, because the log has everything.
pub(super) fn farewell(args: &[Bytes]) -> Result<Farewell, Value> {
    let (mut save, mut no_save, mut other, mut abort, mut now) = (false, false, false, false, false);
    for word in &args[1..] {
        match word.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => no_save = true,
            b"now" => now = true,
            b"force" => other = true,
            b"abort" => abort = true,
            _ => return Err(syntax_error()),
        }
    }
    if (abort && (save || no_save || now || other)) || (save && no_save) {
        return Err(syntax_error());
    }
    if abort {
        return Ok(Farewell::Abort);
    }
    Ok(Farewell::Begin(Shutdown { hand_over: !now, save: !no_save }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shutdown_is_read_as_redis_reads_it() {
        let read = |line: &str| {
            let words: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
            match farewell(&words) {
                Ok(Farewell::Begin(how)) => Some(Some((how.hand_over, how.save))),
                Ok(Farewell::Abort) => Some(None),
                Err(_) => None,
            }
        };
        assert_eq!(read("SHUTDOWN"), Some(Some((true, true))));
        assert_eq!(read("SHUTDOWN nosave NOW force"), Some(Some((false, false))));
        assert_eq!(read("SHUTDOWN save save"), Some(Some((true, true))));
        assert_eq!(read("SHUTDOWN abort Abort"), Some(None));
        for wrong in [
            "SHUTDOWN x",
            "SHUTDOWN save nosave",
            "SHUTDOWN abort now",
            "SHUTDOWN nosave abort",
            "SHUTDOWN force abort",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
