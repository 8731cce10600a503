//! The properties of a video that are known without decoding, and the version of libavcodec. Opens no file; `read.rs`
//! and `pictures.rs` determine the properties.

use ffmpeg_next as ffmpeg;

/// The properties of a video that are known from its packets.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// The number of frames.
    pub frames: usize,
    /// Width in pixels, as shown.
    pub width: u32,
    /// Height in pixels, as shown.
    pub height: u32,
    /// The size of the file, or of all pictures.
    pub bytes: u64,
    /// The duration in the header; `None` if it has none, and for pictures.
    pub duration_secs: Option<f64>,
}

/// The version of libavcodec.
#[must_use]
pub fn libavcodec_version() -> String {
    format!("libavcodec {}", dotted(ffmpeg::codec::version()))
}

/// The versions of the libraries that decide what a clip's pixels are.
#[must_use]
pub fn pixel_versions() -> String {
    format!("{}, libswscale {}", libavcodec_version(), dotted(ffmpeg::software::scaling::version()))
}

fn dotted(version: u32) -> String {
    format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}
