//! Brightness, contrast, saturation and hue, as in torchvision's `transforms.v2.functional` for u8 pictures. Knows
//! nothing of random choices.

/// The colour change of one clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour {
    /// The factor on pixels.
    pub brightness: f32,
    /// The factor on the difference from the mean grey level of the picture.
    pub contrast: f32,
    /// The factor on the difference from the grey level of the pixel.
    pub saturation: f32,
    /// The rotation of the hue, in full circles.
    pub hue: f32,
}

impl Colour {
    /// Changes one frame. Each step rounds down to u8, as torchvision does.
    pub(super) fn apply(&self, frame_hwc: &mut [u8]) {
        let pixels = frame_hwc.as_chunks_mut::<3>().0;
        let table = self.brightness_and_contrast(pixels);
        let saturation = (self.saturation * ONE as f32) as i32;
        for rgb in pixels {
            let rgb_before_hue = saturate(rgb.map(|level| table[usize::from(level)]), saturation);
            *rgb = if self.hue == 0.0 { rgb_before_hue } else { turn_hue(rgb_before_hue, self.hue) };
        }
    }

    /// Changes each level by a table, because the result depends only on the level and on the mean of the frame.
    fn brightness_and_contrast(&self, pixels: &[[u8; 3]]) -> [u8; 256] {
        let bright: [u8; 256] = std::array::from_fn(|level| quantise(level as f32 * self.brightness));
        if self.contrast == 1.0 {
            return bright;
        }
        let sum: u64 = pixels.iter().map(|rgb| grey(rgb.map(|level| bright[usize::from(level)])) as u64).sum();
        let mean = sum as f32 / pixels.len().max(1) as f32;
        bright.map(|level| blend(f32::from(level), mean, self.contrast))
    }
}

/// 1 in fixed point.
const ONE: i32 = 1 << 16;

/// Luma of ITU-R BT.601 with torchvision's four digits, rounded down. The weights add up to 0.9999.
fn grey(rgb: [u8; 3]) -> i32 {
    let [r, g, b] = rgb.map(i32::from);
    (19589 * r + 38470 * g + 7471 * b) / ONE
}

fn saturate(rgb: [u8; 3], factor: i32) -> [u8; 3] {
    let grey = grey(rgb) * (ONE - factor);
    rgb.map(|level| ((i32::from(level) * factor + grey) / ONE).clamp(0, 255) as u8)
}

fn blend(level: f32, other: f32, factor: f32) -> u8 {
    quantise(level * factor + other * (1.0 - factor))
}

fn quantise(level: f32) -> u8 {
    level.clamp(0.0, 255.0) as u8
}

/// Rotates the hue through HSV (A. R. Smith, "Color gamut transform pairs", 1978), by at most half a circle either way.
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
    // Comparisons are many times faster than a remainder of floats.
    let wrap = |sixths: f32| if sixths >= 6.0 { sixths - 6.0 } else { sixths };
    let turned = sixths + turn * 6.0;
    let hue = wrap(if turned < 0.0 { turned + 6.0 } else { turned });
    // The share of the range in a channel: a trapezium over the hue.
    [5.0, 3.0, 1.0].map(|offset| {
        let k = wrap(offset + hue);
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
    fn a_third_of_the_circle_turns_red_to_green_and_both_halves_meet() {
        let turned = |turn| apply(Colour { hue: turn, ..NONE }, &[[255, 0, 0], [40, 40, 40], [200, 100, 50]]);
        assert_eq!(turned(1.0 / 3.0), [[0, 255, 0], [40, 40, 40], [50, 200, 100]]);
        assert_eq!(turned(-1.0 / 3.0), [[0, 0, 255], [40, 40, 40], [100, 50, 200]]);
        assert_eq!(turned(0.5), turned(-0.5));
    }

    #[derive(serde::Deserialize)]
    struct Fixture {
        hwc: Vec<u8>,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        factor: f32,
        hwc: Vec<u8>,
    }

    #[test]
    fn colours_are_those_of_torchvision() {
        let fixture: Fixture = serde_json::from_str(include_str!("../../../tests/fixtures/augment.json")).unwrap();
        for Case { name, factor, hwc } in fixture.cases {
            let colour = match name.as_str() {
                "brightness" => Colour { brightness: factor, ..NONE },
                "contrast" => Colour { contrast: factor, ..NONE },
                "saturation" => Colour { saturation: factor, ..NONE },
                _ => Colour { hue: factor, ..NONE },
            };
            let mut changed = fixture.hwc.clone();
            colour.apply(&mut changed);
            let furthest = changed.iter().zip(&hwc).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(furthest <= Some(1) && changed != fixture.hwc, "{name} {factor}: {furthest:?} levels apart");
        }
    }
}
