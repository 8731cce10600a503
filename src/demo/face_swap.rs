//! A face swap: replaces the inner face of a video with another person's, with the artefacts of real swaps. Paints no
//! features of faces; that is `face.rs`. Fakes of real videos are in `from_videos.rs`.
//!
//! The new face is painted at low resolution, aligned with the head, and warped back, which loses fine detail. Its
//! colours are slightly off, differently in each frame, and a soft mask blends it in. Half of the swaps are too bright
//! and half too dark, so that brightness does not separate the classes.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::face::Face;
use super::head::{Pose, normal};
use super::paint::{Canvas, Point, Rgb, blended, over, smoothstep, square};
use super::person::{Person, Skin};

/// The parameters of one face swap.
pub(super) struct FaceSwap {
    person: Person,
    skin: Skin,
    /// Pixels of the low-resolution face per face unit.
    detail: f32,
    gain: Rgb,
    flicker: f32,
    jitter: f32,
    mask: Mask,
}

struct Mask {
    center_y: f32,
    half: Point,
    /// Where blending begins, as a fraction of the distance to the mask's edge.
    inner: f32,
}

/// Opposite corners of the swapped region, in face units.
const REGION: [Point; 2] = [Point { x: -0.80, y: -0.50 }, Point { x: 0.80, y: 1.10 }];
/// Samples per pixel of the low-resolution face in each direction.
const SAMPLES: usize = 3;

impl FaceSwap {
    /// Draws the parameters of a swap of `source`'s face into `target`'s; the face is too bright if `brighter`, else
    /// too dark.
    pub fn draw(rng: &mut ChaCha8Rng, target: &Person, source: &Person, skin: Skin, brighter: bool) -> Self {
        let mut person = source.clone();
        // Swaps match the skin colour approximately.
        person.skin = blended(source.skin, target.skin, 0.85);
        let off = rng.random_range(0.045..0.095) * if brighter { 1.0 } else { -1.0 };
        let gain = std::array::from_fn(|_| 1.0 + off + rng.random_range(-0.035..0.035));
        Self {
            person,
            skin,
            detail: rng.random_range(19.0..29.0),
            gain,
            flicker: rng.random_range(0.006..0.018),
            jitter: rng.random_range(0.004..0.012),
            mask: Mask {
                center_y: rng.random_range(0.20..0.26),
                half: Point { x: rng.random_range(0.54..0.62), y: rng.random_range(0.54..0.62) },
                inner: rng.random_range(0.78..0.92),
            },
        }
    }

    /// Replaces the inner face of `target` on the canvas. Draws the same number of random values for every frame.
    pub fn apply(&self, canvas: &mut Canvas, target: &Person, pose: &Pose, rng: &mut ChaCha8Rng) {
        let mut around_0 = |amplitude: f32| rng.random_range(-1.0..1.0) * amplitude;
        let offset = Point { x: around_0(self.jitter), y: around_0(self.jitter) };
        let flicker = 1.0 + around_0(self.flicker);
        let gain = self.gain.map(|gain| gain * flicker);
        let small = self.small_face(target, pose);
        canvas.paint(|at, color| {
            let face = pose.on_face(pose.on_head(at), target);
            let opacity = self.mask.opacity(face);
            if opacity > 0.0 {
                let shifted = Point {
                    x: (face.x + offset.x - REGION[0].x) * self.detail,
                    y: (face.y + offset.y - REGION[0].y) * self.detail,
                };
                let swapped = small.sample(shifted);
                over(color, std::array::from_fn(|channel| swapped[channel] * gain[channel]), opacity);
            }
        });
    }

    /// The source's face with the target's expression and light, at the low resolution of a generator.
    fn small_face(&self, target: &Person, pose: &Pose) -> Canvas {
        let side = |span: f32| (span * self.detail).ceil() as usize;
        let mut small = Canvas::new(side(REGION[1].x - REGION[0].x), side(REGION[1].y - REGION[0].y));
        let step = 1.0 / (self.detail * SAMPLES as f32);
        let face = Face { person: &self.person, skin: &self.skin, expression: pose.expression, pixel: step };
        small.paint(|at, color| {
            for sample in 0..SAMPLES * SAMPLES {
                let part = |i: usize| ((i as f32 + 0.5) / SAMPLES as f32 - 0.5) / self.detail;
                let on_face = Point {
                    x: REGION[0].x + at.x / self.detail + part(sample % SAMPLES),
                    y: REGION[0].y + at.y / self.detail + part(sample / SAMPLES),
                };
                let painted = face.paint(aligned(on_face, target, &self.person), normal(on_face, target).0);
                for (sum, channel) in color.iter_mut().zip(painted) {
                    *sum += channel / (SAMPLES * SAMPLES) as f32;
                }
            }
        });
        small
    }
}

impl Mask {
    fn opacity(&self, face: Point) -> f32 {
        let distance = square(face.x / self.half.x) + square((face.y - self.center_y) / self.half.y);
        if distance >= 1.0 { 0.0 } else { smoothstep(1.0, self.inner, distance.sqrt()) }
    }
}

/// Maps a point on the target's face to the source's: eyes to eyes, mouth to mouth.
fn aligned(at: Point, target: &Person, source: &Person) -> Point {
    let stretch = (source.mouth_y - source.eye_y) / (target.mouth_y - target.eye_y);
    Point { x: at.x * source.eye_x / target.eye_x, y: source.eye_y + (at.y - target.eye_y) * stretch }
}
