//! Cutting and resizing pictures. Knows nothing of videos.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{GrayImage, RgbImage, imageops};

use super::spec::{ClipSpec, CropResize, Square, as_u32};

/// The rectangle of the whole picture: left, top, width and height.
pub(super) fn whole(picture: &RgbImage) -> [f64; 4] {
    [0.0, 0.0, f64::from(picture.width()), f64::from(picture.height())]
}

/// Cuts a rectangle (left, top, width, height) and resizes it. When it shrinks, pixels are averaged, as by the scaler
/// of videos.
pub(super) fn resize(picture: &RgbImage, part: [f64; 4], width: u32, height: u32) -> Result<RgbImage, String> {
    let failed = |error: &dyn std::fmt::Display| format!("it cannot be resized to {width}x{height}: {error}");
    let source = ImageRef::new(picture.width(), picture.height(), picture.as_raw(), PixelType::U8x3);
    let source = source.map_err(|error| failed(&error))?;
    let mut resized = Image::new(width, height, PixelType::U8x3);
    let [left, top, part_width, part_height] = part;
    // Rounding must not make the rectangle exceed the picture.
    let (right, bottom) = (f64::from(picture.width()) - left, f64::from(picture.height()) - top);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
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
