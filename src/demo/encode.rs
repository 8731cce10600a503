//! Writes RGB frames as an H.264 file: libx264, yuv420p, mp4. Knows nothing of what the frames show.
//!
//! The encoder has one thread, so that the same frames give the same bytes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Dictionary, Rational, codec, encoder, format, frame};
use tempfile::TempPath;

use super::error::DemoError;

/// How a video is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// Constant rate factor of x264: 0 (best) to 51; ignored where there is a bit rate.
    pub crf: u32,
    /// Target bit rate; without it, the constant rate factor decides.
    pub bits_per_sec: Option<u32>,
    /// Most frames from one key frame to the next.
    pub gop: u32,
    /// Most B-frames in a row.
    pub b_frames: u32,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self { width: 256, height: 256, fps: 25, crf: 23, bits_per_sec: None, gop: 12, b_frames: 2 }
    }
}

/// Writes one H.264 file. It appears under its name when [`finish`](Self::finish) returns; a writer that is dropped
/// earlier leaves nothing.
pub struct VideoWriter {
    path: PathBuf,
    partial: TempPath,
    output: format::context::Output,
    encoder: encoder::Video,
    scaler: scaling::Context,
    rgb: frame::Video,
    yuv: frame::Video,
    frame_secs: Rational,
    frames: i64,
}

impl VideoWriter {
    /// Opens an encoder and a temporary file beside `path`.
    ///
    /// # Errors
    /// There is no H.264 encoder, the settings are invalid, or the file cannot be written.
    pub fn create(path: &Path, settings: &VideoSettings) -> Result<Self, DemoError> {
        check(settings).map_err(|reason| DemoError::Video { path: path.to_owned(), reason })?;
        let failed = |error: ffmpeg::Error| failure(path, "cannot start the video", error);
        ffmpeg::init().map_err(failed)?;
        ffmpeg::log::set_level(ffmpeg::log::Level::Error);
        let codec = encoder::find_by_name("libx264").ok_or(DemoError::NoEncoder)?;

        let partial = partial_file(path)?;
        // Without the prefix, FFmpeg would parse a path with a colon as a protocol and an address.
        let mut output = format::output_as(&format!("file:{}", partial.display()), "mp4").map_err(failed)?;
        let encoder = open_encoder(codec, settings).map_err(failed)?;
        let frame_secs = Rational(1, as_int(settings.fps));
        let mut stream = output.add_stream(codec).map_err(failed)?;
        stream.set_parameters(&encoder);
        stream.set_time_base(frame_secs);
        stream.set_avg_frame_rate(frame_secs.invert());
        output.write_header().map_err(failed)?;

        let (width, height) = (settings.width, settings.height);
        let flags = scaling::Flags::BILINEAR | scaling::Flags::ACCURATE_RND;
        let scaler = scaling::Context::get(Pixel::RGB24, width, height, Pixel::YUV420P, width, height, flags);
        Ok(Self {
            path: path.to_owned(),
            partial,
            output,
            encoder,
            scaler: scaler.map_err(failed)?,
            rgb: frame::Video::new(Pixel::RGB24, width, height),
            yuv: frame::Video::new(Pixel::YUV420P, width, height),
            frame_secs,
            frames: 0,
        })
    }

    /// Appends one frame of `width * height * 3` bytes, rows packed.
    ///
    /// # Errors
    /// The frame has another size, or the file cannot be written.
    pub fn write(&mut self, rgb: &[u8]) -> Result<(), DemoError> {
        let (row_bytes, rows) = (self.rgb.width() as usize * 3, self.rgb.height() as usize);
        if rgb.len() != row_bytes * rows {
            let reason = format!("a frame has {} bytes where {} are expected", rgb.len(), row_bytes * rows);
            return Err(DemoError::Video { path: self.path.clone(), reason });
        }
        let stride = self.rgb.stride(0);
        for (to, from) in self.rgb.data_mut(0).chunks_mut(stride).zip(rgb.chunks_exact(row_bytes)) {
            to[..row_bytes].copy_from_slice(from);
        }
        self.encode().map_err(|error| failure(&self.path, "cannot write a frame", error))
    }

    fn encode(&mut self) -> Result<(), ffmpeg::Error> {
        self.scaler.run(&self.rgb, &mut self.yuv)?;
        self.yuv.set_pts(Some(self.frames));
        self.frames += 1;
        self.encoder.send_frame(&self.yuv)?;
        self.write_packets()
    }

    /// Writes the packets that the encoder has ready.
    fn write_packets(&mut self) -> Result<(), ffmpeg::Error> {
        let stream_secs = self.output.stream(0).map_or(self.frame_secs, |stream| stream.time_base());
        let mut packet = ffmpeg::Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => return Ok(()),
                Err(error) => return Err(error),
            }
            packet.set_stream(0);
            packet.set_duration(1);
            packet.rescale_ts(self.frame_secs, stream_secs);
            packet.write_interleaved(&mut self.output)?;
        }
    }

    /// Flushes the encoder and renames the file into place.
    ///
    /// # Errors
    /// No frame was written, or the file cannot be written.
    pub fn finish(mut self) -> Result<(), DemoError> {
        if self.frames == 0 {
            return Err(DemoError::Video { path: self.path, reason: "no frame was written".into() });
        }
        let flushed = self.encoder.send_eof().and_then(|()| self.write_packets());
        flushed
            .and_then(|()| self.output.write_trailer())
            .map_err(|error| failure(&self.path, "cannot finish the video", error))?;
        drop(self.output);
        let persisted = self.partial.persist(&self.path);
        persisted.map_err(|error| DemoError::Video { path: self.path, reason: error.error.to_string() })
    }
}

fn check(settings: &VideoSettings) -> Result<(), String> {
    let side = |side: u32| (2..=8192).contains(&side) && side.is_multiple_of(2);
    if !side(settings.width) || !side(settings.height) {
        let (width, height) = (settings.width, settings.height);
        return Err(format!("the size is {width}x{height}, allowed are even numbers from 2 to 8192"));
    }
    if !(1..=1000).contains(&settings.fps) {
        return Err(format!("{} frames a second, allowed are 1 to 1000", settings.fps));
    }
    if settings.bits_per_sec.is_some_and(|bits| !(1_000..=1_000_000_000).contains(&bits)) {
        return Err(format!("{:?} bits a second, allowed are 1000 to 1000000000", settings.bits_per_sec));
    }
    if settings.crf > 51 || settings.gop == 0 || settings.gop > 10_000 || settings.b_frames > 16 {
        return Err(format!("no such H.264: {settings:?}"));
    }
    Ok(())
}

fn failure(path: &Path, what: &str, error: ffmpeg::Error) -> DemoError {
    DemoError::Video { path: path.to_owned(), reason: format!("{what}: {error}") }
}

fn as_int(checked: u32) -> i32 {
    i32::try_from(checked).expect("the settings were checked")
}

/// An empty file beside `path` with permissions by the umask (temporary files are private by default).
fn partial_file(path: &Path) -> Result<TempPath, DemoError> {
    let failed = |reason: String| DemoError::Video { path: path.to_owned(), reason };
    if path.to_str().is_none() {
        return Err(failed("FFmpeg needs a path in UTF-8".into()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new()
        .prefix(".partial-")
        .suffix(".mp4")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|error| failed(error.to_string()))?;
    Ok(file.into_temp_path())
}

fn open_encoder(codec: ffmpeg::Codec, settings: &VideoSettings) -> Result<encoder::Video, ffmpeg::Error> {
    let mut encoder = codec::context::Context::new_with_codec(codec).encoder().video()?;
    encoder.set_width(settings.width);
    encoder.set_height(settings.height);
    encoder.set_format(Pixel::YUV420P);
    encoder.set_frame_rate(Some(Rational(as_int(settings.fps), 1)));
    encoder.set_time_base(Rational(1, as_int(settings.fps)));
    encoder.set_gop(settings.gop);
    encoder.set_max_b_frames(settings.b_frames as usize);
    // mp4 keeps the parameter sets outside the stream. Closed GOPs are FFmpeg's default for this encoder, which setting
    // any flag would lose.
    encoder.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::CLOSED_GOP);
    let mut options = Dictionary::new();
    options.set("preset", "veryfast");
    match settings.bits_per_sec {
        Some(bits) => {
            // A buffer of a second; what a simple picture does not need is filled up.
            for key in ["b", "minrate", "maxrate", "bufsize"] {
                options.set(key, &bits.to_string());
            }
            options.set("nal-hrd", "cbr");
        }
        None => options.set("crf", &settings.crf.to_string()),
    }
    // The same frames must give the same bytes: with more threads they depend on the number of cores, and the
    // macroblock tree of x264 core 164 differs from run to run on processors with AVX-512.
    options.set("threads", "1");
    options.set("mbtree", "0");
    encoder.open_with(options)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn frames(settings: &VideoSettings, count: u32) -> Vec<Vec<u8>> {
        let pixels = settings.width * settings.height;
        (0..count).map(|t| (0..pixels * 3).map(|i| (i * 7 + t * 31) as u8).collect()).collect()
    }

    fn write(path: &Path, settings: &VideoSettings, count: u32) -> Result<(), DemoError> {
        let mut writer = VideoWriter::create(path, settings)?;
        for frame in frames(settings, count) {
            writer.write(&frame)?;
        }
        writer.finish()
    }

    #[test]
    fn what_is_written_decodes_as_h264_with_the_same_size_rate_and_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a:b ü.mp4");
        let settings = VideoSettings { width: 96, height: 64, fps: 30, b_frames: 3, ..VideoSettings::default() };
        write(&path, &settings, 41).unwrap();

        let mut input = format::input(&format!("file:{}", path.display())).unwrap();
        let stream = input.stream(0).unwrap();
        assert_eq!(stream.parameters().id(), codec::Id::H264);
        assert_eq!(stream.avg_frame_rate(), Rational(30, 1));
        let context = codec::context::Context::from_parameters(stream.parameters()).unwrap();
        let mut decoder = context.decoder().video().unwrap();
        assert_eq!((decoder.width(), decoder.height(), decoder.format()), (96, 64, Pixel::YUV420P));
        let mut decoded = 0;
        let mut frame = frame::Video::empty();
        for (_, packet) in input.packets() {
            decoder.send_packet(&packet).unwrap();
            while decoder.receive_frame(&mut frame).is_ok() {
                decoded += 1;
            }
        }
        decoder.send_eof().unwrap();
        while decoder.receive_frame(&mut frame).is_ok() {
            decoded += 1;
        }
        assert_eq!(decoded, 41);
        assert!((input.duration() as f64 / 1e6 - 41.0 / 30.0).abs() < 0.01);
    }

    #[test]
    fn the_same_frames_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.mp4", "b.mp4"].map(|name| folder.path().join(name));
        write(&a, &VideoSettings::default(), 20).unwrap();
        write(&b, &VideoSettings::default(), 20).unwrap();
        assert!(fs::read(a).unwrap() == fs::read(b).unwrap());
    }

    #[test]
    fn a_bit_rate_makes_rich_and_poor_pictures_take_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let size = |name: &str, divisor: u8, bits_per_sec| {
            let path = folder.path().join(name);
            let settings = VideoSettings { width: 96, height: 64, bits_per_sec, ..VideoSettings::default() };
            let mut writer = VideoWriter::create(&path, &settings).unwrap();
            for frame in frames(&settings, 50) {
                writer.write(&frame.iter().map(|byte| byte / divisor).collect::<Vec<_>>()).unwrap();
            }
            writer.finish().unwrap();
            fs::metadata(path).unwrap().len() as f64
        };
        let [rich, poor] = [1, 8].map(|divisor| size("a.mp4", divisor, None));
        assert!(poor < 0.8 * rich, "{poor} {rich}");
        // What the rich ones took in their two seconds.
        let bits_per_sec = Some((rich * 4.0) as u32);
        let [rich, poor] = [1, 8].map(|divisor| size("b.mp4", divisor, bits_per_sec));
        assert!((poor / rich - 1.0).abs() < 0.02, "{poor} {rich}");
    }

    #[test]
    fn an_unfinished_or_refused_video_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let settings = VideoSettings::default();
        let mut writer = VideoWriter::create(&path, &settings).unwrap();
        writer.write(&frames(&settings, 1)[0]).unwrap();
        assert!(writer.write(&[0; 10]).unwrap_err().to_string().contains("10 bytes where 196608"));
        drop(writer);
        let odd = VideoSettings { width: 97, ..settings.clone() };
        assert!(VideoWriter::create(&path, &odd).err().unwrap().to_string().contains("97x256"));
        assert!(VideoWriter::create(&path, &settings).unwrap().finish().is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(VideoWriter::create(&folder.path().join("no/a.mp4"), &settings).is_err());
    }
}
