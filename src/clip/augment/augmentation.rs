//! Data augmentation: random changes of a training clip, the same for all its frames.
//!
//! A seed decides a [`Recipe`], and the recipe changes pixels. Flip, rotation and crop are one resampling. The order is
//! that of a camera: geometry, colour, blur, noise, compression; erasing is last. The result depends only on clip and
//! seed. This file knows nothing of videos and labels; the changes of pixels are in `geometry.rs`, `colour.rs` and
//! `filter.rs`.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{colour, filter, geometry};
use crate::config::AugmentationConfig;

/// The configured augmentation of training clips.
#[derive(Debug, Clone)]
pub struct Augmentation {
    config: AugmentationConfig,
}

/// The changes of one clip.
#[derive(Debug, Clone, PartialEq)]
struct Recipe {
    warp: Option<geometry::Warp>,
    colour: colour::Colour,
    blur_sigma: Option<f32>,
    motion: Option<filter::Motion>,
    noise_sigma: Option<f32>,
    jpeg_quality: Option<u8>,
    erased: Option<geometry::Rectangle>,
    seed: u64,
}

impl Augmentation {
    /// The augmentation of this configuration.
    #[must_use]
    pub fn new(config: &AugmentationConfig) -> Self {
        Self { config: config.clone() }
    }

    /// A changed copy of a clip of shape T, height, width; `seed` decides all changes.
    #[must_use]
    pub fn apply(&self, thwc: &[u8], [frames, height, width]: [usize; 3], seed: u64) -> Vec<u8> {
        let recipe = self.draw(seed, height, width);
        let mut changed = match &recipe.warp {
            Some(warp) => warp.apply(thwc, frames, height, width),
            None => thwc.to_vec(),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(recipe.seed);
        let patch = recipe.erased.map(|area| filter::noise_patch(area, &mut rng));
        for frame_hwc in changed.chunks_exact_mut((height * width * 3).max(1)) {
            recipe.colour.apply(frame_hwc);
            if let Some(sigma) = recipe.blur_sigma {
                filter::blur(frame_hwc, height, width, sigma);
            }
            if let Some(motion) = recipe.motion {
                motion.blur(frame_hwc, height, width);
            }
            if let Some(sigma) = recipe.noise_sigma {
                filter::add_noise(frame_hwc, sigma, &mut rng);
            }
            if let Some(quality) = recipe.jpeg_quality {
                filter::compress(frame_hwc, height, width, quality);
            }
            if let (Some(area), Some(patch)) = (recipe.erased, &patch) {
                filter::paste(frame_hwc, width, area, patch);
            }
        }
        changed
    }

    /// All numbers are drawn even if they are not used, so that a change that is switched on does not alter the others.
    fn draw(&self, seed: u64, height: usize, width: usize) -> Recipe {
        let config = &self.config;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut about = |middle: f64, reach: f64| (middle + reach * rng.random_range(-1.0..=1.0)) as f32;
        let degrees = about(0.0, config.rotation);
        let colour = colour::Colour {
            brightness: about(1.0, config.brightness).max(0.0),
            contrast: about(1.0, config.contrast).max(0.0),
            saturation: about(1.0, config.saturation).max(0.0),
            hue: about(0.0, config.hue),
        };
        let mut chance = |probability: f64| rng.random::<f64>() < probability;
        let flip = chance(config.horizontal_flip);
        let [blur, noise, jpeg, erase] =
            [config.gaussian_blur, config.noise, config.jpeg, config.random_erasing].map(&mut chance);
        let blur_sigma = rng.random_range(0.1..=1.5);
        let noise_sigma = rng.random_range(1.0..=10.0);
        let quality = rng.random_range(40..=95);
        let erased = geometry::Rectangle::draw(&mut rng, height, width);
        let seed = rng.random();
        let crop = geometry::Crop::draw(&mut rng, config.random_resized_crop);
        let shear_degrees = (config.shear * rng.random_range(-1.0..=1.0)) as f32;
        let [upside_down, moved] =
            [config.vertical_flip, config.motion_blur].map(|probability| rng.random::<f64>() < probability);
        let motion = filter::Motion { reach: rng.random_range(1..=3), degrees: rng.random_range(0.0..180.0) };
        let warp = geometry::Warp { flip, upside_down, degrees, shear_degrees, crop };
        Recipe {
            warp: (!warp.is_identity()).then_some(warp),
            colour,
            blur_sigma: blur.then_some(blur_sigma),
            motion: moved.then_some(motion),
            noise_sigma: noise.then_some(noise_sigma),
            jpeg_quality: jpeg.then_some(quality),
            erased: erase.then_some(erased),
            seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off() -> AugmentationConfig {
        AugmentationConfig {
            enabled: true,
            self_blend: crate::config::SelfBlend::Off,
            horizontal_flip: 0.0,
            vertical_flip: 0.0,
            rotation: 0.0,
            shear: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            gaussian_blur: 0.0,
            motion_blur: 0.0,
            jpeg: 0.0,
            noise: 0.0,
            random_erasing: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            random_resized_crop: 1.0,
        }
    }

    fn frame(height: usize, width: usize) -> Vec<u8> {
        (0..height * width * 3).map(|at| (at * 37 % 251) as u8).collect()
    }

    #[test]
    fn nothing_asked_for_changes_nothing() {
        let clip = frame(9, 7);
        assert_eq!(Augmentation::new(&off()).apply(&clip, [1, 9, 7], 3), clip);
    }

    #[test]
    fn one_seed_makes_the_same_bytes_and_another_makes_others() {
        let augmentation = Augmentation::new(&AugmentationConfig { noise: 1.0, jpeg: 1.0, ..Default::default() });
        let clip = [frame(24, 32), frame(24, 32)].concat();
        let apply = |seed| augmentation.apply(&clip, [2, 24, 32], seed);
        assert_eq!(apply(1), apply(1));
        assert_ne!(apply(1), apply(2));
    }

    #[test]
    fn equal_frames_stay_equal() {
        let config = AugmentationConfig {
            gaussian_blur: 1.0,
            motion_blur: 1.0,
            jpeg: 1.0,
            random_erasing: 1.0,
            noise: 0.0,
            ..AugmentationConfig::default()
        };
        for seed in 0..10 {
            let clip = Augmentation::new(&config).apply(&frame(24, 32).repeat(3), [3, 24, 32], seed);
            let (first, others) = clip.split_at(24 * 32 * 3);
            assert!(first != frame(24, 32) && others.chunks(first.len()).all(|other| other == first), "seed {seed}");
        }
    }
}
