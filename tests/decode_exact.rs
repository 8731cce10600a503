//! Frame i by sampling is frame i of a full decode, bit for bit, whatever the codec, the container and the encoder's
//! settings; and colours, rotation and pictures are as they should be. Odd files come from the `ffmpeg` program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod decode_support;
mod ffmpeg_support;

use std::fs;
use std::path::{Path, PathBuf};

use decode_support::full_decode;
use dfdetect::config::Sampling;
use dfdetect::dataset::{DataError, Footage, Media};
use dfdetect::video::FrameSize;
use dfdetect::video::{self, ClipSpec};
use ffmpeg_support::ffmpeg;
use image::{Rgb, RgbImage};
use proptest::prelude::*;

fn spec(frames: usize) -> ClipSpec {
    ClipSpec::uniform(frames, 36, 48, 1)
}

fn clip(path: &Path, spec: &ClipSpec) -> Vec<Vec<u8>> {
    let clip = video::read_clip(&Footage::video(path), spec, None).unwrap_or_else(|error| panic!("{error}"));
    clip.thwc.chunks(spec.clip_bytes() / spec.frames).map(<[u8]>::to_vec).collect()
}

fn all_frames(path: &Path) -> Vec<Vec<u8>> {
    full_decode(path, 48, 36).unwrap().0.into_iter().map(|(_, frame)| frame).collect()
}

fn centres(frames: usize, wanted: usize) -> Vec<usize> {
    (0..wanted).map(|part| (2 * part + 1) * frames / (2 * wanted)).collect()
}

/// Compares clips of several lengths with the full decode, and gives back how many frames that has.
fn check(path: &Path) -> usize {
    let all = all_frames(path);
    for wanted in [1, 3, 7, all.len(), all.len() + 5] {
        let frames = clip(path, &spec(wanted));
        for (frame, number) in frames.iter().zip(centres(all.len(), wanted)) {
            let found = all.iter().position(|full| full == frame);
            assert!(*frame == all[number], "{}: {number} of {} is {found:?}", path.display(), all.len());
        }
    }
    all.len()
}

/// Every frame differs from all others.
fn source(size: &str, frames: usize) -> String {
    format!("-f lavfi -i testsrc2=s={size}:r=25,noise=alls=8:allf=t -frames:v {frames}")
}

#[test]
fn codecs_and_containers() {
    let folder = tempfile::tempdir().unwrap();
    let x264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p";
    let x265 = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=none";
    for (name, size, settings, frames) in [
        ("h264.mp4", "64x48", x264.to_owned(), 60),
        ("pyramid.mp4", "64x48", format!("{x264} -g 20 -bf 7 -x264-params b-pyramid=normal:b-adapt=0:scenecut=0"), 60),
        ("open.mp4", "64x48", format!("{x264} -g 12 -x264-params open-gop=1:b-adapt=0:scenecut=0"), 60),
        ("intra.mkv", "64x48", format!("{x264} -g 30 -x264-params intra-refresh=1"), 60),
        ("stream.ts", "64x48", format!("{x264} -g 15"), 60),
        ("h264.avi", "64x48", format!("{x264} -bf 2"), 60),
        ("odd.mkv", "63x47", format!("{x264} -pix_fmt yuv444p"), 40),
        ("deep.mp4", "64x48", format!("{x264} -pix_fmt yuv420p10le -g 16"), 40),
        ("interlaced.mp4", "64x64", format!("{x264} -g 16 -x264-params tff=1"), 40),
        ("hevc.mp4", "64x64", format!("{x265}:keyint=12:bframes=4:b-adapt=0"), 60),
        ("hevc-closed.mkv", "64x64", format!("{x265}:keyint=12:open-gop=0:b-pyramid=1"), 60),
        ("hevc-layers.mp4", "64x64", format!("{x265}:temporal-layers=1:bframes=3:b-adapt=0"), 60),
        ("vp8.webm", "64x48", "-c:v libvpx -auto-alt-ref 1 -lag-in-frames 10 -g 20 -b:v 100k".to_owned(), 60),
        (
            "vp9.webm",
            "64x48",
            "-c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 20 -g 25 -cpu-used 8 -b:v 100k".to_owned(),
            60,
        ),
        ("odd.webm", "63x47", "-c:v libvpx-vp9 -cpu-used 8 -g 20 -b:v 100k -pix_fmt yuv420p".to_owned(), 40),
        ("deep.mkv", "64x64", format!("{x265}:keyint=12:bframes=3 -pix_fmt yuv420p10le"), 40),
        ("av1.mkv", "64x64", "-c:v libsvtav1 -preset 12 -g 16".to_owned(), 40),
        ("mpeg4.mp4", "64x48", "-c:v mpeg4 -bf 2 -g 12".to_owned(), 60),
        ("packed.avi", "64x48", "-c:v mpeg4 -bf 2 -g 12 -mpv_flags 0 -vtag XVID".to_owned(), 60),
        ("mjpeg.avi", "64x48", "-c:v mjpeg -pix_fmt yuvj420p".to_owned(), 30),
        ("mpeg2.mpg", "64x48", "-c:v mpeg2video -bf 2 -g 12".to_owned(), 40),
    ] {
        let path = folder.path().join(name);
        ffmpeg(&format!("{} {settings}", source(size, frames)), &path);
        assert_eq!(check(&path), frames, "{name}");
    }
}

#[test]
fn odd_time_stamps_and_edit_lists() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    ffmpeg(&format!("{} -c:v libx264 -g 20 -pix_fmt yuv420p", source("64x48", 60)), &path);
    // Cut without decoding: the edit list hides what lies before the cut, down to the key frame.
    for (name, settings) in [("cut.mp4", "-ss 1.3"), ("both.mp4", "-ss 1.1 -t 0.6"), ("late.mp4", "-itsoffset 3")] {
        let cut = folder.path().join(name);
        ffmpeg(&format!("{settings} -i {} -c copy", path.display()), &cut);
        let frames = check(&cut);
        assert!(frames > 5 && (frames < 40 || name == "late.mp4"), "{name}: {frames}");
    }
    let variable = folder.path().join("variable.mp4");
    let select = "-vf select='not(mod(n,7))+lt(n,20)' -fps_mode vfr -c:v libx264 -pix_fmt yuv420p";
    ffmpeg(&format!("{} {select}", source("64x48", 90)), &variable);
    assert!(check(&variable) > 25);
    let negative = folder.path().join("negative.mov");
    ffmpeg(&format!("-i {} -c copy -output_ts_offset -0.5 -avoid_negative_ts disabled", path.display()), &negative);
    assert!(check(&negative) > 40);
    // Two recordings in one file; the second starts its clock anew, before the first.
    let (first, second) = (folder.path().join("first.ts"), folder.path().join("second.ts"));
    ffmpeg(&format!("-i {} -c copy -output_ts_offset 20", path.display()), &first);
    ffmpeg(&format!("{} -vf negate -c:v libx264 -g 20 -pix_fmt yuv420p", source("64x48", 30)), &second);
    fs::write(&first, [fs::read(&first).unwrap(), fs::read(&second).unwrap()].concat()).unwrap();
    assert_eq!(check(&first), 90);
}

#[test]
fn references_that_nothing_wanted_is_made_from_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let mut number = 0;
    for preset in ["ultrafast", "veryfast", "medium"] {
        for params in [
            "bframes=3:b-pyramid=normal:b-adapt=0",
            "bframes=3:b-pyramid=normal:b-adapt=0:ref=1:weightp=2",
            "bframes=8:b-pyramid=strict:ref=2:weightp=1:keyint=30",
            "bframes=5:b-pyramid=normal:ref=4:direct=temporal:weightb=1",
            "bframes=4:b-pyramid=normal:ref=1:slices=3:open-gop=1:keyint=18",
            "bframes=3:b-pyramid=normal:ref=1:interlaced=1",
            "bframes=3:b-pyramid=normal:ref=1:fake-interlaced=1",
            "bframes=0:ref=3",
        ] {
            number += 1;
            let source = format!("-f lavfi -i testsrc2=s=96x80:r=25,noise=alls=8:allf=t,rotate=n/{}", 20 + number);
            let settings = format!("-frames:v 75 -c:v libx264 -preset {preset} -pix_fmt yuv420p -x264-params {params}");
            ffmpeg(&format!("{source} {settings}"), &path);
            let all = all_frames(&path);
            for sampling in [Sampling::Uniform, Sampling::ReferenceFrames] {
                for wanted in [1, 2, 5, 9, 16] {
                    let frames = clip(&path, &ClipSpec { sampling, ..spec(wanted) });
                    let numbers: Vec<_> =
                        frames.iter().map(|frame| all.iter().position(|full| full == frame)).collect();
                    assert!(numbers.is_sorted() && numbers[0].is_some(), "{preset} {params}: {numbers:?}");
                    if sampling == Sampling::Uniform {
                        assert!(numbers.iter().flatten().copied().eq(centres(75, wanted)), "{preset} {params}");
                    }
                }
            }
        }
    }
}

/// How many frames are decoded for these.
fn decoded(path: &Path, sampling: Sampling, frames: usize) -> usize {
    let (spec, size) = (ClipSpec { sampling, ..spec(frames) }, FrameSize::LongSide(8));
    video::read_frames(&Footage::video(path), &spec, None, size, &mut drop).unwrap()
}

#[test]
fn no_more_is_decoded_than_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let make = |settings: &str| ffmpeg(&format!("{} -pix_fmt yuv420p {settings}", source("64x64", 74)), &path);
    // I b B b P b B b P ..: the B between the others is a reference. A P is made from the P before it.
    let params = "b-adapt=0:bframes=3:b-pyramid=normal:scenecut=0:ref=1:weightp=0";
    make(&format!("-c:v libx264 -x264-params {params}:keyint=250"));
    // Frame 37: I and P up to 40, the B at 38, and itself.
    assert_eq!(decoded(&path, Sampling::Uniform, 1), 13);
    assert_eq!(decoded(&path, Sampling::ReferenceFrames, 1), 10, "I and P up to 36");
    // Frames 18 and 55: I and P up to 56, the Bs at 18 and 54, frame 55.
    assert_eq!(decoded(&path, Sampling::Uniform, 2), 18);
    assert_eq!(decoded(&path, Sampling::Consecutive, 74), 74);
    // Decoding starts at 36, or at 18 and at 54.
    make(&format!("-c:v libx264 -x264-params {params}:keyint=18:open-gop=0"));
    assert_eq!(decoded(&path, Sampling::ReferenceFrames, 1), 1);
    assert_eq!(decoded(&path, Sampling::ReferenceFrames, 2), 2);
    // Frames that are no reference: three of four, but for the one that is wanted.
    make(
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:b-adapt=0:bframes=3:b-pyramid=0:scenecut=0:keyint=250",
    );
    assert_eq!(decoded(&path, Sampling::Uniform, 1), 12);
    // All refer to the one before.
    make("-c:v mpeg4 -bf 0 -g 250");
    assert_eq!(decoded(&path, Sampling::Uniform, 1), 74);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_structure_of_references(
        frames in 2_usize..70, gop in 1_usize..40, b_frames in 0_usize..8, refs in 1_usize..5, pyramid in 0_usize..3,
        open in 0_usize..2, hevc: bool, wanted in 1_usize..20,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        // x265 refuses B-frames without room for them or beyond its lookahead, and a pyramid with one reference.
        let (gop, b_frames, refs) = if hevc { (gop + 1, b_frames.min(gop).min(4), refs + 1) } else { (gop, b_frames, refs) };
        let params = format!("keyint={gop}:bframes={b_frames}:ref={refs}:open-gop={open}:b-adapt=0");
        let settings = if hevc {
            format!("-c:v libx265 -preset ultrafast -x265-params log-level=none:b-pyramid={}:{params}", pyramid.min(1))
        } else {
            format!("-c:v libx264 -preset veryfast -x264-params b-pyramid={pyramid}:{params}")
        };
        ffmpeg(&format!("{} -pix_fmt yuv420p {settings}", source("64x64", frames)), &path);
        let all = all_frames(&path);
        prop_assert_eq!(all.len(), frames);
        for sampling in [Sampling::Uniform, Sampling::RandomSegment, Sampling::Consecutive, Sampling::ReferenceFrames] {
            let spec = ClipSpec { sampling, ..spec(wanted) };
            let read = video::read_clip(&Footage::video(&path), &spec, Some(wanted as u64)).unwrap().thwc;
            let numbers: Vec<_> = read
                .chunks(spec.clip_bytes() / wanted)
                .map(|frame| all.iter().position(|full| full == frame).expect("a frame of the full decode"))
                .collect();
            prop_assert!(numbers.is_sorted(), "{numbers:?}");
            let start = frames.saturating_sub(wanted) / 2;
            match sampling {
                Sampling::Consecutive if frames >= wanted => {
                    prop_assert_eq!(numbers, (start..start + wanted).collect::<Vec<_>>());
                }
                Sampling::Uniform | Sampling::Consecutive => prop_assert_eq!(numbers, centres(frames, wanted)),
                Sampling::RandomSegment | Sampling::ReferenceFrames => {}
            }
        }
    }
}

/// What a video of one colour is read as.
fn colour_of(folder: &Path, size: &str, colour: &str, filter: &str, tags: &str) -> [u8; 3] {
    let path = folder.join("colour.mp4");
    let settings = "-c:v libx264 -qp 0 -pix_fmt yuv444p";
    ffmpeg(&format!("-f lavfi -i color={colour}:s={size}:r=25 -frames:v 2 -vf {filter} {settings} {tags}"), &path);
    clip(&path, &spec(1))[0][..3].try_into().unwrap()
}

#[test]
fn colours_are_those_of_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    for (size, filter, tags) in [
        ("64x64", "scale=out_color_matrix=bt601:out_range=tv", ""),
        ("1280x720", "scale=out_color_matrix=bt709:out_range=tv", ""),
        ("64x64", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace bt709"),
        ("1280x720", "scale=out_color_matrix=bt601:out_range=tv", "-colorspace smpte170m"),
        ("64x64", "scale=out_color_matrix=bt601:out_range=pc", "-color_range pc"),
        ("64x64", "scale=out_color_matrix=bt2020:out_range=tv", "-colorspace bt2020nc"),
    ] {
        for (colour, expected) in [("0xC83214", [200_u8, 50, 20]), ("0x0AC828", [10, 200, 40])] {
            let found = colour_of(folder.path(), size, colour, filter, tags);
            let near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 3);
            assert!(near, "{size} {filter} {tags}: {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn rotated_videos_stand_upright() {
    let folder = tempfile::tempdir().unwrap();
    let (flat, turned) = (folder.path().join("flat.mp4"), folder.path().join("turned.mp4"));
    // Red, green, blue and white quarters.
    let quarters =
        "-f lavfi -i color=red:s=32x24,pad=64:48:0:0:white,drawbox=32:0:32:24:green:fill,drawbox=0:24:32:24:blue:fill";
    ffmpeg(&format!("{quarters} -frames:v 2 -c:v libx264 -qp 5 -pix_fmt yuv420p"), &flat);
    let names = |frame: &RgbImage| {
        let (w, h) = frame.dimensions();
        [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| match frame.get_pixel(x * w / 4, y * h / 4).0.map(|v| v > 90) {
            [true, false, false] => 'r',
            [false, true, false] => 'g',
            [false, false, true] => 'b',
            [true, true, true] => 'w',
            _ => '?',
        })
    };
    let read = |path: &Path| {
        let mut frames = Vec::new();
        let mut take = |frame| frames.push(frame);
        video::read_frames(&Footage::video(path), &spec(1), None, FrameSize::Full, &mut take).unwrap();
        let info = video::probe(&Footage::video(path), &spec(1)).unwrap();
        assert_eq!((info.width, info.height), frames[0].dimensions());
        (names(&frames[0]).into_iter().collect::<String>(), frames[0].dimensions())
    };
    assert_eq!(read(&flat), ("rgbw".into(), (64, 48)));
    // What players show of it, by the quarter turns clockwise that the file asks for.
    for (degrees, expected) in [(270, ("brwg", (48, 64))), (180, ("wbgr", (64, 48))), (90, ("gwrb", (48, 64)))] {
        ffmpeg(&format!("-i {} -c copy -metadata:s:v:0 rotate={degrees}", flat.display()), &turned);
        let shown = folder.path().join("shown.png");
        ffmpeg(&format!("-i {} -frames:v 1", turned.display()), &shown);
        let shown = image::open(shown).unwrap().into_rgb8();
        let found = read(&turned);
        assert_eq!(found, (names(&shown).into_iter().collect(), shown.dimensions()), "{degrees}: as ffmpeg shows it");
        assert_eq!(found.1, expected.1);
        assert_ne!(found.0, "rgbw");
    }
}

fn reason(footage: &Footage, spec: &ClipSpec) -> String {
    match video::read_clip(footage, spec, None) {
        Err(DataError::Video { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deadline_ends_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    ffmpeg(&format!("{} -c:v libx264", source("64x48", 10)), &path);
    let spec = ClipSpec { deadline_secs: 1e-9, ..spec(3) };
    assert!(reason(&Footage::video(&path), &spec).starts_with("reading it took longer than"));
    assert!(video::probe(&Footage::video(&path), &spec).unwrap_err().to_string().contains("took longer"));
}

#[test]
fn pictures_stand_for_videos() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, level: u8| -> PathBuf {
        let path = folder.path().join(name);
        RgbImage::from_pixel(96, 72, Rgb([level, 0, 0])).save(&path).unwrap();
        path
    };
    let paths: Vec<_> = (1..=12).map(|number| write(&format!("f{number}.png"), 10 * number)).collect();
    write(".hidden.png", 255);
    fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    let levels = |footage: &Footage, frames: usize| -> Vec<u8> {
        let spec = ClipSpec { min_frames: 4, ..spec(frames) };
        let clip = video::read_clip(footage, &spec, None).unwrap().thwc;
        clip.chunks(spec.clip_bytes() / frames).map(|frame| frame[0]).collect()
    };
    let of = |path: &Path, media| Footage { path: path.to_owned(), media, root: Path::new("").into() };
    assert_eq!(levels(&of(folder.path(), Media::Folder), 4), [20, 50, 80, 110]);
    let reversed = paths.iter().rev().cloned().collect();
    assert_eq!(levels(&of(folder.path(), Media::Frames(reversed)), 4), [110, 80, 50, 20]);
    assert_eq!(levels(&of(&paths[2], Media::Picture), 4), [30; 4]);

    let few = of(folder.path(), Media::Frames(paths[..3].into()));
    assert_eq!(reason(&few, &ClipSpec { min_frames: 4, ..spec(4) }), "it has 3 frames where 4 are needed");
    let every_third = ClipSpec { min_frames: 2, skip_frames: 3, ..spec(4) };
    assert_eq!(reason(&few, &every_third), "it has 3 frames where 4 are needed", "frames 0 and 3");
    let broken = folder.path().join("broken.png");
    fs::write(&broken, &fs::read(&paths[0]).unwrap()[..60]).unwrap();
    assert!(reason(&of(&broken, Media::Picture), &spec(2)).starts_with("its picture broken.png cannot be read"));
    let video = folder.path().join("picture.mp4");
    fs::copy(&paths[0], &video).unwrap();
    assert_eq!(reason(&Footage::video(&video), &spec(2)), "this is a picture (png_pipe), not a video");
}

#[test]
fn blurred_frames_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let blur = "-vf gblur=sigma=8:enable='lt(n,15)' -c:v libx264 -qp 10 -pix_fmt yuv420p";
    ffmpeg(&format!("-f lavfi -i testsrc2=s=64x48:r=25 -frames:v 30 {blur}"), &path);
    let all = clip(&path, &spec(6));
    let sharp = clip(&path, &ClipSpec { quality_threshold: 200.0, ..spec(6) });
    assert_eq!(sharp, [3, 3, 4, 4, 5, 5].map(|frame: usize| all[frame].clone()));
    let spec = ClipSpec { quality_threshold: 200.0, min_frames: 4, ..spec(6) };
    let reason = reason(&Footage::video(&path), &spec);
    assert!(reason.starts_with("3 of 6 frames are usable where 4 are needed: 3 are blurred"), "{reason}");
}

#[test]
fn frames_that_hardly_differ_from_the_one_before_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    // Each picture is held for five frames, and two of the five are picked.
    let held = "-vf fps=5 -frames:v 30 -c:v libx264 -qp 10 -pix_fmt yuv420p";
    ffmpeg(&format!("-f lavfi -i testsrc2=s=64x48:r=1 {held}"), &path);
    let all = clip(&path, &spec(12));
    let spec = ClipSpec { duplicate_threshold: 0.5, ..spec(12) };
    let kept: Vec<_> = (0..12).map(|slot| all[slot / 2 * 2].clone()).collect();
    assert!(clip(&path, &spec) == kept);
    let reason = reason(&Footage::video(&path), &ClipSpec { min_frames: 7, ..spec });
    assert!(reason.starts_with("6 of 12 frames are usable where 7 are needed: 0 are blurred"), "{reason}");
}
