//! Cutting and resizing pictures. Knows nothing of videos.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{GrayImage, RgbImage, imageops};

use super::spec::{ClipSpec, CropResize, Square, as_u32};

/// The rectangle of the whole picture: left, top, width and height.
pub(super) fn whole(picture: &RgbImage) -> [f64; 4] {
    [0.0, 0.0, f64::from(picture.width()), f64::from(picture.height())]
}

/// Cuts a rectangle (left, top, width, height) and resizes it. Where it shrinks, pixels are averaged with the filter that is
/// about as sharp as the scaler of videos; that filter is not made for enlarging.
pub(super) fn resize(picture: &RgbImage, part: [f64; 4], width: u32, height: u32) -> Result<RgbImage, String> {
    let failed = |error: &dyn std::fmt::Display| format!("it cannot be resized to {width}x{height}: {error}");
    let source = ImageRef::new(picture.width(), picture.height(), picture.as_raw(), PixelType::U8x3);
    let source = source.map_err(|error| failed(&error))?;
    let mut resized = Image::new(width, height, PixelType::U8x3);
    let [left, top, part_width, part_height] = part;
    // Rounding must not make the rectangle exceed the picture.
    let (right, bottom) = (f64::from(picture.width()) - left, f64::from(picture.height()) - top);
    let shrinks = part_width > f64::from(width) || part_height > f64::from(height);
    let filter = if shrinks { FilterType::Hamming } else { FilterType::Bilinear };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    let options = options.crop(left, top, part_width.min(right), part_height.min(bottom));
    Resizer::new().resize(&source, &mut resized, &options).map_err(|error| failed(&error))?;
    Ok(RgbImage::from_raw(width, height, resized.into_vec()).expect("as many bytes as pixels x 3"))
}

/// Grey levels (0 to 255) at the size of the clip, so that thresholds mean the same for all videos.
pub(super) fn grey(frame: &RgbImage, spec: &ClipSpec) -> Result<GrayImage, String> {
    if (frame.width() as usize, frame.height() as usize) == (spec.width, spec.height) {
        return Ok(imageops::grayscale(frame));
    }
    let (width, height) = (as_u32(spec.width), as_u32(spec.height));
    Ok(imageops::grayscale(&resize(frame, whole(frame), width, height)?))
}

/// Cuts the square `cut` from a whole frame and resizes it.
///
/// # Errors
/// The square is not inside the frame.
pub fn crop_resize(crop: &CropResize, frame: &RgbImage) -> Result<RgbImage, String> {
    let Square { left, top, side } = crop.square;
    let [x, y] = [f64::from(frame.width()) / f64::from(crop.of[0]), f64::from(frame.height()) / f64::from(crop.of[1])];
    resize(frame, [left * x, top * y, side * x, side * y], as_u32(crop.width), as_u32(crop.height))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// At a third of the size, a mean keeps 0.33 of the contrast of noise, this filter 0.29, and a triangle 0.23.
    #[test]
    fn what_shrinks_stays_about_as_sharp_as_by_averaging() {
        let picture = noise(384);
        let small = resize(&picture, whole(&picture), 128, 128).unwrap();
        let share = contrast(&small) / contrast(&picture);
        assert!((0.27..0.31).contains(&share), "{share}");
    }

    #[test]
    fn what_grows_lies_between_its_neighbours() {
        let row = RgbImage::from_fn(2, 1, |x, _| image::Rgb([200 * x as u8; 3]));
        let levels: Vec<u8> = resize(&row, whole(&row), 8, 1).unwrap().pixels().map(|pixel| pixel[0]).collect();
        assert_eq!(levels, [0, 0, 25, 75, 125, 175, 200, 200]);
    }
}
