//! Whether a frame shows the face of another frame at a place, by its grey levels. Knows nothing of videos and tracks.

use image::RgbImage;

use super::detection::Face;

/// The number of cells along each side of the face's box.
const CELLS: usize = 12;
/// The number of cells around the box to which the face may have moved.
const MARGIN: usize = 3;
/// The offset in cells up to which the face is where it must be: a twelfth of the box's side, as a detector is off at
/// times.
const MAX_OFFSET: usize = 1;
/// The smallest correlation of a face with itself, up to half a second later. See docs/decisions/0070.
const MIN_CORRELATION: f32 = 0.5;

/// The grey cells of a face.
pub(super) struct Template(Vec<f32>);

impl Template {
    /// The cells of the face's box in a picture.
    pub(super) fn of(picture: &RgbImage, face: &Face) -> Self {
        Self(cells(picture, face, 0))
    }

    /// Whether another picture shows the face at this place: it correlates there more than beside it.
    pub(super) fn is_at(&self, picture: &RgbImage, face: &Face) -> bool {
        let (wide, columns) = (cells(picture, face, MARGIN), CELLS + 2 * MARGIN);
        let offsets = (0..=2 * MARGIN).flat_map(|down| (0..=2 * MARGIN).map(move |right| (down, right)));
        let correlations = offsets.map(|(down, right)| {
            let row = |row: usize| &wide[(down + row) * columns + right..][..CELLS];
            let there: Vec<_> = (0..CELLS).flat_map(row).copied().collect();
            (correlation(&self.0, &there), down.abs_diff(MARGIN).max(right.abs_diff(MARGIN)))
        });
        let best = correlations.max_by(|a, b| a.0.total_cmp(&b.0));
        best.is_some_and(|(correlation, offset)| correlation >= MIN_CORRELATION && offset <= MAX_OFFSET)
    }
}

/// The mean grey levels of the cells of a box, and of `margin` cells around it; outside the picture, those of its edge.
fn cells(picture: &RgbImage, face: &Face, margin: usize) -> Vec<f32> {
    let [left, top, ..] = face.corners;
    let count = CELLS + 2 * margin;
    let edges = |start: f32, length: f32, end: u32| -> Vec<u32> {
        let edge = |at: usize| start + length * (at as f32 - margin as f32) / CELLS as f32;
        (0..=count).map(|at| (edge(at).round().max(0.0) as u32).min(end)).collect()
    };
    let (columns, rows) = (edges(left, face.width(), picture.width()), edges(top, face.height(), picture.height()));
    // A cell has one pixel at least.
    let range = |edges: &[u32], at: usize, end: u32| {
        let from = edges[at].min(end.saturating_sub(1));
        from..edges[at + 1].max(from + 1)
    };
    let cell = |at: usize| {
        let (x, y) = (range(&columns, at % count, picture.width()), range(&rows, at / count, picture.height()));
        let pixels = (x.len() * y.len()) as f32;
        let levels = y.flat_map(|y| x.clone().map(move |x| picture.get_pixel(x, y).0));
        levels.map(|rgb| rgb.iter().map(|level| f32::from(*level)).sum::<f32>() / 3.0).sum::<f32>() / pixels
    };
    (0..count * count).map(cell).collect()
}

/// Pearson's correlation; 0 if one of the two has no contrast.
fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut own) = (0.0, [0.0; 2]);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        both += a * b;
        own = [own[0] + a * a, own[1] + b * b];
    }
    let scale = (own[0] * own[1]).sqrt();
    if scale > 1e-3 { both / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_where_it_was_lighter_or_a_little_moved_and_not_beside_that() {
        let photograph =
            image::load_from_memory(include_bytes!("../../tests/fixtures/astronaut.png")).unwrap().to_rgb8();
        let lighter = RgbImage::from_fn(192, 192, |x, y| {
            image::Rgb(photograph.get_pixel(x, y).0.map(|level| level.saturating_add(20)))
        });
        let at = |left: f32, top: f32| Face {
            corners: [left, top, left + 60.0, top + 70.0],
            score: 0.9,
            landmarks: [[0.0; 2]; 5],
        };
        let place = at(58.0, 40.0);
        let face = Template::of(&photograph, &place);
        assert!(face.is_at(&photograph, &place) && face.is_at(&lighter, &place));
        assert!(face.is_at(&photograph, &at(61.0, 38.0)));
        for (left, top) in [(74.0, 40.0), (58.0, 60.0), (42.0, 24.0), (120.0, 100.0), (-30.0, -30.0), (180.0, 180.0)] {
            assert!(!face.is_at(&photograph, &at(left, top)), "{left} {top}");
        }
        let dark = RgbImage::from_fn(192, 192, |x, y| image::Rgb(photograph.get_pixel(x, y).0.map(|level| level / 6)));
        assert!(face.is_at(&dark, &place));
        let wall = RgbImage::from_pixel(192, 192, image::Rgb([20; 3]));
        assert!(!face.is_at(&wall, &place), "a dark face is no wall");
        assert!(!Template::of(&wall, &place).is_at(&wall, &place));
        let disc = RgbImage::from_fn(192, 192, |x, y| {
            image::Rgb([if x.abs_diff(76).pow(2) + y.abs_diff(85).pow(2) < 400 { 200 } else { 40 }; 3])
        });
        assert!(!face.is_at(&disc, &place), "a light disc correlates there most, by 0.4");
    }
}
