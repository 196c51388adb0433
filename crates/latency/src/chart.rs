//! Axes, lines and legends in SVG, written directly as text.

use std::fmt::Write;

/// Colours that are distinct for colour-blind people and on paper.
pub(super) const COLOURS: [&str; 6] =
    ["#2f6fb3", "#d9622b", "#3a9a74", "#b8912d", "#5b6470", "#8a5fb5"];
/// For errors.
pub(super) const RED: &str = "#c0392b";
const INK: &str = "#1f2933";
const GREY: &str = "#66707c";
const GRID: &str = "#e3e7eb";
const FAINT: &str = "#f1f3f5";

/// The size of a picture, and the place of its plot.
pub(super) const WIDTH: f64 = 960.0;
const LEFT: f64 = 112.0;
const RIGHT: f64 = WIDTH - 32.0;
const TOP: f64 = 116.0;
const BOTTOM: f64 = 470.0;

/// A lane under the plot.
const LANE: f64 = 18.0;

/// An axis from the least to the greatest value.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Axis {
    /// From zero up.
    pub(super) fn linear(high: f64) -> Axis {
        Axis { low: 0.0, high: high.max(1e-9), is_log: false }
    }

    /// Logarithmic, extended to the next round numbers.
    pub(super) fn log(low: f64, high: f64) -> Axis {
        let low = low.max(1e-12);
        let high = high.max(low * 1.000_1);
        let below = round_numbers(low / 10.0, low * 1.000_001).last();
        let above = round_numbers(high * 0.999_999, high * 10.0).next();
        Axis { low: below.unwrap_or(low), high: above.unwrap_or(high), is_log: true }
    }

    /// The position of a value, from 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }

    /// The positions of lines, and which of them have a label.
    fn ticks(&self) -> Vec<(f64, bool)> {
        if !self.is_log {
            let rough = (self.high - self.low) / 8.0;
            let step = round_numbers(rough * 0.999_999, rough * 10.0).next().unwrap_or(rough);
            let count = (self.high / step + 1e-9) as usize;
            return (0..=count).map(|number| (number as f64 * step, true)).collect();
        }
        let decades = (self.high / self.low).log10();
        let all = (self.low.log10() - 1e-9).floor() as i32..=self.high.log10().ceil() as i32;
        let all = all.flat_map(|power| (1..10).map(move |digit| (digit, 10f64.powi(power))));
        // Over many decades, lines for each digit would hide everything else.
        let all = all.filter(|(digit, _)| *digit == 1 || decades <= 6.0);
        let inside = all.filter(|(digit, decade)| {
            let value = f64::from(*digit) * decade;
            value >= self.low * 0.999_999 && value <= self.high * 1.000_001
        });
        let labelled = |digit: i32| digit == 1 || (decades <= 2.5 && (digit == 2 || digit == 5));
        inside.map(|(digit, decade)| (f64::from(digit) * decade, labelled(digit))).collect()
    }
}

/// 1, 2 and 5 times powers of ten, between two values.
fn round_numbers(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    all.filter(move |value| *value >= low && *value <= high)
}

/// A picture with one plot.
pub(super) struct Chart {
    body: String,
    x: Axis,
    y: Axis,
    legend: f64,
    lanes: usize,
}

impl Chart {
    /// A picture with a title, and a line of smaller text under it.
    pub(super) fn new(title: &str, subtitle: &str, x: Axis, y: Axis) -> Chart {
        let mut chart = Chart { body: String::new(), x, y, legend: LEFT, lanes: 0 };
        chart.text(LEFT, 34.0, "start", INK, "font-size=\"19\" font-weight=\"600\"", title);
        chart.text(LEFT, 56.0, "start", GREY, "", subtitle);
        chart
    }

    fn put(&mut self, args: std::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.body, "{args}");
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, colour: &str, more: &str, text: &str) {
        let text = escape(text);
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\" {more}>{text}</text>"
        ));
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.at(value) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.y.at(value) * (BOTTOM - TOP)
    }

    /// Draws both axes: their titles, and their values.
    pub(super) fn axes(
        &mut self,
        x: (&str, &dyn Fn(f64) -> String),
        y: (&str, &dyn Fn(f64) -> String),
    ) {
        for (value, labelled) in self.x.ticks() {
            let (at, colour) = (self.x(value), if labelled { GRID } else { FAINT });
            self.put(format_args!("<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"{colour}\"/>"));
            if labelled {
                self.text(at, BOTTOM + 20.0, "middle", GREY, "", &(x.1)(value));
            }
        }
        for (value, labelled) in self.y.ticks() {
            let (at, colour) = (self.y(value), if labelled { GRID } else { FAINT });
            self.put(format_args!("<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"{colour}\"/>"));
            if labelled {
                self.text(LEFT - 10.0, at + 4.0, "end", GREY, "", &(y.1)(value));
            }
        }
        self.put(format_args!(
            "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"#9aa5b1\"/>"
        ));
        self.text(RIGHT, BOTTOM + 40.0, "end", GREY, "font-style=\"italic\"", x.0);
        self.text(LEFT, TOP - 10.0, "middle", GREY, "font-style=\"italic\"", y.0);
    }

    /// A line through these points, and its entry in the legend if it has a name.
    pub(super) fn line(&mut self, name: &str, colour: &str, style: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        let (mut last, mut pending) = (None::<(f64, f64)>, None);
        for &(x, y) in points {
            let (x, y) = (self.x(x), self.y(y));
            // Invisible parts need not be drawn.
            if last.is_some_and(|(a, b)| (x - a).abs() < 0.4 && (y - b).abs() < 0.4) {
                pending = Some((x, y));
                continue;
            }
            let command = if last.is_none() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
            (last, pending) = (Some((x, y)), None);
        }
        if let Some((x, y)) = pending {
            let _ = write!(path, "L{x:.1} {y:.1}");
        }
        self.put(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" \
             stroke-linejoin=\"round\" {style}/>"
        ));
        if !name.is_empty() {
            self.entry(name, colour, &format!("stroke-width=\"2.4\" {style}"));
        }
    }

    /// An entry of the legend: a stroke and a name, side by side.
    fn entry(&mut self, name: &str, colour: &str, style: &str) {
        let width = 34.0 + name.chars().count() as f64 * 8.0;
        let x = self.legend;
        self.legend += width + 8.0;
        self.put(format_args!(
            "<path d=\"M{x:.1} 74H{:.1}\" stroke=\"{colour}\" {style}/>",
            x + 22.0
        ));
        self.text(x + 28.0, 78.0, "start", INK, "", name);
    }

    /// A dot at a point.
    pub(super) fn dot(&mut self, colour: &str, is_full: bool, (x, y): (f64, f64)) {
        let (x, y) = (self.x(x), self.y(y));
        let fill = if is_full { colour } else { "#ffffff" };
        self.put(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.8\"/>"
        ));
    }

    /// A dashed line across the plot, at a height, with a text above it.
    pub(super) fn bound(&mut self, value: f64, words: &str) {
        let at = self.y(value);
        self.put(format_args!(
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"{RED}\" stroke-dasharray=\"6 4\"/>"
        ));
        self.text(LEFT + 8.0, at - 6.0, "start", RED, "", words);
    }

    /// A vertical dashed line, with a text beside it.
    pub(super) fn mark(&mut self, value: f64, words: &str) {
        let at = self.x(value);
        self.put(format_args!(
            "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"{RED}\" stroke-dasharray=\"6 4\"/>"
        ));
        let (x, anchor) = if at > WIDTH / 2.0 { (at - 6.0, "end") } else { (at + 6.0, "start") };
        self.text(x, BOTTOM - 10.0, anchor, RED, "", words);
    }

    /// Spans of time in the background of the plot: their beginnings and lengths.
    pub(super) fn bands(&mut self, colour: &str, spans: &[(f64, f64)]) {
        for &(from, to) in spans {
            let (from, to) = (self.x(from), self.x(to));
            let width = (to - from).max(1.0);
            self.put(format_args!(
                "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\" \
                 opacity=\"0.18\"/>",
                BOTTOM - TOP
            ));
        }
    }

    /// The same spans in a separate lane under the plot.
    pub(super) fn lane(&mut self, name: &str, colour: &str, spans: &[(f64, f64)]) {
        let top = BOTTOM + 52.0 + self.lanes as f64 * LANE;
        self.lanes += 1;
        self.put(format_args!(
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"10\" rx=\"2\" fill=\"{FAINT}\"/>",
            RIGHT - LEFT
        ));
        for &(from, to) in spans {
            let (from, to) = (self.x(from), self.x(to));
            let width = (to - from).max(1.5);
            self.put(format_args!(
                "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"10\" fill=\"{colour}\"/>"
            ));
        }
        self.text(LEFT - 10.0, top + 9.5, "end", INK, "", name);
    }

    /// A text in red at the upper right, for something that must not be overlooked.
    pub(super) fn warn(&mut self, words: &str) {
        self.text(RIGHT, 34.0, "end", RED, "font-weight=\"600\"", words);
    }

    /// The picture.
    pub(super) fn finish(self) -> String {
        let height = BOTTOM + 62.0 + self.lanes as f64 * LANE;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"Inter, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', \
             sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.body
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
