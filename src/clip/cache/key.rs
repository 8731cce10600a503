//! The key of a clip on disk: a hash of the video and of all settings that decide the clip.
//!
//! The key does not depend on the path alone: a data set that was moved is found again, a file that was replaced is
//! not. This file stores no clip; that is `disk.rs`.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use xxhash_rust::xxh3::Xxh3;

use crate::dataset::{Footage, Media};
use crate::video::{self, ClipSpec};

/// The version of the file format and of the computation of pixels. Increase it when either changes.
pub(super) const FORMAT_VERSION: u32 = 3;
/// The number of bytes that are hashed at each end of a file.
const SAMPLED_BYTES: usize = 64 << 10;

/// The key of a clip on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClipKey {
    pub(super) hash: u128,
    /// T, height, width.
    pub(super) shape: [u32; 3],
}

impl ClipKey {
    /// The key of a clip of a video with this content.
    pub(super) fn new(content: u128, spec: &ClipSpec, crop: &str) -> Self {
        // The deadline and the smallest number of frames decide whether there is a clip, but not its pixels.
        let sampling = (spec.sampling, spec.skip_frames, spec.quality_threshold, spec.duplicate_threshold);
        let decoder = if video::decodes_on_gpu(spec.hw_decode) { "GPU" } else { "CPU" };
        let made = format!(
            "{FORMAT_VERSION} {} {:?} {sampling:?} {decoder} {crop}",
            video::pixel_versions(),
            (spec.frames, spec.height, spec.width)
        );
        let mut hasher = Xxh3::new();
        hasher.update(&content.to_le_bytes());
        hasher.update(made.as_bytes());
        let shape = [spec.frames, spec.height, spec.width].map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        Self { hash: hasher.digest128(), shape }
    }
}

/// The properties of a video that are known without opening it.
pub(super) struct FileFacts {
    files: Vec<PathBuf>,
    /// The hash of names, sizes and modification times.
    facts: Xxh3,
    path: PathBuf,
}

impl FileFacts {
    /// The properties of the file, or of all pictures.
    pub(super) fn look(footage: &Footage) -> io::Result<Self> {
        let files = match &footage.media {
            Media::Video | Media::Picture => vec![footage.path.clone()],
            Media::Frames(frames) => footage.absolute(frames),
            Media::Folder => {
                let mut files =
                    fs::read_dir(&footage.path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
                files.sort_unstable();
                files
            }
        };
        let named = matches!(footage.media, Media::Folder | Media::Frames(_));
        let mut facts = Xxh3::new();
        for file in &files {
            let metadata = fs::metadata(file)?;
            if named {
                facts.update(file.file_name().unwrap_or_default().as_bytes());
            }
            facts.update(&metadata.len().to_le_bytes());
            facts.update(&modified_ns(&metadata)?.to_le_bytes());
        }
        Ok(Self { files, facts, path: footage.path.clone() })
    }

    /// The key of the record that maps these properties to the content.
    pub(super) fn place(&self) -> u128 {
        let mut hasher = self.facts.clone();
        hasher.update(self.path.as_os_str().as_bytes());
        hasher.digest128()
    }

    /// The hash of sizes, times, and both ends of the file, or of the first and the last picture. It opens them.
    pub(super) fn content(&self) -> io::Result<u128> {
        let mut hasher = self.facts.clone();
        let ends = [self.files.first(), self.files.last().filter(|_| self.files.len() > 1)];
        for file in ends.into_iter().flatten() {
            sample(file, &mut hasher)?;
        }
        Ok(hasher.digest128())
    }
}

fn modified_ns(metadata: &Metadata) -> io::Result<i128> {
    let modified = metadata.modified()?;
    let ns = |duration: std::time::Duration| duration.as_nanos().cast_signed();
    Ok(modified.duration_since(UNIX_EPOCH).map_or_else(|before| -ns(before.duration()), ns))
}

fn sample(path: &Path, hasher: &mut Xxh3) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::with_capacity(SAMPLED_BYTES);
    (&mut file).take(SAMPLED_BYTES as u64).read_to_end(&mut bytes)?;
    hasher.update(&bytes);
    let length = file.metadata()?.len();
    bytes.clear();
    file.seek(SeekFrom::Start(length.saturating_sub(SAMPLED_BYTES as u64)))?;
    file.take(SAMPLED_BYTES as u64).read_to_end(&mut bytes)?;
    hasher.update(&bytes);
    Ok(())
}
