//! What places say to a client: sorted sets whose scores are cells of a grid ([`crate::data::geo`]). Searches are in
//! [`search`].

pub mod search;

use bytes::Bytes;

use super::args::is;
use super::context::Context;
use super::error::{Failure, Result};
use super::zset;
use crate::base::double;
use crate::data::geo::{Cell, Place, Unit, coordinate_text, distance, distance_text};
use crate::data::zset::Zset;
use crate::resp::{Protocol, Value};

/// `GEOADD key [NX | XX] [CH] longitude latitude member [...]`: a ZADD with places for scores.
pub(super) fn geoadd(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let is_option = |word: &&Bytes| ["nx", "xx", "ch"].iter().any(|option| is(word, option));
    let options = args[2..].iter().take_while(is_option).count();
    let (head, places) = args.split_at(2 + options);
    let has = |option| head[2..].iter().any(|word| is(word, option));
    let (places, []) = places.as_chunks::<3>() else { return Err(Failure::SYNTAX) };
    if has("nx") && has("xx") {
        return Err(Failure::SYNTAX);
    }
    let mut words = head.to_vec();
    for [longitude, latitude, member] in places {
        let score = place(longitude, latitude)?.score();
        words.extend([Bytes::from((score as u64).to_string()), member.clone()]);
    }
    zset::zadd(context, &words)
}

/// The place that two words name.
fn place(longitude: &[u8], latitude: &[u8]) -> Result<Place> {
    let number = |word: &[u8]| double::parse(word).ok_or(Failure::NOT_A_FLOAT);
    let (longitude, latitude) = (number(longitude)?, number(latitude)?);
    Place::new(longitude, latitude)
        .ok_or_else(|| Failure::line(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
}

/// The unit that a word names.
fn unit(word: &[u8]) -> Result<Unit> {
    Unit::named(word).ok_or(Failure::line("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// `GEODIST key member1 member2 [M | KM | FT | MI]`
pub(super) fn geodist(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let unit = match &args[4..] {
        [] => Unit::Metres,
        [word] => unit(word)?,
        _ => return Err(Failure::SYNTAX),
    };
    let zset = find(context, &args[1])?;
    let (one, other) = (place_of(context, zset.as_ref(), &args[2])?, place_of(context, zset.as_ref(), &args[3])?);
    Ok(match one.zip(other) {
        Some((one, other)) => Value::bulk(distance_text(distance(one, other) / unit.metres())),
        None => Value::Null,
    })
}

/// `GEOHASH key [member ...]`
pub(super) fn geohash(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let zset = find(context, &args[1])?;
    let hash = |member: &Bytes| {
        let score = score_of(context, zset.as_ref(), member)?;
        Ok(score.map_or(Value::Null, |score| Value::bulk(Cell::of_score(score).text())))
    };
    args[2..].iter().map(hash).collect::<Result<_>>().map(Value::Array)
}

/// `GEOPOS key [member ...]`
pub(super) fn geopos(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let zset = find(context, &args[1])?;
    let position = |member: &Bytes| {
        let place = place_of(context, zset.as_ref(), member)?;
        Ok(place.map_or(Value::NullArray, |place| coordinates(place, context.protocol)))
    };
    args[2..].iter().map(position).collect::<Result<_>>().map(Value::Array)
}

/// A place as a reply: two numbers with more digits than Redis prints of other numbers.
fn coordinates(place: Place, protocol: Protocol) -> Value {
    let number = |degrees: f64| match protocol {
        Protocol::Resp2 => Value::bulk(coordinate_text(degrees)),
        Protocol::Resp3 => Value::Raw(format!(",{}\r\n", coordinate_text(degrees)).into()),
    };
    Value::Array(vec![number(place.longitude), number(place.latitude)])
}

fn place_of(context: &Context<'_, '_>, zset: Option<&Zset>, member: &[u8]) -> Result<Option<Place>> {
    Ok(score_of(context, zset, member)?.map(Place::of_score))
}

fn score_of(context: &Context<'_, '_>, zset: Option<&Zset>, member: &[u8]) -> Result<Option<f64>> {
    match zset {
        Some(zset) => Ok(zset.score(context.keys, member)?),
        None => Ok(None),
    }
}

fn find(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Option<Zset>> {
    Ok(Zset::find(context.keys, context.db, key)?)
}
