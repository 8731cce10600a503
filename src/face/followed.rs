//! Following a face: in which frames of a clip it is searched, and where it is on each. Knows nothing of videos and
//! crops.

use std::collections::{BTreeMap, BTreeSet};

use super::detection::Face;
use super::pose::{Pose, nearest_turn};
use super::track::{Track, overlap, tracks};

/// The overlap (IoU) of two boxes below which the frames between them are searched too: the face moved by a quarter of
/// its width.
const NEAR_OVERLAP: f32 = 0.6;
/// The standard deviation of the smoothing, in frames of the video. A detector's boxes tremble from frame to frame;
/// what a face does within a tenth of a second is less than that.
const SMOOTH_FRAMES: f64 = 3.0;

/// The faces that were found on the searched frames, by the index of the frame.
pub(super) type Found = BTreeMap<usize, Vec<Face>>;

/// The followed face of a clip.
#[derive(Debug)]
pub(super) struct Followed {
    /// The detections.
    pub(super) track: Track,
    /// The face on each frame; `None` where it is not seen.
    pub(super) faces: Vec<Option<Face>>,
}

/// What can be known of the frames of a clip.
pub(super) trait Frames {
    type Error;

    /// The faces on the frames with these indices. This is expensive.
    fn faces(&mut self, frames: &[usize]) -> Result<Vec<Vec<Face>>, Self::Error>;

    /// Whether a frame shows at this place what a searched one shows at its own. This is cheap.
    fn alike(&mut self, frame: (usize, &Face), searched: (usize, &Face)) -> Result<bool, Self::Error>;
}

/// Follows the largest `most` faces of a clip of `count` frames.
///
/// It searches the first, every `every`-th and the last frame; more, until it finds a face; then frames between two of
/// which a face is only on one, or far away on the other; then those that do not look alike at the interpolated place,
/// because the face may have moved away and back. Also returns the number of searched frames.
pub(super) fn follow<F: Frames>(
    frames: &mut F,
    count: usize,
    every: usize,
    most: usize,
) -> Result<(Vec<Followed>, usize), F::Error> {
    let mut found = Found::new();
    let mut next: BTreeSet<usize> = (0..count).step_by(every.max(1)).chain(count.checked_sub(1)).collect();
    loop {
        let indices: Vec<_> = next.into_iter().collect();
        found.extend(indices.iter().copied().zip(frames.faces(&indices)?));
        let searched: Vec<_> = found.iter().map(|(frame, faces)| (*frame, faces.clone())).collect();
        let mut tracks = tracks(&searched);
        tracks.truncate(most);
        next = tracks.iter().flat_map(|track| between(track, &found)).collect();
        if tracks.is_empty() {
            // It may move too fast to be linked over so many frames, or be seen for a moment only.
            next = middles(&found, |_, _| true);
        } else if next.is_empty() {
            for track in &tracks {
                next.append(&mut unlike(frames, track, &found)?);
            }
        }
        if next.is_empty() {
            let faces = |track: &Track| (0..count).map(|frame| seen(track, &found, frame)).collect();
            let followed = |track: Track| Followed { faces: faces(&track), track };
            return Ok((tracks.into_iter().map(followed).collect(), found.len()));
        }
    }
}

/// The frames that were not searched, and do not look like the nearest one that was where the face must be.
fn unlike<F: Frames>(frames: &mut F, track: &Track, found: &Found) -> Result<BTreeSet<usize>, F::Error> {
    let mut unlike = BTreeSet::new();
    for pair in track.faces.windows(2) {
        let ((before, _), (after, _)) = (pair[0], pair[1]);
        for frame in before + 1..after {
            let Some(face) = seen(track, found, frame).filter(|_| !found.contains_key(&frame)) else { continue };
            let (nearest, there) = if frame - before <= after - frame { &pair[0] } else { &pair[1] };
            if !frames.alike((frame, &face), (*nearest, there))? {
                unlike.insert(frame);
            }
        }
    }
    Ok(unlike)
}

/// The middle of each gap between two searched frames that do not show the face at about the same place.
fn between(track: &Track, found: &Found) -> BTreeSet<usize> {
    let face = |frame: usize| track.faces.binary_search_by_key(&frame, |(at, _)| *at).ok().map(|at| track.faces[at].1);
    middles(found, |before, after| match (face(before), face(after)) {
        (Some(a), Some(b)) => overlap(&a, &b) < NEAR_OVERLAP,
        (None, None) => false,
        _ => true,
    })
}

/// The middle of each gap between two searched frames for which this is true.
fn middles(found: &Found, wanted: impl Fn(usize, usize) -> bool) -> BTreeSet<usize> {
    let frames: Vec<_> = found.keys().copied().collect();
    let gaps = frames.windows(2).filter(|pair| pair[1] - pair[0] > 1 && wanted(pair[0], pair[1]));
    gaps.map(|pair| pair[0].midpoint(pair[1])).collect()
}

fn seen(track: &Track, found: &Found, frame: usize) -> Option<Face> {
    let before = found.range(..=frame).next_back()?.0;
    let after = found.range(frame..).next()?.0;
    let on_track = |frame: &usize| track.faces.binary_search_by_key(frame, |(at, _)| *at).is_ok();
    (on_track(before) && on_track(after)).then(|| track.at(frame))
}

impl Followed {
    /// The place of the crop on each frame, smoothed over frames of the same stretch. `numbers` has the number of each
    /// frame in the video.
    pub(super) fn smooth_poses(&self, numbers: &[usize], pose: impl Fn(&Face) -> Pose) -> Vec<Option<Pose>> {
        let poses: Vec<_> = self.faces.iter().map(|face| face.as_ref().map(&pose)).collect();
        (0..poses.len()).map(|frame| smooth(&poses, numbers, frame)).collect()
    }
}

fn smooth(poses: &[Option<Pose>], numbers: &[usize], frame: usize) -> Option<Pose> {
    let at = |frame: usize| poses.get(frame).copied().flatten();
    let middle = at(frame)?;
    let values = |pose: Pose| [pose.centre[0], pose.centre[1], nearest_turn(pose.turn, middle.turn)];
    let (mut sum, mut weights) = (values(middle), 1.0);
    // Frames on both sides count alike, so that a face that moves steadily is not behind or ahead.
    for step in 1..=frame {
        let (Some(before), Some(after)) = (at(frame - step), at(frame + step)) else { break };
        let distance = (numbers[frame] - numbers[frame - step]).max(numbers[frame + step] - numbers[frame]);
        let weight = (-0.5 * (distance as f64 / SMOOTH_FRAMES).powi(2)).exp();
        if weight < 0.01 {
            break;
        }
        let (before, after) = (values(before), values(after));
        (0..3).for_each(|value| sum[value] += weight * (before[value] + after[value]));
        weights += 2.0 * weight;
    }
    let [x, y, turn] = sum.map(|sum| sum / weights);
    Some(Pose { centre: [x, y], turn, ..middle })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn face(left: f32) -> Face {
        Face { corners: [left, 10.0, left + 100.0, 110.0], score: 0.9, landmarks: [[left, 10.0]; 5] }
    }

    /// A face whose left edge on each frame is this, and the searched frames.
    struct Moving<'a> {
        lefts: &'a [Option<f32>],
        searched: BTreeSet<usize>,
    }

    impl Frames for Moving<'_> {
        type Error = Infallible;

        fn faces(&mut self, frames: &[usize]) -> Result<Vec<Vec<Face>>, Infallible> {
            assert!(frames.iter().all(|frame| self.searched.insert(*frame)), "no frame is searched twice");
            Ok(frames.iter().map(|frame| self.lefts[*frame].map(face).into_iter().collect()).collect())
        }

        fn alike(&mut self, a: (usize, &Face), b: (usize, &Face)) -> Result<bool, Infallible> {
            assert!(!self.searched.contains(&a.0) && self.searched.contains(&b.0));
            let off = |(frame, face): (usize, &Face)| self.lefts[frame].map_or(99.0, |left| left - face.corners[0]);
            Ok((off(a) - off(b)).abs() < 25.0)
        }
    }

    fn followed(lefts: &[Option<f32>], every: usize) -> (Option<Followed>, BTreeSet<usize>) {
        let mut moving = Moving { lefts, searched: BTreeSet::new() };
        let Ok((mut paths, count)) = follow(&mut moving, lefts.len(), every, 1);
        assert_eq!(count, moving.searched.len());
        (paths.pop(), moving.searched)
    }

    fn lefts(path: &Followed) -> Vec<Option<f32>> {
        path.faces.iter().map(|face| face.map(|face| face.corners[0])).collect()
    }

    #[test]
    fn a_face_that_hardly_moves_is_interpolated_between_every_nth_frame() {
        let moving: Vec<_> = (0..14).map(|frame| Some(3.0 * frame as f32)).collect();
        let (path, searched) = followed(&moving, 4);
        assert_eq!(searched, BTreeSet::from([0, 4, 8, 12, 13]));
        assert_eq!(lefts(&path.unwrap()), moving);
    }

    #[test]
    fn where_it_moves_far_the_frames_between_are_searched() {
        // It stands, then moves by 44% of its width within four frames.
        let left = |frame: usize| if frame < 8 { 0.0 } else { 11.0 * (frame.min(12) - 8) as f32 };
        let moving: Vec<_> = (0..17).map(|frame| Some(left(frame))).collect();
        let (path, searched) = followed(&moving, 4);
        assert_eq!(searched, BTreeSet::from([0, 4, 8, 10, 12, 16]));
        assert_eq!(lefts(&path.unwrap()), moving);
    }

    #[test]
    fn a_face_that_moves_too_fast_for_every_nth_frame_and_one_that_is_on_none_of_them_are_found() {
        let fast: Vec<_> = (0..17).map(|frame| Some(30.0 * frame as f32)).collect();
        assert_eq!(lefts(&followed(&fast, 4).0.unwrap()), fast);
        let hidden: Vec<_> = (0..17).map(|frame| (frame % 4 != 0).then_some(50.0)).collect();
        assert_eq!(lefts(&followed(&hidden, 4).0.unwrap()), hidden);
    }

    #[test]
    fn each_of_several_faces_is_followed_where_it_is_seen() {
        /// One face moves; a larger one comes in the middle of the clip.
        struct Two;

        impl Frames for Two {
            type Error = Infallible;

            fn faces(&mut self, frames: &[usize]) -> Result<Vec<Vec<Face>>, Infallible> {
                let large = Face { corners: [500.0, 0.0, 800.0, 300.0], ..face(0.0) };
                let both = |frame: &usize| {
                    let there = (*frame >= 7).then_some(large);
                    std::iter::once(face(10.0 * *frame as f32)).chain(there).collect()
                };
                Ok(frames.iter().map(both).collect())
            }

            fn alike(&mut self, _: (usize, &Face), _: (usize, &Face)) -> Result<bool, Infallible> {
                Ok(true)
            }
        }

        let Ok((paths, _)) = follow(&mut Two, 17, 4, 8);
        let [large, small] = &paths[..] else { panic!("{paths:?}") };
        assert!(large.faces.iter().enumerate().all(|(frame, face)| face.is_some() == (frame >= 7)));
        assert_eq!(lefts(small), (0..17).map(|frame| Some(10.0 * frame as f32)).collect::<Vec<_>>());
        let Ok((one, searched)) = follow(&mut Two, 17, 4, 1);
        assert_eq!((one.len(), &one[0].faces), (1, &large.faces));
        assert!(searched < 17);
    }

    #[test]
    fn half_a_turn_to_either_side_is_the_same() {
        let path = followed(&[Some(0.0); 9], 1).0.unwrap();
        let mut turns = [3.1, -3.1].into_iter().cycle();
        let turns = std::cell::RefCell::new(&mut turns);
        let pose = |face: &Face| Pose { turn: turns.borrow_mut().next().unwrap(), ..Pose::upright(face, 1.0) };
        let numbers: Vec<_> = (0..9).collect();
        for pose in path.smooth_poses(&numbers, pose).into_iter().flatten() {
            assert!(pose.turn.abs() > 3.0, "{}", pose.turn);
        }
    }

    #[test]
    fn a_face_that_moves_away_and_back_between_searched_frames_is_not_missed() {
        let left = |frame: usize| [0.0, 30.0, 60.0, 30.0][frame % 4];
        let moving: Vec<_> = (0..13).map(|frame| Some(left(frame))).collect();
        let (path, searched) = followed(&moving, 4);
        assert_eq!(searched, BTreeSet::from_iter(0..13));
        assert_eq!(lefts(&path.unwrap()), moving);
        let vanishing: Vec<_> = (0..13).map(|frame| (frame % 4 != 2).then_some(50.0)).collect();
        assert_eq!(lefts(&followed(&vanishing, 4).0.unwrap()), vanishing);
    }

    #[test]
    fn the_frames_in_which_it_appears_and_vanishes_are_found_exactly() {
        let there: Vec<_> = (0..24).map(|frame| (5..=17).contains(&frame).then_some(50.0)).collect();
        let (path, searched) = followed(&there, 6);
        assert_eq!(lefts(&path.unwrap()), there);
        assert!(searched.len() < 14, "{searched:?}");
    }

    #[test]
    fn all_frames_are_searched_before_there_is_no_face() {
        let (path, searched) = followed(&[None; 10], 4);
        assert!(path.is_none());
        assert_eq!(searched, BTreeSet::from_iter(0..10));
        assert!(followed(&[None], 4).0.is_none());
        assert_eq!(lefts(&followed(&[Some(7.0)], 4).0.unwrap()), [Some(7.0)]);
    }

    #[test]
    fn trembling_is_smoothed_over_near_frames_only_and_steady_motion_is_kept() {
        let path =
            |left: &dyn Fn(usize) -> f32| followed(&(0..30).map(|at| Some(left(at))).collect::<Vec<_>>(), 1).0.unwrap();
        let x = |path: &Followed, apart: usize| -> Vec<f64> {
            let numbers: Vec<_> = (0..30).map(|frame| frame * apart).collect();
            let poses = path.smooth_poses(&numbers, |face| Pose::upright(face, 1.0));
            poses.into_iter().map(|pose| pose.unwrap().centre[0]).collect()
        };
        let trembling = path(&|frame| [100.0, 104.0][frame % 2]);
        assert!(x(&trembling, 1)[8..22].iter().all(|x| (x - 152.0).abs() < 0.1), "{:?}", x(&trembling, 1));
        assert!(x(&trembling, 12).iter().zip(0..).all(|(x, frame)| *x == [150.0, 154.0][frame % 2]));
        let steady = path(&|frame| 2.0 * frame as f32);
        assert!(x(&steady, 1).iter().zip(0..).all(|(x, frame)| (x - (50.0 + 2.0 * f64::from(frame))).abs() < 1e-6));
    }
}
