//! Cells of the grid: the plane is halved in turn from west to east and from south to north, `steps` times each; the
//! halves chosen are the bits of a cell's number.
//!
//! ```text
//! number   longitude, latitude, longitude, latitude, ... from the highest bit, two bits per step
//! score    the number at 26 steps: 52 bits, which a double holds exactly
//! ```
//!
//! A published geohash has a letter for every five such bits, of an alphabet of 32, but its rows reach the poles.

use super::{LATITUDE_MAX, LONGITUDE_MAX, Place};

/// Halvings of a member's cell in each direction.
pub const STEPS_MAX: u32 = 26;
/// The poles, for the published geohash.
const POLE: f64 = 90.0;
const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// Letters of a geohash. The last would need 55 bits: it is always the first letter.
const TEXT_LETTERS: u32 = 11;

/// A cell, by the places of its row and column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// From west to east.
    column: u32,
    /// From south to north.
    row: u32,
    steps: u32,
}

/// The edges of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edges {
    /// Degrees to the east.
    pub west: f64,
    /// Degrees to the east.
    pub east: f64,
    /// Degrees to the north.
    pub south: f64,
    /// Degrees to the north.
    pub north: f64,
}

impl Cell {
    /// The cell that a place is in.
    pub fn around(place: Place, steps: u32) -> Cell {
        Cell::within(place, steps, LATITUDE_MAX)
    }

    fn within(place: Place, steps: u32, latitude_max: f64) -> Cell {
        let part = |degrees: f64, max: f64| ((degrees + max) / (max + max) * f64::from(1 << steps)) as u32;
        Cell { column: part(place.longitude, LONGITUDE_MAX), row: part(place.latitude, latitude_max), steps }
    }

    /// The cell of a member.
    pub fn of_score(score: f64) -> Cell {
        /// Two to the 64th.
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        // A score that is no cell's number becomes one as in C on Redis's machines.
        let number = match score {
            ..0.0 => score as i64 as u64,
            BEYOND.. => 0,
            _ => score as u64,
        };
        Cell { column: even_bits(number >> 1), row: even_bits(number), steps: STEPS_MAX }
    }

    /// How many halvings made it, in each direction.
    pub fn steps(self) -> u32 {
        self.steps
    }

    fn number(self) -> u64 {
        spread(self.column) << 1 | spread(self.row)
    }

    /// The lowest score of a member in this cell.
    pub fn score(self) -> u64 {
        self.number() << (2 * (STEPS_MAX - self.steps))
    }

    /// The lowest score of a member behind this cell.
    pub fn score_behind(self) -> u64 {
        (self.number() + 1) << (2 * (STEPS_MAX - self.steps))
    }

    /// So many cells further to the east and to the north; the grid has no end in either direction. A place on the
    /// grid's eastern or northern edge is in a cell of its own behind the last one, which is left only by moving.
    pub fn moved(self, east: i32, north: i32) -> Cell {
        let mask = (1 << self.steps) - 1;
        let moved = |place: u32, by: i32| if by == 0 { place } else { place.wrapping_add_signed(by) & mask };
        Cell { column: moved(self.column, east), row: moved(self.row, north), ..self }
    }

    /// Where it is.
    pub fn edges(self) -> Edges {
        let edge = |place: u32, max: f64| -max + f64::from(place) / f64::from(1 << self.steps) * (max + max);
        Edges {
            west: edge(self.column, LONGITUDE_MAX),
            east: edge(self.column.wrapping_add(1), LONGITUDE_MAX),
            south: edge(self.row, LATITUDE_MAX),
            north: edge(self.row.wrapping_add(1), LATITUDE_MAX),
        }
    }

    /// The place in its middle, on the grid.
    pub fn middle(self) -> Place {
        let Edges { west, east, south, north } = self.edges();
        let between = |low: f64, high: f64, max: f64| ((low + high) / 2.0).clamp(-max, max);
        Place { longitude: between(west, east, LONGITUDE_MAX), latitude: between(south, north, LATITUDE_MAX) }
    }

    /// The published geohash of its middle.
    pub fn text(self) -> String {
        let number = Cell::within(self.middle(), STEPS_MAX, POLE).number();
        let letter = |at: u32| {
            let bits = (2 * STEPS_MAX).checked_sub(5 * at).map_or(0, |shift| number >> shift & 0x1f);
            char::from(LETTERS[bits as usize])
        };
        (1..=TEXT_LETTERS).map(letter).collect()
    }
}

/// A number with a zero before each of its bits.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Every second bit, from the lowest on.
fn even_bits(number: u64) -> u32 {
    let mut bits = number & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}
