//! The course of the followed face through a video: where it is on some of the frames, and so on all others. Knows
//! nothing of pixels.

use serde::{Deserialize, Serialize};

use super::detection::Face;
use super::path::Path;
use super::track::{Track, square_around};
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
    /// The number of frames that were searched.
    pub(super) searched: usize,
}

impl Course {
    /// No face is seen.
    pub(super) fn none(searched: usize) -> Self {
        Self { numbers: Vec::new(), cuts: Vec::new(), searched }
    }

    /// Squares of one size that follow the face.
    pub(super) fn following(path: &Path, numbers: Vec<usize>, margin: f64, size: [u32; 2], searched: usize) -> Self {
        let side = path.track.side() * margin;
        let cut = |(centre, face): (Option<[f64; 2]>, &Option<Face>)| {
            centre.map(|centre| Cut { square: square_around(centre, side, size), face: *face })
        };
        let cuts = path.smooth_centres(&numbers).into_iter().zip(&path.faces).map(cut).collect();
        Self { numbers, cuts, searched }
    }

    /// The same square on all frames.
    pub(super) fn fixed(track: Track, numbers: Vec<usize>, margin: f64, size: [u32; 2], searched: usize) -> Self {
        let mut cuts = vec![Some(Cut { square: track.square(margin, size), face: None }); numbers.len()];
        for (frame, face) in track.faces {
            cuts[frame].iter_mut().for_each(|cut| cut.face = Some(face));
        }
        Self { numbers, cuts, searched }
    }

    /// Whether a face is seen.
    pub(super) fn shows_face(&self) -> bool {
        !self.cuts.is_empty()
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
        let between = |a: f64, b: f64| a + share * (b - a);
        let (left, top) = (between(a.square.left, b.square.left), between(a.square.top, b.square.top));
        let face = a.face.zip(b.face).map(|(a, b)| Face::combined(&[(a, 1.0 - share as f32), (b, share as f32)]));
        Some(Cut { square: Square { left, top, side: a.square.side }, face })
    }

    /// The number of the known frame with the face that is nearest to this one.
    pub(super) fn nearest(&self, number: usize) -> Option<usize> {
        let seen = self.numbers.iter().zip(&self.cuts).filter(|(_, cut)| cut.is_some());
        seen.map(|(known, _)| *known).min_by_key(|known| known.abs_diff(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(left: f64) -> Cut {
        let corner = left as f32;
        let face = Face { corners: [corner; 4], score: 0.9, landmarks: [[corner; 2]; 5] };
        Cut { square: Square { left, top: 5.0, side: 30.0 }, face: Some(face) }
    }

    #[test]
    fn between_known_frames_the_square_moves_evenly_and_where_the_face_is_not_seen_there_is_none() {
        let cuts = vec![Some(cut(100.0)), Some(cut(120.0)), None, Some(cut(0.0))];
        let course = Course { numbers: vec![10, 20, 30, 40], cuts, searched: 4 };
        let left = |number| course.at(number).map(|cut| (cut.square.left, cut.face.unwrap().corners[0]));
        assert_eq!([10, 15, 20].map(left), [100.0, 110.0, 120.0].map(|x| Some((x, x as f32))));
        assert_eq!([21, 29, 30, 39].map(left), [None; 4]);
        assert_eq!([0, 40, 99].map(left), [100.0, 0.0, 0.0].map(|x| Some((x, x as f32))), "as on the nearest one");
        assert_eq!([29, 36].map(|number| course.nearest(number)), [Some(20), Some(40)]);
        assert_eq!((Course::none(4).at(3), Course::none(4).nearest(3)), (None, None));
    }
}
