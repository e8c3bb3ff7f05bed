//! Curves as pictures (SVG), and in words where they bend.
//!
//! The horizontal axis is logarithmic: what grows here grows by factors. A *bend* is a point where the growth per
//! doubling before it differs from that behind it by more than noise explains.

use std::fmt::Write as _;

use super::svg::{COLORS, Picture, short, text};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// Exponents of growth that differ by less are the same.
const BEND: f64 = 0.25;

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// Points with x above 0, ascending in x.
    pub points: Vec<(f64, f64)>,
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// What grows to the right.
    pub x: String,
    /// What grows upwards.
    pub y: String,
    /// The curves.
    pub series: Vec<Series>,
}

impl Chart {
    /// With curves from lines of `name<TAB>x<TAB>y`. The error names the line.
    pub fn parse(title: &str, x: &str, y: &str, lines: &str) -> Result<Chart, String> {
        let mut series: Vec<Series> = Vec::new();
        for (n, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = || format!("line {}: {line:?} is not a name, x above 0 and y of at least 0, with tabs", n + 1);
            let [name, across, up] = line.split('\t').collect::<Vec<_>>()[..] else { return Err(wrong()) };
            let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            let (Some(across), Some(up)) = (number(across), number(up)) else { return Err(wrong()) };
            if across <= 0.0 || up < 0.0 {
                return Err(wrong());
            }
            match series.iter_mut().find(|series| series.name == name) {
                Some(series) => series.points.push((across, up)),
                None => series.push(Series { name: name.to_owned(), points: vec![(across, up)] }),
            }
        }
        if series.is_empty() {
            return Err("there is nothing to draw".into());
        }
        for series in &mut series {
            series.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(Chart { title: title.to_owned(), x: x.to_owned(), y: y.to_owned(), series })
    }

    /// The picture.
    pub fn draw(&self) -> String {
        let frame = Frame::around(self);
        let mut picture = Picture::new(WIDTH, HEIGHT, LEFT, &self.title);
        let mut line = |element: String| picture.push(&element);
        line(text(LEFT, TOP - 10.0, "start", "#555555", &self.y));
        line(text(WIDTH - RIGHT, HEIGHT - 10.0, "end", "#555555", &self.x));
        for y in frame.y_marks() {
            let (at, end) = (frame.up(y), WIDTH - RIGHT);
            line(format!("<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>"));
            line(text(LEFT - 8.0, at + 4.0, "end", "#555555", &short(y)));
        }
        for x in frame.x_marks(self) {
            line(text(frame.across(x), HEIGHT - BOTTOM + 18.0, "middle", "#555555", &short(x)));
        }
        for (n, series) in self.series.iter().enumerate() {
            let color = COLORS[n % COLORS.len()];
            let points: Vec<_> = series.points.iter().map(|(x, y)| (frame.across(*x), frame.up(*y))).collect();
            let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let path = path.join(" ");
            line(format!("<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"));
            for (x, y) in points {
                line(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"));
            }
            let (x, y) = (WIDTH - RIGHT + 16.0, TOP + 14.0 + 20.0 * n as f64);
            line(format!("<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{color}\"/>", y - 10.0));
            line(text(x + 18.0, y, "start", "#000000", &series.name));
        }
        picture.finish()
    }

    /// Where the curves bend, one sentence per curve.
    pub fn bends(&self) -> Vec<String> {
        self.series.iter().map(|series| format!("{}: {}.", series.name, series.bends(&self.x))).collect()
    }
}

impl Series {
    fn bends(&self, x: &str) -> String {
        // How many times as much a doubling of x brings, as a power of two, for each part between two points.
        let grows = |pair: &[(f64, f64)]| match pair {
            [(x1, y1), (x2, y2)] if x2 > x1 && *y1 > 0.0 && *y2 > 0.0 => (y2 / y1).log2() / (x2 / x1).log2(),
            _ => 0.0,
        };
        let parts: Vec<f64> = self.points.windows(2).map(grows).collect();
        let [first, ..] = parts.as_slice() else { return "one point has no bend".into() };
        let mut told = format!("{} from {}", factor(*first), short(self.points[0].0));
        let mut now = *first;
        for (n, part) in parts.iter().enumerate().skip(1) {
            if (part - now).abs() > BEND {
                let _ = write!(told, ", {} from {}", factor(*part), short(self.points[n].0));
                now = *part;
            }
        }
        format!("{told} {x}")
    }
}

/// What a doubling brings.
fn factor(power: f64) -> String {
    format!("x{:.2} per doubling", power.exp2())
}

/// The mapping of values to places.
struct Frame {
    x: (f64, f64),
    y_step: f64,
    y_steps: usize,
}

impl Frame {
    fn around(chart: &Chart) -> Frame {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let x = points().fold((f64::MAX, f64::MIN), |(low, high), (x, _)| (low.min(x.log2()), high.max(x.log2())));
        let highest = points().fold(0.0f64, |high, (_, y)| high.max(*y)).max(1e-9);
        // Five marks or so at 1, 2 or 5 times a power of ten.
        let rough = highest / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let y_step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        Frame { x, y_step, y_steps: (highest / y_step).ceil() as usize }
    }

    fn across(&self, x: f64) -> f64 {
        let (low, high) = self.x;
        let share = if high > low { (x.log2() - low) / (high - low) } else { 0.5 };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - y / (self.y_step * self.y_steps as f64) * (HEIGHT - TOP - BOTTOM)
    }

    fn y_marks(&self) -> impl Iterator<Item = f64> {
        let step = self.y_step;
        (0..=self.y_steps).map(move |n| n as f64 * step)
    }

    /// Every x that was measured.
    fn x_marks(&self, chart: &Chart) -> Vec<f64> {
        let mut marks: Vec<f64> = chart.series.iter().flat_map(|series| &series.points).map(|(x, _)| *x).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "redis\t1\t1000\nredis\t2\t2000\nredis\t4\t4000\nredis\t8\t4000\nredis\t16\t4000\n\
                         three nodes\t1\t500\nthree nodes\t16\t500\n";

    #[test]
    fn curves_become_a_picture() {
        let chart = Chart::parse("SET & GET", "clients", "per second", LINES).expect("lines");
        let svg = chart.draw();
        assert!(svg.contains("SET &amp; GET") && svg.contains(">three nodes<") && svg.contains(">4k<"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 7);
        assert_eq!(svg.matches("<polyline").count(), 2);
        // The lowest x is at the left, the highest y at its mark.
        assert!(svg.contains("points=\"80.0,"), "{svg}");
    }

    #[test]
    fn bends_are_told() {
        let chart = Chart::parse("", "clients", "", LINES).expect("lines");
        assert_eq!(
            chart.bends(),
            [
                "redis: x2.00 per doubling from 1, x1.00 per doubling from 4 clients.",
                "three nodes: x1.00 per doubling from 1 clients."
            ]
        );
    }

    #[test]
    fn nonsense_is_refused_by_line() {
        for wrong in ["", "a\t1", "a\t0\t1", "a\t1\t-1", "a\tx\t1", "a\t1\tNaN"] {
            assert!(Chart::parse("", "", "", wrong).is_err(), "{wrong:?}");
        }
        assert!(Chart::parse("", "", "", "a\t1\t1\n\nb\t1\n").expect_err("no y").contains("line 3"));
    }
}
