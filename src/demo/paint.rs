//! Painting: colours, soft edges, smooth curves, noise, and a canvas. Knows nothing of faces and scenes.
//!
//! Colours are display values from 0 to 1.

use std::f32::consts::TAU;

use rand::Rng;
use rand::RngCore;
use rand_chacha::ChaCha8Rng;

/// Red, green and blue from 0 to 1.
pub(super) type Rgb = [f32; 3];

/// A point on the face or in the frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub x: f32,
    pub y: f32,
}

pub(super) fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// `color` laid over `under` with the given opacity.
pub(super) fn over(under: &mut Rgb, color: Rgb, opacity: f32) {
    for (under, color) in under.iter_mut().zip(color) {
        *under = mix(*under, color, opacity);
    }
}

pub(super) fn scaled(color: Rgb, gain: f32) -> Rgb {
    color.map(|channel| channel * gain)
}

/// `color` seen through a colour filter of the given strength.
pub(super) fn tinted(color: Rgb, filter: Rgb, strength: f32) -> Rgb {
    std::array::from_fn(|channel| color[channel] * mix(1.0, filter[channel], strength))
}

pub(super) fn blended(a: Rgb, b: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|channel| mix(a[channel], b[channel], share))
}

/// Smooth interpolation from 0 at `low` to 1 at `high`.
pub(super) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A smooth bump of height 1 and radius 1 around 0, as a function of the squared distance: cheaper than a Gaussian.
pub(super) fn bump(squared: f32) -> f32 {
    let rest = (1.0 - squared).max(0.0);
    rest * rest
}

pub(super) fn square(x: f32) -> f32 {
    x * x
}

/// Coverage of a pixel of width `pixel` by a shape whose edge is at the signed distance `distance` (negative inside).
pub(super) fn cover(distance: f32, pixel: f32) -> f32 {
    (0.5 - distance / pixel).clamp(0.0, 1.0)
}

/// The sum of two slow sine waves, which moves heads, lights and backgrounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sway {
    amplitude: f32,
    hertz: [f32; 2],
    phase: [f32; 2],
}

impl Sway {
    pub fn draw(rng: &mut ChaCha8Rng, amplitude: f32) -> Self {
        let hertz = [rng.random_range(0.18..0.45), rng.random_range(0.6..1.1)];
        Self { amplitude, hertz, phase: [rng.random_range(0.0..TAU), rng.random_range(0.0..TAU)] }
    }

    pub fn at(&self, secs: f32) -> f32 {
        let wave = |i: usize| (TAU * self.hertz[i] * secs + self.phase[i]).sin();
        self.amplitude * (0.75 * wave(0) + 0.25 * wave(1))
    }
}

/// The pixels of a frame, row by row.
pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<Rgb>,
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![[0.0; 3]; width * height] }
    }

    /// Calls `paint` for every pixel with its position.
    pub fn paint(&mut self, mut paint: impl FnMut(Point, &mut Rgb)) {
        for (y, row) in self.pixels.chunks_exact_mut(self.width).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                paint(Point { x: x as f32 + 0.5, y: y as f32 + 0.5 }, pixel);
            }
        }
    }

    /// The bilinearly interpolated colour at a position in pixels.
    pub fn sample(&self, at: Point) -> Rgb {
        let inside = |x: f32, side: usize| (x - 0.5).clamp(0.0, (side - 1) as f32);
        let (x, y) = (inside(at.x, self.width), inside(at.y, self.height));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (across, down) = (x - left as f32, y - top as f32);
        let row = |y: usize| blended(self.pixels[y * self.width + left], self.pixels[y * self.width + right], across);
        blended(row(top), row(bottom), down)
    }

    /// The canvas as bytes, rows packed, with sensor noise of standard deviation `sigma`.
    pub fn to_bytes(&self, sigma: f32, rng: &mut ChaCha8Rng) -> Vec<u8> {
        // The sum of four bytes is close enough to a normal distribution; this is its standard deviation.
        const SPREAD: f32 = 147.8;
        let (grey, color) = (255.0 * sigma * 0.9 / SPREAD, 255.0 * sigma * 0.45 / SPREAD);
        let mut bytes = vec![0; self.pixels.len() * 3];
        for (pixel, bytes) in self.pixels.iter().zip(bytes.chunks_exact_mut(3)) {
            let random = [rng.next_u32(), rng.next_u32()].map(u32::to_le_bytes);
            let sum = |bytes: [u8; 4]| bytes.iter().map(|b| f32::from(*b)).sum::<f32>() - 510.0;
            let shared = sum(random[0]) * grey;
            for channel in 0..3 {
                let own = (f32::from(random[1][channel]) - 127.5) * 2.0 * color;
                bytes[channel] = (pixel[channel] * 255.0 + shared + own + 0.5) as u8;
            }
        }
        bytes
    }
}

/// Smooth noise from -1 to 1 on a periodic square. Its side is a power of two, so that wrapping is a bit mask and not a
/// division.
pub(super) struct Noise {
    side: usize,
    values: Vec<f32>,
}

impl Noise {
    /// The sum of `octaves`: cells across the square (a power of two), and weight.
    pub fn draw(rng: &mut ChaCha8Rng, side: usize, octaves: &[(usize, f32)]) -> Self {
        let mut values = vec![0.0; side * side];
        for (cells, weight) in octaves {
            let lattice =
                Self { side: *cells, values: (0..cells * cells).map(|_| rng.random_range(-1.0..1.0)).collect() };
            let step = 1.0 / side as f32;
            for (i, value) in values.iter_mut().enumerate() {
                *value += weight * lattice.at((i % side) as f32 * step, (i / side) as f32 * step);
            }
        }
        Self { side, values }
    }

    /// The value at a point; the period is 1.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        // The shift makes coordinates positive, so that truncation rounds down, which is much cheaper than floor().
        const SHIFT: f32 = 16.0;
        let (x, y) = ((x + SHIFT) * self.side as f32, (y + SHIFT) * self.side as f32);
        let (left, top) = (x as usize, y as usize);
        let (across, down) = (x - left as f32, y - top as f32);
        let (x0, y0) = (left & (self.side - 1), top & (self.side - 1));
        let (x1, y1) = ((x0 + 1) & (self.side - 1), (y0 + 1) & (self.side - 1));
        let row = |y: usize| mix(self.values[y * self.side + x0], self.values[y * self.side + x1], across);
        mix(row(y0), row(y1), down)
    }
}
