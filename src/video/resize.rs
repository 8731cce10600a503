//! Cutting and resizing pictures. Knows nothing of videos.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::spec::{CropResize, as_u32};

/// RGB bytes, height x width x 3.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a> {
    pub(super) hwc: &'a [u8],
    pub(super) width: u32,
    pub(super) height: u32,
}

impl<'a> Pixels<'a> {
    pub(super) fn of(picture: &'a RgbImage) -> Self {
        Self { hwc: picture.as_raw(), width: picture.width(), height: picture.height() }
    }

    /// The rectangle of the whole picture: left, top, width and height.
    pub(super) fn whole(self) -> [f64; 4] {
        [0.0, 0.0, f64::from(self.width), f64::from(self.height)]
    }

    /// The colour between four pixels, weighted by how near they are.
    fn between(self, x: f64, y: f64) -> [u8; 3] {
        let axis = |at: f64, length: u32| {
            let at = at.clamp(0.0, f64::from(length - 1));
            let low = at.floor() as usize;
            (low, (low + 1).min(length as usize - 1), at - at.floor())
        };
        let ((left, right, share_x), (top, bottom, share_y)) = (axis(x, self.width), axis(y, self.height));
        std::array::from_fn(|channel| {
            let level = |x: usize, y: usize| f64::from(self.hwc[(y * self.width as usize + x) * 3 + channel]);
            let mix = |a: f64, b: f64, share: f64| a + share * (b - a);
            let upper = mix(level(left, top), level(right, top), share_x);
            let lower = mix(level(left, bottom), level(right, bottom), share_x);
            mix(upper, lower, share_y).round() as u8
        })
    }

    /// The factors by which coordinates of a crop grow to those of this picture.
    fn scale(self, crop: &CropResize) -> [f64; 2] {
        [f64::from(self.width) / f64::from(crop.of[0]), f64::from(self.height) / f64::from(crop.of[1])]
    }
}

/// Cuts a square, resizes it, and appends it to `bytes`. What is outside the picture repeats its edge.
pub(super) fn append_crop(
    resizer: &mut Resizer,
    pixels: Pixels,
    crop: &CropResize,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let (square, [x, y], to) = (crop.square, pixels.scale(crop), [as_u32(crop.width), as_u32(crop.height)]);
    let part = [square.left * x, square.top * y, square.side * x, square.side * y];
    let (right, bottom) = (part[0] + part[2], part[1] + part[3]);
    // Rounding may make a square exceed the picture by a little.
    let inside = |end: f64, length: u32| end <= f64::from(length) + 1e-6;
    if square.turn == 0.0
        && part[0] >= 0.0
        && part[1] >= 0.0
        && inside(right, pixels.width)
        && inside(bottom, pixels.height)
    {
        return append(resizer, pixels, part, to, bytes);
    }
    // The part of the picture that the square covers is brought to the final scale, then turned.
    let corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]].map(|corner| square.on_frame(corner));
    let covered = |axis: usize, scale: f64, length: u32| {
        let positions = corners.map(|corner| corner[axis] * scale);
        let (low, high) = (positions.into_iter().fold(f64::MAX, f64::min), positions.into_iter().fold(0.0, f64::max));
        let start = low.clamp(0.0, f64::from(length - 1));
        (start, high.clamp(start + 1.0, f64::from(length)) - start)
    };
    let ((left, width), (top, height)) = (covered(0, x, pixels.width), covered(1, y, pixels.height));
    let reduced = |length: f64, part: f64, to: u32| ((length / part * f64::from(to)).round() as u32).max(1);
    let [to_width, to_height] = [reduced(width, part[2], to[0]), reduced(height, part[3], to[1])];
    let mut upright = Vec::new();
    append(resizer, pixels, [left, top, width, height], [to_width, to_height], &mut upright)?;
    let upright = Pixels { hwc: &upright, width: to_width, height: to_height };
    for row in 0..to[1] {
        for column in 0..to[0] {
            let place = [(column, to[0]), (row, to[1])].map(|(at, length)| (f64::from(at) + 0.5) / f64::from(length));
            let [on_x, on_y] = square.on_frame(place);
            let at_x = (on_x * x - left) / width * f64::from(to_width) - 0.5;
            let at_y = (on_y * y - top) / height * f64::from(to_height) - 0.5;
            bytes.extend_from_slice(&upright.between(at_x, at_y));
        }
    }
    Ok(())
}

/// Cuts a rectangle (left, top, width, height), resizes it, and appends it to `bytes`. Where it shrinks, pixels are
/// averaged with the filter that is about as sharp as the scaler of videos; that filter is not made for enlarging.
pub(super) fn append(
    resizer: &mut Resizer,
    pixels: Pixels,
    part: [f64; 4],
    [width, height]: [u32; 2],
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("it cannot be resized to {width}x{height}: {error}");
    let source = ImageRef::new(pixels.width, pixels.height, pixels.hwc, PixelType::U8x3);
    let source = source.map_err(|error| failed(&error))?;
    let start = bytes.len();
    bytes.resize(start + width as usize * height as usize * 3, 0);
    let mut resized =
        Image::from_slice_u8(width, height, &mut bytes[start..], PixelType::U8x3).map_err(|error| failed(&error))?;
    let [left, top, part_width, part_height] = part;
    // Rounding must not make the rectangle exceed the picture.
    let (right, bottom) = (f64::from(pixels.width) - left, f64::from(pixels.height) - top);
    let shrinks = part_width > f64::from(width) || part_height > f64::from(height);
    let filter = if shrinks { FilterType::Hamming } else { FilterType::Bilinear };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    let options = options.crop(left, top, part_width.min(right), part_height.min(bottom));
    resizer.resize(&source, &mut resized, &options).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::Square;

    /// Levels that look random, the same in all channels.
    fn noise(side: u32) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| {
            let level = (x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA6B)).wrapping_mul(0xC2B2_AE35) >> 24;
            image::Rgb([level as u8; 3])
        })
    }

    fn contrast(picture: &RgbImage) -> f64 {
        let levels: Vec<f64> = picture.pixels().map(|pixel| f64::from(pixel[0])).collect();
        let mean = levels.iter().sum::<f64>() / levels.len() as f64;
        (levels.iter().map(|level| (level - mean).powi(2)).sum::<f64>() / levels.len() as f64).sqrt()
    }

    fn resize(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
        let (pixels, mut bytes) = (Pixels::of(picture), Vec::new());
        append(&mut Resizer::new(), pixels, pixels.whole(), [width, height], &mut bytes).unwrap();
        RgbImage::from_raw(width, height, bytes).unwrap()
    }

    /// At a third of the size, a mean keeps 0.33 of the contrast of noise, this filter 0.29, and a triangle 0.23.
    #[test]
    fn what_shrinks_stays_about_as_sharp_as_by_averaging() {
        let picture = noise(384);
        let small = resize(&picture, 128, 128);
        let share = contrast(&small) / contrast(&picture);
        assert!((0.27..0.31).contains(&share), "{share}");
    }

    #[test]
    fn a_square_that_leaves_the_picture_repeats_its_edge_and_a_turned_one_is_turned_back() {
        let picture = RgbImage::from_fn(40, 40, |x, y| image::Rgb([(6 * x) as u8, (6 * y) as u8, 0]));
        let cut = |square: Square| {
            let crop = CropResize { square, of: [40, 40], height: 20, width: 20 };
            let mut bytes = Vec::new();
            append_crop(&mut Resizer::new(), Pixels::of(&picture), &crop, &mut bytes).unwrap();
            RgbImage::from_raw(20, 20, bytes).unwrap()
        };
        let outside = cut(Square::upright(-10.0, 30.0, 20.0));
        for (x, y, expected) in [(0, 0, [0, 180]), (9, 0, [0, 180]), (19, 0, [54, 180]), (0, 19, [0, 234])] {
            let [red, green, _] = outside.get_pixel(x, y).0;
            assert!(red.abs_diff(expected[0]) <= 3 && green.abs_diff(expected[1]) <= 3, "{x} {y}: {red} {green}");
        }
        let quarter = cut(Square { turn: std::f64::consts::FRAC_PI_2, ..Square::upright(10.0, 10.0, 20.0) });
        // Its upper left corner is the upper right one of the square; its rows go down the columns of the picture.
        let [[red, green, _], [next_red, next_green, _]] = [[0, 0], [10, 0]].map(|[x, y]| quarter.get_pixel(x, y).0);
        assert!(red.abs_diff(6 * 29) <= 4 && green.abs_diff(60) <= 4, "{red} {green}");
        assert!(next_red.abs_diff(red) <= 4 && next_green.abs_diff(120) <= 4, "{next_red} {next_green}");
    }

    #[test]
    fn what_grows_lies_between_its_neighbours() {
        let row = RgbImage::from_fn(2, 1, |x, _| image::Rgb([200 * x as u8; 3]));
        let levels: Vec<u8> = resize(&row, 8, 1).pixels().map(|pixel| pixel[0]).collect();
        assert_eq!(levels, [0, 0, 25, 75, 125, 175, 200, 200]);
    }
}
