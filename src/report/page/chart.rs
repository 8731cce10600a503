//! A plot: its data for the page's script, and its HTML. Knows nothing of runs; the sections choose the curves.

use maud::{Markup, html};
use serde::Serialize;

use super::downsample::{MAX_POINTS, downsample};
use crate::report::number_format::digits;

/// Most marks of one kind in a plot.
const MAX_MARKS: usize = 200;

/// Curves with common axes.
#[derive(Debug, Serialize)]
pub struct Chart {
    pub id: String,
    #[serde(skip)]
    pub title: String,
    /// A line of explanation after the title.
    #[serde(skip)]
    pub note: String,
    pub x_label: &'static str,
    pub y_label: String,
    /// Fixed range of the y axis; absent where the values determine it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_range: Option<[f64; 2]>,
    /// Whether both axes go from 0 to 1 and have equal length.
    pub square: bool,
    pub series: Vec<Series>,
    pub marks: Vec<Mark>,
    /// The x of all series, ascending, then a column for each of them.
    pub columns: Vec<Vec<Option<f64>>>,
}

/// One curve.
#[derive(Debug, Serialize)]
pub struct Series {
    pub label: String,
    /// Index into the page's colours.
    pub colour: u8,
    pub style: Style,
    #[serde(skip)]
    points: Vec<(f64, f64)>,
}

/// Line style, so that curves differ in more than colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    Line,
    Dashed,
    /// Raw values behind their moving average.
    Faint,
    /// With a dot at each point.
    Dots,
    /// A reference line.
    Reference,
}

/// A marked event or point.
#[derive(Debug, Serialize)]
pub struct Mark {
    pub kind: &'static str,
    pub x: f64,
    /// The mark is a dot at this y; without it, a vertical line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<f64>,
    pub label: String,
}

impl Series {
    /// A curve through `points`, with ascending x. Values that are not finite are left out, and long curves are
    /// downsampled.
    pub fn new(
        label: impl Into<String>,
        colour: u8,
        style: Style,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let points = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        Self { label: label.into(), colour, style, points: downsample(points, MAX_POINTS) }
    }
}

impl Chart {
    /// A plot of those series that have points; `None` where none has.
    pub fn new(id: &str, title: &str, [x_label, y_label]: [&'static str; 2], series: Vec<Series>) -> Option<Self> {
        let series: Vec<_> = series.into_iter().filter(|series| !series.points.is_empty()).collect();
        if series.iter().all(|series| series.style == Style::Reference) {
            return None;
        }
        Some(Self {
            id: format!("plot-{id}"),
            title: title.to_owned(),
            note: String::new(),
            x_label,
            y_label: y_label.to_owned(),
            y_range: None,
            square: false,
            columns: columns(&series),
            series,
            marks: Vec::new(),
        })
    }

    /// Sets the note.
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Sets the marks. Very many of one kind are thinned, except those where memory ran out.
    pub fn marks(mut self, marks: Vec<Mark>) -> Self {
        let kinds: std::collections::BTreeSet<_> = marks.iter().map(|mark| mark.kind).collect();
        for kind in kinds {
            let of_kind = marks.iter().filter(|mark| mark.kind == kind).count();
            let every = if kind == "oom" { 1 } else { of_kind.div_ceil(MAX_MARKS).max(1) };
            let kept = marks.iter().filter(|mark| mark.kind == kind).step_by(every);
            self.marks.extend(kept.map(|Mark { kind, x, y, label }| Mark { kind, x: *x, y: *y, label: label.clone() }));
        }
        self
    }

    /// The plot's HTML: title, picture, key to the marks, and table of numbers.
    pub fn figure(&self) -> Markup {
        let kinds =
            [("oom", "memory ran out"), ("cleanup", "clean-up"), ("size", "another size"), ("run", "run went on")];
        let shown: Vec<_> = kinds.iter().filter(|(kind, _)| self.marks.iter().any(|mark| mark.kind == *kind)).collect();
        html! {
            figure.square[self.square] {
                figcaption { (self.title) @if !self.note.is_empty() { " " small { (self.note) } } }
                div.plot id=(self.id) tabindex="0" role="img" aria-label=(self.text_alternative()) {}
                @if !shown.is_empty() {
                    p.key { @for (kind, name) in shown { span class={ "mark " (kind) } { (name) } } }
                }
                p.here aria-live="polite" {}
                details.numbers data-chart=(self.id) { summary { "Numbers" } }
            }
        }
    }

    /// Text alternative for screen readers.
    fn text_alternative(&self) -> String {
        let curve = |series: &Series| {
            let ys = || series.points.iter().map(|point| point.1);
            let (first, last) = (ys().next().unwrap_or(0.0), ys().next_back().unwrap_or(0.0));
            let [first, last, least, most] =
                [first, last, ys().fold(f64::INFINITY, f64::min), ys().fold(f64::NEG_INFINITY, f64::max)].map(digits);
            format!("{}: from {first} to {last}, between {least} and {most}", series.label)
        };
        let curves = self.series.iter().filter(|series| series.style != Style::Reference).map(curve);
        format!("{}. {}.", self.title, curves.collect::<Vec<_>>().join("; "))
    }
}

/// The points of all curves as columns over the union of their x.
fn columns(series: &[Series]) -> Vec<Vec<Option<f64>>> {
    let places: Vec<_> = series.iter().map(|series| places(&series.points)).collect();
    let mut rows: Vec<_> = places.concat();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    rows.dedup();
    let column = |(series, places): (&Series, &Vec<(f64, u32)>)| {
        let mut points = places.iter().zip(&series.points).peekable();
        let value = |row| points.next_if(|(place, _)| *place == row).map(|(_, point)| rounded(point.1));
        rows.iter().map(value).collect()
    };
    let x = rows.iter().map(|row| Some(row.0)).collect();
    std::iter::once(x).chain(series.iter().zip(&places).map(column)).collect()
}

/// The x of each point, with the number of points before it that have the same x, as in the steps of a ROC curve.
fn places(points: &[(f64, f64)]) -> Vec<(f64, u32)> {
    let mut places: Vec<(f64, u32)> = Vec::with_capacity(points.len());
    for (x, _) in points {
        let times = places.last().filter(|last| last.0 == *x).map_or(0, |last| last.1 + 1);
        places.push((*x, times));
    }
    places
}

/// Rounds to six significant digits, to save space.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, f64)]) -> Series {
        Series::new("a", 1, Style::Line, points.iter().copied())
    }

    #[test]
    fn curves_of_different_places_share_an_axis_and_a_staircase_keeps_its_steps() {
        let stairs = series(&[(0.0, 0.0), (0.0, 0.5), (1.0, 0.5), (1.0, 1.0)]);
        let columns = columns(&[stairs, series(&[(0.5, 7.0), (1.0, 8.0)])]);
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(columns[0], some(&[0.0, 0.0, 0.5, 1.0, 1.0]));
        assert_eq!(columns[1], [Some(0.0), Some(0.5), None, Some(0.5), Some(1.0)]);
        assert_eq!(columns[2], [None, None, Some(7.0), Some(8.0), None]);
    }

    #[test]
    fn without_points_there_is_no_plot() {
        let chance = Series::new("chance", 0, Style::Reference, [(0.0, 0.0), (1.0, 1.0)]);
        assert!(Chart::new("roc", "ROC", ["", ""], vec![series(&[(1.0, f64::NAN)]), chance]).is_none());
    }

    #[test]
    fn many_marks_of_one_kind_do_not_push_out_the_few_of_another() {
        let mark = |kind, step| Mark { kind, x: f64::from(step), y: None, label: String::new() };
        let mut marks: Vec<_> = (0..10_000).map(|step| mark("cleanup", step)).collect();
        marks.extend((0..300).map(|step| mark("oom", step)));
        let chart = Chart::new("m", "M", ["", ""], vec![series(&[(0.0, 1.0)])]).unwrap().marks(marks);
        assert_eq!(chart.marks.iter().filter(|mark| mark.kind == "oom").count(), 300, "these are all there");
        assert!(chart.marks.len() <= MAX_MARKS + 300);
    }
}
