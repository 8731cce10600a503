//! The geometry of a face in a frame, and the soft mask of its region.
//!
//! The mask is in the coordinates of the face: it is drawn once for a clip and follows the landmarks. This file knows
//! nothing of colours.

use image::{ImageBuffer, Luma, imageops};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::face::Face;

/// The side of a mask, pixels.
const SIDE: usize = 64;
/// The upper left corner of a mask in face coordinates: x in half widths of the face, y in eye-to-mouth distances.
const CORNER: [f32; 2] = [-1.6, -1.6];
/// The width and height of a mask in face coordinates.
const EXTENT: [f32; 2] = [3.2, 4.2];
/// The number of control points on a side of the field that deforms a mask.
const CONTROL_POINTS: usize = 5;
/// The largest shift by that field, in face coordinates.
const MAX_BEND: f32 = 0.12;

/// The right half of the outline of a face from the brows to the chin: the width (1 = [`Outline::half_width`]) and the
/// height (-1 = [`Outline::top`], 0 = eyes, 1 = mouth, 2 = [`Outline::bottom`]).
const CONTOUR: [[f32; 2]; 8] =
    [[0.45, -1.0], [0.82, -0.75], [1.0, 0.0], [0.97, 0.45], [0.88, 0.85], [0.7, 1.35], [0.4, 1.85], [0.15, 2.0]];

/// A soft mask in face coordinates: 0 outside, 1 well inside.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    values: ImageBuffer<Luma<f32>, Vec<f32>>,
}

/// The part of a face that is replaced.
struct Outline {
    half_width: f32,
    /// The upper end above the eyes, in distances from the eyes to the mouth.
    top: f32,
    /// The lower end below the mouth, in the same unit.
    bottom: f32,
}

impl Mask {
    /// Draws a mask: a shape from the brows (or the forehead) to the chin (or just below the mouth) is deformed,
    /// blurred, thresholded and blurred again. The first blur rounds it, the second makes it soft.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let outline = Outline {
            half_width: rng.random_range(0.8..1.0),
            top: rng.random_range(0.45..0.85),
            bottom: rng.random_range(0.4..0.75),
        };
        let field: [[[f32; 2]; CONTROL_POINTS]; CONTROL_POINTS] = std::array::from_fn(|_| {
            std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(-MAX_BEND..MAX_BEND)))
        });
        let hull = ImageBuffer::from_fn(SIDE as u32, SIDE as u32, |x, y| {
            let share = [x, y].map(|at| (at as f32 + 0.5) / SIDE as f32);
            let bend = bend(&field, share);
            let at = [0, 1].map(|axis| CORNER[axis] + EXTENT[axis] * share[axis] + bend[axis]);
            Luma([f32::from(outline.contains(at))])
        });
        let level = rng.random_range(0.5..0.85);
        let rounded = imageops::blur(&hull, rng.random_range(1.0..3.0));
        let hard = ImageBuffer::from_fn(SIDE as u32, SIDE as u32, |x, y| {
            Luma([f32::from(u8::from(rounded.get_pixel(x, y)[0] > level))])
        });
        Self { values: imageops::blur(&hard, rng.random_range(0.8..2.6)) }
    }

    /// The mask at a point in face coordinates.
    pub fn at(&self, [u, v]: [f32; 2]) -> f32 {
        let x = (u - CORNER[0]) / EXTENT[0] * SIDE as f32 - 0.5;
        let y = (v - CORNER[1]) / EXTENT[1] * SIDE as f32 - 0.5;
        let last = (SIDE - 1) as f32;
        if !(0.0..last).contains(&x) || !(0.0..last).contains(&y) {
            return 0.0;
        }
        let (left, top, right, below) = (x as usize, y as usize, x.fract(), y.fract());
        let value = |dx: usize, dy: usize| self.values.as_raw()[(top + dy) * SIDE + left + dx];
        let row = |dy: usize| value(0, dy) + (value(1, dy) - value(0, dy)) * right;
        row(0) + (row(1) - row(0)) * below
    }
}

impl Outline {
    fn contains(&self, [u, v]: [f32; 2]) -> bool {
        let points = CONTOUR.map(|[across, down]| {
            let height = if down < 0.0 { down * self.top } else { down.min(1.0) + (down - 1.0).max(0.0) * self.bottom };
            [across * self.half_width, height]
        });
        let [top, bottom] = [points[0][1], points[CONTOUR.len() - 1][1]];
        if !(top..=bottom).contains(&v) {
            return false;
        }
        // The outline is a function of the height: the width is interpolated between two points around `v`.
        points.windows(2).any(|pair| {
            let ([u0, v0], [u1, v1]) = (pair[0], pair[1]);
            (v0..=v1).contains(&v) && u.abs() <= u0 + (u1 - u0) * (v - v0) / (v1 - v0)
        })
    }
}

/// The field between its control points, interpolated smoothly.
fn bend(field: &[[[f32; 2]; CONTROL_POINTS]; CONTROL_POINTS], share: [f32; 2]) -> [f32; 2] {
    let [x, y] = share.map(|share| share * (CONTROL_POINTS - 1) as f32);
    let (left, top) = ((x as usize).min(CONTROL_POINTS - 2), (y as usize).min(CONTROL_POINTS - 2));
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (right, below) = (ease(x - left as f32), ease(y - top as f32));
    std::array::from_fn(|axis| {
        let row = |y: usize| field[y][left][axis] * (1.0 - right) + field[y][left + 1][axis] * right;
        row(top) * (1.0 - below) + row(top + 1) * below
    })
}

/// The coordinate system of a face: the eyes are at height 0, the mouth at 1, the sides of the face at -1 and 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    origin: [f32; 2],
    /// The unit vector from the eyes to the mouth, and the distance in pixels.
    down: [f32; 2],
    height: f32,
    /// The distance from the centre of the face to its sides, pixels.
    half_widths: [f32; 2],
}

impl Plane {
    /// The coordinate system of this face. Implausible landmarks (such as equal points) are replaced by positions
    /// derived from the box. `None` if the box is narrower or lower than 4 pixels, or a coordinate is out of range.
    pub fn of(face: &Face) -> Option<Self> {
        let [x0, y0, x1, y1] = face.corners;
        let (width, height) = (x1 - x0, y1 - y0);
        let finite = face.corners.iter().chain(face.landmarks.as_flattened()).all(|value| value.abs() < 1e6);
        if !finite || width < 4.0 || height < 4.0 {
            return None;
        }
        let [left, right, nose, mouth_left, mouth_right] = face.landmarks;
        let middle = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let (eyes, mouth) = (middle(left, right), middle(mouth_left, mouth_right));
        let (dx, dy) = (mouth[0] - eyes[0], mouth[1] - eyes[1]);
        let length = dx.hypot(dy);
        if !(0.15 * height..height.max(width)).contains(&length) {
            let origin = [x0 + 0.5 * width, y0 + 0.4 * height];
            return Some(Self { origin, down: [0.0, 1.0], height: 0.36 * height, half_widths: [0.5 * width; 2] });
        }
        let down = [dx / length, dy / length];
        let across = |at: [f32; 2]| (at[0] - eyes[0]) * down[1] - (at[1] - eyes[1]) * down[0];
        // A turned head shows less of the side to which the nose points.
        let most = 0.55 * width;
        let side = |eye: [f32; 2]| (2.2 * (across(nose) - across(eye)).abs()).clamp(0.35 * most, most);
        let shift = (0.5 * across(nose)).clamp(-0.2 * width, 0.2 * width);
        let origin = [eyes[0] + shift * down[1], eyes[1] - shift * down[0]];
        Some(Self { origin, down, height: length, half_widths: [side(left), side(right)] })
    }

    /// The face coordinates of a pixel.
    pub fn place(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (dx, dy) = (x - self.origin[0], y - self.origin[1]);
        let across = dx * self.down[1] - dy * self.down[0];
        let down = dx * self.down[0] + dy * self.down[1];
        [across / self.half_widths[usize::from(across > 0.0)], down / self.height]
    }

    /// The pixel at these face coordinates.
    fn pixel(&self, [u, v]: [f32; 2]) -> [f32; 2] {
        let (across, down) = (u * self.half_widths[usize::from(u > 0.0)], v * self.height);
        [
            self.origin[0] + across * self.down[1] + down * self.down[0],
            self.origin[1] - across * self.down[0] + down * self.down[1],
        ]
    }

    /// The centre of the face, pixels.
    pub fn centre(&self) -> [f32; 2] {
        self.pixel([0.0, 0.5])
    }

    /// The distance from the eyes to the mouth, pixels, in which shifts are measured.
    pub fn unit(&self) -> f32 {
        self.height
    }

    /// The rectangle that a mask can reach: left, top, right and bottom (exclusive); `None` if it is outside the frame.
    pub fn region(&self, (width, height): (u32, u32)) -> Option<[u32; 4]> {
        let [u0, v0] = CORNER;
        let [u1, v1] = [u0 + EXTENT[0], v0 + EXTENT[1]];
        let corners = [[u0, v0], [u1, v0], [u0, v1], [u1, v1]].map(|corner| self.pixel(corner));
        let least = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f32::INFINITY, f32::min);
        let most = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f32::NEG_INFINITY, f32::max);
        let clamped = |value: f32, limit: u32| value.clamp(0.0, limit as f32) as u32;
        let region = [
            clamped(least(0).floor(), width),
            clamped(least(1).floor(), height),
            clamped(most(0).ceil(), width),
            clamped(most(1).ceil(), height),
        ];
        (region[0] < region[2] && region[1] < region[3]).then_some(region)
    }
}
