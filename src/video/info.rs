//! What a look at a video tells, and what decodes it.

use ffmpeg_next as ffmpeg;

/// What a look at the packets tells about a video.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// Frames in it.
    pub frames: usize,
    /// Width in pixels, as shown.
    pub width: u32,
    /// Height in pixels, as shown.
    pub height: u32,
    /// Size of the file, or of all its pictures.
    pub bytes: u64,
    /// How long it lasts by its own account; `None` where it does not say, and for pictures.
    pub duration_secs: Option<f64>,
}

/// Version of FFmpeg's decoding library.
#[must_use]
pub fn libavcodec_version() -> String {
    let version = ffmpeg::codec::version();
    format!("libavcodec {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}
