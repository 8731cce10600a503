//! Self-blended images: a face is changed slightly and pasted onto itself through a soft mask. The result has what most
//! fakes have, a seam between two pictures that differ.
//!
//! One [`Recipe`] is drawn for a clip, so that its frames agree; a little flicker is drawn for each frame. Only the
//! pasted face is changed, never the frame around it: to a detector, a brighter face in the frame is the same as a face
//! in a darker frame. This file knows nothing of videos, labels and detectors.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::mask::{Mask, Plane};
use crate::face::Face;

/// The opacities of the paste; one in two is opaque.
const OPACITIES: [f32; 6] = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0];
/// The opacity below which a pixel is not blended, because the change would round to nothing.
const MIN_OPACITY: f32 = 1.0 / 512.0;

/// The direction in which a paste differs from its frame. It is drawn at random, or distributed evenly if one class of
/// a small set must not be brighter or sharper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// Whether the paste is brighter than the face, or darker.
    pub brighter: bool,
    /// Whether the paste is blurred, or sharpened.
    pub softer: bool,
}

/// The random choices of one clip.
#[derive(Debug, Clone)]
pub struct Recipe {
    mask: Mask,
    /// In distances from the eyes to the mouth.
    mask_shift: [f32; 2],
    mask_scale: f32,
    paste_shift: [f32; 2],
    paste_scale: f32,
    ratio: f32,
    color: Color,
    detail: Detail,
    jpeg_quality: Option<u8>,
}

/// A colour change, in grey levels 0 to 255.
#[derive(Debug, Clone, Copy)]
struct Color {
    shift: [f32; 3],
    contrast: f32,
    saturation: f32,
}

#[derive(Debug, Clone, Copy)]
enum Detail {
    /// Reduced in size by this factor and enlarged again.
    Fewer(f32),
    /// Sharpened by this amount.
    More(f32),
}

/// The random choices of one frame.
struct Flicker {
    shift: [f32; 2],
    brightness: f32,
    opacity: f32,
}

impl Recipe {
    /// Draws a recipe for one clip.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let direction = Direction { brighter: rng.random(), softer: rng.random() };
        Self::draw_towards(direction, rng)
    }

    /// Draws a recipe for one clip whose paste differs in this direction.
    pub fn draw_towards(direction: Direction, rng: &mut ChaCha8Rng) -> Self {
        let mut shift = |most: f32| [rng.random_range(-most..most), rng.random_range(-most..most)];
        // Fractions of the height of the face, which is about 2.5 times the distance from the eyes to the mouth.
        let (mask_shift, paste_shift) = (shift(0.015 * 2.5), shift(0.03 * 2.5));
        let mut scale = || rng.random_range(0.95_f32.ln()..(1.0 / 0.95_f32).ln()).exp();
        let (mask_scale, paste_scale) = (scale(), scale());
        let sign = if direction.brighter { 1.0 } else { -1.0 };
        let brightness = sign * rng.random_range(2.0..14.0);
        Self {
            mask_shift,
            mask_scale,
            paste_shift,
            paste_scale,
            ratio: *OPACITIES.choose(rng).expect("there are some"),
            color: Color {
                shift: std::array::from_fn(|_| brightness + rng.random_range(-4.0..4.0)),
                contrast: rng.random_range(0.9..1.1),
                saturation: rng.random_range(0.85..1.15),
            },
            detail: match direction.softer {
                true => Detail::Fewer(rng.random_range(2.0..4.0)),
                false => Detail::More(rng.random_range(0.4..1.0)),
            },
            jpeg_quality: rng.random_bool(0.5).then(|| rng.random_range(40..=100)),
            mask: Mask::draw(rng),
        }
    }

    /// The frame with its face blended into itself; `flicker` seeds the choices of the frame. If the landmarks are
    /// outside the frame or form no face, the frame is unchanged.
    #[must_use]
    pub fn apply(&self, frame: &RgbImage, face: &Face, flicker: u64) -> RgbImage {
        let mut blended = frame.clone();
        let Some(plane) = Plane::of(face) else { return blended };
        let Some([left, top, right, bottom]) = plane.region(frame.dimensions()) else { return blended };
        let flicker = Flicker::draw(&mut ChaCha8Rng::seed_from_u64(flicker));
        let region = imageops::crop_imm(frame, left, top, right - left, bottom - top).to_image();
        let pivot = mean_color(&region);
        let paste = self.paste(region);
        let (centre, unit) = (plane.centre(), plane.unit());
        for y in top..bottom {
            for x in left..right {
                let at = [x as f32 + 0.5, y as f32 + 0.5];
                let on_mask = moved(at, centre, self.mask_scale, self.mask_shift, unit);
                let opacity = self.mask.at(plane.place(on_mask)) * self.ratio * flicker.opacity;
                if opacity < MIN_OPACITY {
                    continue;
                }
                let shift = [0, 1].map(|axis| self.paste_shift[axis] + flicker.shift[axis]);
                let [px, py] = moved(at, centre, self.paste_scale, shift, unit);
                let pasted = sample(&paste, px - left as f32, py - top as f32);
                let pasted = self.color.change(pasted, pivot, flicker.brightness);
                let pixel = blended.get_pixel_mut(x, y);
                for (byte, pasted) in pixel.0.iter_mut().zip(pasted) {
                    let old = f32::from(*byte);
                    *byte = (old + (pasted - old) * opacity).round().clamp(0.0, 255.0) as u8;
                }
            }
        }
        blended
    }

    /// The region of the face as if it were from another picture: resampled or sharpened, and possibly compressed.
    fn paste(&self, region: RgbImage) -> RgbImage {
        let (width, height) = region.dimensions();
        let changed = match self.detail {
            Detail::Fewer(factor) => {
                let fewer = |side: u32| ((side as f32 / factor).round() as u32).max(1);
                let small = imageops::resize(&region, fewer(width), fewer(height), FilterType::Triangle);
                imageops::resize(&small, width, height, FilterType::Triangle)
            }
            Detail::More(amount) => sharpened(region, amount),
        };
        match self.jpeg_quality {
            Some(quality) => compressed(&changed, quality).unwrap_or(changed),
            None => changed,
        }
    }
}

impl Flicker {
    /// The changes are too small to be seen at a glance: landmarks and brightness vary.
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        Self {
            shift: [rng.random_range(-0.006..0.006), rng.random_range(-0.006..0.006)],
            brightness: rng.random_range(-0.7..0.7),
            opacity: rng.random_range(0.97..1.0),
        }
    }
}

impl Color {
    fn change(&self, color: [f32; 3], pivot: [f32; 3], brightness: f32) -> [f32; 3] {
        let grey = (color[0] + 2.0 * color[1] + color[2]) / 4.0;
        std::array::from_fn(|channel| {
            let saturated = grey + (color[channel] - grey) * self.saturation;
            pivot[channel] + (saturated - pivot[channel]) * self.contrast + self.shift[channel] + brightness
        })
    }
}

/// The source of a pixel when a picture is moved by `shift` and enlarged by `scale` around the centre.
fn moved(at: [f32; 2], centre: [f32; 2], scale: f32, shift: [f32; 2], unit: f32) -> [f32; 2] {
    [0, 1].map(|axis| centre[axis] + (at[axis] - centre[axis]) / scale - shift[axis] * unit)
}

/// The interpolated colour at a point. Outside the picture, it is that of the edge.
fn sample(image: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = image.dimensions();
    let x = (x - 0.5).clamp(0.0, (width - 1) as f32);
    let y = (y - 0.5).clamp(0.0, (height - 1) as f32);
    let (left, top) = (x as u32, y as u32);
    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let row = |y: u32| {
        let (a, b) = (image.get_pixel(left, y), image.get_pixel(right, y));
        [0, 1, 2].map(|channel| f32::from(a[channel]) * (1.0 - x.fract()) + f32::from(b[channel]) * x.fract())
    };
    let (above, below) = (row(top), row(bottom));
    [0, 1, 2].map(|channel| above[channel] * (1.0 - y.fract()) + below[channel] * y.fract())
}

fn sharpened(image: RgbImage, amount: f32) -> RgbImage {
    let soft = imageops::fast_blur(&image, 1.2);
    let mut sharp = image;
    for (byte, soft) in sharp.iter_mut().zip(soft.iter()) {
        let value = f32::from(*byte);
        *byte = (value + amount * (value - f32::from(*soft))).round().clamp(0.0, 255.0) as u8;
    }
    sharp
}

/// Compresses a picture as JPEG and decodes it; `None` if it is too large for a JPEG.
fn compressed(image: &RgbImage, quality: u8) -> Option<RgbImage> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image).ok()?;
    Some(image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).ok()?.into_rgb8())
}

fn mean_color(image: &RgbImage) -> [f32; 3] {
    let mut sums = [0_u64; 3];
    for Rgb(color) in image.pixels() {
        for (sum, byte) in sums.iter_mut().zip(color) {
            *sum += u64::from(*byte);
        }
    }
    let pixels = (image.width() * image.height()).max(1) as f32;
    sums.map(|sum| sum as f32 / pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with detail everywhere.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let wave = |scale: u32| ((x * scale / 3 + y * y / 40 * scale) % 97) as u8 + 60;
            Rgb([wave(2), wave(3), wave(5)])
        })
    }

    /// A face from the front, `side` pixels high.
    fn face(left: f32, top: f32, side: f32) -> Face {
        let at = |x: f32, y: f32| [left + x * side, top + y * side];
        Face {
            corners: [left, top, left + 0.8 * side, top + side],
            score: 0.9,
            landmarks: [at(0.22, 0.4), at(0.58, 0.4), at(0.4, 0.57), at(0.26, 0.76), at(0.54, 0.76)],
        }
    }

    fn recipe(seed: u64) -> Recipe {
        Recipe::draw(&mut ChaCha8Rng::seed_from_u64(seed))
    }

    /// The mean difference of the bytes in a square around a point.
    fn change(a: &RgbImage, b: &RgbImage, [x, y]: [u32; 2]) -> f64 {
        let views = [a, b].map(|image| imageops::crop_imm(image, x - 10, y - 10, 20, 20).to_image());
        let differences = views[0].iter().zip(views[1].iter()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        differences.sum::<f64>() / 1200.0
    }

    #[test]
    fn the_face_changes_and_what_is_around_it_stays_bit_for_bit() {
        let frame = picture(224, 224);
        // The face covers (76, 62) to (140, 142): eyes at y = 94, mouth at y = 123.
        let face = face(76.0, 62.0, 80.0);
        for seed in 0..40 {
            let blended = recipe(seed).apply(&frame, &face, 1);
            assert!(change(&frame, &blended, [108, 108]) > 0.5, "seed {seed} leaves the face as it is");
            for (x, y, pixel) in blended.enumerate_pixels() {
                let near = (60..156).contains(&x) && (40..168).contains(&y);
                assert!(near || pixel == frame.get_pixel(x, y), "seed {seed} changes ({x}, {y})");
            }
        }
    }

    #[test]
    fn a_clips_frames_agree_but_for_a_flicker_and_a_seed_gives_the_same_bytes() {
        let (frame, face) = (picture(200, 160), face(60.0, 40.0, 80.0));
        for seed in 0..10 {
            let [first, again, next] = [1, 1, 2].map(|flicker| recipe(seed).apply(&frame, &face, flicker));
            let other = recipe(seed + 100).apply(&frame, &face, 1);
            assert!(first == again && first != next && first != other);
            let flicker = change(&first, &next, [92, 84]);
            assert!(flicker < 0.6 * change(&first, &frame, [92, 84]), "seed {seed}: {flicker}");
        }
    }

    #[test]
    fn the_direction_is_what_was_asked_for() {
        let (frame, face) = (picture(200, 160), face(60.0, 40.0, 80.0));
        let brightness = |image: &RgbImage| image.iter().map(|byte| f64::from(*byte)).sum::<f64>();
        // Differences are squared, because the plain sum over an edge does not depend on its sharpness.
        let detail = |image: &RgbImage| {
            let step = |x: u32, y: u32| f64::from(image.get_pixel(x, y)[2].abs_diff(image.get_pixel(x, y + 1)[2]));
            (80..104).flat_map(|x| (74..100).map(move |y| (x, y))).map(|(x, y)| step(x, y).powi(2)).sum::<f64>()
        };
        for (brighter, softer) in [(false, false), (false, true), (true, false), (true, true)] {
            let (mut light, mut edges) = (0.0, 0.0);
            for seed in 0..30 {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let blended = Recipe::draw_towards(Direction { brighter, softer }, &mut rng).apply(&frame, &face, 0);
                light += brightness(&blended) - brightness(&frame);
                edges += detail(&blended) - detail(&frame);
            }
            assert_eq!((light > 0.0, edges < 0.0), (brighter, softer), "{light} {edges}");
        }
    }

    #[test]
    fn a_flat_picture_becomes_one_of_at_most_another_shade() {
        let frame = RgbImage::from_pixel(160, 160, Rgb([120, 110, 100]));
        for seed in 0..20 {
            let blended = recipe(seed).apply(&frame, &face(40.0, 30.0, 90.0), 3);
            assert!(blended.iter().zip(frame.iter()).all(|(a, b)| a.abs_diff(*b) < 40), "seed {seed}");
        }
    }

    #[test]
    fn faces_at_the_border_and_those_that_are_none_do_no_harm() {
        let point = |x: f32| Face { corners: [x; 4], score: 0.9, landmarks: [[x; 2]; 5] };
        let mut collapsed = face(40.0, 20.0, 60.0);
        collapsed.landmarks = [[60.0, 50.0]; 5];
        let mut profile = face(40.0, 20.0, 60.0);
        profile.landmarks[0] = profile.landmarks[1];
        let wild = Face { landmarks: [[f32::NAN, 1e30]; 5], ..face(40.0, 20.0, 60.0) };
        for (width, height) in [(1, 1), (2, 3), (120, 90)] {
            let frame = picture(width, height);
            for seed in 0..8 {
                let apply = |face: &Face| recipe(seed).apply(&frame, face, 0);
                for untouched in
                    [point(0.0), point(50.0), point(f32::NAN), point(f32::INFINITY), wild, face(900.0, 0.0, 60.0)]
                {
                    assert!(apply(&untouched) == frame, "{untouched:?}");
                }
                for corner in [[-30.0, -30.0], [100.0, 70.0], [-30.0, 60.0]] {
                    assert_eq!(apply(&face(corner[0], corner[1], 60.0)).dimensions(), (width, height));
                }
                for odd in [collapsed, profile] {
                    assert!(width < 100 || apply(&odd) != frame, "{odd:?}");
                }
            }
        }
    }
}
