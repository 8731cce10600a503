//! Geometry of the augmentation: crop, rotation and flip as one bilinear resampling, and the random rectangles for crop
//! and erasing. Changes no colours; that is `colour.rs` and `filter.rs`.

use rand::Rng;

/// Crop, then shear, then rotation, then flips.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Warp {
    /// Whether left and right are swapped.
    pub flip: bool,
    /// Whether above and below are swapped.
    pub upside_down: bool,
    pub degrees: f32,
    /// Slant of columns in degrees.
    pub shear_degrees: f32,
    pub crop: Crop,
}

/// A rectangle, in fractions of the picture's sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Crop {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
}

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rectangle {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

impl Crop {
    /// A crop of at least `least_share` of the picture's area, not rounded to whole pixels. The share of the area is
    /// uniform, and so is the logarithm of the aspect ratio, between 3/4 and 4/3 of the picture's and within what fits.
    ///
    /// torchvision's `RandomResizedCrop` draws again what exceeds the picture, which prefers small crops: near the
    /// whole picture hardly any ratio fits.
    pub(super) fn draw(rng: &mut impl Rng, least_share: f64) -> Self {
        let area: f64 = rng.random_range(least_share..=1.0);
        let reach = (4.0f64 / 3.0).ln().min(-area.ln());
        let ratio = rng.random_range(-reach..=reach).exp();
        let [width, height] = [area * ratio, area / ratio].map(|square| square.sqrt().min(1.0));
        let [left, top] = [width, height].map(|side| rng.random::<f64>() * (1.0 - side));
        let [left, top, width, height] = [left, top, width, height].map(|share| share as f32);
        Self { left, top, width, height }
    }
}

impl Rectangle {
    /// Like torchvision's `RandomErasing`: 2 % to 33 % of the area, aspect ratio 0.3 to 3.3.
    pub(super) fn draw(rng: &mut impl Rng, height: usize, width: usize) -> Self {
        let area = rng.random_range(0.02..=0.33) * (height * width) as f64;
        let ratio = rng.random_range((0.3f64).ln()..=(3.3f64).ln()).exp();
        let side = |length: f64, limit: usize| (length.round() as usize).clamp(1, limit.max(1));
        let (h, w) = (side((area * ratio).sqrt(), height), side((area / ratio).sqrt(), width));
        let place = |rng: &mut dyn rand::RngCore, limit: usize, side: usize| rng.random_range(0..=limit.max(1) - side);
        Self { top: place(rng, height, h), left: place(rng, width, w), width: w, height: h }
    }
}

/// The source of a pixel: the first of four neighbours, and the weights (in 1/256) of those to the right and below.
struct Origin {
    at: u32,
    x: u16,
    y: u16,
}

impl Warp {
    pub(super) fn is_identity(&self) -> bool {
        !(self.flip || self.upside_down)
            && (self.degrees, self.shear_degrees) == (0.0, 0.0)
            && (self.crop.width, self.crop.height) == (1.0, 1.0)
    }

    /// Resamples all frames of a clip. Pixels outside the picture repeat its edge.
    pub(super) fn apply(&self, thwc: &[u8], frames: usize, height: usize, width: usize) -> Vec<u8> {
        let origins = self.origins(height, width);
        let right = usize::from(width > 1);
        let down = if height > 1 { width } else { 0 };
        let mut out = Vec::with_capacity(frames * origins.len());
        for frame in thwc.as_chunks::<3>().0.chunks_exact(origins.len().max(1)).take(frames) {
            out.extend(origins.iter().map(|Origin { at, x, y }| {
                let (at, x, y) = (*at as usize, u32::from(*x), u32::from(*y));
                let four = [at, at + right, at + down, at + down + right].map(|at| frame[at]);
                let pixel: [u8; 3] = std::array::from_fn(|channel| {
                    let [a, b, c, d] = four.map(|rgb| u32::from(rgb[channel]));
                    let (above, below) = (a * (256 - x) + b * x, c * (256 - x) + d * x);
                    (((256 - y) * above + y * below + (1 << 15)) >> 16) as u8
                });
                pixel
            }));
        }
        out.into_flattened()
    }

    /// The sources of all pixels. They are the same for all frames, so they are computed once for a clip.
    fn origins(&self, height: usize, width: usize) -> Vec<Origin> {
        let [h, w] = [height as f32, width as f32];
        let (sin, cos) = self.degrees.to_radians().sin_cos();
        let slant = self.shear_degrees.to_radians().tan();
        let Crop { left, top, width: share_w, height: share_h } = self.crop;
        let middle = [(left + share_w / 2.0) * w, (top + share_h / 2.0) * h];
        let mut origins = Vec::with_capacity(height * width);
        for row in 0..height {
            for column in 0..width {
                // Offset from the centre of the result, in pixels of the source.
                let dx = (column as f32 + 0.5 - w / 2.0) * share_w * if self.flip { -1.0 } else { 1.0 };
                let dy = (row as f32 + 0.5 - h / 2.0) * share_h * if self.upside_down { -1.0 } else { 1.0 };
                let dx = dx + slant * dy;
                let x = (middle[0] + cos * dx - sin * dy - 0.5).clamp(0.0, w - 1.0);
                let y = (middle[1] + sin * dx + cos * dy - 0.5).clamp(0.0, h - 1.0);
                // At the right and lower edges, the neighbour has all the weight, so there always is a neighbour.
                let column = (x as usize).min(width.saturating_sub(2));
                let row = (y as usize).min(height.saturating_sub(2));
                let weight = |share: f32| (share * 256.0 + 0.5) as u16;
                let at = u32::try_from(row * width + column).expect("the configuration bounds the size of frames");
                origins.push(Origin { at, x: weight(x - column as f32), y: weight(y - row as f32) });
            }
        }
        origins
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const WHOLE: Crop = Crop { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };
    const STRAIGHT: Warp = Warp { flip: false, upside_down: false, degrees: 0.0, shear_degrees: 0.0, crop: WHOLE };

    fn grey(levels: &[u8]) -> Vec<u8> {
        levels.iter().flat_map(|level| [*level; 3]).collect()
    }

    #[test]
    fn flips_are_exact_mirror_images() {
        let picture = grey(&[1, 2, 3, 4, 5, 6]);
        let flipped = |flip, upside_down| Warp { flip, upside_down, ..STRAIGHT }.apply(&picture, 1, 2, 3);
        assert_eq!(flipped(true, false), grey(&[3, 2, 1, 6, 5, 4]));
        assert_eq!(flipped(false, true), grey(&[4, 5, 6, 1, 2, 3]));
        assert_eq!(flipped(true, true), grey(&[6, 5, 4, 3, 2, 1]));
    }

    #[test]
    fn a_half_turn_is_exact_and_a_quarter_turn_moves_the_corner() {
        let turn = |degrees| Warp { degrees, ..STRAIGHT }.apply(&grey(&[1, 2, 3, 4]), 1, 2, 2);
        assert_eq!(turn(180.0), grey(&[4, 3, 2, 1]));
        assert_eq!(turn(90.0), grey(&[2, 4, 1, 3]), "counter-clockwise");
    }

    #[test]
    fn a_slant_shifts_rows_against_each_other_about_the_middle() {
        let warp = Warp { shear_degrees: 45.0, ..STRAIGHT };
        // Three rows of five, shifted by -1, 0 and 1 pixels.
        let picture = grey(&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
        assert_eq!(warp.apply(&picture, 1, 3, 5), grey(&[1, 1, 2, 3, 4, 1, 2, 3, 4, 5, 2, 3, 4, 5, 5]));
    }

    #[test]
    fn a_crop_is_stretched_over_the_picture() {
        // The right half of a row of four: the pixel centres are at a quarter and three quarters.
        let crop = Crop { left: 0.5, top: 0.0, width: 0.5, height: 1.0 };
        let warp = Warp { crop, ..STRAIGHT };
        assert_eq!(warp.apply(&grey(&[0, 0, 100, 200]), 1, 1, 4), grey(&[75, 125, 175, 200]));
    }

    #[test]
    fn crops_lie_within_the_picture_and_their_area_is_uniform() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for least_share in [0.1, 0.8] {
            let mut smaller_half = 0;
            for _ in 0..4000 {
                let Crop { left, top, width, height } = Crop::draw(&mut rng, least_share);
                assert!(left >= 0.0 && top >= 0.0 && left + width < 1.0 + 1e-6 && top + height < 1.0 + 1e-6);
                assert!((0.749..1.335).contains(&(width / height)), "{width} x {height}");
                let area = f64::from(width * height);
                assert!(area > least_share - 1e-6);
                smaller_half += usize::from(area < f64::midpoint(least_share, 1.0));
            }
            // Six standard deviations of 32 to either side.
            assert!((1810..2190).contains(&smaller_half), "{least_share}: {smaller_half}");
        }
        assert_eq!(Crop::draw(&mut rng, 1.0), WHOLE);
    }
}
