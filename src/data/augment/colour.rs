//! Brightness, contrast, saturation and hue, as in torchvision's `transforms.v2.functional` on u8 pictures.

/// Factors for one clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour {
    /// Pixels are multiplied by it.
    pub brightness: f32,
    /// Distance from the picture's mean grey level is multiplied by it.
    pub contrast: f32,
    /// Distance from the pixel's own grey level is multiplied by it.
    pub saturation: f32,
    /// Turn in full circles.
    pub hue: f32,
}

impl Colour {
    /// One frame; each step is rounded down to u8 as torchvision does.
    pub(super) fn apply(&self, frame_hwc: &mut [u8]) {
        if self.brightness != 1.0 {
            let table: [u8; 256] = std::array::from_fn(|level| quantise(level as f32 * self.brightness));
            frame_hwc.iter_mut().for_each(|level| *level = table[usize::from(*level)]);
        }
        if self.contrast != 1.0 {
            // Grey levels are rounded down before the mean, as torchvision does.
            let sum: u64 = frame_hwc.as_chunks::<3>().0.iter().map(|rgb| grey(rgb).floor() as u64).sum();
            let mean = sum as f32 / (frame_hwc.len() / 3).max(1) as f32;
            let table: [u8; 256] = std::array::from_fn(|level| blend(level as f32, mean, self.contrast));
            frame_hwc.iter_mut().for_each(|level| *level = table[usize::from(*level)]);
        }
        if self.saturation != 1.0 {
            for rgb in frame_hwc.as_chunks_mut::<3>().0 {
                let grey = grey(rgb).floor();
                *rgb = rgb.map(|level| blend(f32::from(level), grey, self.saturation));
            }
        }
        if self.hue != 0.0 {
            frame_hwc.as_chunks_mut::<3>().0.iter_mut().for_each(|rgb| *rgb = turn_hue(*rgb, self.hue));
        }
    }
}

/// ITU-R BT.601 luma, with torchvision's four digits.
fn grey(rgb: &[u8; 3]) -> f32 {
    let [r, g, b] = rgb.map(f32::from);
    0.2989 * r + 0.587 * g + 0.114 * b
}

fn blend(level: f32, other: f32, factor: f32) -> u8 {
    quantise(level * factor + other * (1.0 - factor))
}

fn quantise(level: f32) -> u8 {
    level.clamp(0.0, 255.0) as u8
}

/// Through HSV (A. R. Smith, "Color gamut transform pairs", 1978).
fn turn_hue(rgb: [u8; 3], turn: f32) -> [u8; 3] {
    let [r, g, b] = rgb.map(f32::from);
    let value = r.max(g).max(b);
    let range = value - r.min(g).min(b);
    if range == 0.0 {
        return rgb;
    }
    let sixths = if value == r {
        (g - b) / range
    } else if value == g {
        (b - r) / range + 2.0
    } else {
        (r - g) / range + 4.0
    };
    let hue = (sixths / 6.0 + turn).rem_euclid(1.0) * 6.0;
    // What a channel keeps of the range: a trapezium over the circle of hues.
    [5.0, 3.0, 1.0].map(|offset| {
        let k = (offset + hue) % 6.0;
        (value - range * k.min(4.0 - k).clamp(0.0, 1.0) + 0.5) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Colour = Colour { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0 };

    fn apply(colour: Colour, pixels: &[[u8; 3]]) -> Vec<[u8; 3]> {
        let mut bytes = pixels.concat();
        colour.apply(&mut bytes);
        bytes.as_chunks::<3>().0.to_vec()
    }

    #[test]
    fn brightness_scales_and_saturates() {
        let bright = apply(Colour { brightness: 1.5, ..NONE }, &[[10, 101, 200]]);
        assert_eq!(bright, [[15, 151, 255]]);
    }

    #[test]
    fn contrast_is_about_the_mean_grey_level() {
        // Grey levels 100 and 200 (99.99 and 199.98 rounded down: 99, 199), mean 149.
        let flat = apply(Colour { contrast: 0.5, ..NONE }, &[[100; 3], [200; 3]]);
        assert_eq!(flat, [[124; 3], [174; 3]]);
    }

    #[test]
    fn saturation_is_about_the_pixels_own_grey() {
        // 0.2989 x 200 + 0.587 x 100 + 0.114 x 50 = 124.18.
        assert_eq!(apply(Colour { saturation: 0.0, ..NONE }, &[[200, 100, 50]]), [[124; 3]]);
        assert_eq!(apply(Colour { saturation: 0.5, ..NONE }, &[[200, 100, 50]]), [[162, 112, 87]]);
    }

    #[test]
    fn a_third_of_the_circle_turns_red_to_green_and_a_whole_one_changes_nothing() {
        let turned = |turn| apply(Colour { hue: turn, ..NONE }, &[[255, 0, 0], [40, 40, 40], [200, 100, 50]]);
        assert_eq!(turned(1.0 / 3.0), [[0, 255, 0], [40, 40, 40], [50, 200, 100]]);
        assert_eq!(turned(-1.0 / 3.0), [[0, 0, 255], [40, 40, 40], [100, 50, 200]]);
        assert_eq!(turned(1.0), [[255, 0, 0], [40, 40, 40], [200, 100, 50]]);
    }
}
