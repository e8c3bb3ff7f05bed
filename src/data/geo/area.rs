//! What a search looks for: all places within a circle or a rectangle around one.
//!
//! The area lies within at most nine cells: the one with its centre and its neighbours, at as many halvings as still
//! let them cover it. What is in those cells is then measured one by one.

use super::Place;
use super::cell::{Cell, STEPS_MAX};
use super::distance::{EARTH_RADIUS_M, between_latitudes, degrees, distance, radians};

/// Half of the equator in Web Mercator, in metres.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
/// From here on towards the poles cells are so narrow that one halving less is right.
const NARROW_LATITUDE: f64 = 66.0;
/// And here two.
const VERY_NARROW_LATITUDE: f64 = 80.0;
/// Neighbours in the order in which Redis looks at them, which unsorted replies show: the cell itself, north, south,
/// east, west, then the corners; each as steps to the east and to the north.
const NEIGHBOURS: [(i32, i32); 9] = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// The form of an area; lengths in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All places at most so far away.
    Circle {
        /// Metres.
        radius: f64,
    },
    /// All places at most half as far away to each side.
    Rectangle {
        /// Metres from west to east.
        width: f64,
        /// Metres from south to north.
        height: f64,
    },
}

/// An area.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Its middle.
    pub centre: Place,
    /// Its form.
    pub shape: Shape,
}

/// A rectangle around an area, in degrees. It may reach beyond the grid.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

impl Area {
    /// Metres from the centre to a place, if that is in the area.
    pub fn distance_to(&self, place: Place) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => Some(distance(self.centre, place)).filter(|distance| *distance <= radius),
            Shape::Rectangle { width, height } => {
                let upright = between_latitudes(place.latitude, self.centre.latitude);
                let level = Place { longitude: self.centre.longitude, ..place };
                (upright <= height / 2.0 && distance(place, level) <= width / 2.0).then(|| distance(self.centre, place))
            }
        }
    }

    /// Ranges of scores, from one to before another, that hold every member in the area, and others.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let cells = self.cells();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for cell in cells {
            let range = (cell.score(), cell.score_behind());
            // With few halvings a neighbour on one side is also that on the other.
            if ranges.last() != Some(&range) {
                ranges.push(range);
            }
        }
        ranges
    }

    fn cells(&self) -> Vec<Cell> {
        let bounds = self.bounds();
        let mut cell = Cell::around(self.centre, self.steps());
        if cell.steps() > 1 && !bounds.are_covered(cell) {
            cell = Cell::around(self.centre, cell.steps() - 1);
        }
        let edges = cell.edges();
        let is_needed = |(east, north): &(i32, i32)| {
            cell.steps() < 2
                || !(*north < 0 && edges.south < bounds.south
                    || *north > 0 && edges.north > bounds.north
                    || *east < 0 && edges.west < bounds.west
                    || *east > 0 && edges.east > bounds.east)
        };
        NEIGHBOURS.iter().filter(|by| is_needed(by)).map(|(east, north)| cell.moved(*east, *north)).collect()
    }

    fn bounds(&self) -> Bounds {
        let Place { longitude, latitude } = self.centre;
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Rectangle { width, height } => (width / 2.0, height / 2.0),
        };
        let upright = degrees(height / EARTH_RADIUS_M);
        // Meridians approach each other towards the pole: the side nearer to it takes more degrees.
        let nearer = if latitude < 0.0 { latitude - upright } else { latitude + upright };
        let level = degrees(width / EARTH_RADIUS_M / radians(nearer).cos());
        Bounds {
            west: longitude - level,
            east: longitude + level,
            south: latitude - upright,
            north: latitude + upright,
        }
    }

    /// Halvings at which nine cells mostly cover the area.
    fn steps(&self) -> u32 {
        let mut reach = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Rectangle { width, height } => (width / 2.0 * (width / 2.0) + height / 2.0 * (height / 2.0)).sqrt(),
        };
        if reach == 0.0 {
            return STEPS_MAX;
        }
        let mut steps = 1;
        while reach < MERCATOR_MAX_M && steps < 2 * STEPS_MAX {
            reach *= 2.0;
            steps += 1;
        }
        let latitude = self.centre.latitude.abs();
        let fewer = 2 + i32::from(latitude > NARROW_LATITUDE) + i32::from(latitude > VERY_NARROW_LATITUDE);
        (steps as i32 - fewer).clamp(1, STEPS_MAX as i32) as u32
    }
}

impl Bounds {
    /// Whether a cell's neighbours reach as far on every side.
    fn are_covered(&self, cell: Cell) -> bool {
        let edges = |east, north| cell.moved(east, north).edges();
        edges(0, 1).north >= self.north
            && edges(0, -1).south <= self.south
            && edges(1, 0).east >= self.east
            && edges(-1, 0).west <= self.west
    }
}
