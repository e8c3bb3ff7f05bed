//! What redis-server 7.0.15 says of some places, and what must hold of all.

use super::*;
use crate::base::Rng;

const PALERMO: Place = Place { longitude: 13.361389, latitude: 38.115556 };
const CATANIA: Place = Place { longitude: 15.087269, latitude: 37.502669 };

#[test]
fn places_of_the_documentation() {
    assert_eq!(PALERMO.score(), 3479099956230698.0);
    assert_eq!(CATANIA.score(), 3479447370796909.0);
    assert_eq!(Cell::of_score(PALERMO.score()).text(), "sqc8b49rny0");
    assert_eq!(Cell::of_score(CATANIA.score()).text(), "sqdtr74hyu0");
    let (palermo, catania) = (Place::of_score(PALERMO.score()), Place::of_score(CATANIA.score()));
    assert_eq!(coordinate_text(palermo.longitude), "13.36138933897018433");
    assert_eq!(coordinate_text(palermo.latitude), "38.11555639549629859");
    assert_eq!(coordinate_text(catania.longitude), "15.08726745843887329");
    assert_eq!(distance_text(distance(palermo, catania)), "166274.1516");
    assert_eq!(distance_text(distance(palermo, catania) / Unit::Kilometres.metres()), "166.2742");
    assert_eq!(distance_text(distance(palermo, catania) / Unit::Miles.metres()), "103.3182");
    assert_eq!(distance_text(distance(palermo, palermo)), "0.0000");
    let area = |radius| Area { centre: Place { longitude: 15.0, latitude: 37.0 }, shape: Shape::Circle { radius } };
    assert_eq!(area(200_000.0).distance_to(palermo).map(distance_text).as_deref(), Some("190442.4298"));
    assert_eq!(area(190_000.0).distance_to(palermo), None);
}

#[test]
fn the_corners_of_the_grid() {
    assert_eq!(Place { longitude: -180.0, latitude: -LATITUDE_MAX }.score(), 0.0);
    assert_eq!(coordinate_text(Place::of_score(0.0).latitude), "-85.05112751263942528");
    assert_eq!(Place::new(180.0, LATITUDE_MAX), Some(Place { longitude: 180.0, latitude: LATITUDE_MAX }));
    for (longitude, latitude) in [(180.1, 0.0), (0.0, 85.06), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
        assert_eq!(Place::new(longitude, latitude), None);
    }
    assert_eq!(coordinate_text(0.0), "0");
    assert_eq!(coordinate_text(-0.5), "-0.5");
}

#[test]
fn a_score_is_a_place_and_back() {
    let mut rng = Rng::new(1);
    for _ in 0..20_000 {
        let number = rng.below(1 << 52);
        assert_eq!(Place::of_score(number as f64).score(), number as f64);
    }
}

fn random_place(rng: &mut Rng) -> Place {
    let part = |rng: &mut Rng, max: f64| (rng.below(1 << 40) as f64 / (1u64 << 39) as f64 - 1.0) * max;
    Place { longitude: part(rng, LONGITUDE_MAX), latitude: part(rng, LATITUDE_MAX) }
}

/// Away from the edges of the grid, where Redis does not look behind them either.
#[test]
fn ranges_hold_every_place_of_the_area() {
    let mut rng = Rng::new(2);
    let mut found = 0;
    for _ in 0..4_000 {
        let mut centre = random_place(&mut rng);
        centre.longitude *= 0.6;
        centre.latitude *= 0.6;
        let size = 10f64.powi(rng.below(6) as i32 + 1) * (1.0 + rng.below(10) as f64);
        let shape = match rng.below(2) {
            0 => Shape::Circle { radius: size },
            _ => Shape::Rectangle { width: size, height: size / (1.0 + rng.below(5) as f64) },
        };
        let area = Area { centre, shape };
        let ranges = area.ranges();
        assert!((1..=9).contains(&ranges.len()));
        for _ in 0..20 {
            // Within twice the size, in degrees.
            let near = |rng: &mut Rng, at: f64, max: f64| {
                (at + (rng.below(2_000) as f64 / 1_000.0 - 1.0) * size * 2.0 / 111_000.0).clamp(-max, max)
            };
            let (longitude, latitude) =
                (near(&mut rng, centre.longitude, 180.0), near(&mut rng, centre.latitude, 85.0));
            let score = Place { longitude, latitude }.score();
            if area.distance_to(Place::of_score(score)).is_some() && size < 1_000_000.0 {
                found += 1;
                let is_held = ranges.iter().any(|(from, behind)| (*from..*behind).contains(&(score as u64)));
                assert!(is_held, "{area:?}: {longitude} {latitude}");
            }
        }
    }
    assert!(found > 5_000, "{found}");
}
