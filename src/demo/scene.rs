//! The scene of a video: size, frame rate, length, background, clothes, motion, light and camera noise. Knows nothing
//! of who is in it; that is `person.rs`.
//!
//! All parameters are drawn once per video; a frame is then a function of time.

use std::f32::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::face::Expression;
use super::head::{Clothes, Pose};
use super::paint::{Canvas, Noise, Point, Rgb, Sway, blended, bump, mix, scaled, smoothstep, square};

/// The scene of one video, without its person.
pub(super) struct Scene {
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    pub frames: u32,
    pub crf: u32,
    /// Standard deviation of the camera's noise.
    pub noise: f32,
    pub clothes: Clothes,
    background: Background,
    motion: Motion,
    light: Light,
}

struct Background {
    pattern: Pattern,
    colors: [Rgb; 2],
    /// Speed of the pattern in half-heights of the frame per second.
    drift: Point,
    angle: f32,
    texture: Noise,
}

enum Pattern {
    Gradient,
    Stripes { count: f32 },
    Tiles { count: f32 },
    Lamps { lamps: Vec<(Point, f32)> },
    Clouds,
}

struct Motion {
    center: Point,
    unit: f32,
    sideways: Sway,
    upwards: Sway,
    nearer: Sway,
    roll: Sway,
    yaw: Sway,
    pitch: Sway,
    gaze: [Sway; 2],
    smile: Sway,
    brows: Sway,
    talk_hertz: f32,
    talk_phase: f32,
    blink_secs: f32,
    blink_every: f32,
}

struct Light {
    side: Sway,
    from_left: f32,
    gain: Sway,
    exposure: f32,
    tint: Rgb,
}

/// Width and height: both orientations, with and without whole macroblocks.
const SIZES: [(u32, u32); 10] = [
    (160, 200),
    (176, 208),
    (192, 240),
    (204, 256),
    (240, 300),
    (192, 160),
    (224, 180),
    (256, 192),
    (288, 216),
    (320, 240),
];

impl Scene {
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let (width, height) = SIZES[rng.random_range(0..SIZES.len())];
        let fps = [24, 25, 30][rng.random_range(0..3)];
        let secs: f32 = rng.random_range(1.5..2.5);
        Self {
            width,
            height,
            fps,
            frames: (secs * fps as f32) as u32,
            crf: rng.random_range(20..25),
            noise: rng.random_range(0.010..0.024),
            clothes: Clothes {
                color: color(rng, 0.15..0.85),
                trim: color(rng, 0.25..0.95),
                stripes: if rng.random_bool(0.4) { rng.random_range(2.5..5.0) } else { 0.0 },
                neckline: rng.random_range(0.0..0.30),
            },
            background: Background::draw(rng),
            motion: Motion::draw(rng, width as f32, height as f32),
            light: Light::draw(rng),
        }
    }

    /// The background at a time.
    pub fn paint_background(&self, secs: f32, canvas: &mut Canvas) {
        let half = Point { x: canvas.width as f32 / 2.0, y: canvas.height as f32 / 2.0 };
        let (sin, cos) = self.background.angle.sin_cos();
        canvas.paint(|at, color| {
            // The same scale in both directions, so that lamps are round.
            let from_center = Point { x: (at.x - half.x) / half.y, y: (at.y - half.y) / half.y };
            let moved = Point {
                x: from_center.x + self.background.drift.x * secs,
                y: from_center.y + self.background.drift.y * secs,
            };
            let turned = Point { x: cos * moved.x + sin * moved.y, y: cos * moved.y - sin * moved.x };
            let vignette = 1.0 - 0.12 * (square(from_center.x) + square(from_center.y));
            *color = scaled(self.background.color(turned, moved), vignette);
        });
    }

    /// Applies the room's light to the canvas.
    pub fn expose(&self, secs: f32, canvas: &mut Canvas) {
        let gain = self.light.exposure + self.light.gain.at(secs);
        let gain = self.light.tint.map(|channel| channel * gain);
        for pixel in &mut canvas.pixels {
            *pixel = std::array::from_fn(|channel| pixel[channel] * gain[channel]);
        }
    }

    pub fn pose(&self, secs: f32) -> Pose {
        let motion = &self.motion;
        let moved = Point { x: motion.sideways.at(secs) * motion.unit, y: motion.upwards.at(secs) * motion.unit };
        let center = Point { x: motion.center.x + moved.x, y: motion.center.y + moved.y };
        Pose {
            center,
            unit: motion.unit * (1.0 + motion.nearer.at(secs)),
            roll: motion.roll.at(secs).sin_cos(),
            yaw: motion.yaw.at(secs),
            pitch: motion.pitch.at(secs),
            shoulders: Point { x: motion.center.x + 0.4 * moved.x, y: motion.center.y + 0.5 * moved.y },
            expression: self.expression(secs),
        }
    }

    fn expression(&self, secs: f32) -> Expression {
        let motion = &self.motion;
        let since_blink = (secs + motion.blink_every - motion.blink_secs) % motion.blink_every - 0.12;
        let talk = (TAU * motion.talk_hertz * secs + motion.talk_phase).sin();
        let pauses = (TAU * 0.37 * motion.talk_hertz * secs + 2.0 * motion.talk_phase).sin();
        Expression {
            eyes_open: 1.0 - bump(square(since_blink / 0.13)),
            gaze: Point { x: motion.gaze[0].at(secs).clamp(-1.0, 1.0), y: motion.gaze[1].at(secs).clamp(-1.0, 1.0) },
            mouth_open: (0.45 + 0.55 * talk) * smoothstep(-0.5, 0.3, pauses),
            smile: 0.5 + motion.smile.at(secs),
            brows_up: motion.brows.at(secs),
            light: self.light.direction(secs),
        }
    }
}

impl Background {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let pattern = match rng.random_range(0..5) {
            0 => Pattern::Gradient,
            1 => Pattern::Stripes { count: rng.random_range(1.5..4.5) },
            2 => Pattern::Tiles { count: rng.random_range(1.2..3.0) },
            3 => {
                let mut lamp = |_| {
                    let at = Point { x: rng.random_range(-1.5..1.5), y: rng.random_range(-1.1..1.1) };
                    (at, rng.random_range(0.10..0.34))
                };
                Pattern::Lamps { lamps: (0..9).map(&mut lamp).collect() }
            }
            _ => Pattern::Clouds,
        };
        let base = color(rng, 0.15..0.8);
        let other = color(rng, 0.15..0.9);
        Self {
            pattern,
            // The second colour is blended towards the first, for low contrast behind the head.
            colors: [base, blended(base, other, 0.6)],
            drift: Point { x: rng.random_range(-0.12..0.12), y: rng.random_range(-0.06..0.06) },
            angle: rng.random_range(0.0..TAU),
            texture: Noise::draw(rng, 128, &[(4, 0.6), (16, 0.3), (64, 0.12)]),
        }
    }

    fn color(&self, turned: Point, moved: Point) -> Rgb {
        let share = match &self.pattern {
            Pattern::Gradient => smoothstep(-1.3, 1.3, turned.x),
            Pattern::Stripes { count } => smoothstep(-0.25, 0.25, (turned.x * count * 3.0).sin()),
            Pattern::Tiles { count } => {
                let (x, y) = ((turned.x * count * 3.0).sin(), (turned.y * count * 3.0).sin());
                smoothstep(-0.15, 0.15, x * y)
            }
            Pattern::Lamps { lamps } => {
                let glow = |(at, radius): &(Point, f32)| {
                    let distance = (square(moved.x - at.x) + square(moved.y - at.y)) / square(*radius);
                    if distance < 1.2 { 0.55 * smoothstep(1.15, 0.8, distance) + 0.25 * distance.min(1.0) } else { 0.0 }
                };
                lamps.iter().map(glow).fold(0.0, f32::max)
            }
            Pattern::Clouds => smoothstep(-0.7, 0.7, self.texture.at(moved.x * 0.4, moved.y * 0.4)),
        };
        let fine = 1.0 + 0.05 * self.texture.at(moved.x * 0.5 + 0.3, moved.y * 0.5);
        scaled(blended(self.colors[0], self.colors[1], share), fine)
    }
}

impl Motion {
    fn draw(rng: &mut ChaCha8Rng, width: f32, height: f32) -> Self {
        let unit = (height * rng.random_range(0.31..0.38)).min(width * 0.46);
        let mut sway = |low: f32, high: f32| {
            let amplitude = rng.random_range(low..high);
            Sway::draw(rng, amplitude)
        };
        Self {
            sideways: sway(0.03, 0.14),
            upwards: sway(0.02, 0.06),
            nearer: sway(0.01, 0.05),
            roll: sway(0.02, 0.13),
            yaw: sway(0.15, 0.75),
            pitch: sway(0.1, 0.6),
            gaze: [sway(0.4, 1.1), sway(0.2, 0.8)],
            smile: sway(0.1, 0.6),
            brows: sway(0.2, 0.9),
            unit,
            center: Point { x: width * rng.random_range(0.45..0.55), y: height * rng.random_range(0.47..0.52) },
            talk_hertz: rng.random_range(2.2..3.8),
            talk_phase: rng.random_range(0.0..TAU),
            blink_secs: rng.random_range(0.1..1.3),
            blink_every: rng.random_range(1.6..3.0),
        }
    }
}

impl Light {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let warm = rng.random_range(-0.05..0.05);
        Self {
            side: Sway::draw(rng, 0.35),
            from_left: rng.random_range(-0.5..0.5),
            gain: Sway::draw(rng, 0.03),
            exposure: rng.random_range(0.86..1.08),
            tint: [1.0 + warm, 1.0, 1.0 - warm],
        }
    }

    fn direction(&self, secs: f32) -> [f32; 3] {
        let x = self.from_left + self.side.at(secs);
        let y = -0.45;
        let length = (square(x) + square(y) + 1.0).sqrt();
        [x / length, y / length, 1.0 / length]
    }
}

/// A colour of any hue with low saturation.
fn color(rng: &mut ChaCha8Rng, brightness: std::ops::Range<f32>) -> Rgb {
    let value = rng.random_range(brightness);
    let saturation = rng.random_range(0.1..0.6);
    let hue: f32 = rng.random_range(0.0..TAU);
    let channel = |turn: f32| value * mix(1.0, 0.5 + 0.5 * (hue + turn).cos(), saturation);
    [channel(0.0), channel(TAU / 3.0), channel(2.0 * TAU / 3.0)]
}
