//! The shape, the colours and the skin of one invented person. Paints nothing; that is `head.rs` and `face.rs`.
//!
//! Lengths are in face units: the head reaches from -1 (top of the skull) to 1 (chin).

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::paint::{Noise, Rgb, blended, bump, scaled, square};

/// Hair style.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum HairStyle {
    Shaved,
    Short,
    Fringe,
    Parted,
    Long,
    Curly,
}

/// One invented person.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub skin: Rgb,
    pub lips: Rgb,
    pub hair: Rgb,
    pub iris: Rgb,
    pub style: HairStyle,
    pub part_side: f32,
    pub hairline: f32,
    pub head_width: f32,
    pub jaw: f32,
    pub ear: f32,
    pub eye_x: f32,
    pub eye_y: f32,
    pub eye_width: f32,
    pub eye_height: f32,
    pub eye_slant: f32,
    pub lashes: f32,
    pub brow_gap: f32,
    pub brow_arch: f32,
    pub brow_thickness: f32,
    pub nose_y: f32,
    pub nose_width: f32,
    pub mouth_y: f32,
    pub mouth_width: f32,
    pub lip_fullness: f32,
    pub blush: f32,
    pub stubble: f32,
    pub freckles: usize,
}

impl Person {
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let skin = skin(rng);
        let bearded = rng.random_bool(0.35);
        let redder = [skin[0] * 0.86, skin[1] * 0.52, skin[2] * 0.52];
        let style = STYLES[rng.random_range(0..STYLES.len())];
        Self {
            skin,
            lips: blended(redder, [0.72, 0.18, 0.24], rng.random_range(0.0..0.45)),
            hair: hair(rng, skin),
            iris: IRISES[rng.random_range(0..IRISES.len())],
            style,
            part_side: if rng.random_bool(0.5) { 1.0 } else { -1.0 },
            hairline: rng.random_range(-0.66..-0.54),
            head_width: rng.random_range(0.70..0.82),
            jaw: rng.random_range(0.10..0.34),
            ear: rng.random_range(0.13..0.19),
            eye_x: rng.random_range(0.27..0.34),
            eye_y: rng.random_range(-0.08..0.02),
            eye_width: rng.random_range(0.150..0.190),
            eye_height: rng.random_range(0.082..0.122),
            eye_slant: rng.random_range(-0.20..0.30),
            lashes: if bearded { 0.010 } else { rng.random_range(0.010..0.028) },
            brow_gap: rng.random_range(0.19..0.26),
            brow_arch: rng.random_range(0.02..0.08),
            brow_thickness: rng.random_range(0.022..0.050),
            nose_y: rng.random_range(0.27..0.36),
            nose_width: rng.random_range(0.085..0.14),
            mouth_y: rng.random_range(0.54..0.63),
            mouth_width: rng.random_range(0.20..0.30),
            lip_fullness: rng.random_range(0.040..0.080),
            blush: rng.random_range(0.05..0.28),
            stubble: if bearded { rng.random_range(0.25..0.75) } else { 0.0 },
            freckles: rng.random_range(20..170),
        }
    }

    /// Half the width of the head at a height.
    pub fn width_at(&self, v: f32) -> f32 {
        let down = v.clamp(0.0, 1.0);
        self.head_width * (1.0 - self.jaw * down * down)
    }
}

const STYLES: [HairStyle; 6] =
    [HairStyle::Shaved, HairStyle::Short, HairStyle::Fringe, HairStyle::Parted, HairStyle::Long, HairStyle::Curly];

const IRISES: [Rgb; 6] = [
    [0.30, 0.18, 0.10],
    [0.22, 0.13, 0.08],
    [0.42, 0.28, 0.13],
    [0.25, 0.44, 0.62],
    [0.30, 0.50, 0.34],
    [0.42, 0.48, 0.52],
];

/// A skin colour from pale to dark, with a warm or cool undertone.
fn skin(rng: &mut ChaCha8Rng) -> Rgb {
    const TONES: [Rgb; 5] =
        [[0.95, 0.80, 0.70], [0.90, 0.71, 0.57], [0.79, 0.57, 0.42], [0.62, 0.42, 0.30], [0.45, 0.29, 0.21]];
    let place = rng.random_range(0.0..3.999_f32);
    let tone = blended(TONES[place as usize], TONES[place as usize + 1], place.fract());
    let warm = rng.random_range(-0.025..0.025);
    [tone[0] + warm, tone[1], tone[2] - warm]
}

fn hair(rng: &mut ChaCha8Rng, skin: Rgb) -> Rgb {
    const COLORS: [Rgb; 8] = [
        [0.09, 0.07, 0.07],
        [0.16, 0.10, 0.08],
        [0.28, 0.17, 0.10],
        [0.42, 0.26, 0.14],
        [0.50, 0.22, 0.10],
        [0.62, 0.60, 0.60],
        [0.78, 0.60, 0.34],
        [0.86, 0.72, 0.48],
    ];
    // No blond or grey hair with dark skin.
    let choices = if skin[1] < 0.5 { 4 } else { COLORS.len() };
    scaled(COLORS[rng.random_range(0..choices)], rng.random_range(0.85..1.15))
}

/// The fine detail of one person's skin in face coordinates, which resampling a face destroys.
pub(super) struct Skin {
    grain: Noise,
    freckles: Vec<f32>,
}

impl Skin {
    const SIDE: usize = 256;
    /// Face units that the square of detail covers; it repeats beyond that.
    const SPAN: f32 = 2.56;

    pub fn draw(rng: &mut ChaCha8Rng, person: &Person) -> Self {
        let grain = Noise::draw(rng, Self::SIDE, &[(128, 0.75), (64, 0.55), (32, 0.25)]);
        let mut freckles = vec![0.0_f32; Self::SIDE * Self::SIDE];
        for _ in 0..person.freckles {
            let side = Self::SIDE as f32;
            // The sum of two draws concentrates freckles near the middle of the face.
            let mut place = || side * (0.14 + 0.36 * (rng.random::<f32>() + rng.random::<f32>()));
            let (x, y) = (place(), place());
            let radius = rng.random_range(1.3..3.2);
            let depth: f32 = rng.random_range(0.10..0.45);
            for row in (y - radius).max(0.0) as usize..((y + radius) as usize + 1).min(Self::SIDE) {
                for column in (x - radius).max(0.0) as usize..((x + radius) as usize + 1).min(Self::SIDE) {
                    let squared = square(column as f32 - x) + square(row as f32 - y);
                    let spot = &mut freckles[row * Self::SIDE + column];
                    *spot = spot.max(depth * bump(squared / square(radius)));
                }
            }
        }
        Self { grain, freckles }
    }

    /// Fine relief from about -1 to 1.
    pub fn grain(&self, u: f32, v: f32) -> f32 {
        self.grain.at(u / Self::SPAN + 0.5, v / Self::SPAN + 0.5)
    }

    /// Strength of freckles, from 0 to 1.
    pub fn freckle(&self, u: f32, v: f32) -> f32 {
        let texel = |x: f32| (x / Self::SPAN + 0.5) * Self::SIDE as f32;
        let (x, y) = (texel(u), texel(v));
        let last = (Self::SIDE - 2) as f32;
        if !(0.0..last).contains(&x) || !(0.0..last).contains(&y) {
            return 0.0;
        }
        let (left, top) = (x as usize, y as usize);
        let (across, down) = (x - left as f32, y - top as f32);
        let row = |y: usize| {
            let at = y * Self::SIDE + left;
            self.freckles[at] + (self.freckles[at + 1] - self.freckles[at]) * across
        };
        row(top) + (row(top + 1) - row(top)) * down
    }
}
