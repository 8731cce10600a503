//! Starts FFmpeg. Knows nothing of files.

use std::sync::OnceLock;

use ffmpeg_next as ffmpeg;

/// Starts FFmpeg once in a process, without its own log, because this program reports the errors of a video.
pub(super) fn start_ffmpeg() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), ffmpeg::Error>> = OnceLock::new();
    let started = STARTED.get_or_init(ffmpeg::init);
    ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
    started.map_err(|error| format!("FFmpeg cannot be used: {error}"))
}
