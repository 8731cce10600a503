//! The contact sheet of `data scan --preview`: which faces were found in a sample of videos, and how they are cropped.
//!
//! One row per video: what it is, its middle frame with the square that is cropped, and some frames as the network sees
//! them. Finds no face itself (`face`), and writes no file.

use std::sync::atomic::{AtomicBool, Ordering};

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::clip::{ReadClip, blended};
use crate::config::DataConfig;
use crate::dataset::{DataError, DataSet, Footage, Label, Manifest, VideoRecord, sample};
use crate::drawing::{FAINT, FAKE, GLYPH, INK, PAPER, REAL, fill, frame, lines, shortened, write};
use crate::face::{FaceClip, FaceDetector, Take};
use crate::progress::Bar;
use crate::video::{self, ClipSpec, FrameSize, HeldClip, Square};

/// At most this many frames of a clip are read.
const FRAMES: usize = 8;
/// How many of them are shown.
const SHOWN: usize = 4;

// Sizes in pixels.
const ROW: u32 = 144;
const PICTURE: u32 = 256;
const TEXT: u32 = 264;
const GAP: u32 = 6;
const MARGIN: u32 = 16;
const BAR: u32 = 6;
const TITLE: u32 = 2 * GLYPH;
/// Title, legend and the columns' names.
const HEADER: u32 = TITLE + 12 + GLYPH + 16 + GLYPH + 10;
const EMPTY: Rgb<u8> = Rgb([229, 227, 222]);
const MARK: Rgb<u8> = Rgb([255, 196, 0]);

/// Draws up to `rows` videos, evenly over classes and data sets. Without a detector, whole frames are shown.
/// After `stop` is set, the sheet has the rows drawn so far, and the rest is blank.
///
/// # Errors
/// [`DataError::Unusable`] where there is no video to show. A video that cannot be used has a row that says why.
pub fn contact_sheet(
    manifest: &Manifest,
    data: &DataConfig,
    detector: Option<&dyn FaceDetector>,
    rows: usize,
    stop: &AtomicBool,
) -> Result<RgbImage, DataError> {
    let rows_each = rows.div_ceil(manifest.sets.len().max(1));
    let mut videos: Vec<usize> =
        (0..manifest.sets.len()).flat_map(|set| sample(manifest, set, rows_each)).take(rows).collect();
    videos.sort_by_key(|video| (manifest.videos[*video].set, manifest.videos[*video].label, *video));
    if videos.is_empty() {
        return Err(DataError::Unusable {
            root: manifest.root().to_owned(),
            problem: "there is no video to show".into(),
            hint: "see what `dfdetect data scan` says of the folder".into(),
        });
    }
    let configured = ClipSpec::of(data);
    let spec = ClipSpec { frames: configured.frames.min(FRAMES), ..configured };
    let cut_width = (ROW as usize * spec.width).div_ceil(spec.height.max(1)).clamp(1, 4 * ROW as usize) as u32;
    let width = cuts_left() + SHOWN as u32 * (cut_width + GAP) - GAP + MARGIN;
    let height = MARGIN + HEADER + videos.len() as u32 * (ROW + GAP) - GAP + MARGIN;
    let mut sheet = RgbImage::from_pixel(width, height, PAPER);
    header(&mut sheet, manifest, &spec, detector.is_some());
    let bar = Bar::new("preview", videos.len() as u64, 4);
    for (row, video) in videos.into_iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let record = &manifest.videos[video];
        let taking = detector.map(|detector| (Take::of(manifest, record.set), detector));
        let mut look = Look::at(&manifest.footage(video), &spec, data, taking);
        if record.is_self_blend() {
            look.blend(&spec, video as u64);
        }
        let name = manifest.name(record.set, &record.path);
        let strip = Strip { top: MARGIN + HEADER + row as u32 * (ROW + GAP), cut_width };
        strip.label(&mut sheet, record, &name, &look);
        strip.pictures(&mut sheet, &look, &spec);
        bar.advance(1, String::new);
    }
    Ok(sheet)
}

/// Where the columns start.
const fn picture_left() -> u32 {
    MARGIN + BAR + GAP + TEXT + GAP
}

const fn cuts_left() -> u32 {
    picture_left() + PICTURE + GAP
}

fn header(sheet: &mut RgbImage, manifest: &Manifest, spec: &ClipSpec, cropping: bool) {
    let names: Vec<_> = manifest.sets.iter().map(DataSet::name).collect();
    let most = (sheet.width().saturating_sub(2 * MARGIN) / TITLE) as usize;
    write(sheet, [MARGIN, MARGIN], &shortened(&names.join(", "), most), 2, INK);

    let top = MARGIN + TITLE + 12;
    let mut left = MARGIN;
    let legend = [(REAL, "real"), (FAKE, "fake"), (MARK, "what is cut out; dots: eyes, nose, mouth")];
    for (color, meaning) in legend.into_iter().take(if cropping { 3 } else { 2 }) {
        if color == MARK {
            frame(sheet, [left, top - 1, GLYPH + 2, GLYPH + 2], color);
        } else {
            fill(sheet, [left + 2, top - 1, BAR, GLYPH + 2], color);
        }
        left += 2 * GLYPH;
        write(sheet, [left, top], meaning, 1, FAINT);
        left += (meaning.len() as u32 + 3) * GLYPH;
    }

    let top = top + GLYPH + 16;
    let cuts = format!("what the network sees, {} x {} pixels", spec.width, spec.height);
    for (left, name) in [(text_left(), "video"), (picture_left(), "middle frame"), (cuts_left(), &cuts)] {
        write(sheet, [left, top], name, 1, FAINT);
    }
}

const fn text_left() -> u32 {
    MARGIN + BAR + 2 * GAP
}

/// What is shown of a video.
struct Look {
    middle: Option<RgbImage>,
    clip: Option<FaceClip>,
    /// A further line of text, and whether it is a problem.
    note: (String, bool),
}

impl Look {
    /// Without a detector, of whole frames.
    fn at(footage: &Footage, spec: &ClipSpec, data: &DataConfig, taking: Option<(Take, &dyn FaceDetector)>) -> Self {
        let clip = match taking {
            Some((take, detector)) => take.read(footage.into(), spec, None, None, &data.faces, detector),
            None => video::read_clip(footage, spec, None).map(FaceClip::whole_frames),
        };
        let held = HeldClip::read(footage, spec, None, FrameSize::LongSide(2 * PICTURE as usize));
        let middle = held.ok().and_then(|mut held| {
            // Frames without the face are left out of the clip, so its middle may be another frame.
            let number = clip.as_ref().ok().and_then(|clip| clip.facts.frame_numbers.get(spec.frames / 2));
            let frame = number.and_then(|number| held.numbers().iter().position(|held| held == number));
            held.small(frame.unwrap_or(held.slots()[spec.frames / 2])).ok()
        });
        let (clip, note) = match clip {
            Ok(clip) => {
                let note = match (clip.facts.squares.first(), clip.facts.missed) {
                    (Some(square), _) => {
                        let [width, height] = clip.facts.frame_size;
                        (format!("cut: {0:.0} x {0:.0} of {width} x {height}", square.side), false)
                    }
                    (None, true) => ("no face was found: whole frames are used".into(), true),
                    (None, false) => ("whole frames".into(), false),
                };
                (Some(clip), note)
            }
            Err(DataError::NoFace { looked_at, .. }) => {
                (None, (format!("no face was found in {looked_at} frames: the video is left out"), true))
            }
            Err(DataError::Video { reason, .. }) => (None, (format!("cannot be used: {reason}"), true)),
            Err(error) => (None, (format!("cannot be used: {error}"), true)),
        };
        Self { middle, clip, note }
    }

    /// Shows one of the forgeries that training makes of this video.
    fn blend(&mut self, spec: &ClipSpec, seed: u64) {
        let Some(FaceClip { thwc, usable_frames, facts }) = self.clip.take() else { return };
        let frames: Vec<_> = (0..facts.landmarks.len()).collect();
        match blended(&ReadClip { thwc, usable_frames, meta: facts.to_bytes() }, spec, &frames, seed) {
            Ok(blended) => self.clip = Some(FaceClip { thwc: blended.thwc, usable_frames, facts }),
            Err(reason) => self.note = (format!("cannot be used: {reason}"), true),
        }
    }
}

/// A row of the sheet.
struct Strip {
    top: u32,
    cut_width: u32,
}

impl Strip {
    fn label(&self, sheet: &mut RgbImage, record: &VideoRecord, name: &str, look: &Look) {
        let (word, color) = match record.label {
            Label::Real => ("real", REAL),
            Label::Fake => ("fake", FAKE),
        };
        fill(sheet, [MARGIN, self.top, BAR, ROW], color);
        let left = text_left();
        write(sheet, [left, self.top + 2], word, 2, color);
        let mut top = self.top + 2 + 3 * GLYPH;
        let note_color = if look.note.1 { FAKE } else { FAINT };
        let method = record.method.as_deref().unwrap_or_default();
        let texts = [(method, INK, 1), (name, INK, 4), (look.note.0.as_str(), note_color, 4)];
        for (text, color, most) in texts.into_iter().filter(|(text, ..)| !text.is_empty()) {
            for line in lines(text, ((TEXT - 2 * GAP) / GLYPH) as usize, most) {
                write(sheet, [left, top], &line, 1, color);
                top += GLYPH + 4;
            }
            top += 4;
        }
    }

    fn pictures(&self, sheet: &mut RgbImage, look: &Look, spec: &ClipSpec) {
        let left = picture_left();
        fill(sheet, [left, self.top, PICTURE, ROW], EMPTY);
        if let Some(middle) = &look.middle {
            let picture = annotated(middle, look.clip.as_ref(), spec);
            let x = left + (PICTURE - picture.width()) / 2;
            let y = self.top + (ROW - picture.height()) / 2;
            imageops::replace(sheet, &picture, i64::from(x), i64::from(y));
        }
        let mut left = cuts_left();
        let frame_bytes = spec.height * spec.width * 3;
        for i in 0..SHOWN {
            fill(sheet, [left, self.top, self.cut_width, ROW], EMPTY);
            let frame = look.clip.as_ref().and_then(|clip| {
                let frames = clip.thwc.len() / frame_bytes.max(1);
                let pick = (2 * i + 1) * frames / (2 * SHOWN);
                let bytes = clip.thwc.get(pick * frame_bytes..(pick + 1) * frame_bytes)?;
                RgbImage::from_raw(spec.width as u32, spec.height as u32, bytes.to_vec())
            });
            if let Some(frame) = frame {
                let cell = imageops::resize(&frame, self.cut_width, ROW, FilterType::Triangle);
                imageops::replace(sheet, &cell, i64::from(left), i64::from(self.top));
            }
            left += self.cut_width + GAP;
        }
    }
}

/// The frame, made to fit its place, with the square that is cut out and the landmarks.
fn annotated(frame: &RgbImage, clip: Option<&FaceClip>, spec: &ClipSpec) -> RgbImage {
    let [width, height] = [f64::from(frame.width()), f64::from(frame.height())];
    let scale = (f64::from(PICTURE) / width).min(f64::from(ROW) / height);
    let [to_width, to_height] = [width, height].map(|side| (side * scale).round().max(1.0));
    let mut picture =
        imageops::resize(frame, (to_width as u32).min(PICTURE), (to_height as u32).min(ROW), FilterType::Triangle);
    let Some(facts) = clip.map(|clip| &clip.facts).filter(|facts| !facts.squares.is_empty()) else {
        return picture;
    };
    // The square is told in pixels of the video, of which this frame may be a smaller copy.
    let scale = [to_width / f64::from(facts.frame_size[0]), to_height / f64::from(facts.frame_size[1])];
    let middle = facts.squares.len() / 2;
    outline(&mut picture, facts.squares[middle], scale);
    let known = (0..facts.landmarks.len()).filter(|frame| facts.landmarks[*frame].is_some());
    let Some(nearest) = known.min_by_key(|frame| frame.abs_diff(middle)) else { return picture };
    let square = facts.squares[nearest];
    for [x, y] in facts.landmarks[nearest].iter().flatten() {
        let [x, y] = square.on_frame([f64::from(*x) / spec.width as f64, f64::from(*y) / spec.height as f64]);
        dot(&mut picture, x * scale[0], y * scale[1]);
    }
    picture
}

fn outline(picture: &mut RgbImage, square: Square, [x, y]: [f64; 2]) {
    let steps = (square.side * x.max(y)).ceil().max(1.0);
    for step in 0..=steps as u32 {
        let along = f64::from(step) / steps;
        for place in [[along, 0.0], [along, 1.0], [0.0, along], [1.0, along]] {
            let at = square.on_frame(place);
            let (left, top) = ((at[0] * x).round(), (at[1] * y).round());
            // What is outside the frame is not drawn.
            if left >= 0.0 && top >= 0.0 && left < f64::from(picture.width()) && top < f64::from(picture.height()) {
                fill(picture, [left as u32, top as u32, 2, 2], MARK);
            }
        }
    }
}

fn dot(picture: &mut RgbImage, x: f64, y: f64) {
    let corner = [x, y].map(|at| (at.round() - 1.0).max(0.0) as u32);
    fill(picture, [corner[0], corner[1], 3, 3], MARK);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::LayoutChoice;
    use crate::dataset::DataSet;
    use crate::demo::{VideoSettings, VideoWriter};
    use crate::face::Face;

    /// Sees a face at a fixed place of bright frames.
    struct OnBright;

    impl FaceDetector for OnBright {
        fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String> {
            let face = Face { corners: [100.0, 50.0, 150.0, 100.0], score: 0.9, landmarks: [[125.0, 75.0]; 5] };
            Ok(frames.iter().map(|frame| Vec::from_iter((frame[(0, 0)].0[0] > 128).then_some(face))).collect())
        }
    }

    /// Videos of one grey each, reals and fakes in turns; those without a level are no videos.
    fn manifest(folder: &Path, levels: &[Option<u8>]) -> Manifest {
        let settings = VideoSettings { width: 256, height: 144, ..VideoSettings::default() };
        let mut videos = Vec::new();
        for (i, level) in levels.iter().enumerate() {
            let path = folder.join(format!("{i}.mp4"));
            match level {
                Some(level) => {
                    let mut writer = VideoWriter::create(&path, &settings).unwrap();
                    (0..4).for_each(|_| writer.write(&[*level; 256 * 144 * 3]).unwrap());
                    writer.finish().unwrap();
                }
                None => fs::write(&path, "no video").unwrap(),
            }
            videos.push(VideoRecord::new(format!("{i}.mp4"), [Label::Real, Label::Fake][i % 2], vec![]));
        }
        let set = DataSet { crop_faces: true, ..DataSet::new(folder, LayoutChoice::Folders) };
        Manifest { sets: vec![set], videos, skipped: Vec::new() }
    }

    fn drawn(levels: &[Option<u8>], detector: Option<&dyn FaceDetector>) -> Result<RgbImage, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let data = DataConfig { min_frames: 1, max_frames: 4, frame_size: [32, 32], ..DataConfig::default() };
        contact_sheet(&manifest(folder.path(), levels), &data, detector, 8, &AtomicBool::new(false))
    }

    #[test]
    fn the_square_is_drawn_where_the_detector_saw_the_face_and_misses_have_none() {
        let sheet = drawn(&[Some(220), Some(220), Some(20), None], Some(&OnBright)).unwrap();
        let row = |i: u32| MARGIN + HEADER + i * (ROW + GAP);
        assert_eq!(sheet.height(), row(3) + ROW + MARGIN);
        // Reals first: 220, 20; then fakes: 220, no video. The square is 1.3 times the box about (125, 75).
        let marks = |i: u32| {
            let place = (picture_left()..picture_left() + PICTURE).flat_map(|x| (0..ROW).map(move |y| (x, y)));
            place.filter(|(x, y)| sheet[(*x, row(i) + y)] == MARK).map(|(x, y)| (x - picture_left(), y)).collect()
        };
        let [bright, miss, fake, unreadable]: [Vec<(u32, u32)>; 4] = [0, 1, 2, 3].map(marks);
        for found in [bright, fake] {
            let (left, right) =
                (found.iter().map(|at| at.0).min().unwrap(), found.iter().map(|at| at.0).max().unwrap());
            let (top, bottom) =
                (found.iter().map(|at| at.1).min().unwrap(), found.iter().map(|at| at.1).max().unwrap());
            assert!(
                left.abs_diff(92) < 3 && right.abs_diff(157) < 3 && top.abs_diff(42) < 3 && bottom.abs_diff(107) < 3
            );
            assert!(found.contains(&(125, 75)), "a landmark");
        }
        assert!(miss.is_empty() && unreadable.is_empty());
        let bars = [0, 1, 2, 3].map(|i| sheet[(MARGIN, row(i) + 5)]);
        assert_eq!(bars, [REAL, REAL, FAKE, FAKE]);
    }

    #[test]
    fn one_video_is_a_sheet_and_none_is_an_error() {
        assert!(drawn(&[], None).unwrap_err().to_string().contains("no video to show"));
        assert_eq!(drawn(&[Some(90)], None).unwrap().height(), MARGIN + HEADER + ROW + MARGIN);
    }
}
