use std::path::PathBuf;
use std::sync::Mutex;

use image::{RgbImage, imageops};

use super::*;
use crate::config::{FaceTrack, Sampling, WhichFaces};
use crate::dataset::Footage;
use crate::demo::{VideoSettings, VideoWriter};
use crate::face::{CenterFace, Face};
use crate::video;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;
const FRAMES: u32 = 12;

/// A detector that finds the same face on every frame, in fractions of the frame's width, and counts the frames.
struct Fixed {
    corners: Option<[f32; 4]>,
    sizes: Mutex<Vec<(u32, u32)>>,
}

impl Fixed {
    fn new(corners: Option<[f32; 4]>) -> Self {
        Self { corners, sizes: Mutex::default() }
    }
}

impl FaceDetector for Fixed {
    fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String> {
        self.sizes.lock().unwrap().extend(frames.iter().map(RgbImage::dimensions));
        let face = |frame: &RgbImage, corners: [f32; 4]| {
            let [left, top, ..] = corners;
            Face { corners, score: 0.9, landmarks: [[left, top]; 5] }.scaled([frame.width() as f32; 2])
        };
        Ok(frames.iter().map(|frame| self.corners.map(|corners| face(frame, corners)).into_iter().collect()).collect())
    }
}

/// The astronaut before a coloured wall, at this place in each frame where there is one: a real H.264 file.
fn talking_head(folder: &std::path::Path, place: impl Fn(i64) -> Option<[i64; 2]>) -> PathBuf {
    let photograph = image::load_from_memory(include_bytes!("../../../tests/fixtures/astronaut.png")).unwrap();
    let path = folder.join("head.mp4");
    let settings = VideoSettings { width: WIDTH, height: HEIGHT, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(&path, &settings).unwrap();
    for i in 0..i64::from(FRAMES) {
        let mut frame = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| image::Rgb([(x / 4) as u8, 110, (y / 3) as u8]));
        if let Some([x, y]) = place(i) {
            imageops::replace(&mut frame, &photograph.to_rgb8(), x, y);
        }
        writer.write(&frame).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn spec() -> ClipSpec {
    ClipSpec::uniform(6, 96, 96, 1)
}

fn fixed(detect_every: usize) -> FaceConfig {
    FaceConfig { track: FaceTrack::Fixed, detect_every, ..FaceConfig::default() }
}

fn frame(clip: &FaceClip, at: usize) -> RgbImage {
    video::frames_of(&clip.thwc, 96, 96).swap_remove(at)
}

/// The left eye's x on each frame of the crop.
fn eyes(clip: &FaceClip) -> Vec<f32> {
    clip.facts.landmarks.iter().map(|landmarks| landmarks.unwrap()[0][0]).collect()
}

/// The mean difference of the middle of two frames of a clip.
fn difference(clip: &FaceClip, a: usize, b: usize) -> f64 {
    let [a, b] = [a, b].map(|at| imageops::crop(&mut frame(clip, at), 24, 24, 48, 48).to_image().into_raw());
    a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

/// Whether the left eye is darker than the cheek below it.
fn eye_is_dark(clip: &FaceClip, at: usize) -> bool {
    let [x, y] = clip.facts.landmarks[at].unwrap()[0].map(|at| at.round() as u32);
    let frame = frame(clip, at);
    // The detector finds an eye of a small face to two pixels.
    let eye = (x - 2..=x + 2).flat_map(|x| (y - 2..=y + 2).map(move |y| (x, y)));
    let darkest = eye.map(|at| frame[at].0[0]).min().unwrap_or(u8::MAX);
    i32::from(darkest) + 30 < i32::from(frame[(x, y + 16)].0[0])
}

#[test]
fn one_square_is_in_the_middle_of_the_way_of_a_face_that_moves() {
    let folder = tempfile::tempdir().unwrap();
    let video = Footage::video(talking_head(folder.path(), |i| Some([100 + 6 * i, 60 + 2 * i])));
    let clip = read_face_clip(&video, &spec(), None, None, &fixed(1), &CenterFace::load().unwrap()).unwrap();
    assert_eq!(clip.thwc.len(), spec().clip_bytes());
    assert!(!clip.facts.missed);
    // The face is at (87, 77) of the photograph and about 60 pixels high; frames 1, 3, .. 11 are searched.
    let square = clip.facts.squares[0];
    assert_eq!(clip.facts.squares, vec![square; 6]);
    assert_eq!(clip.facts.frame_numbers, [1, 3, 5, 7, 9, 11]);
    let centre = [square.left, square.top].map(|start| start + square.side / 2.0);
    assert!((centre[0] - (187.0 + 6.0 * 6.0)).abs() < 10.0 && (centre[1] - (137.0 + 2.0 * 6.0)).abs() < 10.0);
    assert!((1.3 * 45.0..1.3 * 85.0).contains(&square.side), "{square:?}");
    // The eyes move to the right in the crop, as the face does in the frame.
    let eyes = eyes(&clip);
    assert!(eyes.is_sorted() && eyes[5] - eyes[0] > 0.8 * 60.0 * 96.0 / square.side as f32, "{eyes:?}");
    assert!(eye_is_dark(&clip, 2), "the crop shows that place of the whole frame");
}

#[test]
fn squares_of_one_size_follow_a_face_that_moves() {
    let folder = tempfile::tempdir().unwrap();
    let video = Footage::video(talking_head(folder.path(), |i| Some([60 + 20 * i, 60 + 2 * i])));
    let detector = CenterFace::load().unwrap();
    let clip = read_face_clip(&video, &spec(), None, None, &FaceConfig::default(), &detector).unwrap();
    let squares = &clip.facts.squares;
    assert!(squares.iter().all(|square| square.side == squares[0].side));
    for pair in squares.windows(2) {
        assert!((pair[1].left - pair[0].left - 40.0).abs() < 8.0, "two frames later, it is 40 pixels on: {squares:?}");
    }
    let eyes = eyes(&clip);
    assert!(eyes.iter().all(|eye| (eye - eyes[0]).abs() < 8.0), "the face stays where it is: {eyes:?}");
    let differences: Vec<_> = (1..6).map(|at| difference(&clip, 0, at)).collect();
    assert!(differences.iter().all(|difference| *difference < 25.0), "40 where it is 10 pixels off: {differences:?}");
}

#[test]
fn aligned_crops_have_the_landmarks_of_a_tilted_face_in_their_places() {
    let photograph = image::load_from_memory(include_bytes!("../../../tests/fixtures/astronaut.png")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tilted.mp4");
    let settings = VideoSettings { width: WIDTH, height: HEIGHT, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(&path, &settings).unwrap();
    // The photograph is turned by 20 degrees around (320, 180).
    let (sin, cos) = 20_f64.to_radians().sin_cos();
    let tilted = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let (x, y) = (f64::from(x) - 320.0, f64::from(y) - 180.0);
        let [u, v] = [cos * x + sin * y + 96.0, cos * y - sin * x + 96.0].map(|at| at.round().clamp(0.0, 191.0) as u32);
        *photograph.to_rgb8().get_pixel(u, v)
    });
    (0..4).for_each(|_| writer.write(&tilted).unwrap());
    writer.finish().unwrap();
    let faces = FaceConfig { align: true, ..FaceConfig::default() };
    let (video, spec) = (Footage::video(path), ClipSpec::uniform(2, 112, 112, 1));
    let clip = read_face_clip(&video, &spec, None, None, &faces, &CenterFace::load().unwrap()).unwrap();
    let turn = clip.facts.squares[0].turn.to_degrees();
    assert!((turn - 20.0).abs() < 5.0, "{turn}");
    // ArcFace's places, a margin of 1.3 smaller around the middle.
    let expected = [[42.4, 52.7], [69.5, 52.5], [56.0, 68.1], [44.9, 84.0], [67.3, 83.8]];
    let found = clip.facts.landmarks[0].unwrap();
    let far = |(found, expected): (&[f32; 2], [f32; 2])| (found[0] - expected[0]).hypot(found[1] - expected[1]);
    let worst = found.iter().zip(expected).map(far).fold(0.0, f32::max);
    assert!(worst < 4.0, "{found:?}");
    // The pixels are turned as well: the face that is found in the crop is upright.
    let upright = CenterFace::load().unwrap().detect(&video::frames_of(&clip.thwc, 112, 112)).unwrap();
    let [left, right, ..] = upright[0][0].landmarks;
    let tilt = (right[1] - left[1]).atan2(right[0] - left[0]).to_degrees();
    assert!(tilt.abs() < 6.0, "{tilt}");
}

#[test]
fn a_shot_without_the_face_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let video = Footage::video(talking_head(folder.path(), |i| (i < 7).then_some([200, 80])));
    let detector = CenterFace::load().unwrap();
    let clip = read_face_clip(&video, &spec(), None, None, &FaceConfig::default(), &detector).unwrap();
    assert_eq!(clip.facts.frame_numbers, [1, 1, 3, 3, 5, 5], "of 1, 3, 5, 7, 9, 11");
    assert_eq!((clip.facts.frames_with_face, clip.facts.left_out), (3, 3));
    assert!(frame(&clip, 0) == frame(&clip, 1) && frame(&clip, 1) != frame(&clip, 2));
    let always = read_face_clip(&video, &spec(), None, None, &fixed(1), &detector).unwrap();
    assert_eq!((always.facts.frame_numbers.last(), always.facts.frames_with_face), (Some(&11), 3));
}

#[test]
fn drawn_frames_are_cut_along_the_course_of_the_face_without_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = talking_head(folder.path(), |i| (i < 8).then_some([60 + 10 * i, 60]));
    let (video, faces) = (Footage::video(path), FaceConfig::default());
    let detector = CenterFace::load().unwrap();
    let course = find_courses((&video).into(), &spec(), &faces, &detector).unwrap().swap_remove(0);
    let nobody = Fixed::new(None);
    let drawn = ClipSpec { sampling: Sampling::RandomSegment, ..spec() };
    let mut numbers = Vec::new();
    for seed in 0..5 {
        let clip = read_face_clip(&video, &drawn, Some(seed), Some(&course), &faces, &nobody).unwrap();
        assert_eq!(clip.thwc.len(), spec().clip_bytes());
        for (at, number) in clip.facts.frame_numbers.iter().enumerate() {
            assert!(*number <= 7, "the face is known on 1, 3, 5 and 7, and not on 9");
            // Before the first known frame, the face is where it is there.
            let difference = difference(&clip, at, 5);
            assert!(*number == 0 || difference < 25.0, "seed {seed}, frame {number}: {difference}");
        }
        numbers.push(clip.facts.frame_numbers);
    }
    assert!(numbers.iter().any(|other| *other != numbers[0]));
    assert!(nobody.sizes.lock().unwrap().is_empty(), "nothing is searched");
}

#[test]
fn where_no_drawn_frame_shows_the_face_those_of_the_search_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let video = Footage::video(talking_head(folder.path(), |i| (i < 4).then_some([200, 60])));
    let (faces, detector) = (FaceConfig::default(), CenterFace::load().unwrap());
    let two = ClipSpec { sampling: Sampling::RandomSegment, ..ClipSpec::uniform(2, 96, 96, 1) };
    let course = find_courses((&video).into(), &two, &faces, &detector).unwrap().swap_remove(0);
    let numbers = |seed| {
        let clip = read_face_clip(&video, &two, Some(seed), Some(&course), &faces, &Fixed::new(None)).unwrap();
        assert!(clip.facts.squares.iter().all(|square| *square == course.at(3).unwrap().square));
        clip.facts.frame_numbers
    };
    let drawn: Vec<_> = (0..30).map(numbers).collect();
    // Frames 3 and 9 were searched, so that 4 and 5 are not known to show the face.
    assert!(drawn.iter().flatten().all(|number| *number <= 3), "{drawn:?}");
    assert!((12..27).contains(&drawn.iter().filter(|numbers| numbers[0] == 3).count()), "{drawn:?}");
    // A course of other frames may show no face on any of these.
    let late = ClipSpec { skip_frames: 10, ..ClipSpec::uniform(1, 96, 96, 1) };
    let read = read_face_clip(&video, &late, Some(1), Some(&course), &faces, &Fixed::new(None));
    assert!(matches!(read, Err(DataError::NoFace { .. })));
}

#[test]
fn each_of_two_faces_is_cut_out_by_its_own_course() {
    let folder = tempfile::tempdir().unwrap();
    let photograph = image::load_from_memory(include_bytes!("../../../tests/fixtures/astronaut.png")).unwrap();
    let (large, small) = (photograph.to_rgb8(), photograph.resize(120, 200, imageops::FilterType::Triangle).to_rgb8());
    let path = folder.path().join("two.mp4");
    let settings = VideoSettings { width: WIDTH, height: HEIGHT, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(&path, &settings).unwrap();
    for i in 0..i64::from(FRAMES) {
        let mut frame = RgbImage::from_pixel(WIDTH, HEIGHT, image::Rgb([90, 110, 120]));
        imageops::replace(&mut frame, &large, 20, 60);
        imageops::replace(&mut frame, &small, 400 + 4 * i, 40);
        writer.write(&frame).unwrap();
    }
    writer.finish().unwrap();
    let (video, detector) = (Footage::video(path), CenterFace::load().unwrap());
    let all = FaceConfig { which: WhichFaces::All, min_size: 20, ..FaceConfig::default() };
    let courses = find_courses((&video).into(), &spec(), &all, &detector).unwrap();
    assert_eq!(courses.len(), 2);
    let read = |course| read_face_clip(&video, &spec(), None, Some(course), &all, &detector).unwrap();
    let [first, second] = [read(&courses[0]), read(&courses[1])];
    let one = FaceConfig { which: WhichFaces::Largest, ..all.clone() };
    let largest = read_face_clip(&video, &spec(), None, None, &one, &detector).unwrap();
    // Alone, it is searched for in fewer frames.
    let near = |(a, b): (&Square, &Square)| (a.left - b.left).abs() < 2.0 && (a.side - b.side).abs() < 2.0;
    assert!(largest.facts.squares.iter().zip(&first.facts.squares).all(near), "the largest comes first");
    let left = |clip: &FaceClip, at: usize| clip.facts.squares[at].left;
    assert!(left(&first, 0) < 150.0 && left(&second, 0) > 350.0);
    assert!(left(&second, 5) - left(&second, 0) > 30.0 && (left(&first, 5) - left(&first, 0)).abs() < 5.0);
    assert!(second.facts.squares[0].side < first.facts.squares[0].side);
    assert!((0..6).all(|at| eye_is_dark(&first, at) && eye_is_dark(&second, at)));
    let (frame, corners) = second.facts.first.unwrap();
    assert!(frame == 1 && corners[0] > 400.0 && corners[2] < 550.0, "{corners:?}");
    assert_eq!(find_courses((&video).into(), &spec(), &one, &detector).unwrap().len(), 1);
}

#[test]
fn every_nth_frame_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let video = Footage::video(talking_head(folder.path(), |_| Some([0, 0])));
    let detector = Fixed::new(Some([0.2, 0.1, 0.4, 0.3]));
    let clip = read_face_clip(&video, &spec(), None, None, &fixed(4), &detector).unwrap();
    assert_eq!(*detector.sizes.lock().unwrap(), [(480, 270); 2], "small pictures are searched");
    let seen: Vec<_> = clip.facts.landmarks.iter().map(Option::is_some).collect();
    assert_eq!(seen, [true, true, true, true, true, false], "between detections it is interpolated");
    let square = clip.facts.squares[0];
    assert_eq!(square, Square::upright(108.8, 44.8, 166.4), "the box of 128 pixels, times 1.3");
    let expected = ((0.2 * 640.0 - square.left) / square.side * 96.0) as f32;
    assert!((clip.facts.landmarks[0].unwrap()[0][0] - expected).abs() < 0.01);
    detector.sizes.lock().unwrap().clear();
    let clip = read_face_clip(&video, &spec(), None, None, &FaceConfig::default(), &detector).unwrap();
    assert_eq!(detector.sizes.lock().unwrap().len(), 3, "the first, the fifth and the last");
    let still = clip.facts.squares.iter().zip(&clip.facts.landmarks).all(|(other, landmarks)| {
        let eye = landmarks.map_or(0.0, |landmarks| landmarks[0][0]);
        (other.left - square.left).abs() < 1e-6 && other.side == square.side && (eye - expected).abs() < 0.01
    });
    assert!(still, "{:?}", clip.facts);
}

#[test]
fn a_video_that_is_a_crop_already_is_not_cut_again_unless_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, width: u32| {
        let path = folder.path().join(name);
        let settings = VideoSettings { width, height: 96, ..VideoSettings::default() };
        let mut writer = VideoWriter::create(&path, &settings).unwrap();
        let frame = RgbImage::from_fn(width, 96, |x, y| image::Rgb([x as u8, 2 * y as u8, 0]));
        (0..6).for_each(|_| writer.write(&frame).unwrap());
        writer.finish().unwrap();
        Footage::video(path)
    };
    let (cropped, wide) = (write("cropped.mp4", 96), write("wide.mp4", 160));
    // 67 of 96 rows, of both.
    let squares = |video: &Footage, mode: FaceMode| {
        let side = 67.0 / if *video == wide { 160.0 } else { 96.0 };
        let faces = FaceConfig { mode, ..FaceConfig::default() };
        let detector = Fixed::new(Some([0.1, 0.1, 0.1 + side, 0.1 + side]));
        let clip = read_face_clip(video, &spec(), None, None, &faces, &detector).unwrap();
        assert_eq!((clip.facts.missed, clip.facts.frames_with_face), (false, 6));
        let is_whole = clip.thwc == video::read_clip(video, &spec(), None).unwrap().thwc;
        assert_eq!(is_whole, clip.facts.squares.is_empty());
        clip.facts.squares.len()
    };
    assert_eq!([squares(&cropped, FaceMode::Auto), squares(&cropped, FaceMode::Crop)], [0, 6]);
    assert_eq!(squares(&wide, FaceMode::Auto), 6, "a close-up in a wide frame is cut out");
}

#[test]
fn landmarks_of_whole_frames_are_those_of_the_face_in_the_small_picture() {
    let folder = tempfile::tempdir().unwrap();
    let video = Footage::video(talking_head(folder.path(), |_| Some([0, 0])));
    let detector = Fixed::new(Some([0.25, 0.1, 0.4, 0.3]));
    let clip = read_with_landmarks((&video).into(), &spec(), None, None, &FaceConfig::default(), &detector).unwrap();
    assert!(clip.thwc == video::read_clip(&video, &spec(), None).unwrap().thwc);
    assert!(clip.facts.squares.is_empty());
    // At a quarter of the width, and at 64 of 360 rows.
    for landmarks in &clip.facts.landmarks {
        let [x, y] = landmarks.unwrap()[0];
        assert!((x - 24.0).abs() < 0.01 && (y - 64.0 / 360.0 * 96.0).abs() < 0.01, "{x} {y}");
    }
}

#[test]
fn a_video_without_a_face_is_skipped_with_a_reason_or_used_whole() {
    let folder = tempfile::tempdir().unwrap();
    let video = Footage::video(talking_head(folder.path(), |_| Some([0, 0])));
    let none = Fixed::new(None);
    let error = read_face_clip(&video, &spec(), None, None, &fixed(1), &none).unwrap_err();
    assert!(error.to_string().ends_with("no face was found in 6 frames"), "{error}");
    // 0.06 of 640 pixels is smaller than the limit of 40.
    let tiny = Fixed::new(Some([0.2, 0.2, 0.26, 0.26]));
    for faces in [fixed(1), FaceConfig::default()] {
        assert!(read_face_clip(&video, &spec(), None, None, &faces, &tiny).is_err());
        let faces = FaceConfig { on_miss: OnMiss::WholeFrame, ..faces };
        let clip = read_face_clip(&video, &spec(), None, None, &faces, &none).unwrap();
        assert!(clip.facts.missed && clip.facts.squares.is_empty());
        assert!(clip.thwc == video::read_clip(&video, &spec(), None).unwrap().thwc);
    }
}
