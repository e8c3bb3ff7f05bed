//! Value to payload, as Redis 7.2 writes it (and 7.4 hashes with deadlines): small values in one piece, large ones element by element.

use bytes::Bytes;

use super::listpack::Builder;
use super::output::{put_length, put_number, put_string};
use super::stream::{self, Form};
use super::{Object, intset};
use crate::base::integer;
use crate::resp::double_text;

/// The first version with sets in a listpack.
const SET_LISTPACK_VERSION: u16 = 11;
/// The first version that tells when consumers of a stream got something.
const STREAM_ACTIVE_VERSION: u16 = 11;
/// Bytes of one node of a list (`list-max-listpack-size` -2); a longer element is a node of its own.
const NODE_BYTES_MAX: usize = 8 << 10;
/// Containers of a list's elements.
const PLAIN: usize = 1;
const PACKED: usize = 2;

/// The type and the value.
pub fn object(object: &Object, packed: bool, version: u16) -> Vec<u8> {
    let mut out = Vec::new();
    match object {
        Object::String(bytes) => {
            out.push(0);
            put_string(&mut out, bytes);
        }
        Object::List(elements) => {
            out.push(18);
            list(&mut out, elements, if packed { usize::MAX } else { NODE_BYTES_MAX });
        }
        Object::Set(members) => match integers(members).filter(|_| packed) {
            Some(integers) => {
                out.push(11);
                put_string(&mut out, &intset::write(integers));
            }
            None if packed && version >= SET_LISTPACK_VERSION => {
                out.push(20);
                pack(&mut out, members.iter());
            }
            None => {
                out.push(2);
                put_length(&mut out, members.len());
                members.iter().for_each(|member| put_string(&mut out, member));
            }
        },
        Object::Hash(pairs) if packed => {
            out.push(16);
            pack(&mut out, pairs.iter().flat_map(|(field, value)| [field, value]));
        }
        Object::Hash(pairs) => {
            out.push(4);
            put_length(&mut out, pairs.len());
            pairs.iter().flat_map(|(field, value)| [field, value]).for_each(|word| put_string(&mut out, word));
        }
        Object::TimedHash(fields) => timed_hash(&mut out, fields, packed),
        Object::Zset(members) if packed => {
            out.push(17);
            let words = members.iter().flat_map(|(member, score)| [member.to_vec(), score_text(*score).into_bytes()]);
            pack(&mut out, words);
        }
        Object::Zset(members) => {
            out.push(5);
            put_length(&mut out, members.len());
            // The greatest first: whoever builds a tree from it always inserts at its start.
            for (member, score) in members.iter().rev() {
                put_string(&mut out, member);
                out.extend_from_slice(&score.to_le_bytes());
            }
        }
        Object::Stream(stream) if version >= STREAM_ACTIVE_VERSION => {
            out.push(21);
            stream::write(&mut out, stream, Form::Active);
        }
        Object::Stream(stream) => {
            out.push(19);
            stream::write(&mut out, stream, Form::Counted);
        }
    }
    out
}

/// A hash with deadlines, in the forms of Redis 7.4: the earliest deadline first, then each field with its own.
fn timed_hash(out: &mut Vec<u8>, fields: &[(Bytes, Bytes, Option<u64>)], packed: bool) {
    let first = fields.iter().filter_map(|(_, _, end)| *end).min().unwrap_or(0);
    out.push(if packed { 25 } else { 24 });
    out.extend_from_slice(&first.to_le_bytes());
    if packed {
        // Redis keeps these in order of time, those without a deadline last.
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(_, _, end)| end.unwrap_or(u64::MAX));
        let words = fields
            .iter()
            .flat_map(|(name, value, end)| [name.clone(), value.clone(), Bytes::from(end.unwrap_or(0).to_string())]);
        return pack(out, words);
    }
    put_length(out, fields.len());
    for (name, value, end) in fields {
        // Counted from the earliest on, which is 1.
        put_number(out, end.map_or(0, |end| end - first + 1));
        put_string(out, name);
        put_string(out, value);
    }
}

/// Words as one listpack.
fn pack<T: AsRef<[u8]>>(out: &mut Vec<u8>, words: impl Iterator<Item = T>) {
    let mut builder = Builder::default();
    words.for_each(|word| builder.push(word.as_ref()));
    put_string(out, &builder.finish());
}

/// Elements as nodes of at most so many bytes.
fn list<T: AsRef<[u8]>>(out: &mut Vec<u8>, elements: &[T], node_bytes_max: usize) {
    let (mut nodes, mut count) = (Vec::new(), 0);
    let mut put = |container: usize, bytes: &[u8]| {
        put_length(&mut nodes, container);
        put_string(&mut nodes, bytes);
        count += 1;
    };
    let mut node = Builder::default();
    let close = |node: &mut Builder, put: &mut dyn FnMut(usize, &[u8])| {
        if node.count() > 0 {
            put(PACKED, &std::mem::take(node).finish());
        }
    };
    for element in elements.iter().map(AsRef::as_ref) {
        if node.len().saturating_add(element.len()) > node_bytes_max {
            close(&mut node, &mut put);
        }
        if element.len() > node_bytes_max {
            put(PLAIN, element);
        } else {
            node.push(element);
        }
    }
    close(&mut node, &mut put);
    put_length(out, count);
    out.append(&mut nodes);
}

/// The members as integers, if all are.
fn integers<T: AsRef<[u8]>>(members: &[T]) -> Option<Vec<i64>> {
    members.iter().map(|member| integer::parse(member.as_ref())).collect()
}

/// A score in a listpack, where the two zeros are one.
fn score_text(score: f64) -> String {
    double_text(if score == 0.0 { 0.0 } else { score })
}
