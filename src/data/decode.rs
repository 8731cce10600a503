//! Exact frames of a video file: a cheap pass over the packets says which frames there are, a second one decodes those
//! that are wanted.
//!
//! Frames are counted, never computed from a frame rate, so variable rates and wrong headers do not matter. Frames that
//! are neither wanted nor needed to decode others are not decoded. Knows nothing of labels, caches or threads.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::{context, decoder, discard::Discard, packet::Packet, threading};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Dictionary, frame, media};
use image::RgbImage;

use super::DataError;
use super::manifest::Footage;
use crate::config::{DataConfig, Sampling, Switch};

/// A larger picture is an attack or a mistake, and would not fit the memory.
const MAX_PIXELS: u64 = 64_000_000;
/// Ten hours at 25 frames a second; more time stamps are not collected.
const MAX_PACKETS: usize = 1_000_000;
/// A decoder that fails this often is not asked again.
const MAX_ERRORS: usize = 1_000;

/// What is taken from a video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipSpec {
    /// T: frames in a clip.
    pub frames: usize,
    /// Height in pixels that frames are resized to.
    pub height: usize,
    /// Width in pixels that frames are resized to.
    pub width: usize,
    /// A video with fewer frames is not used; one with fewer than `frames` repeats some.
    pub min_frames: usize,
    /// Which frames.
    pub sampling: Sampling,
    /// Frames with a lower variance of the Laplacian are left out; 0 = off.
    pub quality_threshold: f64,
    /// Frames that differ less from the one before are left out; 0 = off.
    pub duplicate_threshold: f64,
    /// Seconds after which reading is given up.
    pub deadline_secs: f64,
    /// Whether the GPU may decode.
    pub hw_decode: Switch,
}

/// How large frames are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameSize {
    /// Resized to this, whatever the shape of the video.
    Exact {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
    /// As in the video.
    Full,
    /// Made smaller, never larger, so that the longer side has this many pixels.
    LongSide(usize),
}

impl ClipSpec {
    /// Clips as configured.
    #[must_use]
    pub fn of(data: &DataConfig) -> Self {
        let [height, width] = data.frame_size;
        Self {
            frames: data.max_frames,
            height,
            width,
            min_frames: data.min_frames,
            sampling: data.sampling,
            quality_threshold: data.quality_threshold,
            duplicate_threshold: data.duplicate_threshold,
            deadline_secs: data.deadline_secs,
            hw_decode: data.hw_decode,
        }
    }

    /// Evenly spaced frames, with the defaults for all else.
    #[must_use]
    pub fn uniform(frames: usize, height: usize, width: usize, min_frames: usize) -> Self {
        let data = DataConfig { max_frames: frames, frame_size: [height, width], min_frames, ..DataConfig::default() };
        Self::of(&data)
    }

    /// Bytes of a clip: T x height x width x 3.
    #[must_use]
    pub fn clip_bytes(&self) -> usize {
        self.frames * self.height * self.width * 3
    }
}

/// Version of FFmpeg's decoding library.
#[must_use]
pub fn libavcodec_version() -> String {
    let version = ffmpeg::codec::version();
    format!("libavcodec {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

/// What a look at the packets tells about a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoInfo {
    /// Frames in it.
    pub frames: usize,
    /// Width in pixels, as shown.
    pub width: u32,
    /// Height in pixels, as shown.
    pub height: u32,
    /// Size of the file, or of all its pictures.
    pub bytes: u64,
}

/// Whether a clip can be had from this, as far as that shows without decoding.
///
/// # Errors
/// [`DataError::Video`] with the reason why not.
pub fn probe(footage: &Footage, spec: &ClipSpec) -> Result<VideoInfo, DataError> {
    let info = || {
        let mut file = VideoFile::open(&footage.path)?;
        let frames = file.timestamps(spec.min_frames)?.len();
        let bytes = std::fs::metadata(&footage.path).map_or(0, |metadata| metadata.len());
        Ok(VideoInfo { frames, width: file.decoder.width(), height: file.decoder.height(), bytes })
    };
    info().map_err(about(&footage.path))
}

/// The frames of a clip as RGB bytes, T x height x width x 3.
///
/// # Errors
/// [`DataError::Video`] with the reason: the file is no video, is too short, or a wanted frame cannot be decoded.
pub fn read_clip(footage: &Footage, spec: &ClipSpec, draw: Option<u64>) -> Result<Vec<u8>, DataError> {
    let mut thwc = Vec::new();
    // A plain `with_capacity` ends the process where there is no memory left.
    let reserved = thwc.try_reserve_exact(spec.clip_bytes());
    reserved.map_err(|_| about(&footage.path)(format!("no memory for its {} bytes", spec.clip_bytes())))?;
    let size = FrameSize::Exact { height: spec.height, width: spec.width };
    read_frames(footage, spec, draw, size, &mut |frame| thwc.extend_from_slice(&frame))?;
    Ok(thwc)
}

/// Hands over the T frames of a clip in the order they are shown; a frame that was picked twice comes twice.
///
/// `draw` seeds the choice where it is random; without it, the choice is that of validation.
///
/// # Errors
/// [`DataError::Video`] with the reason.
pub fn read_frames(
    footage: &Footage,
    spec: &ClipSpec,
    _draw: Option<u64>,
    size: FrameSize,
    take: &mut dyn FnMut(RgbImage),
) -> Result<(), DataError> {
    decode(&footage.path, spec, size, take).map(drop).map_err(about(&footage.path))
}

fn about(path: &Path) -> impl FnOnce(String) -> DataError {
    move |reason| DataError::Video { path: path.to_owned(), reason }
}

fn decode<'s>(
    path: &Path,
    spec: &ClipSpec,
    size: FrameSize,
    take: &'s mut dyn FnMut(RgbImage),
) -> Result<Clip<'s>, String> {
    let timestamps = VideoFile::open(path)?.timestamps(spec.min_frames)?;
    let wanted = picks(timestamps.len(), spec.frames).map(|frame| timestamps[frame]).collect();
    let mut clip = Clip::new(size, wanted, take);
    let mut file = VideoFile::open(path)?;
    while !clip.missing.is_empty()
        && let Some(mut packet) = file.next_packet()?
    {
        let time = timestamp(&packet);
        // A decoder hands this on to the frame, whatever the order; so it also tells frames apart that have no time.
        packet.set_pts(time);
        // No other frame is made from a non-reference frame, so leaving it out changes no pixel.
        let wanted = time.is_some_and(|time| clip.missing.contains(&time));
        file.decoder.skip_frame(if wanted { Discard::Default } else { Discard::NonReference });
        let sent = file.decoder.send_packet(&packet);
        clip.receive(&mut file.decoder, sent)?;
    }
    if !clip.missing.is_empty() {
        let sent = file.decoder.send_eof();
        clip.receive(&mut file.decoder, sent)?;
    }
    clip.complete()
}

/// Numbers of the frames at the centres of `wanted` equal parts.
fn picks(frames: usize, wanted: usize) -> impl Iterator<Item = usize> {
    (0..wanted).map(move |part| (2 * part + 1) * frames / (2 * wanted))
}

/// What orders packets and finds their frames again.
fn timestamp(packet: &Packet) -> Option<i64> {
    packet.pts().or(packet.dts())
}

/// An open file: its video stream and a decoder for it.
struct VideoFile {
    input: ffmpeg::format::context::Input,
    stream: usize,
    decoder: decoder::Video,
    packets_read: usize,
}

impl VideoFile {
    fn open(path: &Path) -> Result<Self, String> {
        start_ffmpeg()?;
        let unreadable = |error: &dyn std::fmt::Display| format!("cannot be opened: {error}");
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            return Err("this is not a file".into());
        }
        if metadata.len() == 0 {
            return Err("the file is empty".into());
        }
        let name = path.to_str().ok_or("the path is not valid UTF-8")?;
        let mut options = Dictionary::new();
        // Frames that an edit list hides are there all the same; else their packets would come without frames.
        options.set("ignore_editlist", "1");
        let input = ffmpeg::format::input_with_dictionary(&format!("file:{name}"), options)
            .map_err(|error| unreadable(&error))?;

        let is_video = |stream: &ffmpeg::Stream| {
            stream.parameters().medium() == media::Type::Video
                && !stream.disposition().contains(Disposition::ATTACHED_PIC)
        };
        let best = input.streams().best(media::Type::Video).filter(is_video);
        let stream = best.or_else(|| input.streams().find(is_video)).ok_or("there is no video stream")?;
        let decoder = open_decoder(stream.parameters())?;
        let stream = stream.index();
        Ok(Self { input, stream, decoder, packets_read: 0 })
    }

    /// Reads on to the next packet of the video stream.
    fn next_packet(&mut self) -> Result<Option<Packet>, String> {
        loop {
            if self.packets_read == MAX_PACKETS {
                return Err(format!("there are more than {MAX_PACKETS} packets in it"));
            }
            self.packets_read += 1;
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => return Ok(Some(packet)),
                // One damaged packet does not end the file.
                Ok(()) | Err(ffmpeg::Error::InvalidData) => {}
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(error) => return Err(format!("cannot be read to its end: {error}")),
            }
        }
    }

    /// Presentation times of all frames, ascending. Reads the file to its end.
    fn timestamps(&mut self, min_frames: usize) -> Result<Vec<i64>, String> {
        let mut timestamps = BTreeSet::new();
        let mut end = i64::MIN;
        while let Some(packet) = self.next_packet()? {
            let time = timestamp(&packet).ok_or("a packet has no time stamp")?;
            if !packet.is_corrupt() {
                timestamps.insert(time);
                end = end.max(time.saturating_add(packet.duration()));
            }
        }
        let frames = timestamps.len();
        if let Some(start) = timestamps.first() {
            self.check_length(end.saturating_sub(*start))?;
        }
        if frames < min_frames.max(1) {
            return Err(format!("it has {frames} frames where {min_frames} are needed"));
        }
        Ok(timestamps.into_iter().collect())
    }

    /// Where a header tells how many frames there are, it tells the length as well, and a file that breaks off is known.
    fn check_length(&self, length: i64) -> Result<(), String> {
        let Some(stream) = self.input.stream(self.stream).filter(|stream| stream.frames() > 0) else {
            return Ok(());
        };
        let announced = stream.duration();
        // A tenth is left to headers that are a little wrong.
        if length >= announced - announced / 10 {
            return Ok(());
        }
        let secs = |ticks: i64| ticks as f64 * f64::from(stream.time_base());
        Err(format!("the file breaks off after {:.2} of {:.2} s", secs(length), secs(announced)))
    }
}

fn start_ffmpeg() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), ffmpeg::Error>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        // What is wrong with a video is said once, by us.
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
        ffmpeg::init()
    });
    started.map_err(|error| format!("FFmpeg cannot be used: {error}"))
}

fn open_decoder(parameters: ffmpeg::codec::Parameters) -> Result<decoder::Video, String> {
    let codec = parameters.id();
    let unusable = |error: ffmpeg::Error| format!("its codec {} cannot be decoded: {error}", codec.name());
    // Only encoders tell their size before they are open. Opening the decoder of a huge video already fails, but with
    // words that tell nobody why.
    let unopened = context::Context::from_parameters(parameters.clone()).and_then(|context| context.encoder().video());
    let (width, height) = unopened.map(|video| (video.width(), video.height())).map_err(unusable)?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!(
            "its frames are {width}x{height} pixels, allowed are {} megapixels",
            MAX_PIXELS / 1_000_000
        ));
    }
    let mut context = context::Context::from_parameters(parameters).map_err(unusable)?;
    // Several videos at a time use the cores better than several threads on one.
    context.set_threading(threading::Config { kind: threading::Type::None, count: 1, ..Default::default() });
    let mut options = Dictionary::new();
    // Holds where the size changes on the way, too.
    options.set("max_pixels", &MAX_PIXELS.to_string());
    context.decoder().open_as_with(codec, options).and_then(decoder::Opened::video).map_err(unusable)
}

/// A clip in the making.
struct Clip<'s> {
    size: FrameSize,
    give: &'s mut dyn FnMut(RgbImage),
    /// The time of each of its frames, with repeats where the video is short.
    wanted: Vec<i64>,
    missing: BTreeSet<i64>,
    scaler: Option<scaling::Context>,
    decoded: usize,
    errors: usize,
    last_error: Option<ffmpeg::Error>,
}

impl<'s> Clip<'s> {
    fn new(size: FrameSize, wanted: Vec<i64>, give: &'s mut dyn FnMut(RgbImage)) -> Self {
        let missing = wanted.iter().copied().collect();
        Self { size, give, wanted, missing, scaler: None, decoded: 0, errors: 0, last_error: None }
    }

    /// Takes what the decoder has ready after `sent`. A failure is only counted: what is missing shows at the end.
    fn receive(&mut self, decoder: &mut decoder::Video, sent: Result<(), ffmpeg::Error>) -> Result<(), String> {
        let mut result = sent;
        let mut frame = frame::Video::empty();
        loop {
            match result {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => return Ok(()),
                Err(error) if self.errors == MAX_ERRORS => return Err(format!("it cannot be decoded: {error}")),
                Err(error) => {
                    self.errors += 1;
                    self.last_error = Some(error);
                }
            }
            result = decoder.receive_frame(&mut frame);
            if result.is_ok() {
                self.decoded += 1;
                self.take(&frame)?;
            }
        }
    }

    /// Appends the frame, resized, if it is wanted: as often as it was picked. Decoders give frames in the order they
    /// are shown, even where their times are those of decoding.
    fn take(&mut self, frame: &frame::Video) -> Result<(), String> {
        let Some(time) = frame.pts().or(frame.timestamp()).filter(|time| self.missing.remove(time)) else {
            return Ok(());
        };
        let rgb = self.resize(frame)?;
        let (width, height) = (rgb.width(), rgb.height());
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
        // Rows of an FFmpeg picture may be padded.
        for row in rgb.data(0).chunks(rgb.stride(0)).take(height as usize) {
            pixels.extend_from_slice(&row[..width as usize * 3]);
        }
        let picture = RgbImage::from_raw(width, height, pixels).expect("as many bytes as pixels x 3");
        for _ in self.wanted.iter().filter(|wanted| **wanted == time) {
            (self.give)(picture.clone());
        }
        Ok(())
    }

    fn resize(&mut self, frame: &frame::Video) -> Result<frame::Video, String> {
        let (format, width, height) = (frame.format(), frame.width(), frame.height());
        let unusable = |error| format!("a frame of {width}x{height} {format:?} cannot be resized: {error}");
        let fits =
            |scaler: &scaling::Context| *scaler.input() == scaling::context::Definition { format, width, height };
        let scaler = match self.scaler.take().filter(fits) {
            Some(scaler) => scaler,
            None => {
                let to = match self.size {
                    FrameSize::Exact { height, width } => (as_u32(width), as_u32(height)),
                    FrameSize::Full => (width, height),
                    FrameSize::LongSide(side) => {
                        let scale = (side as f64 / f64::from(width.max(height))).min(1.0);
                        let scaled = |length: u32| (f64::from(length) * scale).round().max(1.0) as u32;
                        (scaled(width), scaled(height))
                    }
                };
                let flags = scaling::Flags::BILINEAR;
                scaling::Context::get(format, width, height, Pixel::RGB24, to.0, to.1, flags).map_err(unusable)?
            }
        };
        let mut rgb = frame::Video::empty();
        self.scaler.insert(scaler).run(frame, &mut rgb).map_err(unusable)?;
        Ok(rgb)
    }

    fn complete(self) -> Result<Self, String> {
        if self.missing.is_empty() {
            return Ok(self);
        }
        let wanted = self.wanted.iter().collect::<BTreeSet<_>>().len();
        let found = wanted - self.missing.len();
        let why = self.last_error.map(|error| format!(" ({error})")).unwrap_or_default();
        Err(format!("it is damaged: {found} of {wanted} wanted frames could be decoded{why}"))
    }
}

fn as_u32(checked: usize) -> u32 {
    u32::try_from(checked).expect("the configuration bounds the size of frames")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{VideoSettings, VideoWriter};

    #[test]
    fn picks_are_the_centres_of_equal_parts() {
        let picks = |frames, wanted| picks(frames, wanted).collect::<Vec<_>>();
        assert_eq!(picks(100, 4), [12, 37, 62, 87]);
        assert_eq!(picks(4, 4), [0, 1, 2, 3]);
        assert_eq!(picks(3, 1), [1]);
        assert_eq!(picks(3, 6), [0, 0, 1, 1, 2, 2]);
        assert_eq!(picks(1, 3), [0, 0, 0]);
    }

    #[test]
    fn frames_that_nobody_needs_are_not_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let decoded = |b_frames| {
            let path = folder.path().join(format!("{b_frames}.mp4"));
            let settings = VideoSettings { width: 64, height: 64, gop: 250, b_frames, ..VideoSettings::default() };
            let mut writer = VideoWriter::create(&path, &settings).unwrap();
            for frame in 0..120 {
                writer.write(&[2 * frame; 64 * 64 * 3]).unwrap();
            }
            writer.finish().unwrap();
            let size = FrameSize::Exact { height: 32, width: 32 };
            decode(&path, &ClipSpec::uniform(4, 32, 32, 1), size, &mut drop).unwrap().decoded
        };
        let (without, with) = (decoded(0), decoded(3));
        assert!((105..=120).contains(&without), "every frame before the last wanted one is a reference: {without}");
        assert!(with < 80, "most B-frames are no references: {with} of 120 were decoded");
    }
}
