//! SUBSCRIBE, UNSUBSCRIBE and their relatives for patterns and shard channels.
//!
//! Source of replies: Redis 7.2's documented behaviour, compared with a redis-server. A confirmation is a push: one for
//! each name, sent whatever CLIENT REPLY says.

use bytes::{Bytes, BytesMut};

use super::{Full, Kind, Listener};
use crate::command::Spec;
use crate::resp::{Protocol, Value};
use crate::service::Service;
use crate::service::session::Session;

const FULL: &str = "ERR the subscriptions of this node take all the memory that they may";

/// What a word does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Begin(Kind),
    End(Kind),
}

pub(super) fn word(spec: &Spec) -> Option<Word> {
    Some(match spec.name {
        "subscribe" => Word::Begin(Kind::Channel),
        "psubscribe" => Word::Begin(Kind::Pattern),
        "ssubscribe" => Word::Begin(Kind::Shard),
        "unsubscribe" => Word::End(Kind::Channel),
        "punsubscribe" => Word::End(Kind::Pattern),
        "sunsubscribe" => Word::End(Kind::Shard),
        _ => return None,
    })
}

/// Whether the command is one of these words.
pub(in crate::service) fn is_word(spec: &Spec) -> bool {
    word(spec).is_some()
}

/// Whether messages that came before the command must not come after its reply: it ends listening, or changes their
/// encoding.
pub(in crate::service) fn divides_messages(spec: &Spec) -> bool {
    matches!(spec.name, "hello" | "reset") || matches!(word(spec), Some(Word::End(_)))
}

/// In RESP2 a client could not tell a reply from a message, so one that listens may say little.
pub(in crate::service) fn is_refused(session: &Session, spec: &Spec) -> Option<Value> {
    let allowed = || is_word(spec) || matches!(spec.name, "ping" | "quit" | "reset");
    if session.protocol() != Protocol::Resp2 || !session.is_listening() || allowed() {
        return None;
    }
    Some(Value::error(format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context",
        spec.name
    )))
}

impl Service {
    /// Answers one of these words; the reply is encoded for the connection as it is now.
    pub(in crate::service) fn listen(&self, session: &mut Session, spec: &Spec, args: &[Bytes]) -> Value {
        let (protocol, client) = (session.protocol(), session.client.clone());
        let confirmation = |subject: Value, count: usize| {
            Value::Push(vec![Value::bulk(spec.name), subject, Value::Integer(count as i64)])
        };
        let mut out = BytesMut::new();
        match word(spec) {
            Some(Word::Begin(kind)) => {
                let inbox = session.open_inbox();
                let listener =
                    session.listener.get_or_insert_with(|| Box::new(Listener::new(self.hub.clone(), client, inbox)));
                for subject in &args[1..] {
                    if let Err(Full) = listener.subscribe(kind, subject) {
                        Value::error(FULL).encode(protocol, &mut out);
                        break;
                    }
                    confirmation(Value::Bulk(subject.clone()), listener.count(kind)).encode(protocol, &mut out);
                }
            }
            Some(Word::End(kind)) => {
                let all = session.listener.as_ref().map(|listener| listener.names(kind)).unwrap_or_default();
                let subjects = if args.len() > 1 { &args[1..] } else { &all[..] };
                for subject in subjects {
                    let count = session.listener.as_mut().map_or(0, |listener| {
                        listener.unsubscribe(kind, subject);
                        listener.count(kind)
                    });
                    confirmation(Value::Bulk(subject.clone()), count).encode(protocol, &mut out);
                }
                if subjects.is_empty() {
                    let count = session.listener.as_ref().map_or(0, |listener| listener.count(kind));
                    confirmation(Value::Null, count).encode(protocol, &mut out);
                }
            }
            None => {}
        }
        Value::Raw(out.freeze())
    }
}
