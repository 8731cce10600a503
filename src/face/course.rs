//! The course of the followed face through a video: where it is on some of the frames, and so on all others. Knows
//! nothing of pixels.

use serde::{Deserialize, Serialize};

use super::detection::Face;
use super::followed::Followed;
use super::pose::{Pose, nearest_turn};
use super::track::{Track, square_around};
use crate::config::FaceConfig;
use crate::video::Square;

/// What is cut from a frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Cut {
    pub(super) square: Square,
    /// The face, where it is known.
    pub(super) face: Option<Face>,
}

/// The course of a face through a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// The numbers of some frames of the video, ascending.
    numbers: Vec<usize>,
    /// What is cut from these frames; `None` where the face is not seen. Empty if the video shows no face.
    cuts: Vec<Option<Cut>>,
    /// The median of the longer side of the face's box, pixels.
    pub(super) face_side: f64,
    /// The number of frames that were searched.
    pub(super) searched: usize,
    /// The video is a face crop already, so that nothing is cut out.
    pub(super) is_whole: bool,
}

impl Course {
    /// No face is seen.
    pub(super) fn none(searched: usize) -> Self {
        Self { numbers: Vec::new(), cuts: Vec::new(), face_side: 0.0, searched, is_whole: false }
    }

    /// Squares of one size that follow the face on frames of this size.
    pub(super) fn following(
        followed: &Followed,
        numbers: &[usize],
        faces: &FaceConfig,
        size: [u32; 2],
        searched: usize,
    ) -> Self {
        let side = followed.track.median(|face| pose(face, faces).side);
        let cut = |(pose, face): (Option<Pose>, &Option<Face>)| {
            pose.map(|pose| Cut { square: square(Pose { side, ..pose }, faces, size), face: *face })
        };
        let poses = followed.smooth_poses(numbers, |face| pose(face, faces));
        let cuts = poses.into_iter().zip(&followed.faces).map(cut).collect();
        Self { numbers: numbers.to_vec(), cuts, face_side: followed.track.side(), searched, is_whole: false }
    }

    /// The same square on all frames of this size.
    pub(super) fn fixed(track: &Track, numbers: &[usize], faces: &FaceConfig, size: [u32; 2], searched: usize) -> Self {
        let median = |value: fn(Pose) -> f64| track.median(|face| value(pose(face, faces)));
        let centre = [median(|pose| pose.centre[0]), median(|pose| pose.centre[1])];
        let first_turn = track.faces.first().map_or(0.0, |(_, face)| pose(face, faces).turn);
        let turn = track.median(|face| nearest_turn(pose(face, faces).turn, first_turn));
        let pose = Pose { centre, side: median(|pose| pose.side), turn };
        let square = square(pose, faces, size);
        let [first, last] = [track.faces.first(), track.faces.last()].map(|end| end.map_or(0, |(frame, _)| *frame));
        let face = |frame| (first..=last).contains(&frame).then(|| track.at(frame));
        let cuts = (0..numbers.len()).map(|frame| Some(Cut { square, face: face(frame) })).collect();
        Self { numbers: numbers.to_vec(), cuts, face_side: track.side(), searched, is_whole: false }
    }

    /// Whether a face is seen.
    pub(super) fn shows_face(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// The numbers of the known frames that show the face, and of those that do not.
    pub fn seen(&self) -> [usize; 2] {
        let seen = self.cuts.iter().flatten().filter(|cut| cut.face.is_some()).count();
        [seen, self.cuts.iter().filter(|cut| cut.is_none()).count()]
    }

    /// What is cut from a frame of the video, interpolated between the nearest known frames; `None` if the face is not
    /// seen on both.
    pub(super) fn at(&self, number: usize) -> Option<Cut> {
        let last = self.numbers.len().checked_sub(1)?;
        let after = self.numbers.partition_point(|known| *known < number).min(last);
        let exact = self.numbers[after] <= number || after == 0;
        let before = if exact { after } else { after - 1 };
        let (a, b) = (self.cuts[before]?, self.cuts[after]?);
        if before == after {
            return Some(a);
        }
        let share = (number - self.numbers[before]) as f64 / (self.numbers[after] - self.numbers[before]) as f64;
        let turn = |cut: Cut| nearest_turn(cut.square.turn, a.square.turn);
        let values = |cut: Cut| [cut.square.left, cut.square.top, turn(cut)];
        let [left, top, turn] = std::array::from_fn(|at| values(a)[at] + share * (values(b)[at] - values(a)[at]));
        let face = a.face.zip(b.face).map(|(a, b)| Face::combined(&[(a, 1.0 - share as f32), (b, share as f32)]));
        Some(Cut { square: Square { left, top, side: a.square.side, turn }, face })
    }
}

fn pose(face: &Face, faces: &FaceConfig) -> Pose {
    if faces.align { Pose::aligned(face, faces.margin) } else { Pose::upright(face, faces.margin) }
}

/// An upright square is moved into the frame. An aligned one is not, because its landmarks would leave their places.
fn square(pose: Pose, faces: &FaceConfig, size: [u32; 2]) -> Square {
    let Pose { centre, side, turn } = pose;
    // Landmarks that are nearly one point have no size.
    let side = side.clamp(1.0, 4.0 * f64::from(size[0].max(size[1])));
    if faces.align { Square::around(centre, side, turn) } else { square_around(centre, side, size) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    fn cut(left: f64) -> Cut {
        let corner = left as f32;
        let face = Face { corners: [corner; 4], score: 0.9, landmarks: [[corner; 2]; 5] };
        Cut { square: Square::upright(left, 5.0, 30.0), face: Some(face) }
    }

    #[test]
    fn between_known_frames_the_square_moves_evenly_and_where_the_face_is_not_seen_there_is_none() {
        let cuts = vec![Some(cut(100.0)), Some(cut(120.0)), None, Some(cut(0.0))];
        let course = Course { numbers: vec![10, 20, 30, 40], cuts, face_side: 20.0, searched: 4, is_whole: false };
        let left = |number| course.at(number).map(|cut| (cut.square.left, cut.face.unwrap().corners[0]));
        assert_eq!([10, 15, 20].map(left), [100.0, 110.0, 120.0].map(|x| Some((x, x as f32))));
        assert_eq!([21, 29, 30, 39].map(left), [None; 4]);
        assert_eq!([0, 40, 99].map(left), [100.0, 0.0, 0.0].map(|x| Some((x, x as f32))), "as on the nearest one");
        assert_eq!(Course::none(4).at(3), None);
    }

    #[test]
    fn a_face_that_is_upside_down_stays_so() {
        let turned = |turn: f64| Cut { square: Square { turn, ..cut(0.0).square }, ..cut(0.0) };
        let cuts = vec![Some(turned(3.1)), Some(turned(-3.1))];
        let course = Course { numbers: vec![0, 10], cuts, face_side: 20.0, searched: 2, is_whole: false };
        assert!((course.at(5).unwrap().square.turn - PI).abs() < 1e-9);
        // Landmarks of ArcFace's template, turned by a little less or more than half a turn.
        let face = |turn: f64| {
            let points = [[-0.16, -0.04], [0.16, -0.04], [0.0, 0.14], [-0.13, 0.32], [0.13, 0.32]];
            let (sin, cos) = turn.sin_cos();
            let place = |[x, y]: [f64; 2]| [300.0 + 100.0 * (cos * x - sin * y), 300.0 + 100.0 * (sin * x + cos * y)];
            Face { landmarks: points.map(|point| place(point).map(|at| at as f32)), ..cut(250.0).face.unwrap() }
        };
        let track = Track { faces: [3.1, -3.1, 3.1, -3.1].into_iter().map(face).enumerate().collect() };
        let aligned = FaceConfig { align: true, ..FaceConfig::default() };
        let course = Course::fixed(&track, &[0, 1, 2, 3], &aligned, [640, 480], 4);
        let turn = course.at(0).unwrap().square.turn;
        assert!((nearest_turn(turn, PI) - PI).abs() < 0.05, "{turn}");
    }
}
