//! Clips from pictures in place of a video: a single one, a folder, or a list. Knows nothing of labels, and decodes no
//! video.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

use super::convert::RawFrame;
use super::decoded::DecodedClip;
use super::info::VideoInfo;
use super::limits::{Deadline, MAX_PIXELS, check_frames};
use super::make::Making;
use super::picks;
use crate::files::natural_key;

const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];
/// The largest number of pictures that is listed.
const MAX_PICTURES: usize = 1_000_000;

/// The pictures of a folder in the natural order of their names, `2` before `10`. Hidden files are left out.
pub(super) fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be opened: {error}");
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        if !hidden && extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) {
            paths.push(path);
        }
        if paths.len() > MAX_PICTURES {
            return Err(format!("there are more than {MAX_PICTURES} pictures in it"));
        }
    }
    if paths.is_empty() {
        return Err(format!("there are no pictures in it ({})", EXTENSIONS.join(", ")));
    }
    paths.sort_by_cached_key(|path| natural_key(path));
    Ok(paths)
}

/// The number of pictures, and the size of the first one.
pub(super) fn probe(paths: &[PathBuf], min_frames: usize) -> Result<VideoInfo, String> {
    check_frames(paths.len(), min_frames)?;
    let first = paths.first().ok_or("there are no pictures")?;
    let (width, height) = ImageReader::open(first)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|error| in_words(first, &error))?
        .into_dimensions()
        .map_err(|error| in_words(first, &error))?;
    check_size(first, width, height)?;
    let bytes = paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum();
    Ok(VideoInfo { frames: paths.len(), width, height, bytes, duration_secs: None })
}

/// Reads the frames of a clip from these pictures.
pub(super) fn read<T>(
    paths: &[PathBuf],
    min_frames: usize,
    draw: Option<u64>,
    making: &mut Making<T>,
) -> Result<DecodedClip<T>, String> {
    let deadline = Deadline::after(making.spec.deadline_secs);
    check_frames(paths.len(), min_frames)?;
    let picks = picks::choose(making.spec, paths.len(), draw, |_| true);
    let (mut found, mut size) = (BTreeMap::new(), [0; 2]);
    for pick in picks.iter().copied().collect::<BTreeSet<_>>() {
        deadline.check()?;
        let picture = open(&paths[pick])?;
        if found.is_empty() {
            size = picture.dimensions().into();
        }
        found.insert(pick, making.of(pick, RawFrame::Picture(picture))?);
    }
    let decoded = found.len();
    Ok(DecodedClip::new((&picks, making.spec.choices(paths.len())), found, size, decoded))
}

fn open(path: &Path) -> Result<RgbImage, String> {
    let wrong = |error: &dyn std::fmt::Display| in_words(path, error);
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|error| wrong(&error))?;
    let mut decoder = reader.into_decoder().map_err(|error| wrong(&error))?;
    let (width, height) = decoder.dimensions();
    check_size(path, width, height)?;
    let mut limits = Limits::default();
    // A pixel has at most four channels of 16 bits.
    limits.max_alloc = Some(MAX_PIXELS * 8);
    decoder.set_limits(limits).map_err(|error| wrong(&error))?;
    let orientation = decoder.orientation().map_err(|error| wrong(&error))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| wrong(&error))?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

fn in_words(path: &Path, error: &dyn std::fmt::Display) -> String {
    let error = error.to_string().replace('\n', " ");
    format!("its picture {} cannot be read: {error}", path.file_name().unwrap_or_default().to_string_lossy())
}

fn check_size(path: &Path, width: u32, height: u32) -> Result<(), String> {
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let allowed = MAX_PIXELS / 1_000_000;
        return Err(in_words(path, &format!("it is {width}x{height} pixels, allowed are {allowed} megapixels")));
    }
    Ok(())
}
