//! Places on the earth, as scores of a sorted set: what GEOADD, GEOPOS, GEODIST, GEOHASH and the searches compute.
//!
//! A place is a cell of a grid, its number a score of 52 bits ([`Cell`]); places near each other mostly have numbers
//! near each other, so that a search is a few ranges of scores ([`Area::ranges`]) and a test of each member found
//! ([`Area::distance_to`]). Pure functions: the sorted set is the caller's.
//!
//! Sources: Redis's documentation of the GEO commands; the geohash system of Niemeyer; the haversine formula. Constants
//! and the order of operations are Redis's, because clients see every digit.

mod area;
mod cell;
mod distance;

pub use area::{Area, Shape};
pub use cell::Cell;
pub use distance::{Unit, distance, distance_text};

/// Web Mercator ends here, to the north and to the south; so does the grid.
pub const LATITUDE_MAX: f64 = 85.05112878;
/// And here, to the east and to the west.
pub const LONGITUDE_MAX: f64 = 180.0;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Degrees to the east.
    pub longitude: f64,
    /// Degrees to the north.
    pub latitude: f64,
}

impl Place {
    /// A place that is on the grid.
    pub fn new(longitude: f64, latitude: f64) -> Option<Place> {
        let is_there =
            (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&longitude) && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&latitude);
        is_there.then_some(Place { longitude, latitude })
    }

    /// The place that a member's score stands for: the middle of its cell.
    pub fn of_score(score: f64) -> Place {
        Cell::of_score(score).middle()
    }

    /// The score of a member at this place.
    pub fn score(self) -> f64 {
        Cell::around(self, cell::STEPS_MAX).score() as f64
    }
}

/// A coordinate as Redis prints it: 17 digits behind the point, without zeros at the end.
pub fn coordinate_text(degrees: f64) -> String {
    let text = format!("{degrees:.17}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests;
