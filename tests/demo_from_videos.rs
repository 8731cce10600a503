//! `demo-data --from`: what a folder of real videos becomes. The face is a red disc that a scripted detector finds.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use dfdetect::config::{DataConfig, Roots};
use dfdetect::dataset::{Footage, Label, Split, assign_splits, scan};
use dfdetect::demo::{DemoError, Summary, VideoSettings, VideoWriter, make_from};
use dfdetect::face::{Face, FaceDetector};
use dfdetect::video::ClipSpec;
use dfdetect::video::probe;
use image::RgbImage;

/// Where the red is.
struct RedDisc;

impl FaceDetector for RedDisc {
    fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String> {
        let face = |frame: &RgbImage| {
            let is_red = |pixel: &image::Rgb<u8>| pixel[0] > 150 && pixel[0] > pixel[2].saturating_add(60);
            let red: Vec<_> = frame.enumerate_pixels().filter(|(.., pixel)| is_red(pixel)).collect();
            if red.len() < 500 {
                return Vec::new();
            }
            let [x, y] = [0, 1].map(|axis| {
                let sum: u32 = red.iter().map(|(x, y, _)| [*x, *y][axis]).sum();
                sum as f32 / red.len() as f32
            });
            let r = (red.len() as f32 / std::f32::consts::PI).sqrt();
            let at = |dx: f32, dy: f32| [x + dx * r, y + dy * r];
            let landmarks = [at(-0.4, -0.2), at(0.4, -0.2), at(0.0, 0.1), at(-0.35, 0.5), at(0.35, 0.5)];
            vec![Face { corners: [x - r, y - r, x + r, y + r], score: 0.9, landmarks }]
        };
        Ok(frames.iter().map(face).collect())
    }
}

/// A textured room, and in it a red disc with some detail that moves a little.
fn film(path: &Path, frames: usize, with_face: bool, shade: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let settings = VideoSettings { width: 240, height: 180, crf: 14, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(path, &settings).unwrap();
    for frame in 0..frames {
        let (x0, y0) = (110.0 + frame as f32 * 0.2, 90.0 + (frame as f32 * 0.3).sin() * 3.0);
        let picture = RgbImage::from_fn(240, 180, |x, y| {
            let (dx, dy) = (x as f32 - x0, y as f32 - y0);
            let wave = ((dx * 0.9).sin() * (dy * 0.7).cos() * 20.0) as i16;
            if with_face && dx.hypot(dy) < 38.0 {
                image::Rgb([(205 + wave) as u8, (105 + wave) as u8, (85 + wave) as u8])
            } else {
                let room = ((x / 6 + y / 9) % 5 * 14) as u8 + shade;
                image::Rgb([room, room.saturating_add(15), room.saturating_add(25)])
            }
        });
        writer.write(&picture).unwrap();
    }
    writer.finish().unwrap();
}

fn make(output: &Path, from: &Path, videos: usize, seed: u64) -> Result<Summary, DemoError> {
    make_from(output, from, videos, seed, &RedDisc, &AtomicBool::new(false))
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files =
        walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    files.map(|file| (file.path().strip_prefix(folder).unwrap().to_owned(), fs::read(file.path()).unwrap())).collect()
}

/// What x264 writes into a file about its settings.
fn encoder_settings(file: &[u8]) -> &[u8] {
    let start = file.windows(9).position(|bytes| bytes == b"x264 - co").unwrap();
    file[start..].split(|byte| *byte == 0).next().unwrap()
}

#[test]
fn six_videos_become_pairs_that_only_the_blend_tells_apart_and_people_stay_on_one_side() {
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join("from");
    for (i, name) in ["a.mp4", "b.mp4", "deep/er/c.mp4", "d.mp4", "e.MOV.mp4", "z.mp4"].iter().enumerate() {
        film(&from.join(name), 120, true, 20 + 20 * i as u8);
    }
    film(&from.join("nobody.mp4"), 30, false, 60);
    film(&from.join("short.mp4"), 9, true, 60);
    film(&from.join(".hidden.mp4"), 30, true, 60);
    fs::write(from.join("damaged.mp4"), "this is no video").unwrap();
    fs::write(from.join("notes.txt"), "nor is this").unwrap();

    let output = home.path().join("set");
    let summary = make(&output, &from, 36, 7).unwrap();
    assert_eq!((summary.videos, summary.real, summary.fake, summary.people), (36, 18, 18, 6));
    let footage = summary.footage.as_ref().unwrap();
    assert!(!footage.people_shared);
    let left_out: Vec<_> = footage.left_out.iter().map(|video| video.path.to_str().unwrap()).collect();
    assert_eq!(left_out, ["damaged.mp4", "nobody.mp4", "short.mp4"]);
    assert!(footage.left_out[1].reason.contains("no face") && footage.left_out[2].reason.contains("9 frames"));
    for cue in &summary.cues {
        let same_for_both = ["duration", "resolution"].contains(&cue.cue.as_str());
        assert!(cue.auc <= if same_for_both { 0.5 } else { 0.6 }, "{cue:?}");
    }

    let made = contents(&output);
    let named = |start: &str| {
        let names = made.keys().filter_map(|path| path.strip_prefix(start).ok());
        names.map(Path::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(named("real"), named("fake/self_blend"));
    assert_eq!(named("real")[..2], ["id000_clip1.mp4", "id000_clip2.mp4"].map(PathBuf::from));
    assert_eq!(named("").len(), 36 + 4);
    let mut larger = 0.0;
    for name in named("real") {
        let [real, fake] = ["real", "fake/self_blend"].map(|class| Path::new(class).join(&name));
        assert_eq!(encoder_settings(&made[&real]), encoder_settings(&made[&fake]));
        assert!(made[&real] != made[&fake]);
        larger += made[&fake].len() as f64 / made[&real].len() as f64 - 1.0;
        let info = |path| probe(&Footage::video(output.join(path)), &ClipSpec::uniform(1, 1, 1, 1)).unwrap();
        let (real, fake) = (info(real), info(fake));
        assert_eq!((real.frames, real.width, real.height), (fake.frames, 256, 256));
        assert!(real.frames >= 16);
    }
    // At a constant quality, fakes would be smaller.
    assert!((larger / 18.0).abs() < 0.01, "{}", larger / 18.0);
    let table = String::from_utf8_lossy(&made[Path::new("sources.csv")]).into_owned();
    assert!(table.contains("fake/self_blend/id004_clip1.mp4,deep/er/c.mp4,") && table.lines().count() == 19, "{table}");

    split_keeps_people_together(&output);
    let again = home.path().join("again");
    make(&again, &from, 36, 7).unwrap();
    assert!(contents(&again) == made, "the same seed gave other bytes");
}

fn split_keeps_people_together(output: &Path) {
    let config = DataConfig { root: Roots::one(output), ..DataConfig::default() };
    let mut manifest = scan(&config).unwrap();
    assign_splits(&mut manifest, &DataConfig { val_split: 0.2, test_split: 0.2, ..DataConfig::default() }, 1).unwrap();
    let mut sides: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for video in &manifest.videos {
        let person = video.path.file_stem().unwrap().to_str().unwrap().split('_').next().unwrap();
        sides.entry(person).or_default().insert(video.split);
    }
    assert_eq!(sides.len(), 6);
    assert!(sides.values().all(|sides| sides.len() == 1), "{sides:?}");
    for split in [Split::Train, Split::Val, Split::Test] {
        assert_eq!(manifest.count(split, Label::Real), manifest.count(split, Label::Fake));
    }
}

#[test]
fn one_video_is_enough_to_try_it_and_the_set_says_what_that_is_worth() {
    let home = tempfile::tempdir().unwrap();
    let [from, output] = ["from", "set"].map(|name| home.path().join(name));
    film(&from.join("only.mp4"), 100, true, 50);
    let summary = make(&output, &from, 160, 1).unwrap();
    assert_eq!((summary.videos, summary.people), (12, 1));
    assert!(summary.footage.unwrap().people_shared);
    assert!(fs::read_to_string(output.join("README.txt")).unwrap().contains("same people are on both sides"));
    let mut manifest = scan(&DataConfig { root: Roots::one(&output), ..DataConfig::default() }).unwrap();
    assign_splits(&mut manifest, &DataConfig { val_split: 0.2, test_split: 0.2, ..DataConfig::default() }, 1).unwrap();
    assert!(manifest.count(Split::Test, Label::Fake) > 0);
    // What is there is not overwritten.
    let before = contents(&output);
    assert!(make(&output, &from, 160, 1).unwrap_err().to_string().contains("not empty"));
    assert!(contents(&output) == before);
}

#[test]
fn what_cannot_be_done_is_said_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let [from, output] = ["from", "set"].map(|name| home.path().join(name));
    fs::create_dir(&from).unwrap();
    let refused = |videos, part: &str| {
        let error = make(&output, &from, videos, 1).unwrap_err();
        assert!(error.to_string().contains(part) && error.to_string().contains("hint: "), "{error}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "something is left behind");
    };
    refused(8, "no videos in it");
    film(&from.join("nobody.mp4"), 40, false, 60);
    refused(8, "nobody.mp4: no face");
    film(&from.join("short.mp4"), 40, true, 60);
    refused(8, "2 parts with a face, 4 are needed");
    refused(7, "found 7 videos");
    let missing = make(&output, &home.path().join("nowhere"), 8, 1).unwrap_err();
    assert!(missing.to_string().contains("nowhere"), "{missing}");
    let stopped = make_from(&output, &from, 8, 1, &RedDisc, &AtomicBool::new(true)).unwrap_err();
    assert!(matches!(stopped, DemoError::Interrupted), "{stopped}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

/// A detector that asks to stop once it is used: the user's Ctrl-C while a video is at work.
struct Impatient<'a>(&'a AtomicBool);

impl FaceDetector for Impatient<'_> {
    fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String> {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        RedDisc.detect(frames)
    }
}

#[test]
fn an_interrupt_on_the_way_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let [from, output] = ["from", "set"].map(|name| home.path().join(name));
    film(&from.join("a.mp4"), 100, true, 60);
    let stop = AtomicBool::new(false);
    let stopped = make_from(&output, &from, 8, 1, &Impatient(&stop), &stop).unwrap_err();
    assert!(matches!(stopped, DemoError::Interrupted), "{stopped}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}
