//! Where a crop lies around a face: its centre, side and turn, upright around the box, or aligned by the landmarks.
//! Knows nothing of frames and of other faces.

use std::f64::consts::PI;

use super::detection::{Face, Landmarks};

/// The place of the landmarks in an aligned crop without a margin, 0 to 1: those of ArcFace's pictures of 112 pixels,
/// which most published detectors use. Source: Deng et al., "ArcFace", CVPR 2019, and its code.
const TEMPLATE: Landmarks = [
    [38.2946 / 112.0, 51.6963 / 112.0],
    [73.5318 / 112.0, 51.5014 / 112.0],
    [56.0252 / 112.0, 71.7366 / 112.0],
    [41.5493 / 112.0, 92.3655 / 112.0],
    [70.7299 / 112.0, 92.2041 / 112.0],
];

/// The place of a crop on a frame, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pose {
    pub(super) centre: [f64; 2],
    pub(super) side: f64,
    /// Clockwise, radians.
    pub(super) turn: f64,
}

impl Pose {
    /// An upright square around the box of the face, `margin` times its longer side.
    pub(super) fn upright(face: &Face, margin: f64) -> Self {
        Self { centre: face.centre().map(f64::from), side: f64::from(face.side()) * margin, turn: 0.0 }
    }

    /// The square in which the landmarks are nearest to the template, reduced by `margin` around its centre.
    ///
    /// It is the similarity transform of least squares (Umeyama, "Least-squares estimation of transformation parameters
    /// between two point patterns", 1991), in complex numbers: landmark = a template + b, where a is side times e^(i
    /// turn).
    pub(super) fn aligned(face: &Face, margin: f64) -> Self {
        let template = TEMPLATE.map(|point| point.map(|at| (f64::from(at) - 0.5) / margin));
        let landmarks = face.landmarks.map(|point| point.map(f64::from));
        let mean = |points: [[f64; 2]; 5]| [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / 5.0);
        let (from, to) = (mean(template), mean(landmarks));
        let (mut real, mut imaginary, mut squares) = (0.0, 0.0, 0.0);
        for (point, landmark) in template.iter().zip(landmarks) {
            let ([x, y], [u, v]) =
                ([point[0] - from[0], point[1] - from[1]], [landmark[0] - to[0], landmark[1] - to[1]]);
            real += x * u + y * v;
            imaginary += x * v - y * u;
            squares += x * x + y * y;
        }
        let [a, b] = [real / squares, imaginary / squares];
        let centre = [to[0] - (a * from[0] - b * from[1]), to[1] - (b * from[0] + a * from[1])];
        Self { centre, side: a.hypot(b), turn: b.atan2(a) }
    }
}

/// The same turn, at most half a turn away from `other`: half a turn to the left and half a turn to the right are the
/// same.
pub(super) fn nearest_turn(turn: f64, other: f64) -> f64 {
    other + (turn - other + PI).rem_euclid(2.0 * PI) - PI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_compared_the_short_way_round() {
        for (turn, other, expected) in [(-3.1, 3.1, 2.0 * PI - 3.1), (3.1, -3.1, 3.1 - 2.0 * PI), (0.2, 0.1, 0.2)] {
            assert!((nearest_turn(turn, other) - expected).abs() < 1e-12);
        }
    }
    use crate::video::Square;

    #[test]
    fn a_face_that_is_turned_moved_and_scaled_has_the_square_in_which_its_landmarks_are_the_template() {
        for (centre, side, turn, margin) in [([50.0, 70.0], 112.0, 0.0, 1.0), ([300.0, 200.0], 90.0, 0.4, 1.3)] {
            let square = Square::around(centre, side, turn);
            let place = |point: [f32; 2]| square.on_frame(point.map(|at| 0.5 + (f64::from(at) - 0.5) / margin));
            let landmarks = TEMPLATE.map(|point| place(point).map(|at| at as f32));
            let pose = Pose::aligned(&Face { landmarks, ..Face::around(landmarks) }, margin);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-3;
            assert!(near(pose.centre[0], centre[0]) && near(pose.centre[1], centre[1]), "{pose:?}");
            assert!(near(pose.side, side) && near(pose.turn, turn), "{pose:?}");
        }
    }
}
