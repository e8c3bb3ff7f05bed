//! Properties that hold for any rules: nothing panics, words and lines make the same user again, and what cannot be
//! understood gives no right.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::base::Rng;
use crate::command::{Spec, check, table};

/// Rules that are some, and some that are none.
const RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    ">a",
    "<a",
    ">b",
    "!x",
    "#abc",
    "sanitize-payload",
    "skip-sanitize-payload",
    "~*",
    "~a*",
    "%R~b*",
    "%W~c",
    "%RW~d",
    "allkeys",
    "resetkeys",
    "%",
    "%R",
    "&*",
    "&n*",
    "&x",
    "allchannels",
    "resetchannels",
    "+@all",
    "-@all",
    "+@read",
    "-@read",
    "+@write",
    "-@string",
    "+@slow",
    "-@slow",
    "+@dangerous",
    "allcommands",
    "nocommands",
    "+get",
    "-get",
    "+set",
    "+del",
    "-del",
    "+config",
    "-config",
    "+config|get",
    "-config|get",
    "+config|set",
    "+client",
    "-client|kill",
    "+select|0",
    "+select|1",
    "-select",
    "+get|x",
    "+sort",
    "+nosuch",
    "(+get ~x)",
    "(+@all ~b* &*)",
    "(-@all)",
    "()",
    "(%)",
    "clearselectors",
    "reset",
    "",
];

/// Bytes of which rules are made, and others.
const BYTES: &[u8] = b"()|~%&+-@<>#!RW*?[]\\\"' \t\0\r\n\xffgetsconfig0aA^-";

fn some(rng: &mut Rng, count_max: u64) -> Vec<Bytes> {
    (0..rng.below(count_max + 1))
        .map(|_| Bytes::from_static(RULES[rng.below(RULES.len() as u64) as usize].as_bytes()))
        .collect()
}

fn noise(rng: &mut Rng) -> Bytes {
    let known = Bytes::from_static(RULES[rng.below(RULES.len() as u64) as usize].as_bytes());
    let mut word: Vec<u8> = if rng.below(2) == 0 { Vec::new() } else { known.to_vec() };
    for _ in 0..rng.below(6) {
        let at = rng.below(word.len() as u64 + 1) as usize;
        word.insert(at, BYTES[rng.below(BYTES.len() as u64) as usize]);
    }
    word.into()
}

/// A user after those of the rules that are some.
fn user(rules: &[Bytes]) -> User {
    let mut user = User::new("somebody".into());
    for rule in rules {
        let mut after = user.clone();
        if after.apply(std::slice::from_ref(rule)).is_ok() {
            user = after;
        }
    }
    user
}

fn line(line: &[u8]) -> Vec<Bytes> {
    let words: Vec<Bytes> = line.split(|byte| *byte == b' ').map(Bytes::copy_from_slice).collect();
    merge_selectors(&words).expect("every selector is closed")
}

#[test]
fn a_line_of_list_makes_the_same_user_again() {
    let mut rng = Rng::new(1);
    for _ in 0..3000 {
        let before = user(&some(&mut rng, 12));
        let mut after = User::new("somebody".into());
        let shown = before.line();
        assert_eq!(after.apply(&line(&shown)), Ok(()), "{}", shown.escape_ascii());
        assert_eq!(after, before, "{}", shown.escape_ascii());
        assert_eq!(after.line(), shown);
    }
}

#[test]
fn words_make_the_same_user_again_whatever_bytes_they_have() {
    let mut rng = Rng::new(2);
    let mut made = 0;
    for _ in 0..3000 {
        let rules: Vec<Bytes> = (0..rng.below(10)).map(|_| noise(&mut rng)).collect();
        let before = user(&rules);
        assert_eq!(User::from_words("somebody".into(), &before.words()), before, "{rules:?}");
        let rights = Rights::from_words("somebody".into(), &before.rights().words());
        assert_eq!(rights.as_ref(), Some(&**before.rights()));
        made += usize::from(before != User::new("somebody".into()));
    }
    assert!(made > 500, "{made} users of 3000 are others than the new one");
}

#[test]
fn no_text_is_too_strange() {
    let mut rng = Rng::new(3);
    for _ in 0..20_000 {
        let words: Vec<Bytes> = (0..rng.below(5)).map(|_| noise(&mut rng)).collect();
        let mut user = User::new("x".into());
        if let Ok(merged) = merge_selectors(&words) {
            let _ = user.apply(&merged);
        }
        let _ = User::from_words("x".into(), &words);
        let change = Change::Set { name: "x".into(), otherwise: words.clone(), rules: words };
        let _ = decide(&change, &BTreeMap::new());
        let bytes: Vec<u8> = (0..rng.below(40)).map(|_| rng.below(4) as u8).collect();
        let _ = (Change::decode(&bytes), Answer::decode(&bytes), decode_kept(&bytes));
    }
}

#[test]
fn what_is_not_understood_gives_no_right() {
    let words = |line: &str| line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect::<Vec<_>>();
    let closed = User::new("x".into());
    for strange in
        ["on nopass ~* +@all %", "on nopass =x ~* +@all", "#12 on ~*", "on nopass ~* &* +@all ( +@all ~* on )"]
    {
        assert_eq!(User::from_words("x".into(), &words(strange)), closed, "{strange}");
    }
    // A command of a later version is no reason to lock everybody out.
    let newer = User::from_words("x".into(), &words("on nopass ~* resetchannels -@all +get +later -@later"));
    assert_eq!(newer, User::from_words("x".into(), &words("on nopass ~* resetchannels -@all +get")));
    assert!(newer.is_open());
}

#[test]
fn passwords_are_compared_and_hidden() {
    let mut user = User::new("x".into());
    user.apply(&[">secret".into(), ">other".into()]).unwrap();
    assert!(!user.admits(b"secret"), "it is off");
    user.apply(&["on".into()]).unwrap();
    assert!(user.admits(b"secret") && user.admits(b"other") && !user.admits(b"") && !user.admits(b"secrets"));
    user.apply(&[hide_password(&Bytes::from_static(b"<other"))]).unwrap();
    assert!(user.admits(b"secret") && !user.admits(b"other"));
    assert_eq!(user.apply(&["<other".into()]), Err((0, Mistake::NoSuchPassword)));
    user.apply(&["nopass".into()]).unwrap();
    assert!(user.admits(b"anything") && user.is_open());
    user.apply(&[hide_password(&Bytes::from_static(b">new"))]).unwrap();
    assert!(user.admits(b"new") && !user.is_open() && !user.admits(b"secret"));
    assert_eq!(&hide_password(&Bytes::from_static(b"+get"))[..], b"+get");
    assert!(!format!("{:?}", user.words()).contains("new"));
}

fn call(line: &str) -> (&'static Spec, Vec<Bytes>) {
    let words: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    (check(&words).expect("a call"), words)
}

#[test]
fn one_selector_must_allow_all_of_a_call() {
    let rights = |rules: &str| {
        let words: Vec<Bytes> = rules.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        user(&merge_selectors(&words).unwrap()).rights().clone()
    };
    let asked = |rules: &str, line: &str| {
        let (spec, words) = call(line);
        rights(rules).check(spec, &words)
    };
    for (rules, line, answer) in [
        ("+get ~a", "get a", Ok(())),
        ("+get ~a", "get b", Err(Denied::Key(1))),
        ("+get ~a", "set a b", Err(Denied::Command)),
        ("+get ~a (+set ~b)", "set a 1", Err(Denied::Key(1))),
        ("+get ~a (+set ~b)", "set b 1", Ok(())),
        ("+@all %R~a", "set a 1", Err(Denied::Key(1))),
        ("+@all %W~a", "set a 1", Ok(())),
        // SET that returns the old value reads.
        ("+@all %W~a", "set a 1 get", Err(Denied::Key(1))),
        ("+@all %R~a %W~b", "copy a b", Ok(())),
        ("+@all %R~a %W~b", "copy b a", Err(Denied::Key(1))),
        ("+@all %R~a", "copy a b", Err(Denied::Key(2))),
        ("+@all %R~a", "bitfield a get u8 0", Ok(())),
        ("+@all %R~a", "bitfield a set u8 0 1", Err(Denied::Key(1))),
        ("+@all %R~a", "sort a store b", Err(Denied::Key(3))),
        ("+@all ~a", "mget a a b", Err(Denied::Key(3))),
        ("+@all ~a", "eval x 2 a b", Err(Denied::Key(4))),
        ("+@all ~a", "xread streams a b 0 0", Err(Denied::Key(3))),
        ("+@all", "ping", Ok(())),
        ("-@all", "auth x", Ok(())),
        ("+config|get", "config get x", Ok(())),
        ("+config|get", "config set x y", Err(Denied::Command)),
        // The last key that no selector allows is the one that is told.
        ("+mget ~a (+mget ~b)", "mget a b", Err(Denied::Key(2))),
    ] {
        assert_eq!(asked(rules, line), answer, "{rules}: {line}");
    }
}

#[test]
fn sort_reads_keys_that_it_does_not_name_with_rights_on_all_of_them_only() {
    for (rules, line, option) in [
        ("+@all ~a", "sort a by x*", Some("BY")),
        ("+@all ~a", "sort a by nosort get #", Some("GET")),
        ("+@all ~a", "sort a by nosort", None),
        ("+@all ~a", "sort a limit 0 x by x*", None),
        ("+@all ~a", "sort a limit 0 1 by x*", Some("BY")),
        ("+@all ~a", "sort a store a get x", Some("GET")),
        ("+@all ~a", "sort_ro a get x", Some("GET")),
        ("+@all ~a", "sort_ro a store a get x", None),
        ("+@all %R~*", "sort_ro a get x", None),
        ("+@all %W~* ~a", "sort_ro a get x", Some("GET")),
        ("+@all ~a (+sort ~*)", "sort a get x", None),
        ("+@all ~a (+get ~*)", "sort a get x", Some("GET")),
        ("+@all ~a", "get a", None),
    ] {
        let words: Vec<Bytes> = rules.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let user = user(&merge_selectors(&words).unwrap());
        let (spec, words) = call(line);
        assert_eq!(user.rights().denied_option(spec, &words), option, "{rules}: {line}");
    }
}

#[test]
fn unrestricted_is_who_may_run_every_row_of_the_table() {
    assert!(User::default_with(None).rights().is_all());
    let mut rng = Rng::new(4);
    for _ in 0..300 {
        let rights = user(&some(&mut rng, 8)).rights().clone();
        let denied = table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).any(|spec| {
            let words = vec![Bytes::from_static(b"k"); spec.arity.unsigned_abs() as usize];
            rights.check(spec, &words).is_err()
        });
        assert!(!(rights.is_all() && denied), "{:?}", rights.words());
    }
}
