//! ACL: the words about users. Rules are those of [`crate::command::acl`]; a change of users goes the road of all facts,
//! and is answered once this node shows it.

use bytes::Bytes;

use super::batch::failure;
use super::session::Session;
use super::words::{help, integer, is, not_an_integer, wrong_words};
use super::{Service, commands};
use crate::base::limits::{GENERATED_BITS_MAX, USER_BYTES_MAX};
use crate::command::acl::{self, Answer, Change, DEFAULT, Refusal, Selector, User, hide_password};
use crate::command::spec::Categories;
use crate::command::{check, lookup};
use crate::resp::Value;

const NO_FILE: &str = "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL \
                       SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) \
                       in order to store users in the Redis configuration.";

const TOO_LONG: &str = "ERR the rules of the user are too long";

impl Service {
    /// `ACL subcommand ...`, but for what changes users.
    pub(super) fn acl(&self, session: &Session, args: &[Bytes]) -> Value {
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"whoami", []) => Value::Bulk(session.user.clone()),
            (b"users", []) => {
                Value::Array(self.all_users().iter().map(|user| Value::Bulk(user.name().clone())).collect())
            }
            (b"list", []) => Value::Array(self.all_users().iter().map(|user| line(user)).collect()),
            (b"getuser", [name]) => match self.user(name) {
                Some(user) => describe(&user),
                None => Value::Null,
            },
            (b"cat", []) => Value::Array(Categories::ALL.words().map(Value::bulk).collect()),
            (b"cat", [name]) => match Categories::parse(name) {
                Some(category) => {
                    let specs = commands().filter(|spec| spec.categories().has(category));
                    Value::Array(specs.map(|spec| Value::bulk(spec.name)).collect())
                }
                None => Value::error_with(&[b"ERR Unknown category '", name, b"'"]),
            },
            (b"dryrun", [name, call @ ..]) => self.dry_run(name, call),
            (b"genpass", []) => self.generate(256),
            (b"genpass", [bits]) => match integer(bits) {
                None => not_an_integer(),
                Some(bits) if (1..=GENERATED_BITS_MAX).contains(&bits) => self.generate(bits as usize),
                Some(_) => Value::error(format!(
                    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up \
                     to {GENERATED_BITS_MAX}"
                )),
            },
            (b"log", []) => self.acl_log.get(10, self.node.now()),
            (b"log", [word]) if is(word, "reset") => {
                self.acl_log.reset();
                Value::OK
            }
            (b"log", [count]) => match integer(count) {
                Some(count) => self.acl_log.get(usize::try_from(count).unwrap_or(0), self.node.now()),
                None => not_an_integer(),
            },
            (b"load" | b"save", []) => Value::error(NO_FILE),
            (b"help", _) => help("ACL", HELP),
            _ => wrong_words(args),
        }
    }

    /// `ACL SETUSER name [rule ...]`
    pub(super) async fn set_user(&self, args: &[Bytes]) -> Value {
        let (name, rules) = (&args[2], &args[3..]);
        if acl::has_space(name) {
            return Value::error("ERR Usernames can't contain spaces or null characters");
        }
        let rules = match acl::merge_selectors(rules) {
            Ok(rules) => rules,
            Err(open) => {
                let head = b"ERR Unmatched parenthesis in acl selector starting at '";
                return Value::error_with(&[head, &rules[open], b"'."]);
            }
        };
        match self.change_user(name, &rules).await {
            Ok(()) => Value::OK,
            Err(refusal) => refusal,
        }
    }

    /// Has the cluster take rules upon a user. An error is the reply.
    pub(super) async fn change_user(&self, name: &Bytes, rules: &[Bytes]) -> Result<(), Value> {
        if name.len() + rules.iter().map(Bytes::len).sum::<usize>() > USER_BYTES_MAX {
            return Err(Value::error(TOO_LONG));
        }
        let change = Change::Set {
            name: Bytes::copy_from_slice(name),
            otherwise: if *name == DEFAULT { self.own_default.words() } else { Vec::new() },
            rules: rules.iter().map(hide_password).collect(),
        };
        let refusal = match self.node.change_users(change).await {
            Ok(Answer::Done { .. }) => return Ok(()),
            Ok(Answer::Refused(refusal)) => refusal,
            Err(outcome) => return Err(Value::error(failure(&outcome))),
        };
        Err(match refusal {
            Refusal::Rule(at, mistake) => {
                let rule = rules.get(at).map_or(&b""[..], |rule| rule);
                let head = b"ERR Error in ACL SETUSER modifier '";
                Value::error_with(&[head, rule, b"': ", mistake.text().as_bytes()])
            }
            Refusal::TooManyUsers => Value::error("ERR there are too many users"),
            Refusal::TooLong => Value::error(TOO_LONG),
            Refusal::Unknown => Value::error("ERR the leader runs another version, which cannot change users"),
        })
    }

    /// `ACL DELUSER name ...`
    pub(super) async fn delete_users(&self, args: &[Bytes]) -> Value {
        let names = &args[2..];
        if names.contains(&DEFAULT) {
            return Value::error("ERR The 'default' user cannot be removed");
        }
        let names = names.iter().map(|name| Bytes::copy_from_slice(name)).collect();
        match self.node.change_users(Change::Remove(names)).await {
            Ok(Answer::Done { count, .. }) => Value::Integer(count as i64),
            Ok(Answer::Refused(_)) => Value::error("ERR the leader runs another version, which cannot change users"),
            Err(outcome) => Value::error(failure(&outcome)),
        }
    }

    /// `ACL DRYRUN user command [argument ...]`
    fn dry_run(&self, name: &Bytes, call: &[Bytes]) -> Value {
        let Some(user) = self.user(name) else {
            return Value::error_with(&[b"ERR User '", name, b"' not found"]);
        };
        let container = call.first().and_then(|name| lookup(name));
        let found = container.and_then(|spec| match call.get(1) {
            Some(word) if !spec.subcommands.is_empty() => spec.subcommand(word),
            _ => Some(spec),
        });
        let Some(spec) = found else {
            return Value::error_with(&[b"ERR Command '", &call[0], b"' not found"]);
        };
        if check(call).is_err() {
            return Value::error(format!("ERR wrong number of arguments for '{}' command", spec.name));
        }
        match user.rights().check(spec, call) {
            Ok(()) => Value::OK,
            Err(denied) => Value::bulk(user.rights().message(denied, spec, call, true)),
        }
    }

    /// So many random bits, four to a digit.
    fn generate(&self, bits: usize) -> Value {
        let digits = bits.div_ceil(4);
        let mut text = String::new();
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.node.secret()));
        }
        text.truncate(digits);
        Value::bulk(text)
    }
}

/// A line of ACL LIST.
fn line(user: &User) -> Value {
    Value::bulk([b"user ", &user.name()[..], b" ", &user.line()].concat())
}

/// The answer of ACL GETUSER.
fn describe(user: &User) -> Value {
    let text = |text: &'static str| Value::bulk(text);
    let [own, others @ ..] = &user.rights().selectors[..] else { return Value::Null };
    let mut fields = vec![
        (text("flags"), Value::Set(user.flags().into_iter().map(Value::bulk).collect())),
        (text("passwords"), Value::Array(user.passwords().map(Value::bulk).collect())),
    ];
    fields.extend(rules(own));
    let others = others.iter().map(|selector| Value::Map(rules(selector).to_vec()));
    fields.push((text("selectors"), Value::Array(others.collect())));
    Value::Map(fields)
}

/// What a selector says of commands, keys and channels.
fn rules(selector: &Selector) -> [(Value, Value); 3] {
    let joined = |words: Vec<Bytes>| Value::bulk(words.join(&b' '));
    [
        (Value::bulk("commands"), joined(selector.commands.words().collect())),
        (Value::bulk("keys"), joined(selector.key_words())),
        (Value::bulk("channels"), joined(selector.channel_words())),
    ]
}

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    Categories of commands, or the commands of one.",
    "DELUSER <username> [<username> ...]",
    "    Remove users and close their connections.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Whether a user may make this call; it is not made.",
    "GETUSER <username>",
    "    What is known of a user.",
    "GENPASS [<bits>]",
    "    A password nobody guesses: 256 random bits, or as many as asked for.",
    "LIST",
    "    All users with their rules.",
    "LOAD",
    "    Users are kept by the cluster, not in a file: an error.",
    "LOG [<count> | RESET]",
    "    What was denied on this node lately (10 entries unless told), or forget it.",
    "SAVE",
    "    Users are kept by the cluster, not in a file: an error.",
    "SETUSER <username> [<rule> ...]",
    "    Make a user, or change one.",
    "USERS",
    "    Names of users.",
    "WHOAMI",
    "    The user of this connection.",
];
