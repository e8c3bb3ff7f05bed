//! Payloads of redis-server, payloads of older ones as their formats are described, and payloads of nobody.

use bytes::Bytes;

use super::stream::{Consumer, Entry, Group, Pending, Stream};
use super::{Error, FOOTER_BYTES, Object, dump, dump_as, load};
use crate::base::Rng;

fn word(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn words(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| word(text)).collect()
}

fn hash(pairs: &[(&str, &str)]) -> Object {
    Object::Hash(pairs.iter().map(|(field, value)| (word(field), word(value))).collect())
}

fn zset(members: &[(&str, f64)]) -> Object {
    Object::Zset(members.iter().map(|(member, score)| (word(member), *score)).collect())
}

/// Type and value with a footer.
fn sealed(body: &[u8]) -> Bytes {
    super::sealed(body.to_vec(), 10)
}

/// What redis-server 7.0.15 gives for a value, and whether it keeps that in one piece.
fn of_redis() -> Vec<(&'static [u8], Object, bool)> {
    let list = ["a", "1", "-70000", &"b".repeat(70)].map(word).to_vec();
    vec![
        (b"\x00\x00\x0a\x00]\x9b\x5c@\x0f\x7f\xa2\xda", Object::String(word("")), true),
        (b"\x00\xc0\xf4\x0a\x00Dt\xce\xd7Z\xa7\xef\x82", Object::String(word("-12")), true),
        (b"\x00\xc1\xe8\x03\x0a\x00\x89\xd1G\x8e\xba\xc4\xb7d", Object::String(word("1000")), true),
        (b"\x00\xc2`y\xfe\xff\x0a\x00\xa1\xca\x84p\xcc!m\x9d", Object::String(word("-100000")), true),
        (b"\x00\x0c123456789012\x0a\x00\x91\x10\x01\xb1\xd1\x16\xe7\xac", Object::String(word("123456789012")), true),
        (b"\x00\x05hello\x0a\x00cr\xdfve4 \x0a", Object::String(word("hello")), true),
        (
            b"\x00\xc3\x09<\x01aa\xe0/\x00\x01aa\x0a\x00\xa6~\x08\xb2\x17\xd0\x97\x80",
            Object::String(word(&"a".repeat(60))),
            true,
        ),
        (
            b"\x12\x01\x02\xc3\x1a@Z\x12Z\x00\x00\x00\x04\x00\x81a\x02\x01\x01\xf2\x90\xee\xfe\x04\xe0Fb\xe0<\x00\x01H\
              \xff\x0a\x00\xfb\xb4\xe5\xb3\xc5]`\x8a",
            Object::List(list),
            true,
        ),
        (
            b"\x0b\x14\x04\x00\x00\x00\x03\x00\x00\x00\xff\xff\xff\xff\x05\x00\x00\x00p\x11\x01\x00\x0a\x00\xef\xda\
              \xb8\xfbtDN\x88",
            Object::Set(words(&["-1", "5", "70000"])),
            true,
        ),
        (b"\x02\x01\x01a\x0a\x00b\x96\xe9~D\xd2\x1am", Object::Set(words(&["a"])), false),
        (
            b"\x10\x1a\x1a\x00\x00\x00\x04\x00\x81f\x02\x81v\x02\x81g\x02\xf4\xff\xff\xff\xff\xff\xff\xff\x7f\x09\xff\
              \x0a\x00\xb6\x93\xa9>g\xf3wN",
            hash(&[("f", "v"), ("g", "9223372036854775807")]),
            true,
        ),
        (b"\x04\x01\x01f\x01v\x0a\x00\xad\xf2CV\xb1\x86\x0e\xfc", hash(&[("f", "v")]), false),
        (
            b"\x11%%\x00\x00\x00\x08\x00\x81d\x02\x84-inf\x05\x81a\x02\x01\x01\x81b\x02\x832.5\x04\x81c\x02\x83inf\
              \x04\xff\x0a\x00\xaf\xec\x997\x1a\x11`\x0f",
            zset(&[("d", f64::NEG_INFINITY), ("a", 1.0), ("b", 2.5), ("c", f64::INFINITY)]),
            true,
        ),
        (
            b"\x05\x02\x01b\x00\x00\x00\x00\x00\x00\x04@\x01a\x00\x00\x00\x00\x00\x00\xf0?\x0a\x00\xf4n\xb79\x19vr\x91",
            zset(&[("b", 2.5), ("a", 1.0)]),
            false,
        ),
    ]
}

#[test]
fn payloads_of_redis() {
    for (payload, object, packed) in of_redis() {
        let payload = Bytes::from_static(payload);
        assert_eq!(load(&payload), Ok(object.clone()), "{}", payload.escape_ascii());
        let object = match object {
            // Ours are given in ascending order, as a sorted set is kept.
            Object::Zset(mut members) if !packed => {
                members.reverse();
                Object::Zset(members)
            }
            object => object,
        };
        // What is compressed may differ in its bytes.
        if !payload.contains(&0xc3) {
            assert_eq!(dump_as(&object, packed, 10).escape_ascii().to_string(), payload.escape_ascii().to_string());
        }
    }
}

#[test]
fn forms_of_older_versions() {
    let set = b"\x0b\x0e\x02\0\0\0\x03\0\0\0\xfb\xff\x01\0\x02\0";
    let zipmap = b"\x09\x10\x02\x01a\x01\0b\x03one\x02\x01xyz\xff";
    // Prefixes of one byte, strings and integers of several widths.
    let ziplist = b"\x25\0\0\0\x1a\0\0\0\x06\0\0\x02hi\x04\xf1\x02\xfd\x02\xfe\x80\x03\xf0\x01\0\x80\
        \x05\xe0\0\0\0\0\0\0\0\x80\xff";
    let elements = words(&["hi", "0", "12", "-128", "-8388607", "-9223372036854775808"]);
    let of = |kind: u8, parts: &[&[u8]]| load(&sealed(&[&[kind], &parts.concat()[..]].concat()));
    let blob = [&[ziplist.len() as u8], &ziplist[..]].concat();
    assert_eq!(load(&sealed(set)), Ok(Object::Set(words(&["-5", "1", "2"]))));
    assert_eq!(load(&sealed(zipmap)), Ok(hash(&[("a", "b"), ("one", "xy")])));
    assert_eq!(of(10, &[&blob]), Ok(Object::List(elements.clone())));
    assert_eq!(of(14, &[&[2], &blob, &blob]), Ok(Object::List([&elements[..], &elements].concat())));
    assert_eq!(of(13, &[&blob]), Ok(hash(&[("hi", "0"), ("12", "-128"), ("-8388607", "-9223372036854775808")])));
    let scores = [("hi", 0.0), ("12", -128.0), ("-8388607", -9223372036854775808.0)];
    assert_eq!(of(12, &[&blob]), Ok(zset(&scores)));
    assert_eq!(of(1, &[b"\x02\x01a\xc0\x05"]), Ok(Object::List(words(&["a", "5"]))));
    let text_scores = b"\x03\x01a\x031.5\x01b\xfe\x01c\xff";
    let scores = [("a", 1.5), ("b", f64::INFINITY), ("c", f64::NEG_INFINITY)];
    assert_eq!(of(3, &[text_scores]), Ok(zset(&scores)));
    assert_eq!(of(20, &[b"\x0d\x0d\0\0\0\x02\0\x81a\x02\x07\x01\xff\0"]), Err(Error::Damaged("count of a listpack")));
    assert_eq!(of(20, &[b"\x0c\x0c\0\0\0\x02\0\x81a\x02\x07\x01\xff"]), Ok(Object::Set(words(&["a", "7"]))));
}

/// Found by the fuzzer: in the form that counts from the earliest deadline on, one that comes out at 0 was kept as a deadline.
#[test]
fn a_deadline_of_zero_is_none_in_both_forms() {
    let body = [&b"\x18"[..], &0u64.to_le_bytes(), b"\x01\x01\x01f\x01v"].concat();
    let hash = Object::TimedHash(vec![(word("f"), word("v"), None)]);
    assert_eq!(load(&super::sealed(body, super::VERSION)), Ok(hash.clone()));
    for packed in [false, true] {
        assert_eq!(load(&dump(&hash, packed)), Ok(hash.clone()));
    }
}

#[test]
fn every_value_comes_back() {
    let mut rng = Rng::new(3);
    for _ in 0..2_000 {
        let object = random_object(&mut rng);
        for packed in [false, true] {
            let payload = dump(&object, packed);
            let back = match (load(&payload), &object) {
                (Ok(Object::Zset(mut members)), _) if !packed => {
                    members.reverse();
                    Object::Zset(members)
                }
                // Integers are sorted in one piece.
                (Ok(Object::Set(mut members)), Object::Set(original)) => {
                    members.sort_by_key(|member| original.iter().position(|other| other == member));
                    Object::Set(members)
                }
                (Ok(back), _) => back,
                (Err(error), _) => panic!("{object:?}: {error}"),
            };
            assert_eq!(back, object);
        }
    }
}

/// Of redis-server 7.0.15: three entries in a page, one of them deleted; a group with two consumers and an entry that is
/// pending.
const STREAM: &[u8] = b"\x13\x01\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01@BB\0\0\0\x18\0\x02\x01\x01\x01\x01\x01\x81a\x02\0\x01\x02\x01\0\x01\0\
    \x01\x01\x01\x04\x01\x01\x01\0\x01\x01\x01\x02\x01\x81a\x02\x85hello\x06\x81b\x02\xdf\xf9\x02\x08\x01\x02\x01\x04\x01\xdf\xff\x02\xc1,\x02\x04\x01\xff\
    \x02\x05\0\x01\x01\x01\x02\x03\x01\x01g\x01\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\xe8\x03\0\0\0\0\0\0\
    \x05\x02\x01c\xb8\xceB\x1c\xa2\x01\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x01d\xbb\xceB\x1c\xa2\x01\0\0\0";

#[test]
fn a_stream_of_redis_is_read() {
    let entry = |id, texts: &[&str], is_dead| Entry { id, words: words(texts), is_dead };
    let consumer = |name: &str, seen| Consumer { name: word(name), seen, active: Some(seen) };
    let page = vec![
        entry((1, 1), &["a", "1"], false),
        entry((1, 2), &["a", "hello", "b", "-7"], true),
        entry((5, 0), &["a", "300"], false),
    ];
    let mut stream = Stream {
        pages: vec![page],
        last_id: (5, 0),
        deleted: (1, 2),
        added: Some(3),
        groups: vec![Group {
            name: word("g"),
            last_id: (1, 1),
            entries_read: None,
            consumers: vec![consumer("c", 1_795_770_470_072), consumer("d", 1_795_770_470_075)],
            pending: vec![Pending { id: (1, 1), delivered: 1_000, deliveries: 5, consumer: 0 }],
        }],
    };
    assert_eq!(load(&sealed(STREAM)), Ok(Object::Stream(stream.clone())));
    let payload = dump_as(&Object::Stream(stream.clone()), true, 10);
    stream.pages[0].remove(1);
    assert_eq!(load(&payload), Ok(Object::Stream(stream.clone())));
    // In 7.2 consumers have two times; up to 6.2 streams did not count.
    stream.groups[0].consumers[1].active = None;
    assert_eq!(load(&dump(&Object::Stream(stream.clone()), true)), Ok(Object::Stream(stream.clone())));
    let old = b"\x0f\x00\x00\x05\x01\x01\x01g\x02\x00\x00\x01\x01c\x07\0\0\0\0\0\0\0\x00";
    let Ok(Object::Stream(old)) = load(&sealed(old)) else { panic!("an old stream") };
    assert_eq!((old.last_id, old.added, old.groups[0].last_id), ((5, 1), None, (2, 0)));
    assert_eq!(old.groups[0].consumers, [consumer("c", 7)]);
}

#[test]
fn a_stream_that_contradicts_itself_is_refused() {
    let forged = |at: usize, byte: u8| {
        let mut body = STREAM.to_vec();
        assert_ne!(body[at], byte, "{at}");
        body[at] = byte;
        load(&sealed(&body))
    };
    let of = |part: &[u8]| STREAM.windows(part.len()).position(|window| window == part).unwrap();
    let group = of(b"\x01\x01g");
    for (at, byte) in [
        // Ids of the page and of the stream, counts of the page, number of entries.
        (10, 2),
        (of(b"\x02\x05\0\x01\x01\x01") + 1, 4),
        (of(b"\x02\x01\x01\x01\x01\x01\x81a"), 3),
        (of(b"\x02\x01\x01\x01\x01\x01\x81a") + 2, 0),
        (of(b"\x02\x05\0\x01\x01\x01"), 3),
        // A pending entry of nobody, and a consumer of an entry that is not pending.
        (group + 21, 9),
        (of(b"\x01c\xb8") + 10, 0),
        (of(b"\x01d\xbb") + 1, b'c'),
    ] {
        let loaded = forged(at, byte);
        assert!(matches!(loaded, Err(Error::Damaged(_))), "byte {at}: {loaded:?}");
    }
}

fn random_word(rng: &mut Rng) -> Bytes {
    match rng.below(4) {
        0 => (rng.next() as i64 >> rng.below(64)).to_string().into(),
        1 => vec![b'a' + rng.below(3) as u8; rng.below(200) as usize].into(),
        2 if rng.chance(1, 20) => (0..rng.below(20_000)).map(|_| b'a' + rng.below(9) as u8).collect::<Vec<_>>().into(),
        _ => (0..rng.below(30)).map(|_| rng.next() as u8).collect::<Vec<_>>().into(),
    }
}

fn random_object(rng: &mut Rng) -> Object {
    let mut names: Vec<Bytes> = (0..rng.range(1, 30)).map(|_| random_word(rng)).collect();
    match rng.below(5) {
        0 => return Object::String(random_word(rng)),
        1 => return Object::List(names),
        _ => {}
    }
    names.sort();
    names.dedup();
    match rng.below(3) {
        0 => Object::Set(names),
        1 => Object::Hash(names.into_iter().map(|name| (name, random_word(rng))).collect()),
        _ => {
            let score = |rng: &mut Rng| match rng.below(3) {
                0 => rng.next() as i64 as f64,
                1 => *rng.pick(&[f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.1, -2.5e-300, 1e300]),
                _ => rng.below(100) as f64 / 8.0,
            };
            Object::Zset(names.into_iter().map(|name| (name, score(rng))).collect())
        }
    }
}

#[test]
fn footers_are_checked() {
    let payload = dump(&Object::String(word("hello")), true);
    for length in 0..payload.len() {
        assert_eq!(load(&payload.slice(..length)), Err(Error::Footer), "{length} bytes");
    }
    for at in 0..payload.len() {
        let mut other = payload.to_vec();
        other[at] ^= 0x10;
        assert_eq!(load(&other.into()), Err(Error::Footer), "byte {at}");
    }
    assert_eq!(load(&dump_as(&Object::String(word("x")), true, 12)), Ok(Object::String(word("x"))));
    assert_eq!(load(&dump_as(&Object::String(word("x")), true, 13)), Err(Error::Footer));
    for kind in [6, 7] {
        assert_eq!(load(&sealed(&[kind, 1, 2, 3])), Err(Error::Unsupported));
    }
    assert_eq!(load(&sealed(&[8, 0])), Err(Error::Damaged("an unknown type")));
}

#[test]
fn contradictions_are_refused() {
    for body in [
        // Nothing in it, twice the same, no number for a score.
        &b"\x01\x00"[..],
        b"\x12\x00",
        b"\x0b\x08\x02\0\0\0\0\0\0\0",
        b"\x02\x02\x01a\x01a",
        b"\x04\x02\x01a\x01b\x01a\x01c",
        b"\x05\x01\x01a\0\0\0\0\0\0\xf8\x7f",
        b"\x03\x01\x01a\xfd",
        b"\x03\x01\x01a\x03abc",
        // A length that nobody has so many bytes for.
        b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x80\xff\xff\xff\xff",
        b"\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a",
        b"\x00\xc3\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00",
        b"\x00\x82",
        b"\x00\xc4",
        // Integers out of order or of unknown width.
        b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x02\0\x01\0",
        b"\x0b\x0b\x03\0\0\0\x01\0\0\0\x01\0\0",
        // A field without a value.
        b"\x10\x0a\x0a\0\0\0\x01\0\x81a\x02\xff",
    ] {
        let loaded = load(&sealed(body));
        assert!(matches!(loaded, Err(Error::Damaged(_) | Error::TooLarge)), "{}: {loaded:?}", body.escape_ascii());
    }
}

/// Every byte of good payloads is changed, with a checksum that is right: an answer comes, whatever it is, and what is
/// taken is a value.
#[test]
fn forged_payloads_do_no_harm() {
    let mut rng = Rng::new(4);
    let mut payloads: Vec<Vec<u8>> = of_redis().into_iter().map(|(payload, ..)| payload.to_vec()).collect();
    payloads.extend(std::iter::repeat_n(sealed(STREAM).to_vec(), 20));
    payloads.extend((0..100).map(|number| dump(&random_object(&mut rng), number % 2 == 0).to_vec()));
    let (mut taken, mut refused) = (0, 0);
    for payload in payloads {
        let body = &payload[..payload.len() - FOOTER_BYTES];
        for _ in 0..1_000 {
            let mut forged = body.to_vec();
            for _ in 0..rng.range(1, 4) {
                let at = rng.below(forged.len() as u64) as usize;
                match rng.below(4) {
                    0 => forged[at] = rng.next() as u8,
                    1 => forged[at] ^= 1 << rng.below(8),
                    2 => forged[at] = *rng.pick(&[0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xf0, 0xfe, 0xff]),
                    _ => forged.truncate(at + 1),
                }
            }
            match load(&sealed(&forged)) {
                Ok(Object::Zset(members)) => taken += usize::from(members.iter().all(|(_, score)| !score.is_nan())),
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(taken > 1_000 && refused > 1_000, "{taken} taken, {refused} refused");
}
