//! Distances along the surface of a sphere: the haversine formula. The earth is not one; within half a percent it is.

use super::Place;

/// Radius of the sphere in metres, as Redis has it.
pub const EARTH_RADIUS_M: f64 = 6_372_797.560_856;

/// What distances are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `m`
    Metres,
    /// `km`
    Kilometres,
    /// `ft`
    Feet,
    /// `mi`
    Miles,
}

impl Unit {
    /// The unit with this name, in either case.
    pub fn named(name: &[u8]) -> Option<Unit> {
        match name.to_ascii_lowercase().as_slice() {
            b"m" => Some(Unit::Metres),
            b"km" => Some(Unit::Kilometres),
            b"ft" => Some(Unit::Feet),
            b"mi" => Some(Unit::Miles),
            _ => None,
        }
    }

    /// One of it in metres.
    pub const fn metres(self) -> f64 {
        match self {
            Unit::Metres => 1.0,
            Unit::Kilometres => 1000.0,
            Unit::Feet => 0.3048,
            Unit::Miles => 1609.34,
        }
    }
}

/// Degrees as an angle.
pub fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

/// An angle in degrees.
pub fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

/// Metres between two places.
pub fn distance(from: Place, to: Place) -> f64 {
    let half = ((radians(to.longitude) - radians(from.longitude)) / 2.0).sin();
    if half == 0.0 {
        return between_latitudes(from.latitude, to.latitude);
    }
    let (south, north) = (radians(from.latitude), radians(to.latitude));
    let upright = ((north - south) / 2.0).sin();
    let part = upright * upright + south.cos() * north.cos() * half * half;
    2.0 * EARTH_RADIUS_M * part.sqrt().asin()
}

/// Metres between two latitudes.
pub fn between_latitudes(from: f64, to: f64) -> f64 {
    EARTH_RADIUS_M * (radians(to) - radians(from)).abs()
}

/// A distance as replies show it: four digits behind the point, a half rounded to even as Redis 7.2 does.
pub fn distance_text(distance: f64) -> String {
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    format!("{}.{:04}", scaled / 10_000, scaled % 10_000)
}
