//! A clip that is read by a kept packet table is that of a full scan, bit for bit, and reads only what it needs of the
//! file. Odd files come from the `ffmpeg` program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ffmpeg_support;

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dfdetect::clip::{ClipCache, ClipSource, DiskCache, Prepared, prepare};
use dfdetect::config::{DataConfig, Roots, Sampling};
use dfdetect::dataset::{DataError, Footage};
use dfdetect::video::{self, ClipSpec, FrameSize, HeldClip, PacketTables, ReadFrames, VideoInput};
use ffmpeg_support::ffmpeg;

/// Keeps a table in memory, and counts how often a scan makes one.
#[derive(Default)]
struct Kept {
    table: RefCell<Option<Vec<u8>>>,
    scans: Cell<usize>,
}

impl PacketTables for Kept {
    fn keeps(&self, _: u64) -> bool {
        true
    }

    fn table(&self) -> Option<Vec<u8>> {
        self.table.borrow().clone()
    }

    fn keep_table(&self, table: Vec<u8>) {
        self.scans.set(self.scans.get() + 1);
        self.table.replace(Some(table));
    }
}

impl Kept {
    fn of(path: &Path) -> Self {
        let kept = Self::default();
        video::probe(VideoInput::with_tables(&Footage::video(path), &kept), &spec(1)).unwrap();
        kept
    }

    fn clip(&self, path: &Path, spec: &ClipSpec, draw: u64) -> Result<ReadFrames, DataError> {
        video::read_clip(VideoInput::with_tables(&Footage::video(path), self), spec, Some(draw))
    }
}

fn spec(frames: usize) -> ClipSpec {
    ClipSpec { sampling: Sampling::RandomSegment, ..ClipSpec::uniform(frames, 36, 48, 1) }
}

fn source(size: &str, frames: usize) -> String {
    format!("-f lavfi -i testsrc2=s={size}:r=25,noise=alls=8:allf=t -frames:v {frames}")
}

/// What `work` returns, and how many bytes this thread read meanwhile.
fn bytes_read<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let count = || {
        let io = fs::read_to_string("/proc/thread-self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse::<u64>().unwrap()
    };
    let before = count();
    let result = work();
    (result, count() - before)
}

/// Compares clips with and without a table. Returns how often the file was scanned with one.
fn check(path: &Path) -> usize {
    let (kept, footage) = (Kept::default(), Footage::video(path));
    for sampling in [Sampling::RandomSegment, Sampling::Consecutive, Sampling::ReferenceFrames] {
        for (draw, frames) in [1, 3, 8, 90].into_iter().enumerate() {
            let spec = ClipSpec { sampling, ..spec(frames) };
            let scanned = video::read_clip(&footage, &spec, Some(draw as u64)).unwrap();
            assert!(kept.clip(path, &spec, draw as u64).unwrap() == scanned, "{} {spec:?}", path.display());
        }
    }
    let tabled = video::probe(VideoInput::with_tables(&footage, &kept), &spec(1)).unwrap();
    assert_eq!(tabled, video::probe(&footage, &spec(1)).unwrap());
    kept.scans.get()
}

#[test]
fn clips_by_a_table_are_those_of_a_scan() {
    let folder = tempfile::tempdir().unwrap();
    let x264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p";
    let x265 = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=none";
    for (name, settings, tables) in [
        ("pyramid.mp4", format!("{x264} -g 20 -bf 7 -x264-params b-pyramid=normal:b-adapt=0:scenecut=0"), 1),
        ("open.mp4", format!("{x264} -g 12 -x264-params open-gop=1:b-adapt=0:scenecut=0"), 1),
        ("slices.mp4", format!("{x264} -g 30 -x264-params slices=3:weightp=2:ref=3"), 1),
        ("fast.mov", format!("{x264} -g 15 -movflags +faststart"), 1),
        ("pieces.mp4", format!("{x264} -g 15 -movflags +frag_keyframe+empty_moov"), 1),
        ("sound.mp4", format!("{x264} -g 15 -c:a aac -shortest"), 1),
        ("h264.mkv", format!("{x264} -g 20 -x264-params b-pyramid=none"), 1),
        ("sound.mkv", format!("{x264} -g 15 -x264-params b-pyramid=none -c:a aac -shortest"), 1),
        ("vp9.webm", "-c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 20 -g 25 -cpu-used 8 -b:v 100k".into(), 1),
        ("av1.mkv", "-c:v libsvtav1 -preset 12 -g 16".into(), 1),
        ("hevc.mp4", format!("{x265}:keyint=12:bframes=4:b-adapt=0"), 1),
        ("mjpeg.avi", "-c:v mjpeg -pix_fmt yuvj420p".into(), 1),
        // Their packets lie in pieces.
        ("stream.ts", format!("{x264} -g 15"), 0),
        ("mpeg2.mpg", "-c:v mpeg2video -bf 2 -g 12".into(), 0),
        // Matroska has no decoding times, and FFmpeg's guesses go back where B-frames refer to B-frames.
        ("pyramid.mkv", format!("{x264} -g 20 -bf 7 -x264-params b-pyramid=normal:b-adapt=0:scenecut=0"), 0),
        // Not every packet is a frame with a time.
        ("h264.avi", format!("{x264} -bf 0 -g 20"), 0),
        ("packed.avi", "-c:v mpeg4 -bf 2 -g 12 -mpv_flags 0 -vtag XVID".into(), 0),
        ("vp8.webm", "-c:v libvpx -auto-alt-ref 1 -lag-in-frames 10 -g 20 -b:v 100k".into(), 0),
    ] {
        let path = folder.path().join(name);
        let sound = if name.starts_with("sound") { "-f lavfi -i sine=r=16000" } else { "" };
        ffmpeg(&format!("{sound} {} {settings}", source("64x64", 75)), &path);
        assert_eq!(check(&path), tables, "{name}");
    }
}

#[test]
fn hidden_frames_and_turned_videos_are_the_same_by_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    ffmpeg(&format!("{} -c:v libx264 -g 20 -pix_fmt yuv420p", source("64x48", 60)), &path);
    for (name, before, after) in [("cut.mp4", "-ss 1.3", ""), ("turned.mp4", "", "-metadata:s:v:0 rotate=90")] {
        let changed = folder.path().join(name);
        ffmpeg(&format!("{before} -i {} -c copy {after}", path.display()), &changed);
        assert_eq!(check(&changed), 1, "{name}");
    }
    let (turned, kept) = (Footage::video(folder.path().join("turned.mp4")), Kept::default());
    let (two, small) = (spec(2), FrameSize::LongSide(32));
    for _ in 0..2 {
        let held = HeldClip::read(VideoInput::with_tables(&turned, &kept), &two, None, small).unwrap();
        assert_eq!(held.size(), [48, 64]);
    }
    assert_eq!(kept.scans.get(), 1);
}

#[test]
fn a_damaged_video_is_the_same_by_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    ffmpeg(&format!("{} -c:v libx264 -g 20 -pix_fmt yuv420p", source("64x64", 60)), &path);
    let good = fs::read(&path).unwrap();
    for at in [good.len() / 4, good.len() / 2] {
        let mut bad = good.clone();
        bad[at..at + 40].fill(0x5a);
        fs::write(&path, bad).unwrap();
        // That a frame cannot be decoded is no reason to scan the file again.
        assert_eq!(check(&path), 1);
    }
}

/// FFmpeg returns frames of such files in another order than that of their times.
#[test]
fn frames_that_are_decoded_out_of_their_order_keep_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let x264 = "-c:v libx264 -pix_fmt yuv420p -g 20";
    for (name, settings, times) in [
        ("swapped.mp4", "-bf 0", "pts='if(lt(N,20),PTS+(40/25)/TB,PTS)':dts=DTS"),
        ("decoding.mp4", "-bf 3 -x264-params b-adapt=0:scenecut=0", "pts=DTS"),
    ] {
        ffmpeg(&format!("{} {x264} {settings}", source("64x64", 40)), &path);
        let changed = folder.path().join(name);
        ffmpeg(&format!("-i {} -c copy -bsf:v setts={times} -use_editlist 0", path.display()), &changed);
        let footage = Footage::video(&changed);
        for frames in [3, 4, 40] {
            let uniform = ClipSpec { sampling: Sampling::Uniform, ..spec(frames) };
            let clip = video::read_clip(&footage, &uniform, None).unwrap().thwc;
            let (mut one_by_one, size) = (Vec::new(), FrameSize::Exact { height: 36, width: 48 });
            video::read_frames(&footage, &uniform, None, size, &mut |frame| one_by_one.extend(frame.into_raw()))
                .unwrap();
            assert!(clip == one_by_one, "{name}, {frames} frames");
        }
        check(&changed);
    }
}

#[test]
fn colours_that_ffmpeg_does_not_name_are_no_reason_to_fail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    let colours = "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m";
    ffmpeg(&format!("{} -c:v mjpeg -pix_fmt yuvj420p {colours}", source("64x64", 20)), &path);
    let read = || video::read_clip(&Footage::video(&path), &spec(2), None).unwrap();
    let (expected, mut bytes) = (read(), fs::read(&path).unwrap());
    // The numbers of matrix, transfer and primaries of Matroska, each of one byte.
    for element in [0xb1, 0xba, 0xbb] {
        let at = bytes.windows(3).position(|window| window == [0x55, element, 0x81]).unwrap();
        bytes[at + 3] = 200;
    }
    fs::write(&path, bytes).unwrap();
    assert!(read() == expected, "a matrix without a name counts as that of standard definition");
    check(&path);
}

#[test]
fn the_table_of_another_file_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.mp4"), folder.path().join("b.mp4"));
    for (path, filter) in [(&first, "null"), (&second, "negate")] {
        ffmpeg(&format!("{} -vf {filter} -c:v libx264 -g 20 -pix_fmt yuv420p", source("64x64", 60)), path);
    }
    let kept = Kept::of(&first);
    let expected = video::read_clip(&Footage::video(&second), &spec(3), Some(1)).unwrap();
    assert!(kept.clip(&second, &spec(3), 1).unwrap() == expected);
    assert_eq!(kept.scans.get(), 2);

    // The same size and time, and even the same headers: only the packets tell.
    let (kept, modified) = (Kept::of(&first), fs::metadata(&first).unwrap().modified().unwrap());
    let mut bytes = fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 30].fill(0x5a);
    fs::write(&first, bytes).unwrap();
    File::options().write(true).open(&first).unwrap().set_modified(modified).unwrap();
    let all = ClipSpec { sampling: Sampling::Uniform, ..spec(60) };
    let expected = video::read_clip(&Footage::video(&first), &all, None).unwrap();
    assert!(kept.clip(&first, &all, 1).unwrap() == expected);
    assert_eq!(kept.scans.get(), 2);
}

#[test]
fn a_table_also_knows_that_a_video_is_too_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    ffmpeg(&format!("{} -c:v libx264 -pix_fmt yuv420p", source("64x64", 6)), &path);
    let (kept, long) = (Kept::of(&path), ClipSpec { min_frames: 7, ..spec(2) });
    let reason = |read: Result<ReadFrames, DataError>| read.unwrap_err().to_string();
    let scanned = reason(video::read_clip(&Footage::video(&path), &long, None));
    assert!(scanned.contains("it has 6 frames where 7 are needed"), "{scanned}");
    assert_eq!(reason(kept.clip(&path, &long, 1)), scanned);
}

/// More than the 16 MiB above which the cache keeps tables, in 40 groups of pictures.
fn large(path: &Path) -> u64 {
    let settings = "-c:v libx264 -preset ultrafast -qp 14 -g 10 -bf 2 -pix_fmt yuv420p";
    ffmpeg(&format!("-f lavfi -i testsrc2=s=320x240:r=25,noise=alls=40:allf=t -frames:v 400 {settings}"), path);
    let bytes = fs::metadata(path).unwrap().len();
    assert!(bytes > 17 << 20, "{bytes}");
    bytes
}

#[test]
fn a_large_video_is_read_only_where_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    // Before the first packet, FFmpeg analyses up to 5 MB of a Matroska file.
    for (name, part) in [("a.mp4", 15), ("a.mkv", 4)] {
        let path = folder.path().join(name);
        let file_bytes = large(&path);
        let (expected, scanned) = bytes_read(|| video::read_clip(&Footage::video(&path), &spec(2), Some(5)).unwrap());
        let kept = Kept::of(&path);
        let (clip, by_table) = bytes_read(|| kept.clip(&path, &spec(2), 5).unwrap());
        assert!(clip == expected && kept.scans.get() == 1, "{name}");
        // Two of 40 groups of pictures, and the headers.
        assert!(scanned > file_bytes && by_table < file_bytes / part, "{name}: {by_table} of {scanned} bytes");
    }
}

#[test]
fn a_later_run_does_not_scan_a_video_that_the_cache_has_a_table_of() {
    let (root, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for class in ["real", "fake"] {
        fs::create_dir(root.path().join(class)).unwrap();
    }
    let file_bytes = large(&root.path().join("real/a.mp4"));
    fs::copy(root.path().join("real/a.mp4"), root.path().join("fake/b.mp4")).unwrap();
    let data = DataConfig { root: Roots::one(root.path()), ..DataConfig::default() };
    let manifest = dfdetect::dataset::scan(&data).unwrap();
    let probed = |cache: ClipCache, frames| {
        let source = ClipSource::new(&manifest, spec(frames), Arc::new(cache));
        bytes_read(|| prepare(&source, &[0], |_| true, 1, &AtomicBool::new(false)))
    };
    let disk = || ClipCache::new(0, Some(DiskCache::open(folder.path(), u64::MAX)));
    let (first, scanned) = probed(disk(), 4);
    let (second, by_table) = probed(disk(), 8);
    assert_eq!((&first, &first), (&second, &vec![(0, Prepared::Probed)]));
    assert!(scanned > file_bytes && by_table < file_bytes / 20, "{by_table} of {scanned} bytes");
}

#[test]
fn a_table_that_could_not_be_used_is_replaced_on_disk() {
    let (root, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, class) in [("a.mp4", "real"), ("b.mp4", "fake")] {
        fs::create_dir(root.path().join(class)).unwrap();
        fs::write(root.path().join(class).join(name), name).unwrap();
    }
    let data = DataConfig { root: Roots::one(root.path()), ..DataConfig::default() };
    let manifest = dfdetect::dataset::scan(&data).unwrap();
    let cache = ClipCache::new(0, Some(DiskCache::open(folder.path(), u64::MAX)));
    let source = ClipSource::new(&manifest, spec(1), Arc::new(cache));
    let notes = source.notes(0);
    for table in [vec![1; 9], vec![2; 30]] {
        notes.keep_table(table.clone());
        assert_eq!(notes.table(), Some(table));
    }
}
