//! GEOSEARCH, GEOSEARCHSTORE and the older GEORADIUS family: one search, several ways to ask for it.
//!
//! The options come in any order. What is missing or does not go together is told when all were read, a word that is
//! wrong in itself at once; a member that names the centre is looked up while reading.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{coordinates, find, place, place_of, unit};
use crate::base::double;
use crate::command::args::Options;
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::data::Class;
use crate::data::geo::{Area, Place, Shape, Unit, distance_text};
use crate::data::zset::Zset;
use crate::resp::{Value, c_string};
use crate::store::Order;

/// Which command asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// GEORADIUS and GEORADIUSBYMEMBER; without `stores` their `_RO` forms.
    Radius {
        by_member: bool,
        stores: bool,
    },
    Search,
    SearchStore,
}

/// What is asked for.
#[derive(Default)]
struct Request {
    /// `None` also where there is no sorted set that has the member.
    centre: Option<Place>,
    from_member: bool,
    from_place: bool,
    shape: Option<Shape>,
    unit: Option<Unit>,
    with_distance: bool,
    with_score: bool,
    with_place: bool,
    any: bool,
    /// 0 for all.
    count: u64,
    order: Option<Order>,
    target: Option<Bytes>,
    stores_distance: bool,
}

/// A member that was found.
struct Found {
    member: Bytes,
    score: f64,
    place: Place,
    /// In metres.
    distance: f64,
}

pub fn geosearch(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run(context, args, 1, Asker::Search)
}

pub fn geosearchstore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run(context, args, 2, Asker::SearchStore)
}

pub fn georadius(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run(context, args, 1, Asker::Radius { by_member: false, stores: true })
}

pub fn georadius_ro(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run(context, args, 1, Asker::Radius { by_member: false, stores: false })
}

pub fn georadiusbymember(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run(context, args, 1, Asker::Radius { by_member: true, stores: true })
}

pub fn georadiusbymember_ro(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run(context, args, 1, Asker::Radius { by_member: true, stores: false })
}

fn run(context: &mut Context<'_, '_>, args: &[Bytes], source: usize, asker: Asker) -> Result<Value> {
    context.keys.manner.counts = true;
    let zset = find(context, &args[source])?;
    context.keys.manner.counts = false;
    let mut request = Request::default();
    let options_from = request.read_places(context, args, source, zset.as_ref(), asker)?;
    request.read_options(context, &args[options_from..], zset.as_ref(), asker)?;
    request.check(&args[0], asker)?;
    let area = request.centre.zip(request.shape).map(|(centre, shape)| Area { centre, shape });
    let mut found = match zset.as_ref().zip(area) {
        Some((zset, area)) => search(context, zset, &area, if request.any { request.count } else { 0 })?,
        None => Vec::new(),
    };
    // Without an order a count means the nearest, unless any will do.
    let order = request.order.or((request.count > 0 && !request.any).then_some(Order::Forward));
    match order {
        Some(Order::Forward) => found.sort_by(|one, other| one.distance.total_cmp(&other.distance)),
        Some(Order::Backward) => found.sort_by(|one, other| other.distance.total_cmp(&one.distance)),
        None => {}
    }
    if request.count > 0 {
        found.truncate(usize::try_from(request.count).unwrap_or(usize::MAX));
    }
    let metres = request.unit.unwrap_or(Unit::Metres).metres();
    let Some(target) = request.target else { return Ok(request.reply(context, found, metres)) };
    let count = found.len() as i64;
    let score = |found: &Found| if request.stores_distance { found.distance / metres } else { found.score };
    let members = found.into_iter().map(|found| (found.member.clone(), score(&found))).collect();
    let was_there = Zset::replace(context.keys, context.db, &target, members)?;
    let event = if asker == Asker::SearchStore { "geosearchstore" } else { "georadiusstore" };
    context.notify_stored((Class::Zset, event), &target, count as usize, was_there);
    Ok(Value::Integer(count))
}

/// The members in an area, cell by cell; not more than `limit`, unless that is 0.
fn search(context: &Context<'_, '_>, zset: &Zset, area: &Area, limit: u64) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for (from, behind) in area.ranges() {
        let skip = zset.partition(context.keys, &|score, _| score < from as f64)?;
        zset.visit(context.keys, skip, Order::Forward, &mut |member, score| {
            if score >= behind as f64 || (limit > 0 && all.len() as u64 >= limit) {
                return ControlFlow::Break(());
            }
            let place = Place::of_score(score);
            if let Some(distance) = area.distance_to(place) {
                all.push(Found { member, score, place, distance });
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(all)
}

impl Request {
    /// Reads what stands in fixed places; returns where the options begin.
    fn read_places(
        &mut self,
        context: &Context<'_, '_>,
        args: &[Bytes],
        source: usize,
        zset: Option<&Zset>,
        asker: Asker,
    ) -> Result<usize> {
        let radius_at = match asker {
            Asker::SearchStore => {
                self.target = Some(args[1].clone());
                return Ok(source + 1);
            }
            Asker::Search => return Ok(source + 1),
            Asker::Radius { by_member: true, .. } => {
                if zset.is_none() {
                    // Nothing to be found, so nothing of it is looked at.
                    return Ok(5);
                }
                self.centre = Some(member_place(context, zset, &args[2])?);
                3
            }
            Asker::Radius { .. } => {
                self.centre = Some(place(&args[2], &args[3])?);
                4
            }
        };
        self.read_radius(&args[radius_at], &args[radius_at + 1])?;
        Ok(radius_at + 2)
    }

    fn read_radius(&mut self, radius: &[u8], unit_word: &[u8]) -> Result<()> {
        let radius = number(radius, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(Failure::line("ERR radius cannot be negative"));
        }
        let unit = unit(unit_word)?;
        (self.shape, self.unit) = (Some(Shape::Circle { radius: radius * unit.metres() }), Some(unit));
        Ok(())
    }

    fn read_box(&mut self, width: &[u8], height: &[u8], unit_word: &[u8]) -> Result<()> {
        let (width, height) = (number(width, "ERR need numeric width")?, number(height, "ERR need numeric height")?);
        if width < 0.0 || height < 0.0 {
            return Err(Failure::line("ERR height or width cannot be negative"));
        }
        let unit = unit(unit_word)?;
        let (width, height) = (width * unit.metres(), height * unit.metres());
        (self.shape, self.unit) = (Some(Shape::Rectangle { width, height }), Some(unit));
        Ok(())
    }

    fn read_options(
        &mut self,
        context: &Context<'_, '_>,
        words: &[Bytes],
        zset: Option<&Zset>,
        asker: Asker,
    ) -> Result<()> {
        let searches = matches!(asker, Asker::Search | Asker::SearchStore);
        let stores = asker == Asker::Radius { by_member: false, stores: true }
            || asker == Asker::Radius { by_member: true, stores: true };
        let is_circle = |shape: Option<Shape>| matches!(shape, Some(Shape::Circle { .. }));
        let is_box = |shape: Option<Shape>| matches!(shape, Some(Shape::Rectangle { .. }));
        let mut options = Options::new(words, 0);
        while let Some(word) = options.next() {
            match (word.to_ascii_lowercase().as_slice(), options.left()) {
                (b"withdist", _) => self.with_distance = true,
                (b"withhash", _) => self.with_score = true,
                (b"withcoord", _) => self.with_place = true,
                (b"any", _) => self.any = true,
                (b"asc", _) => self.order = Some(Order::Forward),
                (b"desc", _) => self.order = Some(Order::Backward),
                (b"count", 1..) => {
                    let count = options.integer()?;
                    let count = u64::try_from(count).ok().filter(|count| *count > 0);
                    self.count = count.ok_or(Failure::line("ERR COUNT must be > 0"))?;
                }
                (b"store", 1..) if stores => {
                    (self.target, self.stores_distance) = (Some(options.value()?.clone()), false);
                }
                (b"storedist", 1..) if stores => {
                    (self.target, self.stores_distance) = (Some(options.value()?.clone()), true);
                }
                (b"storedist", _) if asker == Asker::SearchStore => self.stores_distance = true,
                (b"frommember", 1..) if searches && !self.from_place => {
                    let member = options.value()?;
                    self.from_member = true;
                    if zset.is_some() {
                        self.centre = Some(member_place(context, zset, member)?);
                    }
                }
                (b"fromlonlat", 2..) if searches && !self.from_member => {
                    self.centre = Some(place(options.value()?, options.value()?)?);
                    self.from_place = true;
                }
                (b"byradius", 2..) if searches && !is_box(self.shape) => {
                    self.read_radius(options.value()?, options.value()?)?;
                }
                (b"bybox", 3..) if searches && !is_circle(self.shape) => {
                    self.read_box(options.value()?, options.value()?, options.value()?)?;
                }
                _ => return Err(Failure::SYNTAX),
            }
        }
        Ok(())
    }

    /// Whether the options go together.
    fn check(&self, name: &[u8], asker: Asker) -> Result<()> {
        let decorated = self.with_distance || self.with_score || self.with_place;
        if self.target.is_some() && decorated {
            let who = if asker == Asker::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Failure::line(format!(
                "ERR {who} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        if matches!(asker, Asker::Search | Asker::SearchStore) {
            let missing = match () {
                () if !self.from_member && !self.from_place => "FROMMEMBER or FROMLONLAT",
                () if self.shape.is_none() => "BYRADIUS and BYBOX",
                () => "",
            };
            if !missing.is_empty() {
                let line = format!("ERR exactly one of {missing} can be specified for ");
                return Err(Failure::Reply([line.as_bytes(), c_string(name)].concat().into()));
            }
        }
        if self.any && self.count == 0 {
            return Err(Failure::line("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    fn reply(&self, context: &Context<'_, '_>, found: Vec<Found>, metres: f64) -> Value {
        let one = |found: Found| {
            let mut facts = vec![Value::Bulk(found.member)];
            if self.with_distance {
                facts.push(Value::bulk(distance_text(found.distance / metres)));
            }
            if self.with_score {
                facts.push(Value::Integer(found.score as i64));
            }
            if self.with_place {
                facts.push(coordinates(found.place, context.protocol));
            }
            if facts.len() == 1 { facts.remove(0) } else { Value::Array(facts) }
        };
        Value::Array(found.into_iter().map(one).collect())
    }
}

fn member_place(context: &Context<'_, '_>, zset: Option<&Zset>, member: &[u8]) -> Result<Place> {
    place_of(context, zset, member)?.ok_or(Failure::line("ERR could not decode requested zset member"))
}

fn number(word: &[u8], mistake: &'static str) -> Result<f64> {
    double::parse(word).ok_or(Failure::line(mistake))
}
