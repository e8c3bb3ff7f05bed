//! What pictures (SVG) are made of.

use std::fmt::Write as _;

/// Told apart also by who sees colors differently (Okabe and Ito).
pub const COLORS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

/// A picture that grows, element by element.
pub struct Picture(String);

impl Picture {
    /// A white one, in pixels, with a title that begins at `x`.
    pub fn new(width: f64, height: f64, x: f64, title: &str) -> Picture {
        let mut picture = Picture(String::new());
        picture.push(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">"
        ));
        picture.push(&format!("<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"));
        picture.push(&text(x, 22.0, "start", "#000000", title).replace("<text", "<text font-size=\"14\""));
        picture
    }

    /// One more element, in a line of its own.
    pub fn push(&mut self, element: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{element}");
    }

    /// All of it.
    pub fn finish(mut self) -> String {
        self.push("</svg>");
        self.0
    }
}

/// A number with thousands and millions as letters.
pub fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{}M", (n / 1e4).round() / 100.0),
        n if n >= 1e3 => format!("{}k", (n / 10.0).round() / 100.0),
        n => format!("{}", (n * 100.0).round() / 100.0),
    }
}

/// An element of text; `anchor` is start, middle or end.
pub fn text(x: f64, y: f64, anchor: &str, color: &str, what: &str) -> String {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{color}\">{what}</text>")
}
