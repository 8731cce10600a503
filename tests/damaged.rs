//! Five hundred damaged files: each is read as a full decode reads it, or reported with a reason. Nothing crashes,
//! hangs or grows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod decode_support;
mod ffmpeg_support;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use decode_support::{Time, full_decode};
use dfdetect::dataset::{DataError, Footage};
use dfdetect::video::{self, ClipSpec};
use ffmpeg_support::ffmpeg;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Memory is that of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

const FILES: usize = 500;
const FRAMES: usize = 5;

fn spec() -> ClipSpec {
    ClipSpec { deadline_secs: 20.0, ..ClipSpec::uniform(FRAMES, 36, 48, 1) }
}

/// Sound videos, by extension: several codecs and containers, with the index of MP4 files behind and in front.
fn sound(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let x264 = "-c:v libx264 -preset veryfast -g 15";
    [
        ("mp4", x264.to_owned()),
        ("mp4", format!("{x264} -movflags faststart")),
        ("mkv", x264.to_owned()),
        ("ts", x264.to_owned()),
        ("mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=15 -movflags faststart".into()),
        ("mkv", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=15".into()),
        ("avi", "-c:v mpeg4 -bf 2 -g 12".into()),
        ("mp4", "-c:v mpeg4 -g 12 -movflags faststart".into()),
        ("webm", "-c:v libvpx-vp9 -cpu-used 8 -g 20 -b:v 100k".into()),
        ("avi", "-c:v mjpeg -pix_fmt yuvj420p".into()),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, (extension, settings))| {
        let path = folder.join(format!("sound{number}.{extension}"));
        let source = "-f lavfi -i testsrc2=s=64x64:r=25,noise=alls=8:allf=t -frames:v 40 -pix_fmt yuv420p";
        ffmpeg(&format!("{source} {settings}"), &path);
        (extension, fs::read(path).unwrap())
    })
    .collect()
}

/// Damages a file in one of six ways, and gives back the extension it gets.
fn damage(rng: &mut ChaCha8Rng, extension: &'static str, bytes: &mut Vec<u8>) -> &'static str {
    match rng.random_range(0..10) {
        0..3 => bytes.truncate(rng.random_range(0..bytes.len())),
        3..6 => {
            for _ in 0..rng.random_range(1..20) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        6..8 => {
            let start = rng.random_range(0..bytes.len());
            let end = (start + rng.random_range(1..2_000)).min(bytes.len());
            rng.fill(&mut bytes[start..end]);
        }
        8 => return ["mp4", "avi", "webm", "mkv", "jpg"][rng.random_range(0..5)],
        _ => {
            bytes.truncate([0, 1, 100, 5_000][rng.random_range(0..4)]);
            rng.fill(&mut bytes[..]);
        }
    }
    extension
}

#[test]
fn damaged_files_are_read_as_a_full_decode_reads_them_or_reported() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let sound = sound(folder.path());
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut read, mut reported, mut by_time_alone) = (0, 0, 0);
    for number in 0..FILES {
        let (extension, mut bytes) = sound[number % sound.len()].clone();
        let extension = damage(&mut rng, extension, &mut bytes);
        let path = folder.path().join(format!("{number}.{extension}"));
        fs::write(&path, bytes).unwrap();
        match video::read_clip(&Footage::video(&path), &spec(), None) {
            Ok(clip) => {
                let (all, times) = full_decode(&path, 48, 36).expect("what was read can be decoded");
                let frames: Vec<_> = clip.thwc.chunks(spec().clip_bytes() / FRAMES).collect();
                let is = |expected: Option<Vec<&[u8]>>| expected.is_some_and(|expected| expected == frames);
                let counted = is(by_count(&all));
                assert!(counted || is(by_time(&all, times)), "{}: not the frames of a full decode", path.display());
                by_time_alone += usize::from(!counted);
                read += 1;
            }
            Err(DataError::Video { reason, .. }) => {
                assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
                assert!(!reason.contains("took longer"), "{}: {reason}", path.display());
                reported += 1;
            }
            Err(other) => panic!("{other}"),
        }
        fs::remove_file(path).unwrap();
    }
    assert!(read > FILES / 5 && reported > FILES / 5, "{read} were read, {reported} reported");
    assert!(by_time_alone < read / 10, "{by_time_alone} of {read} are found by their time alone");
}

fn centres(frames: usize) -> impl Iterator<Item = usize> {
    (0..FRAMES).map(move |part| (2 * part + 1) * frames / (2 * FRAMES))
}

/// Evenly spaced among the frames that a full decode gives.
fn by_count(all: &[(Time, Vec<u8>)]) -> Option<Vec<&[u8]>> {
    centres(all.len()).map(|frame| Some(all.get(frame)?.1.as_slice())).collect()
}

/// Evenly spaced among the times that the file tells: where a full decode loses a frame, the others keep their number.
fn by_time(all: &[(Time, Vec<u8>)], times: Vec<Time>) -> Option<Vec<&[u8]>> {
    let mut times = times.into_iter().collect::<Option<Vec<_>>>()?;
    times.sort_unstable();
    let frame = |time: i64| Some(all.iter().find(|(shown, _)| *shown == Some(time))?.1.as_slice());
    centres(times.len()).map(|number| frame(*times.get(number)?)).collect()
}

#[test]
fn memory_stays_flat_over_many_files() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let sound = sound(folder.path());
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let paths: Vec<_> = (0..40)
        .map(|number| {
            let (extension, mut bytes) = sound[number % sound.len()].clone();
            // Every second one is damaged: what fails must give back all it took, too.
            let extension = if number % 20 < 10 { extension } else { damage(&mut rng, extension, &mut bytes) };
            let path = folder.path().join(format!("{number}.{extension}"));
            fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    let open = |count: usize| {
        for number in 0..count {
            let _clip = video::read_clip(&Footage::video(&paths[number % paths.len()]), &spec(), None);
        }
    };
    open(100);
    let before = resident_kib();
    open(400);
    let grown = resident_kib() - before;
    // A frame of these videos is 6 KiB, a decoder some 100 KiB: one forgotten in a hundred files would show.
    assert!(grown < 6 * 1024, "{grown} KiB more after 400 files");
}

fn resident_kib() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
