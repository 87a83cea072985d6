//! Places on Earth as scores of a sorted set: geohashes of 52 bits, longitude and latitude interleaved, and
//! the distances between them on a sphere. The cells that a search looks at, and their order, are those
//! of Redis, so that unsorted results come in the same order.

use std::f64::consts::PI;

/// The least and greatest longitude.
pub const LONGITUDE: (f64, f64) = (-180.0, 180.0);
/// The least and greatest latitude (of EPSG:3857; there are no poles).
pub const LATITUDE: (f64, f64) = (-85.051_128_78, 85.051_128_78);

const STEPS_MAX: u32 = 26;
/// The mean radius of WGS-84.
const EARTH_RADIUS_METERS: f64 = 6_372_797.560_856;
const MERCATOR_MAX_METERS: f64 = 20_037_726.37;

/// A longitude and a latitude in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place {
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
}

/// What is searched, around a place; lengths in meters.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Up to a distance.
    Circle(f64),
    /// A box by its width and height.
    Box(f64, f64),
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

/// Spreads the bits of `low` to the even places of the result.
fn spread(low: u32) -> u64 {
    let mut bits = u64::from(low);
    bits = (bits | bits << 16) & 0x0000_FFFF_0000_FFFF;
    bits = (bits | bits << 8) & 0x00FF_00FF_00FF_00FF;
    bits = (bits | bits << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & 0x5555_5555_5555_5555
}

/// Collects the even bits.
fn collect(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0F0F_0F0F_0F0F_0F0F;
    bits = (bits | bits >> 4) & 0x00FF_00FF_00FF_00FF;
    bits = (bits | bits >> 8) & 0x0000_FFFF_0000_FFFF;
    (bits | bits >> 16) as u32
}

/// A cell of the grid of `1 << steps` by `1 << steps`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cell {
    x: u32,
    y: u32,
    steps: u32,
}

impl Cell {
    fn of(place: Place, steps: u32, latitudes: (f64, f64)) -> Cell {
        let offset =
            |at: f64, (min, max): (f64, f64)| ((at - min) / (max - min) * (1_u64 << steps) as f64) as u32;
        Cell { x: offset(place.longitude, LONGITUDE), y: offset(place.latitude, latitudes), steps }
    }

    fn bits(self) -> u64 {
        spread(self.y) | spread(self.x) << 1
    }

    /// The neighbour so many cells east and north; the grid wraps around. What lies on the eastern or northern edge itself is
    /// in a cell beyond the last one, and stays there.
    fn neighbour(self, east: i32, north: i32) -> Cell {
        let mask = ((1_u64 << self.steps) - 1) as u32;
        let moved = |at: u32, by: i32| if by == 0 { at } else { at.wrapping_add_signed(by) & mask };
        Cell { x: moved(self.x, east), y: moved(self.y, north), ..self }
    }

    /// The least and greatest longitude and latitude.
    fn area(self) -> [(f64, f64); 2] {
        let span = |at: u32, (min, max): (f64, f64)| {
            let edge = |at: f64| min + at / (1_u64 << self.steps) as f64 * (max - min);
            (edge(f64::from(at)), edge(f64::from(at) + 1.0))
        };
        [span(self.x, LONGITUDE), span(self.y, LATITUDE)]
    }

    /// The scores of the cell's places: from the first up to before the second.
    fn scores(self) -> (f64, f64) {
        let shift = 52 - self.steps * 2;
        ((self.bits() << shift) as f64, ((self.bits() + 1) << shift) as f64)
    }
}

/// The score of a place.
pub fn score(place: Place) -> f64 {
    Cell::of(place, STEPS_MAX, LATITUDE).bits() as f64
}

/// A score as the bits of a cell. Of what is no score of a place it gives what a conversion in C gives on x86-64, so that
/// clients see the same nonsense.
fn score_bits(score: f64) -> u64 {
    const HALF: f64 = (1_u64 << 63) as f64;
    let signed = |number: f64| if (-HALF..HALF).contains(&number) { number as i64 } else { i64::MIN };
    if score < HALF { signed(score) as u64 } else { signed(score - HALF) as u64 ^ 1 << 63 }
}

/// The place of a score: the middle of its cell.
pub fn place(score: f64) -> Place {
    let bits = score_bits(score);
    let cell = Cell { x: collect(bits >> 1), y: collect(bits), steps: STEPS_MAX };
    let [(west, east), (south, north)] = cell.area();
    Place {
        longitude: f64::midpoint(west, east).clamp(LONGITUDE.0, LONGITUDE.1),
        latitude: f64::midpoint(south, north).clamp(LATITUDE.0, LATITUDE.1),
    }
}

/// The standard geohash of a place, 11 characters; the last one is always `0`, as 52 bits make ten.
pub fn text(place: Place) -> [u8; 11] {
    let bits = Cell::of(place, STEPS_MAX, (-90.0, 90.0)).bits();
    let mut text = [b'0'; 11];
    for (index, character) in text.iter_mut().enumerate().take(10) {
        *character = b"0123456789bcdefghjkmnpqrstuvwxyz"[(bits >> (52 - (index + 1) * 5)) as usize & 0x1F];
    }
    text
}

fn latitude_distance(one: f64, other: f64) -> f64 {
    EARTH_RADIUS_METERS * (radians(other) - radians(one)).abs()
}

/// The distance of two places in meters, by the haversine formula.
pub fn distance(one: Place, other: Place) -> f64 {
    let v = ((radians(other.longitude) - radians(one.longitude)) / 2.0).sin();
    if v == 0.0 {
        return latitude_distance(one.latitude, other.latitude);
    }
    let (latitude, other_latitude) = (radians(one.latitude), radians(other.latitude));
    let u = ((other_latitude - latitude) / 2.0).sin();
    let a = u * u + latitude.cos() * other_latitude.cos() * v * v;
    2.0 * EARTH_RADIUS_METERS * a.sqrt().asin()
}

impl Shape {
    /// The distance from the middle in meters of a place that is inside.
    pub fn distance_inside(self, center: Place, place: Place) -> Option<f64> {
        let inside = match self {
            Shape::Circle(radius) => distance(center, place) <= radius,
            Shape::Box(width, height) => {
                let level = Place { longitude: center.longitude, ..place };
                latitude_distance(place.latitude, center.latitude) <= height / 2.0
                    && distance(place, level) <= width / 2.0
            }
        };
        inside.then(|| distance(center, place))
    }

    /// The ranges of scores to search, each from the first up to before the second.
    pub fn ranges(self, center: Place) -> Vec<(f64, f64)> {
        let (half_width, half_height, radius) = match self {
            Shape::Circle(radius) => (radius, radius, radius),
            Shape::Box(width, height) => (
                width / 2.0,
                height / 2.0,
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt(),
            ),
        };
        let latitude_delta = degrees(half_height / EARTH_RADIUS_METERS);
        let longitude_delta =
            |latitude: f64| degrees(half_width / EARTH_RADIUS_METERS / radians(latitude).cos());
        let widest = if center.latitude < 0.0 {
            longitude_delta(center.latitude - latitude_delta)
        } else {
            longitude_delta(center.latitude + latitude_delta)
        };
        let (west, east) = (center.longitude - widest, center.longitude + widest);
        let (south, north) = (center.latitude - latitude_delta, center.latitude + latitude_delta);
        let mut steps = steps_for(radius, center.latitude);
        let mut middle = Cell::of(center, steps, LATITUDE);
        let too_small = middle.neighbour(0, 1).area()[1].1 < north
            || middle.neighbour(0, -1).area()[1].0 > south
            || middle.neighbour(1, 0).area()[0].1 < east
            || middle.neighbour(-1, 0).area()[0].0 > west;
        if steps > 1 && too_small {
            steps -= 1;
            middle = Cell::of(center, steps, LATITUDE);
        }
        let [(middle_west, middle_east), (middle_south, middle_north)] = middle.area();
        // Neighbours on a side that the shape does not reach are left out.
        let (skip_west, skip_east) = (middle_west < west, middle_east > east);
        let (skip_south, skip_north) = (middle_south < south, middle_north > north);
        let order: [(i32, i32); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut cells: Vec<Cell> = Vec::with_capacity(9);
        for (x, y) in order {
            let skipped = steps >= 2
                && ((x < 0 && skip_west)
                    || (x > 0 && skip_east)
                    || (y < 0 && skip_south)
                    || (y > 0 && skip_north));
            let cell = middle.neighbour(x, y);
            // Of very large cells several neighbours are one and the same.
            if !skipped && (cells.len() < 2 || cells.last() != Some(&cell)) {
                cells.push(cell);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }
}

/// How fine the grid is whose cells are about as large as the radius.
fn steps_for(mut radius_meters: f64, latitude: f64) -> u32 {
    if radius_meters == 0.0 {
        return STEPS_MAX;
    }
    let mut steps = 1_i32;
    while radius_meters < MERCATOR_MAX_METERS {
        radius_meters *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Towards the poles cells are narrower.
    steps -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, STEPS_MAX as i32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_hashes_and_distances_are_those_of_the_documentation() {
        let palermo = Place { longitude: 13.361389, latitude: 38.115556 };
        let catania = Place { longitude: 15.087269, latitude: 37.502669 };
        assert_eq!((score(palermo), score(catania)), (3_479_099_956_230_698.0, 3_479_447_370_796_909.0));
        assert_eq!(&text(place(score(palermo))), b"sqc8b49rny0");
        let meters = distance(place(score(palermo)), place(score(catania)));
        assert_eq!(format!("{meters:.4}"), "166274.1516");
    }

    #[test]
    fn every_place_inside_a_shape_lies_in_one_of_its_ranges() {
        let mut state = 1_u64;
        let mut random = |min: f64, max: f64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            min + (state >> 11) as f64 / (1_u64 << 53) as f64 * (max - min)
        };
        let mut inside = 0;
        for _ in 0..20_000 {
            let center = Place { longitude: random(-170.0, 170.0), latitude: random(-80.0, 80.0) };
            let near = Place {
                longitude: (center.longitude + random(-3.0, 3.0)).clamp(-180.0, 180.0),
                latitude: center.latitude + random(-3.0, 3.0),
            };
            let shape = if random(0.0, 1.0) < 0.5 {
                Shape::Circle(random(0.0, 400_000.0))
            } else {
                Shape::Box(random(0.0, 400_000.0), random(0.0, 400_000.0))
            };
            let score = score(near);
            if shape.distance_inside(center, place(score)).is_some() {
                inside += 1;
                assert!(shape.ranges(center).iter().any(|(from, to)| (*from..*to).contains(&score)));
            }
        }
        assert!(inside > 1000);
    }
}
