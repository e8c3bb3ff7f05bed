//! What is no request: bytes for the three ports of a node, made up from a seed and a number, so that any one connection
//! can be made again.
//!
//! Keys of mutated requests are long and begin with `~`: whatever is cut, flipped or shifted, none of them becomes a key of
//! somebody else.

use crate::dice::Dice;
use crate::resp::{command, encode};

/// Of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    Resp,
    Peer,
    Http,
}

/// What is done after the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Read what comes for a moment, then close.
    Read,
    /// Close at once.
    Close,
    /// Reset.
    Reset,
    /// Close one half, read until the server closes the other.
    Half,
    /// Say nothing for a while, then reset.
    Silence,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Junk {
    pub kind: &'static str,
    pub port: Port,
    /// Each is written by itself.
    pub pieces: Vec<Vec<u8>>,
    pub ending: Ending,
}

type Maker = fn(&mut Dice, u64) -> Vec<u8>;

/// Every kind: its name, where it is sent, how many of a hundred, how it is made from dice and a number that rises by one.
const TABLE: [(&str, Port, u64, Maker); 13] = [
    ("random bytes", Port::Resp, 8, random),
    ("flipped bits", Port::Resp, 17, flipped),
    ("cut at every byte", Port::Resp, 17, cut),
    ("declared lengths", Port::Resp, 15, lengths),
    ("deep nesting", Port::Resp, 6, nested),
    ("inline garbage", Port::Resp, 8, inline),
    ("half a large request", Port::Resp, 4, half),
    ("requests, then garbage", Port::Resp, 5, spoiled),
    ("another protocol", Port::Resp, 3, foreign),
    ("random bytes to peers", Port::Peer, 4, random),
    ("broken HTTP/2 to peers", Port::Peer, 7, frames),
    ("random bytes to HTTP", Port::Http, 2, random),
    ("broken HTTP", Port::Http, 4, http),
];

/// The connection with that number.
pub fn make(seed: u64, number: u64) -> Junk {
    // Consecutive seeds are far apart: the generator spreads them.
    let mut dice = Dice::new(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut left = dice.below(TABLE.iter().map(|row| row.2).sum());
    let row = TABLE.iter().find(|row| {
        let found = left < row.2;
        left = left.saturating_sub(row.2);
        found
    });
    let (kind, port, _, maker) = row.unwrap_or(&TABLE[0]);
    let bytes = maker(&mut dice, number);
    let pieces = match dice.below(4) {
        0 if bytes.len() > 1 => {
            let at = dice.between(1, bytes.len() as u64 - 1) as usize;
            vec![bytes[..at].to_vec(), bytes[at..].to_vec()]
        }
        1 if bytes.len() <= 40 => bytes.iter().map(|byte| vec![*byte]).collect(),
        _ => vec![bytes],
    };
    let ending = match dice.below(20) {
        0..=6 => Ending::Read,
        7..=11 => Ending::Close,
        12..=15 => Ending::Reset,
        16..=18 => Ending::Half,
        _ => Ending::Silence,
    };
    Junk { kind, port: *port, pieces, ending }
}

/// A request as a client may send it.
fn request(dice: &mut Dice) -> Vec<u8> {
    let key = format!("~junk:{:012}", dice.below(1000));
    let value = "~".repeat(dice.below(300) as usize);
    let commands: &[Vec<&str>] = &[
        vec!["SET", &key, &value],
        vec!["GET", &key],
        vec!["SET", &key, &value, "PX", "5000", "NX"],
        vec!["INCRBY", &key, "9223372036854775807"],
        vec!["APPEND", &key, &value],
        vec!["MSET", &key, &value, &key, &value],
        vec!["MGET", &key, &key, &key],
        vec!["HSET", &key, &value, &value],
        vec!["SCAN", "0", "MATCH", "*~*[a-"],
        vec!["HELLO", "3", "SETNAME", "junk"],
        vec!["CLIENT", "INFO"],
        vec!["MULTI"],
        vec!["EXEC"],
        vec!["WATCH", &key],
        vec!["SELECT", "15"],
        vec!["EXPIRE", &key, "-9223372036854775808"],
        vec!["SETRANGE", &key, "536870911", "x"],
        vec!["PING", &value],
    ];
    let mut bytes = Vec::new();
    if let Some(words) = dice.pick(commands) {
        encode(&command(words), &mut bytes);
    }
    bytes
}

fn random(dice: &mut Dice, _: u64) -> Vec<u8> {
    let most = if dice.chance(5) { 100_000 } else { 600 };
    let length = dice.between(1, most);
    (0..length).map(|_| dice.below(256) as u8).collect()
}

fn flipped(dice: &mut Dice, _: u64) -> Vec<u8> {
    let mut bytes = request(dice);
    for _ in 0..dice.between(1, 4) {
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << dice.below(8);
    }
    bytes
}

/// Number after number another byte is the last one.
fn cut(dice: &mut Dice, number: u64) -> Vec<u8> {
    let mut bytes = [request(dice), request(dice)].concat();
    bytes.truncate(1 + (number % (bytes.len() as u64 - 1)) as usize);
    bytes
}

fn lengths(dice: &mut Dice, _: u64) -> Vec<u8> {
    const LENGTHS: [&str; 24] = [
        "-1",
        "-2",
        "-0",
        "0",
        "+3",
        " 3",
        "3 ",
        "03",
        "0x3",
        "3.0",
        "1e9",
        "",
        "-",
        "1048576",
        "1048577",
        "67108864",
        "67108865",
        "536870912",
        "2147483647",
        "2147483648",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
    ];
    let length = match dice.below(8) {
        0 => "9".repeat(dice.between(20, 70_000) as usize),
        _ => (*dice.pick(&LENGTHS).unwrap_or(&"-1")).to_owned(),
    };
    let length = length.as_str();
    match dice.below(5) {
        0 => format!("*{length}\r\n$4\r\nPING\r\n"),
        1 => format!("*1\r\n${length}\r\nPING\r\n"),
        2 => format!("*3\r\n$3\r\nSET\r\n$16\r\n~junk:lengths~~~\r\n${length}\r\nabc\r\n"),
        3 => format!("*2\r\n$3\r\nGET\r\n${length}\r\n"),
        _ => format!("*{length}\r\n${length}\r\n*{length}\r\n"),
    }
    .into_bytes()
}

/// Arrays in arrays, and the other types of RESP3, none of which a request may hold.
fn nested(dice: &mut Dice, _: u64) -> Vec<u8> {
    let depth = dice.between(2, 20_000) as usize;
    let opening =
        *dice.pick(&["*1\r\n", "*2\r\n", "%1\r\n", "~1\r\n", ">1\r\n", "|1\r\n", "*1\n"]).unwrap_or(&"*1\r\n");
    let first = if dice.chance(70) { "*2\r\n" } else { "" };
    [first.to_owned(), opening.repeat(depth), "$4\r\nPING\r\n".to_owned()].concat().into_bytes()
}

fn inline(dice: &mut Dice, _: u64) -> Vec<u8> {
    match dice.below(7) {
        // Longer than a line may be, and no end of it.
        0 => vec![b'~'; dice.between(60_000, 70_000) as usize],
        1 => b"SET \"~junk:inline~~ x\r\n".to_vec(),
        2 => b"SET '~junk:inline~~' \"\\x4\"y\r\n".to_vec(),
        3 => vec![0; dice.between(1, 5000) as usize],
        4 => "\r\n".repeat(dice.between(1, 5000) as usize).into_bytes(),
        5 => "\"\" ".repeat(dice.between(1, 20_000) as usize).into_bytes(),
        _ => {
            let length = dice.between(1, 200);
            let mut line: Vec<u8> = (0..length).map(|_| dice.between(32, 255) as u8).collect();
            line.extend_from_slice(b"\n");
            line
        }
    }
}

/// Much is promised, and some of it comes.
fn half(dice: &mut Dice, _: u64) -> Vec<u8> {
    let promised = dice.between(1 << 20, 64 << 20);
    let sent = dice.between(1, 200_000) as usize;
    let mut bytes = match dice.below(3) {
        0 => b"*1048576\r\n".to_vec(),
        1 => format!("*2\r\n$3\r\nGET\r\n${promised}\r\n").into_bytes(),
        _ => format!("*3\r\n$3\r\nSET\r\n$14\r\n~junk:half~~~~\r\n${promised}\r\n").into_bytes(),
    };
    let filler: &[u8] = if bytes.starts_with(b"*1048576") { b"$1\r\n~\r\n" } else { b"~~~~~~~" };
    bytes.extend(filler.iter().cycle().take(sent));
    bytes
}

fn spoiled(dice: &mut Dice, number: u64) -> Vec<u8> {
    let count = dice.between(1, 8);
    let mut bytes: Vec<u8> = (0..count).flat_map(|_| request(dice)).collect();
    bytes.extend(random(dice, number));
    bytes
}

fn foreign(dice: &mut Dice, number: u64) -> Vec<u8> {
    match dice.below(4) {
        0 => b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nSET ~junk:smuggled 1\r\n".to_vec(),
        1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".iter().copied().chain(random(dice, number)).collect(),
        2 => frames(dice, number),
        _ => b"REDIS0011\xfa\x09redis-ver\x057.2.0\xff".to_vec(),
    }
}

/// The preface of HTTP/2 and frames of which some are sound: lengths, types, flags and streams at random.
fn frames(dice: &mut Dice, _: u64) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    if dice.chance(20) {
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << dice.below(8);
    }
    if dice.chance(80) {
        // An empty SETTINGS, as a client begins.
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    }
    for _ in 0..dice.below(40) {
        let body: Vec<u8> = (0..dice.below(60)).map(|_| dice.below(256) as u8).collect();
        let declared = if dice.chance(80) { body.len() as u64 } else { dice.below(1 << 24) };
        let stream = if dice.chance(50) { 2 * dice.below(50) + 1 } else { dice.below(1 << 32) };
        bytes.extend(&declared.to_be_bytes()[5..]);
        bytes.extend([dice.below(12) as u8, dice.below(256) as u8]);
        bytes.extend(&stream.to_be_bytes()[4..]);
        bytes.extend(body);
    }
    bytes
}

fn http(dice: &mut Dice, _: u64) -> Vec<u8> {
    let long = "x".repeat(dice.between(1, 100_000) as usize);
    match dice.below(7) {
        0 => format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        1 => format!("GET /status HTTP/1.1\r\n{}\r\n", format!("{}: {}\r\n", &long[..1], &long[..1]).repeat(2000)),
        2 => format!("GET /metrics HTTP/1.1\r\nX: {long}"),
        3 => "GET /livez HTTP/9.9\r\n\r\n".to_owned(),
        4 => "POST /status HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n".to_owned(),
        5 => format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{long}"),
        _ => "GET /status HTTP/1.1\r\nHost: x\r\n\r\n".repeat(dice.between(1, 200) as usize),
    }
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_number_makes_the_same_connection_again_and_all_kinds_come() {
        assert_eq!(TABLE.iter().map(|row| row.2).sum::<u64>(), 100);
        let kinds: BTreeSet<&str> = (0..2000).map(|number| make(7, number).kind).collect();
        assert_eq!(kinds.len(), TABLE.len());
        assert_eq!(make(7, 1234), make(7, 1234));
        assert_ne!(make(7, 1234), make(8, 1234));
        assert!((0..2000).all(|number| make(9, number).pieces.iter().all(|piece| !piece.is_empty())));
    }

    #[test]
    fn requests_are_cut_at_every_byte() {
        let lengths: BTreeSet<usize> = (0..5000).map(|number| cut(&mut Dice::new(number), number).len()).collect();
        assert!((1..100).all(|length| lengths.contains(&length)), "{lengths:?}");
    }
}
