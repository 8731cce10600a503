//! The quality filter: it leaves out frames that are blurred or nearly equal to the one before, and spreads the rest
//! over the clip. Knows nothing of files.

use image::GrayImage;

use super::decoded::DecodedClip;
use super::picks::spread;
use super::spec::ClipSpec;

/// The clip without frames of low quality. With both thresholds 0, the clip is unchanged.
pub(super) fn filter<T>(
    mut clip: DecodedClip<T>,
    spec: &ClipSpec,
    min_frames: usize,
) -> Result<DecodedClip<T>, String> {
    if !spec.looks_at_quality() {
        return Ok(clip);
    }
    let frames = clip.frames.len();
    let (mut blurred, mut repeated) = (0, 0);
    let mut last: Option<GrayImage> = None;
    clip.frames.retain_mut(|(_, frame)| {
        let Some(grey) = frame.grey.take() else { return true };
        if spec.quality_threshold > 0.0 && sharpness(&grey) < spec.quality_threshold {
            blurred += 1;
            return false;
        }
        let same = |last: &GrayImage| difference(last, &grey) < spec.duplicate_threshold;
        if last.as_ref().is_some_and(same) {
            repeated += 1;
            return false;
        }
        last = Some(grey);
        true
    });
    let (usable, needed) = (clip.frames.len(), min_frames.min(spec.frames).max(1));
    if usable < needed {
        return Err(format!(
            "{usable} of {frames} frames are usable where {needed} are needed: {blurred} are blurred \
             (data.quality_threshold), {repeated} like the one before (data.duplicate_threshold)"
        ));
    }
    clip.slots = spread(usable, spec.frames);
    // As few as that would be enough; without a filter, it is the number of choices that must be enough.
    if usable < spec.frames {
        clip.choices = clip.choices.min(usable);
    }
    Ok(clip)
}

/// The variance of the Laplacian (four neighbours, without the border). It is low if a picture has no fine detail.
///
/// Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
fn sharpness(grey: &GrayImage) -> f64 {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let at = |x: usize, y: usize| i64::from(grey.as_raw()[y * width + x]);
    let (mut sum, mut squares) = (0, 0);
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let value = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4 * at(x, y);
            sum += value;
            squares += value * value;
        }
    }
    let count = ((width - 2) * (height - 2)) as f64;
    let mean = sum as f64 / count;
    squares as f64 / count - mean * mean
}

/// The mean absolute difference of grey levels.
fn difference(a: &GrayImage, b: &GrayImage) -> f64 {
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb, RgbImage, imageops};

    use super::*;
    use crate::video::decoded::Made;

    fn spec(quality_threshold: f64, duplicate_threshold: f64) -> ClipSpec {
        ClipSpec { quality_threshold, duplicate_threshold, ..ClipSpec::uniform(6, 8, 8, 2) }
    }

    /// A checkerboard with this contrast; its Laplacian is +- 4 x contrast.
    fn board(contrast: u8) -> RgbImage {
        RgbImage::from_fn(8, 8, |x, y| Rgb([100 + contrast * ((x + y) % 2) as u8; 3]))
    }

    fn clip(contrasts: &[u8]) -> DecodedClip<u8> {
        let frame = |(number, contrast): (usize, &u8)| {
            (number, Made { grey: Some(imageops::grayscale(&board(*contrast))), value: *contrast })
        };
        let frames = contrasts.iter().enumerate().map(frame).collect();
        DecodedClip { frames, slots: vec![0; 6], size: [8; 2], decoded: 0, choices: contrasts.len() }
    }

    #[test]
    fn sharpness_is_the_variance_of_the_laplacian() {
        assert_eq!(sharpness(&imageops::grayscale(&board(10))), 1600.0);
        assert_eq!(sharpness(&GrayImage::from_pixel(8, 8, Luma([77]))), 0.0);
        // A ramp has a gradient but no detail.
        assert_eq!(sharpness(&GrayImage::from_fn(8, 8, |x, _| Luma([10 * x as u8]))), 0.0);
    }

    #[test]
    fn blurred_and_repeated_frames_are_left_out_and_the_rest_spread() {
        let kept = filter(clip(&[10, 1, 30, 30, 31, 60]), &spec(20.0, 2.0), 2).unwrap();
        let contrasts: Vec<_> = kept.frames.iter().map(|(_, frame)| frame.value).collect();
        assert_eq!(contrasts, [10, 30, 60], "1 is blurred; 30 and 31 are like the 30 before");
        assert_eq!(kept.slots, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn too_few_are_an_error_that_counts() {
        let error = filter(clip(&[10, 1, 1, 10]), &spec(20.0, 0.0), 3).unwrap_err();
        assert!(error.starts_with("2 of 4 frames are usable where 3 are needed: 2 are blurred"), "{error}");
    }

    #[test]
    fn without_thresholds_nothing_is_left_out() {
        let kept = filter(clip(&[1, 1, 1]), &spec(0.0, 0.0), 3).unwrap();
        assert_eq!((kept.frames.len(), kept.slots.len()), (3, 6));
    }
}
