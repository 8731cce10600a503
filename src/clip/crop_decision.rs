//! `data.faces.mode: auto`: a sample of the videos of each data set decides whether its faces are cropped; a single
//! video is classified the same way. This file neither crops faces nor knows of training.

use std::sync::atomic::{AtomicBool, Ordering};

use super::cache::{ClipCache, Notes};
use crate::config::{FaceConfig, FaceMode};
use crate::dataset::{DataError, Footage, Manifest, sample};
use crate::face::{FaceDetector, LONG_SIDE, largest_track};
use crate::video::{ClipSpec, FrameSize, HeldClip, VideoInput};

/// The number of videos in the sample, half of each class.
const SAMPLE_VIDEOS: usize = 12;
/// The number of frames that are examined in each video.
const FRAMES: usize = 3;
/// The size of faces, relative to the shorter side of the frame, above which the frames already are face crops.
const MIN_CROP_SIZE: f64 = 0.45;

/// Sets `crop_faces` of every data set: as configured, or for `auto` from a sample of its videos. The result for a
/// video is cached, so that a run with a full cache opens none.
///
/// # Errors
/// The detector fails. Videos that cannot be read are ignored here and reported when they are used.
pub fn decide_face_crops(
    manifest: &mut Manifest,
    config: &FaceConfig,
    spec: &ClipSpec,
    cache: &ClipCache,
    detector: &dyn FaceDetector,
    stop: &AtomicBool,
) -> Result<(), DataError> {
    let looks = Looks { min_size: config.min_size, spec, cache, detector };
    for set in 0..manifest.sets.len() {
        let (crop_faces, shows_faces) = match config.mode {
            FaceMode::Crop => (true, Some(true)),
            FaceMode::Off => (false, None),
            FaceMode::Auto => {
                let mut sides = Vec::new();
                for video in sample(manifest, set, SAMPLE_VIDEOS) {
                    if !stop.load(Ordering::Relaxed) {
                        sides.extend(looks.at(&manifest.footage(video))?);
                    }
                }
                let seen = verdict(&manifest.sets[set].name(), &sides);
                (seen == FacesSeen::Faces, Some(seen != FacesSeen::NoFaces))
            }
        };
        (manifest.sets[set].crop_faces, manifest.sets[set].shows_faces) = (crop_faces, shows_faces);
    }
    Ok(())
}

/// What a few frames of a single video show. A video that cannot be read shows nothing.
///
/// # Errors
/// The detector fails.
pub fn faces_seen(
    footage: &Footage,
    config: &FaceConfig,
    spec: &ClipSpec,
    detector: &dyn FaceDetector,
) -> Result<FacesSeen, DataError> {
    let looks = Looks { min_size: config.min_size, spec, cache: &ClipCache::none(), detector };
    Ok(FacesSeen::of(&looks.look(footage.into())?.into_iter().collect::<Vec<_>>()).0)
}

/// The side of the face relative to the shorter side of the frame, if there is a face.
type Side = Option<f64>;

/// The way in which a video of the sample is searched.
struct Looks<'a> {
    min_size: usize,
    spec: &'a ClipSpec,
    cache: &'a ClipCache,
    detector: &'a dyn FaceDetector,
}

impl Looks<'_> {
    /// The result for a video; `None` if it cannot be read.
    fn at(&self, footage: &Footage) -> Result<Option<Side>, DataError> {
        let name = format!("look 1, centerface 1, least {}", self.min_size);
        let notes = Notes::new(self.cache, self.cache.content(footage), footage, self.spec);
        notes.kept(&name, || self.look(notes.video()))
    }

    fn look(&self, video: VideoInput) -> Result<Option<Side>, DataError> {
        let spec = ClipSpec { frames: FRAMES, quality_threshold: 0.0, duplicate_threshold: 0.0, ..*self.spec };
        let size = FrameSize::LongSide(LONG_SIDE as usize);
        let read = HeldClip::read(video, &spec, None, size).and_then(|mut clip| {
            let frames =
                clip.slots().to_vec().into_iter().map(|frame| clip.small(frame)).collect::<Result<Vec<_>, _>>();
            Ok((frames?, clip.size()))
        });
        let (frames, [width, height]) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!("not looked at for faces: {error}");
                return Ok(None);
            }
        };
        let failed = |reason| DataError::Video { path: video.footage().path.clone(), reason };
        let found = self.detector.detect(&frames).map_err(failed)?;
        let shorter = frames.first().map_or(1, |frame| frame.width().min(frame.height()));
        // The smallest size of a face is configured in pixels of the video.
        let scale = f64::from(width.min(height)) / f64::from(shorter.max(1));
        let track = largest_track(&found.into_iter().enumerate().collect::<Vec<_>>());
        let track = track.filter(|track| track.side() * scale >= self.min_size as f64);
        Ok(Some(track.map(|track| track.side() / f64::from(shorter.max(1)))))
    }
}

/// What a sample of videos shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FacesSeen {
    /// Faces with background around them, to be cropped.
    Faces,
    /// Faces that fill the frame.
    Crops,
    /// No faces, or too few.
    NoFaces,
}

impl FacesSeen {
    /// Classifies the videos by the sizes of their faces. Also returns their median size and their number.
    fn of(sides: &[Side]) -> (Self, f64, usize) {
        let mut found: Vec<f64> = sides.iter().copied().flatten().collect();
        found.sort_by(f64::total_cmp);
        let median = found.get(found.len() / 2).copied();
        let seen = match median {
            Some(side) if 2 * found.len() >= sides.len() && side <= MIN_CROP_SIZE => Self::Faces,
            Some(_) if 2 * found.len() >= sides.len() => Self::Crops,
            _ => Self::NoFaces,
        };
        (seen, median.unwrap_or(0.0), found.len())
    }
}

/// Classifies a sample and logs the result in one line.
fn verdict(name: &str, sides: &[Side]) -> FacesSeen {
    let (seen, median, found) = FacesSeen::of(sides);
    let looked_at = sides.len();
    match seen {
        FacesSeen::Faces => {
            tracing::info!("{name}: faces are cut out (found in {found} of {looked_at} videos looked at)")
        }
        FacesSeen::Crops => tracing::info!(
            "{name}: whole frames are used, they are face crops already (faces fill {:.0}%)",
            100.0 * median
        ),
        FacesSeen::NoFaces => tracing::warn!(
            "{name}: whole frames are used, since faces were found in only {found} of {looked_at} videos looked at; \
             data.faces.mode: crop insists"
        ),
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::RgbImage;

    use super::*;
    use crate::clip::DiskCache;
    use crate::config::LayoutChoice;
    use crate::dataset::{DataSet, Label, VideoRecord};
    use crate::demo::{VideoSettings, VideoWriter};
    use crate::face::Face;

    /// A detector that finds a face of this relative size on bright frames.
    struct OnBright(f32);

    impl FaceDetector for OnBright {
        fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String> {
            let side = |frame: &RgbImage| self.0 * frame.width().min(frame.height()) as f32;
            let face = |side| Face { corners: [0.0, 0.0, side, side], score: 0.9, landmarks: [[0.0; 2]; 5] };
            let bright = |frame: &RgbImage| frame.get_pixel(0, 0).0[0] > 128;
            Ok(frames.iter().map(|frame| Vec::from_iter(bright(frame).then(|| face(side(frame))))).collect())
        }
    }

    /// A data set whose videos have these brightness levels.
    fn manifest(folder: &std::path::Path, levels: &[u8]) -> Manifest {
        let settings = VideoSettings { width: 128, height: 96, ..VideoSettings::default() };
        let mut videos = Vec::new();
        for (i, level) in levels.iter().enumerate() {
            let name = format!("{i}.mp4");
            let mut writer = VideoWriter::create(&folder.join(&name), &settings).unwrap();
            (0..4).for_each(|_| writer.write(&[*level; 128 * 96 * 3]).unwrap());
            writer.finish().unwrap();
            videos.push(VideoRecord::new(name, [Label::Real, Label::Fake][i % 2], vec![]));
        }
        let sets = vec![DataSet::new(folder, LayoutChoice::Folders)];
        Manifest { sets, videos, skipped: Vec::new() }
    }

    fn decided(levels: &[u8], share: f32, config: &FaceConfig) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = manifest(folder.path(), levels);
        manifest.sets[0].crop_faces = config.mode == FaceMode::Off;
        let spec = ClipSpec::uniform(8, 64, 64, 1);
        let cache = ClipCache::new(0, Some(DiskCache::open(&folder.path().join("cache"), u64::MAX)));
        decide_face_crops(&mut manifest, config, &spec, &cache, &OnBright(share), &AtomicBool::new(false)).unwrap();
        let first = manifest.sets[0].crop_faces;
        // The result is cached, so the videos need not be read.
        for level in 0..levels.len() {
            let path = folder.path().join(format!("{level}.mp4"));
            let (bytes, modified) = (fs::read(&path).unwrap().len(), fs::metadata(&path).unwrap().modified().unwrap());
            fs::write(&path, vec![0; bytes]).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        decide_face_crops(&mut manifest, config, &spec, &cache, &OnBright(share), &AtomicBool::new(false)).unwrap();
        assert_eq!(manifest.sets[0].crop_faces, first);
        first
    }

    #[test]
    fn faces_are_cut_out_where_they_are_found_and_do_not_fill_the_frame() {
        let auto = FaceConfig { min_size: 20, ..FaceConfig::default() };
        assert!(decided(&[250, 250, 10, 250], 0.3, &auto));
        assert!(!decided(&[250, 10, 10, 10], 0.3, &auto), "found in a quarter only");
        assert!(!decided(&[250, 250, 250, 250], 0.8, &auto), "face crops already");
        assert!(!decided(&[250, 250, 250, 250], 0.3, &FaceConfig { min_size: 40, ..auto.clone() }), "too small");
        assert!(decided(&[10, 10], 0.3, &FaceConfig { mode: FaceMode::Crop, ..auto.clone() }));
        assert!(!decided(&[250, 250], 0.3, &FaceConfig { mode: FaceMode::Off, ..auto }));
    }
}
