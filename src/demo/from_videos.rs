//! Makes a set from real videos: segments of them as real, and the same segments with self-blended faces as fake. Finds
//! no faces; that is `source_videos.rs`. How a face is blended is in `clip`.
//!
//! Both classes are the same square around the face, resized and encoded alike, so that only the blend separates them.
//! A square instead of whole frames keeps the set small, and makes it trainable with the settings of the synthetic set,
//! without a face detector.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use image::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::contact_sheet::{self, ROWS, THUMBNAILS, Thumbnail, thumbnail};
use super::cues::{VideoMeasurements, cues};
use super::encode::{VideoSettings, VideoWriter};
use super::error::{DemoError, io_error};
use super::folder;
use super::source_videos::{self, SIDE, Segment};
use super::summary::{LeftOut, Summary, UsedFootage};
use super::video_list::{MAX_VIDEOS, MIN_VIDEOS};
use crate::clip::{Direction, Recipe};
use crate::dataset::{DataError, Footage};
use crate::face::{Face, FaceDetector};
use crate::progress::Bar;
use crate::video::{self, ClipSpec, FrameSize};

/// Version of the generator; increases when the same seed and videos give other bytes.
const VERSION: u32 = 3;
/// With fewer source videos, a split by person has too few groups.
const MIN_SOURCES: usize = 6;
/// Quality of the first encoding of a real video, which sets the bit rate of its pair.
const CRF: u32 = 20;
const REAL: &str = "real";
const FAKE: &str = "fake/self_blend";
const CONTENTS: [&str; 5] = [REAL, "fake", "preview.png", "README.txt", "sources.csv"];

/// The note for users where the parts of one video count as different people.
pub const PEOPLE_SHARED: &str = "the same people are on both sides of any split: there were fewer than 6 videos, \
    too few for a split by person, so that \
    each part counts as a person of its own. A test on this shows that everything works, not how good the detector is.";

/// A segment and its self-blended copy, written under the number of the pair.
struct Pair {
    source: usize,
    first_frame: usize,
    measured: [VideoMeasurements; 2],
}

/// Makes a set of up to `videos` videos in `folder`, which must not exist or be empty, from the videos below `from`;
/// `stop` ends it early. Short source videos give a smaller set; the summary has its size.
///
/// # Errors
/// There are no usable videos, the folder is in use or cannot be written, or the detector or FFmpeg fails. Nothing is
/// left behind.
pub fn make_from(
    folder: &Path,
    from: &Path,
    videos: usize,
    seed: u64,
    detector: &dyn FaceDetector,
    stop: &AtomicBool,
) -> Result<Summary, DemoError> {
    if !(MIN_VIDEOS..=MAX_VIDEOS).contains(&videos) {
        return Err(DemoError::Videos(videos));
    }
    if !folder::is_free(folder)? {
        return Err(folder::occupied(
            folder,
            "the folder is not empty".into(),
            "choose a new or empty folder as --output",
        ));
    }
    let sources = source_videos::list(from)?;
    if sources.is_empty() {
        return Err(unusable(
            from,
            "there are no videos in it".into(),
            "name a folder with videos of faces (mp4, avi, mov, mkv, webm, ...), at any depth",
        ));
    }
    let staging = folder::staging(folder)?;
    folder::create(staging.path(), REAL)?;
    folder::create(staging.path(), FAKE)?;
    let writer = PairWriter { home: staging.path(), from, seed, detector, stop };
    let (pairs, left_out) = writer.pairs(&sources, videos / 2)?;
    if pairs.len() < MIN_VIDEOS / 2 {
        return Err(too_little(from, &sources, &pairs, &left_out));
    }

    let used = pairs.chunk_by(|a, b| a.source == b.source).count();
    let people_shared = used < MIN_SOURCES;
    let names = rename_pairs(staging.path(), &pairs, people_shared)?;
    let measured: Vec<_> = pairs.iter().flat_map(|pair| pair.measured.clone()).collect();
    let footage = UsedFootage { from: from.to_owned(), videos: used, people_shared, left_out };
    let summary = Summary {
        version: VERSION,
        seed,
        videos: measured.len(),
        real: pairs.len(),
        fake: pairs.len(),
        people: used,
        bytes: measured.iter().map(|video| video.file_bytes).sum(),
        cues: cues(&measured),
        footage: Some(footage.clone()),
    };
    contact_sheet::write(&staging.path().join("preview.png"), &preview_rows(staging.path(), &names)?)?;
    folder::write(staging.path(), "sources.csv", &sources_csv(&sources, &pairs, &names))?;
    folder::write(staging.path(), "README.txt", &readme(&summary, &footage))?;
    folder::publish(staging, folder, &CONTENTS, &summary)?;
    Ok(summary)
}

fn unusable(from: &Path, found: String, hint: &str) -> DemoError {
    DemoError::Footage { folder: from.to_owned(), found, hint: hint.to_owned() }
}

fn too_little(from: &Path, sources: &[PathBuf], pairs: &[Pair], left_out: &[LeftOut]) -> DemoError {
    let mut found = match pairs.len() {
        0 => format!("none of its {} videos shows a face that can be used", sources.len()),
        some => format!("its {} videos give {some} parts with a face, {} are needed", sources.len(), MIN_VIDEOS / 2),
    };
    for LeftOut { path, reason } in left_out.iter().take(3) {
        let _ = write!(found, "\n  {}: {reason}", path.display());
    }
    let frames = source_videos::MIN_FRAMES * MIN_VIDEOS / 2;
    unusable(
        from,
        found,
        &format!("add videos in which a face is large and seen from the front, {frames} frames in all at least"),
    )
}

/// What all steps need.
struct PairWriter<'a> {
    home: &'a Path,
    from: &'a Path,
    seed: u64,
    detector: &'a dyn FaceDetector,
    stop: &'a AtomicBool,
}

impl PairWriter<'_> {
    /// Writes up to `wanted` pairs. Each video gives its share of the pairs that are still missing, so that later
    /// videos compensate for those that are short or have no face.
    fn pairs(&self, sources: &[PathBuf], wanted: usize) -> Result<(Vec<Pair>, Vec<LeftOut>), DemoError> {
        let (mut pairs, mut left_out) = (Vec::new(), Vec::new());
        let bar = Bar::new("demo data", sources.len() as u64, (sources.len() as u64 / 4).max(1));
        for (source, path) in sources.iter().enumerate() {
            self.check_stop()?;
            let share = (wanted - pairs.len()).div_ceil(sources.len() - source);
            if share == 0 {
                left_out.push(LeftOut { path: path.clone(), reason: "there are enough videos already".into() });
                continue;
            }
            match source_videos::segments(&self.from.join(path), share, self.detector)? {
                Ok(segments) => pairs.extend(self.write_all(source, &segments, pairs.len())?),
                Err(reason) => {
                    tracing::warn!("{} is left out: {reason}", path.display());
                    left_out.push(LeftOut { path: path.clone(), reason });
                }
            }
            bar.advance(1, || format!("{}: {} pairs so far", path.display(), pairs.len()));
        }
        Ok((pairs, left_out))
    }

    /// Writes the pairs of one video on all cores, numbered from `first_pair`.
    fn write_all(&self, source: usize, segments: &[Segment], first_pair: usize) -> Result<Vec<Pair>, DemoError> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(segments.len());
        let next = AtomicUsize::new(0);
        let (home, seed, stop) = (self.home, self.seed, self.stop);
        let work = || {
            let mut written = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(segment) = segments.get(number) else { return Ok(written) };
                let measured = write_pair(home, segment, first_pair + number, seed, stop)?;
                written.push((number, Pair { source, first_frame: segment.first_frame, measured }));
            }
        };
        let written = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
            joined.collect::<Result<Vec<_>, DemoError>>()
        })?;
        let mut written: Vec<_> = written.into_iter().flatten().collect();
        written.sort_by_key(|(number, _)| *number);
        Ok(written.into_iter().map(|(_, pair)| pair).collect())
    }

    fn check_stop(&self) -> Result<(), DemoError> {
        if self.stop.load(Ordering::Relaxed) { Err(DemoError::Interrupted) } else { Ok(()) }
    }
}

/// The path of a video of a pair until all names are known.
fn draft_path(home: &Path, class: &str, pair: usize) -> PathBuf {
    home.join(class).join(format!("{pair}.mp4"))
}

/// Writes a segment and its blend.
fn write_pair(
    home: &Path,
    segment: &Segment,
    pair: usize,
    seed: u64,
    stop: &AtomicBool,
) -> Result<[VideoMeasurements; 2], DemoError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(pair as u64);
    // Dealt out evenly: a small set drawn at random would be brighter or sharper in one class.
    let recipe = Recipe::draw_towards(
        Direction { brighter: pair.is_multiple_of(2), softer: (pair / 2).is_multiple_of(2) },
        &mut rng,
    );
    let mut blended = |(frame, face): (&RgbImage, &Face)| recipe.apply(frame, face, rng.random());
    let fake: Vec<_> = segment.frames.iter().zip(&segment.faces).map(&mut blended).collect();
    let [real_path, fake_path] = [REAL, FAKE].map(|class| draft_path(home, class, pair));
    let settings = VideoSettings { width: SIDE, height: SIDE, fps: segment.fps, crf: CRF, ..VideoSettings::default() };
    // At constant quality, fakes take 2 to 3 % fewer bits, which would separate the classes of a uniform set. So both
    // get the bit rate that the real needs.
    let needed = write_video(&real_path, &segment.frames, &settings, false, stop)?;
    let settings = VideoSettings { bits_per_sec: Some(needed.bits_per_sec()), ..settings };
    let real = write_video(&real_path, &segment.frames, &settings, false, stop)?;
    let fake = write_video(&fake_path, &fake, &settings, true, stop)?;
    Ok([real, fake])
}

fn write_video(
    path: &Path,
    frames: &[RgbImage],
    settings: &VideoSettings,
    is_fake: bool,
    stop: &AtomicBool,
) -> Result<VideoMeasurements, DemoError> {
    let mut writer = VideoWriter::create(path, settings)?;
    let mut brightness = 0.0;
    for frame in frames {
        if stop.load(Ordering::Relaxed) {
            return Err(DemoError::Interrupted);
        }
        writer.write(frame)?;
        brightness += frame.iter().map(|byte| u64::from(*byte)).sum::<u64>() as f64 / frame.len() as f64;
    }
    writer.finish()?;
    Ok(VideoMeasurements {
        is_fake,
        file_bytes: path.metadata().map_err(|error| io_error(path, error))?.len(),
        secs: frames.len() as f64 / f64::from(settings.fps),
        pixels: u64::from(SIDE) * u64::from(SIDE),
        brightness: brightness / frames.len() as f64,
    })
}

/// Renames the files of the pairs. `id` and the number of the source video (or, where people are shared, of the pair)
/// keep a real, its fake and everything else from the same video on one side of a split.
fn rename_pairs(home: &Path, pairs: &[Pair], people_shared: bool) -> Result<Vec<String>, DemoError> {
    let mut names = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        let clip = pairs[..number].iter().rev().take_while(|other| other.source == pair.source).count() + 1;
        let name = match people_shared {
            true => format!("id{number:03}_clip1.mp4"),
            false => format!("id{:03}_clip{clip}.mp4", pair.source),
        };
        for class in [REAL, FAKE] {
            let path = home.join(class).join(&name);
            fs::rename(draft_path(home, class, number), &path).map_err(|error| io_error(&path, error))?;
        }
        names.push(name);
    }
    Ok(names)
}

/// Thumbnails of some pairs, evenly over the set, decoded from the files.
fn preview_rows(home: &Path, names: &[String]) -> Result<Vec<[Vec<Thumbnail>; 2]>, DemoError> {
    let count = names.len().min(ROWS);
    let thumbnails = |class: &str, name: &String| {
        let path = home.join(class).join(name);
        let mut thumbnails = Vec::new();
        let mut keep = |frame: RgbImage| thumbnails.push(thumbnail(frame.width(), frame.height(), frame.into_raw()));
        let spec = ClipSpec::uniform(THUMBNAILS, 0, 0, 1);
        video::read_frames(&Footage::video(&path), &spec, None, FrameSize::Full, &mut keep)
            .map_err(|error: DataError| DemoError::Video { path, reason: error.to_string() })?;
        Ok(thumbnails)
    };
    let shown = (0..count).map(|row| &names[(2 * row + 1) * names.len() / (2 * count)]);
    shown.map(|name| Ok([thumbnails(REAL, name)?, thumbnails(FAKE, name)?])).collect()
}

/// `sources.csv`: the source video and the first frame of each file.
fn sources_csv(sources: &[PathBuf], pairs: &[Pair], names: &[String]) -> String {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut row = |cells: [&str; 4]| table.write_record(cells).expect("memory can be written to");
    row(["real", "fake", "source", "first_frame"]);
    for (pair, name) in pairs.iter().zip(names) {
        let source = sources[pair.source].to_string_lossy();
        row([&format!("{REAL}/{name}"), &format!("{FAKE}/{name}"), &source, &pair.first_frame.to_string()]);
    }
    String::from_utf8_lossy(&table.into_inner().expect("memory can be written to")).into_owned()
}

/// `README.txt`.
fn readme(summary: &Summary, footage: &UsedFootage) -> String {
    let mut text = format!(
        "{} real and {} fake videos, made by `dfdetect demo-data --from` (seed {}) from {} videos.\n\n\
         real/             parts of the videos, cut to a square around the face\n\
         fake/self_blend/  the same parts under the same names, the face blended into itself\n\
         sources.csv       which part is from which video; its frames are counted from the first one that was read\n\
         preview.png       some of both, side by side\n\n\
         A self-blended face is not a deepfake: it has the seam of one. A detector trained on this learns to see such\n\
         seams; how well it does on forgeries of another kind only a test on those can tell.\n",
        summary.real, summary.fake, summary.seed, footage.videos
    );
    if footage.people_shared {
        let _ = write!(text, "\nNote: {PEOPLE_SHARED}\n");
    }
    text
}
