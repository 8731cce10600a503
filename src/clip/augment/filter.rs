//! Filters of one frame: blur, noise, JPEG compression and erasing. The only random numbers here are the pixels of
//! noise; the caller, `augmentation.rs`, passes strengths and areas.

use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{ExtendedColorType, ImageDecoder};
use rand::Rng;

use super::geometry::Rectangle;

/// Gaussian blur, separable, in fixed point; edge pixels are repeated. The kernel extends to three sigmas.
pub(super) fn blur(frame_hwc: &mut [u8], height: usize, width: usize, sigma: f32) {
    let weights = kernel(sigma);
    let reach = weights.len() / 2;
    let stride = width * 3;
    let mut padded = vec![0; (width + 2 * reach) * 3];
    for row in frame_hwc.chunks_exact_mut(stride) {
        for (column, pixel) in padded.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let from = column.saturating_sub(reach).min(width - 1) * 3;
            pixel.copy_from_slice(&row[from..from + 3]);
        }
        let taps: Vec<&[u8]> = (0..weights.len()).map(|tap| &padded[tap * 3..]).collect();
        weigh(row, &taps, &weights);
    }
    let original = frame_hwc.to_vec();
    for (row, out) in frame_hwc.chunks_exact_mut(stride).enumerate() {
        let line = |tap: usize| (row + tap).saturating_sub(reach).min(height - 1) * stride;
        let taps: Vec<&[u8]> = (0..weights.len()).map(|tap| &original[line(tap)..line(tap) + stride]).collect();
        weigh(out, &taps, &weights);
    }
}

/// The movement of a camera while a frame is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Motion {
    /// Pixels to either side along the line.
    pub reach: i32,
    /// Angle of the line against the rows.
    pub degrees: f32,
}

impl Motion {
    /// The mean along a line through each pixel; edge pixels are repeated.
    pub(super) fn blur(self, frame_hwc: &mut [u8], height: usize, width: usize) {
        let original = frame_hwc.to_vec();
        let (sin, cos) = self.degrees.to_radians().sin_cos();
        let mut offsets: Vec<[isize; 2]> =
            (-self.reach..=self.reach).map(|at| [sin, cos].map(|part| (at as f32 * part).round() as isize)).collect();
        offsets.dedup();
        let count = offsets.len() as u32;
        for (at, pixel) in frame_hwc.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (row, column) = (at / width, at % width);
            let mut sums = [count / 2; 3];
            for [down, right] in &offsets {
                let from_row = row.saturating_add_signed(*down).min(height - 1);
                let from = (from_row * width + column.saturating_add_signed(*right).min(width - 1)) * 3;
                sums.iter_mut().zip(&original[from..]).for_each(|(sum, level)| *sum += u32::from(*level));
            }
            *pixel = sums.map(|sum| (sum / count) as u8);
        }
    }
}

fn weigh(out: &mut [u8], taps: &[&[u8]], weights: &[u32]) {
    let mut sums = vec![1 << 15; out.len()];
    for (tap, weight) in taps.iter().zip(weights) {
        for (sum, level) in sums.iter_mut().zip(*tap) {
            *sum += u32::from(*level) * weight;
        }
    }
    for (level, sum) in out.iter_mut().zip(sums) {
        *level = (sum >> 16) as u8;
    }
}

/// Weights whose sum is 65536.
fn kernel(sigma: f32) -> Vec<u32> {
    let reach = (3.0 * sigma).ceil().max(1.0) as i32;
    let bell: Vec<f32> = (-reach..=reach).map(|x| (-0.5 * (x as f32 / sigma).powi(2)).exp()).collect();
    let sum: f32 = bell.iter().sum();
    let mut weights: Vec<u32> = bell.iter().map(|weight| (weight / sum * 65536.0) as u32).collect();
    weights[reach as usize] += 65536 - weights.iter().sum::<u32>();
    weights
}

/// Adds Gaussian noise, approximated by the sum of the four bytes of a random number (Irwin-Hall), whose mean is 510
/// and variance 4 (256^2 - 1) / 12.
pub(super) fn add_noise(frame_hwc: &mut [u8], sigma: f32, rng: &mut impl Rng) {
    let scale = sigma / (4.0f32 * 65535.0 / 12.0).sqrt();
    for level in frame_hwc {
        let sum: u16 = rng.random::<u32>().to_le_bytes().map(u16::from).iter().sum();
        *level = (f32::from(*level) + (f32::from(sum) - 510.0) * scale + 0.5).clamp(0.0, 255.0) as u8;
    }
}

/// Compresses the frame as JPEG and decodes it.
pub(super) fn compress(frame_hwc: &mut [u8], height: usize, width: usize, quality: u8) {
    let side = |length: usize| u32::try_from(length).expect("the configuration bounds the size of frames");
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, quality)
        .encode(frame_hwc, side(width), side(height), ExtendedColorType::Rgb8)
        .and_then(|()| JpegDecoder::new(std::io::Cursor::new(jpeg))?.read_image(frame_hwc))
        .expect("an RGB picture of bounded size can be compressed to memory, and read again");
}

/// Random pixels for an area.
pub(super) fn noise_patch(area: Rectangle, rng: &mut impl Rng) -> Vec<u8> {
    let mut patch = vec![0; area.width * area.height * 3];
    rng.fill(&mut patch[..]);
    patch
}

/// Replaces the pixels of an area.
pub(super) fn paste(frame_hwc: &mut [u8], width: usize, area: Rectangle, patch: &[u8]) {
    for (row, line) in patch.chunks_exact(area.width * 3).enumerate() {
        let start = ((area.top + row) * width + area.left) * 3;
        frame_hwc[start..start + line.len()].copy_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_blurred_point_is_the_kernel_and_a_flat_picture_stays() {
        let mut flat = vec![201; 8 * 8 * 3];
        blur(&mut flat, 8, 8, 1.3);
        assert!(flat.iter().all(|level| *level == 201));
        let mut point = vec![0; 9 * 9 * 3];
        point[(4 * 9 + 4) * 3] = 255;
        blur(&mut point, 9, 9, 1.0);
        // 255 x 0.3991^2, x 0.3991 x 0.2420, and x 0.2420^2.
        let red = |row: usize, column: usize| point[(row * 9 + column) * 3];
        assert_eq!([red(4, 4), red(4, 5), red(3, 4), red(5, 5)], [41, 25, 25, 15]);
        assert!(point.iter().skip(1).step_by(3).all(|green| *green == 0));
    }

    #[test]
    fn a_point_that_moves_becomes_a_line_and_a_flat_picture_stays() {
        let mut flat = vec![201; 8 * 8 * 3];
        Motion { reach: 3, degrees: 30.0 }.blur(&mut flat, 8, 8);
        assert!(flat.iter().all(|level| *level == 201));
        for (degrees, step) in [(0.0, 1), (90.0, 9), (45.0, 10)] {
            let mut point = vec![0; 9 * 9 * 3];
            point[(4 * 9 + 4) * 3] = 250;
            Motion { reach: 2, degrees }.blur(&mut point, 9, 9);
            let red: Vec<_> = (0..81_i32).filter(|at| point[*at as usize * 3] > 0).collect();
            // Two steps along a diagonal are 1.4 pixels to the side.
            let (reach, mean) = if step == 10 { (1, 83) } else { (2, 50) };
            assert_eq!(red, (-reach..=reach).map(|at| 40 + at * step).collect::<Vec<_>>(), "{degrees}");
            assert_eq!(point[40 * 3], mean, "{degrees}");
        }
    }

    #[test]
    fn noise_has_the_strength_asked_for() {
        let mut frame = vec![128; 100_000];
        add_noise(&mut frame, 8.0, &mut ChaCha8Rng::seed_from_u64(1));
        let differences: Vec<f64> = frame.iter().map(|level| f64::from(*level) - 128.0).collect();
        let mean = differences.iter().sum::<f64>() / 1e5;
        let sigma = (differences.iter().map(|difference| difference * difference).sum::<f64>() / 1e5).sqrt();
        assert!(mean.abs() < 0.1 && (sigma - 8.0).abs() < 0.1, "mean {mean}, sigma {sigma}");
    }

    #[test]
    fn lower_quality_is_further_from_the_original() {
        let frame: Vec<u8> = (0..32 * 24 * 3).map(|at| (at * 7 % 256) as u8).collect();
        let distance = |quality| {
            let mut changed = frame.clone();
            compress(&mut changed, 24, 32, quality);
            changed.iter().zip(&frame).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        };
        assert!(distance(40) > distance(95) && distance(95) > 0);
    }

    #[test]
    fn only_the_area_is_erased() {
        let area = Rectangle { left: 1, top: 2, width: 2, height: 1 };
        let mut frame = vec![0; 4 * 4 * 3];
        paste(&mut frame, 4, area, &[9; 6]);
        let changed: Vec<_> = (0..48).filter(|at| frame[*at] == 9).collect();
        assert_eq!(changed, (27..33).collect::<Vec<_>>());
    }
}
