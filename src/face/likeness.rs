//! Whether two pictures look alike at the place of a face. Knows nothing of videos and tracks.

use image::RgbImage;

use super::detection::Face;

/// The number of cells along each side of a box.
const CELLS: u32 = 8;
/// The mean difference of grey levels from which boxes do not look alike. Between neighbouring frames of faces that were
/// followed, 95% of 600 pairs of DFDC are below 8.3; where the box is off by a quarter of its side, 95% are above 11.2.
const MAX_DIFFERENCE: f32 = 10.0;

/// Grey levels of the cells of a box, less their mean.
pub(super) struct Thumbnail([f32; (CELLS * CELLS) as usize]);

impl Thumbnail {
    /// The cells of the face's box in a picture.
    pub(super) fn of(picture: &RgbImage, face: &Face) -> Self {
        let [left, top, ..] = face.corners;
        let edge = |start: f32, length: f32, cell: u32, end: u32| {
            ((start + length * cell as f32 / CELLS as f32).round().max(0.0) as u32).min(end)
        };
        let mut cells = std::array::from_fn(|at| {
            let (row, column) = (at as u32 / CELLS, at as u32 % CELLS);
            let [x, y] = [(column, left, face.width(), picture.width()), (row, top, face.height(), picture.height())]
                .map(|(cell, start, length, end)| {
                    let from = edge(start, length, cell, end - 1);
                    from..edge(start, length, cell + 1, end).max(from + 1)
                });
            let count = (x.len() * y.len()) as f32;
            let pixels = y.flat_map(|y| x.clone().map(move |x| picture.get_pixel(x, y)));
            pixels.map(|pixel| pixel.0.iter().map(|level| f32::from(*level)).sum::<f32>() / 3.0).sum::<f32>() / count
        });
        let mean = cells.iter().sum::<f32>() / cells.len() as f32;
        cells.iter_mut().for_each(|cell| *cell -= mean);
        Self(cells)
    }

    /// The limit is lower for a box without contrast, which nearly equals any other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let mean = |sum: f32| sum / self.0.len() as f32;
        let difference = mean(self.0.iter().zip(&other.0).map(|(a, b)| (a - b).abs()).sum());
        let contrast = mean(other.0.iter().map(|level| level.abs()).sum());
        difference < MAX_DIFFERENCE.min(contrast / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_looks_like_itself_lighter_or_a_little_moved_and_not_like_what_is_beside_it() {
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
        let face = Thumbnail::of(&photograph, &at(58.0, 40.0));
        assert!(face.is_like(&Thumbnail::of(&lighter, &at(58.0, 40.0))));
        assert!(face.is_like(&Thumbnail::of(&photograph, &at(60.0, 40.0))));
        let dark = RgbImage::from_fn(192, 192, |x, y| image::Rgb(photograph.get_pixel(x, y).0.map(|level| level / 6)));
        let wall = RgbImage::from_pixel(192, 192, image::Rgb([20; 3]));
        let place = at(58.0, 40.0);
        assert!(!Thumbnail::of(&wall, &place).is_like(&Thumbnail::of(&dark, &place)), "a dark face is no wall");
        for (left, top) in [(75.0, 40.0), (58.0, 60.0), (120.0, 100.0), (-30.0, -30.0), (180.0, 180.0)] {
            assert!(!face.is_like(&Thumbnail::of(&photograph, &at(left, top))), "{left} {top}");
        }
    }
}
