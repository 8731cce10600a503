//! Face tracks: boxes of the same face on several frames are linked, and the largest face gives one square for the
//! clip. Knows nothing of pixels and videos.

use super::detection::Face;
use crate::video::Square;

/// The smallest overlap (IoU) of two boxes of the same face on consecutive searched frames.
const SAME_FACE_OVERLAP: f32 = 0.2;
/// Boxes are also of the same face if their centres are closer than this, relative to the longer side, and their sizes
/// are similar.
const SAME_FACE_DISTANCE: f32 = 0.6;
const MIN_SIZE_RATIO: f32 = 0.6;
/// A face must be found on one of this number of searched frames at least. Others are false detections.
const MIN_FOUND_ONE_IN: usize = 4;

/// A face on several frames of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Frame numbers, ascending, with the face on that frame.
    pub faces: Vec<(usize, Face)>,
}

/// The overlap of two boxes: intersection over union.
pub(super) fn overlap(a: &Face, b: &Face) -> f32 {
    let common =
        |low: usize, high: usize| (a.corners[high].min(b.corners[high]) - a.corners[low].max(b.corners[low])).max(0.0);
    let shared = common(0, 2) * common(1, 3);
    let together = a.width() * a.height() + b.width() * b.height() - shared;
    if together > 0.0 { shared / together } else { 0.0 }
}

fn is_same_face(a: &Face, b: &Face) -> bool {
    let ([ax, ay], [bx, by]) = (a.centre(), b.centre());
    let (small, large) = (a.side().min(b.side()), a.side().max(b.side()));
    let near = (ax - bx).hypot(ay - by) < SAME_FACE_DISTANCE * large;
    overlap(a, b) >= SAME_FACE_OVERLAP || near && small >= MIN_SIZE_RATIO * large
}

/// The face with the largest area over all frames, of those that were found often enough. `found` has the number of
/// each searched frame.
#[must_use]
pub fn largest_track(found: &[(usize, Vec<Face>)]) -> Option<Track> {
    tracks(found).into_iter().next()
}

/// The faces that were found often enough, by their area over all frames, the largest first.
pub(super) fn tracks(found: &[(usize, Vec<Face>)]) -> Vec<Track> {
    let mut tracks: Vec<Track> = Vec::new();
    for (frame, faces) in found {
        for face in faces {
            // The best track without a face on this frame.
            let open = tracks.iter_mut().filter_map(|track| {
                let (last_frame, last) = track.faces.last().copied()?;
                (last_frame < *frame && is_same_face(&last, face)).then(|| (overlap(&last, face), track))
            });
            match open.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
                Some((_, track)) => track.faces.push((*frame, *face)),
                None => tracks.push(Track { faces: vec![(*frame, *face)] }),
            }
        }
    }
    let room = |track: &Track| track.faces.iter().map(|(_, face)| face.width() * face.height()).sum::<f32>();
    tracks.retain(|track| track.faces.len() * MIN_FOUND_ONE_IN >= found.len());
    // Of equal ones, the last comes first.
    tracks.reverse();
    tracks.sort_by(|a, b| room(b).total_cmp(&room(a)));
    tracks
}

impl Track {
    /// The median of a property of the face over the frames.
    pub(super) fn median(&self, value: impl Fn(&Face) -> f64) -> f64 {
        let mut values: Vec<f64> = self.faces.iter().map(|(_, face)| value(face)).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
    }

    /// The median of the longer side of the face.
    #[must_use]
    pub fn side(&self) -> f64 {
        self.median(|face| f64::from(face.side()))
    }

    /// The face on a frame, interpolated between the nearest detections before and after it.
    #[must_use]
    pub fn at(&self, frame: usize) -> Face {
        let after = self.faces.partition_point(|(at, _)| *at < frame);
        match (after.checked_sub(1).map(|before| self.faces[before]), self.faces.get(after)) {
            (Some((start, a)), Some((end, b))) => {
                let share = (frame - start) as f32 / (end - start) as f32;
                Face::combined(&[(a, 1.0 - share), (*b, share)])
            }
            (Some((_, face)), None) | (None, Some(&(_, face))) => face,
            (None, None) => unreachable!("a track has faces"),
        }
    }

    /// One square for all frames: `margin` times the box of the face, inside the frame.
    #[must_use]
    pub fn square(&self, margin: f64, size: [u32; 2]) -> Square {
        let centre = [0, 1].map(|axis| self.median(|face| f64::from(face.centre()[axis])));
        square_around(centre, self.side() * margin, size)
    }
}

/// A square with this centre and side, moved and reduced so that it is inside the frame.
pub(super) fn square_around(centre: [f64; 2], side: f64, size: [u32; 2]) -> Square {
    let [width, height] = size.map(f64::from);
    let side = side.min(width).min(height).max(1.0);
    let start = |centre: f64, length: f64| (centre - side / 2.0).clamp(0.0, (length - side).max(0.0));
    Square::upright(start(centre[0], width), start(centre[1], height), side)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: f32, top: f32, side: f32) -> Face {
        Face { corners: [left, top, left + side, top + side], score: 0.9, landmarks: [[left, top]; 5] }
    }

    #[test]
    fn the_face_with_the_most_room_over_all_frames_is_followed_and_others_are_not_mixed_in() {
        // A face that moves, a smaller one that does not, and a large one on a single frame.
        let found: Vec<_> = (0..8)
            .map(|i| {
                let mut faces = vec![face(10.0, 200.0, 60.0), face(100.0 + 30.0 * i as f32, 50.0, 100.0)];
                faces.extend((i == 3).then(|| face(400.0, 300.0, 150.0)));
                (2 * i, faces)
            })
            .collect();
        let track = largest_track(&found).unwrap();
        assert_eq!(track.faces.len(), 8);
        assert!(track.faces.iter().all(|(_, face)| face.side() == 100.0));
        assert_eq!(track.faces[7], (14, face(310.0, 50.0, 100.0)));
    }

    #[test]
    fn a_frame_without_the_face_does_not_end_its_track_and_one_wrong_box_does_not_move_the_square() {
        let mut found: Vec<_> = (0..9).map(|i| (i, vec![face(100.0, 80.0, 50.0)])).collect();
        found[4].1.clear();
        found[6].1 = vec![face(110.0, 90.0, 80.0)];
        let track = largest_track(&found).unwrap();
        assert_eq!(track.faces.len(), 8);
        assert_eq!(track.square(2.0, [640, 360]), Square::upright(75.0, 55.0, 100.0));
    }

    #[test]
    fn what_is_seen_for_a_moment_only_is_no_face_however_large() {
        let seen = |times: usize, of: usize| {
            let found: Vec<_> =
                (0..of).map(|i| (i, Vec::from_iter((i < times).then(|| face(9.0, 9.0, 90.0))))).collect();
            largest_track(&found).map(|track| track.faces.len())
        };
        assert_eq!(seen(3, 16), None);
        assert_eq!(seen(4, 16), Some(4));
        assert_eq!(seen(1, 5), None);
        assert_eq!([seen(1, 4), seen(1, 1)], [Some(1); 2]);
    }

    #[test]
    fn the_square_stays_inside_the_frame() {
        let track = |face| largest_track(&[(0, vec![face])]).unwrap();
        assert_eq!(track(face(0.0, 0.0, 50.0)).square(1.2, [200, 100]), Square::upright(0.0, 0.0, 60.0));
        let at_the_end = track(face(150.0, 50.0, 50.0)).square(1.2, [200, 100]);
        assert_eq!(at_the_end, Square::upright(140.0, 40.0, 60.0));
        assert_eq!(track(face(50.0, 0.0, 100.0)).square(3.0, [200, 100]), Square::upright(50.0, 0.0, 100.0));
        assert_eq!(largest_track(&[(0, Vec::new())]), None);
    }
}
