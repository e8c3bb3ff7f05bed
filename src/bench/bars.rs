//! Stacked bars as a picture (SVG): of what a whole is made up.

use super::svg::{COLORS, Picture, short, text};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 76.0;
const BAR: f64 = 22.0;
const DISTANCE: f64 = 32.0;
/// Parts narrower than this have no room for their number.
const NUMBER_WIDTH: f64 = 28.0;

/// A bar: its name and the sizes of its parts.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    name: String,
    /// By the number of the part's name.
    parts: Vec<(usize, f64)>,
}

/// A picture of bars whose parts lie behind each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    title: String,
    /// The unit of sizes.
    unit: String,
    /// In the order in which they were named first.
    parts: Vec<String>,
    bars: Vec<Bar>,
}

impl Bars {
    /// From lines of `bar<TAB>part<TAB>size`; bars and parts keep the order of the lines. The error names the line.
    pub fn parse(title: &str, unit: &str, lines: &str) -> Result<Bars, String> {
        let mut drawn = Bars { title: title.to_owned(), unit: unit.to_owned(), parts: Vec::new(), bars: Vec::new() };
        for (n, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = || format!("line {}: {line:?} is not a bar, a part and a size of at least 0, with tabs", n + 1);
            let [bar, part, size] = line.split('\t').collect::<Vec<_>>()[..] else { return Err(wrong()) };
            let size = size.trim().parse::<f64>().ok().filter(|size| size.is_finite() && *size >= 0.0);
            let size = size.ok_or_else(wrong)?;
            let part = position_or_push(&mut drawn.parts, |known| known == part, || part.to_owned());
            let empty = || Bar { name: bar.to_owned(), parts: Vec::new() };
            let bar = position_or_push(&mut drawn.bars, |known| known.name == bar, empty);
            drawn.bars[bar].parts.push((part, size));
        }
        if drawn.bars.is_empty() {
            return Err("there is nothing to draw".into());
        }
        Ok(drawn)
    }

    /// The picture.
    pub fn draw(&self) -> String {
        let longest = self.bars.iter().map(Bar::size).fold(1e-9, f64::max);
        let scale = (WIDTH - LEFT - RIGHT) / longest;
        let height = TOP + DISTANCE * self.bars.len() as f64 + 12.0;
        let title = format!("{} ({})", self.title, self.unit);
        let mut picture = Picture::new(WIDTH, height, 12.0, &title);
        let mut line = |element: String| picture.push(&element);
        let room = (WIDTH - 24.0) / self.parts.len() as f64;
        for (n, part) in self.parts.iter().enumerate() {
            let x = 12.0 + room * n as f64;
            line(rectangle(x, 38.0, 12.0, 12.0, n));
            line(text(x + 17.0, 48.0, "start", "#000000", part));
        }
        for (n, bar) in self.bars.iter().enumerate() {
            let top = TOP + DISTANCE * n as f64;
            line(text(LEFT - 8.0, top + 15.0, "end", "#000000", &bar.name));
            let mut x = LEFT;
            for (part, size) in &bar.parts {
                let width = size * scale;
                line(rectangle(x, top, width, BAR, *part));
                if width >= NUMBER_WIDTH {
                    line(text(x + width / 2.0, top + 15.0, "middle", "#ffffff", &short(size.round())));
                }
                x += width;
            }
            line(text(x + 6.0, top + 15.0, "start", "#555555", &short(bar.size().round())));
        }
        picture.finish()
    }
}

impl Bar {
    fn size(&self) -> f64 {
        self.parts.iter().map(|(_, size)| size).sum()
    }
}

fn position_or_push<T>(items: &mut Vec<T>, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    items.iter().position(is).unwrap_or_else(|| {
        items.push(new());
        items.len() - 1
    })
}

fn rectangle(x: f64, y: f64, width: f64, height: f64, part: usize) -> String {
    let color = COLORS[part % COLORS.len()];
    format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{color}\"/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_behind_each_other_in_the_scale_of_the_longest_bar() {
        let lines =
            "one node\tparse\t10\none node\tlog & sync\t30\nthree nodes\tparse\t0.2\nthree nodes\tlog & sync\t63.8\n";
        let svg = Bars::parse("Stages", "microseconds", lines).expect("lines").draw();
        // 640 pixels are 64 microseconds.
        assert!(svg.contains("x=\"190.0\" y=\"76.0\" width=\"100.0\""), "{svg}");
        assert!(svg.contains("x=\"290.0\" y=\"76.0\" width=\"300.0\""), "{svg}");
        assert!(svg.contains("x=\"192.0\" y=\"108.0\" width=\"638.0\""), "{svg}");
        assert!(svg.contains(">Stages (microseconds)<") && svg.contains(">log &amp; sync<"), "{svg}");
        assert!(svg.contains(">10<") && svg.contains(">40<") && svg.contains(">64<"), "{svg}");
    }

    #[test]
    fn nonsense_is_refused_by_line() {
        for wrong in ["", "a\tb", "a\tb\t-1", "a\tb\tx", "a\tb\tinf"] {
            assert!(Bars::parse("", "", wrong).is_err(), "{wrong:?}");
        }
        assert!(Bars::parse("", "", "a\tb\t1\n\na\t1\n").expect_err("no size").contains("line 3"));
    }
}
