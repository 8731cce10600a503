//! Opening a video file within its limits, and reading its packets once. This file returns no frames; `passes.rs`
//! decodes them.
//!
//! The compressed packets of a usual clip take a few MB. They are kept, so that the file is opened, probed and read
//! once. This file knows nothing of which frames are wanted.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::packet::{Packet, side_data};
use ffmpeg_next::codec::{self, context};
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::{Dictionary, media};
use xxhash_rust::xxh3::Xxh3;

use super::convert::Orientation;
use super::limits::{Deadline, MAX_PIXELS, check_frames};
use super::packet::{PacketInfo, Packets, mark_lower_layers};
use super::place::Finder;
use super::start::start_ffmpeg;
use super::{h264, hardware, role};

/// The largest number of packets that is read: ten hours at 25 frames a second.
const MAX_PACKETS: usize = 1_000_000;
/// The size above which packets are not kept but read again.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// How much FFmpeg analyses before the first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probing {
    /// Headers only.
    Headers,
    /// Also some frames, which are decoded. This is the default of FFmpeg.
    Full,
}

/// An open file with its video stream.
pub(super) struct VideoFile {
    input: ffmpeg::format::context::Input,
    stream: usize,
    pub(super) deadline: Deadline,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: Orientation,
    pub(super) bytes: u64,
    path: PathBuf,
    /// When it was changed, in seconds and nanoseconds.
    modified: [i64; 2],
    read: usize,
}

impl VideoFile {
    pub(super) fn open(path: &Path, deadline: Deadline, probing: Probing) -> Result<Self, String> {
        let file = Self::open_as(path, deadline, probing)?;
        // Some containers have the size only in the headers of the codec.
        if probing == Probing::Headers && (file.width == 0 || file.height == 0) {
            return Self::open_as(path, deadline, Probing::Full);
        }
        Ok(file)
    }

    fn open_as(path: &Path, deadline: Deadline, probing: Probing) -> Result<Self, String> {
        start_ffmpeg()?;
        let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be opened: {error}"))?;
        if !metadata.is_file() {
            return Err("this is not a file".into());
        }
        if metadata.len() == 0 {
            return Err("the file is empty".into());
        }
        let name = path.to_str().ok_or("the path is not valid UTF-8")?;
        let mut options = Dictionary::new();
        if probing == Probing::Headers {
            // An empty list of codecs: no frame is decoded to find what the headers contain.
            options.set("codec_whitelist", "none");
        }
        // A playlist must not open files outside the data set.
        options.set("protocol_whitelist", "file");
        let interrupt = move || deadline.passed();
        // Without `file:`, FFmpeg takes the part of a name before a colon for a protocol.
        let url = format!("file:{name}");
        let input = ffmpeg::format::input_with_interrupt_and_dictionary(&url, interrupt, options)
            .map_err(|error| deadline.check().err().unwrap_or_else(|| unreadable(path, error)))?;
        let format = input.format().name().to_owned();
        if format.ends_with("_pipe") || format == "image2" {
            return Err(format!("this is a picture ({format}), not a video"));
        }
        if ["concat", "hls", "dash", "imf"].iter().any(|playlist| format.contains(playlist)) {
            return Err(format!("cannot be opened: it is a list of other files ({format})"));
        }

        let is_video = |stream: &ffmpeg::Stream| {
            stream.parameters().medium() == media::Type::Video
                && !stream.disposition().contains(Disposition::ATTACHED_PIC)
        };
        let best = input.streams().best(media::Type::Video).filter(is_video);
        let stream = best.or_else(|| input.streams().find(is_video)).ok_or("there is no video stream")?;
        let (width, height) = size(stream.parameters())?;
        let (orientation, stream) = (Orientation::of(&stream), stream.index());
        let (bytes, modified) = (metadata.len(), [metadata.mtime(), metadata.mtime_nsec()]);
        let path = path.to_owned();
        Ok(Self { input, stream, deadline, width, height, orientation, bytes, path, modified, read: 0 })
    }

    pub(super) fn parameters(&self) -> codec::Parameters {
        self.input.stream(self.stream).expect("the stream was found in this file").parameters()
    }

    /// The hash of all by which the file is recognised, and of what its decoder is opened with.
    pub(super) fn fingerprint(&self) -> u128 {
        let parameters = self.parameters();
        let mut hasher = Xxh3::new();
        let facts = (self.bytes, self.modified, self.stream, hardware::parameters_text(&parameters));
        hasher.update(format!("{facts:?}").as_bytes());
        hasher.update(hardware::extradata(&parameters));
        hasher.digest128()
    }

    /// Width and height as shown.
    pub(super) fn shown_size(&self) -> (u32, u32) {
        if self.orientation.transposed() { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// The duration of the file, from its header.
    pub(super) fn duration_secs(&self) -> Option<f64> {
        let duration = self.input.duration();
        (duration > 0).then(|| duration as f64 / f64::from(ffmpeg::ffi::AV_TIME_BASE))
    }

    /// Reads the next packet of the video stream.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet>, String> {
        loop {
            if self.read == MAX_PACKETS {
                return Err(format!("there are more than {MAX_PACKETS} packets in it"));
            }
            self.read += 1;
            self.deadline.check()?;
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => return Ok(Some(packet)),
                // One damaged packet does not end the file.
                Ok(()) | Err(ffmpeg::Error::InvalidData) => {}
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(ffmpeg::Error::Exit) => return Err(self.deadline.message()),
                Err(error) => return Err(format!("cannot be read to its end: {error}")),
            }
        }
    }

    /// Reads the file to its end. It keeps small packets if they are to be decoded, and notes where they lie if
    /// `places` is set.
    pub(super) fn packets(&mut self, keep: bool, places: bool, min_frames: usize) -> Result<Packets, String> {
        let parameters = self.parameters();
        let codec = parameters.id();
        let mut reader =
            ((keep || places) && codec == codec::Id::H264).then(|| h264::Reader::new(hardware::extradata(&parameters)));
        let mut finder = places.then(|| Finder::open(&self.path)).flatten();
        let mut packets = Packets { infos: Vec::new(), kept: keep.then(Vec::new), in_order: true, places: None };
        let (mut bytes, mut start, mut end, mut last) = (0, i64::MAX, i64::MIN, i64::MIN);
        while let Some(mut packet) = self.next_packet()? {
            let hidden = hardware::hides(hardware::flags(&packet));
            let decoded = packet.dts().unwrap_or(last);
            packets.in_order &= last <= decoded;
            last = decoded;
            let sound = !packet.is_corrupt();
            if let Some(time) = packet.pts().or(packet.dts()).filter(|_| sound && !hidden) {
                start = start.min(time);
                end = end.max(time.saturating_add(packet.duration()));
            }
            let role = packet.data().filter(|_| sound).and_then(|data| role::role(codec, data, packet.is_key()));
            // Packets with new parameters in their side data are not supported.
            let plain = sound && packet.side_data().all(|data| data.kind() != side_data::Type::NewExtraData);
            let picture = packet.data().and_then(|data| reader.as_mut()?.picture(data)).filter(|_| plain);
            packets.infos.push(PacketInfo { time: packet.pts(), hidden, role, picture });
            finder.iter_mut().for_each(|finder| finder.find(&packet));
            // Such a file is always decoded as a whole, so that it needs no table.
            if !packets.in_order || packet.pts().is_none() || role.is_none() {
                finder = None;
            }
            bytes += packet.size();
            if bytes > MAX_KEPT_BYTES {
                packets.kept = None;
            }
            if let Some(kept) = &mut packets.kept {
                packet.set_pts(Some(kept.len() as i64));
                kept.push(packet);
            }
        }
        packets.places = finder.and_then(Finder::places);
        mark_lower_layers(&mut packets.infos);
        if start <= end {
            self.check_length(end.saturating_sub(start))?;
        }
        check_frames(packets.frames(), min_frames)?;
        Ok(packets)
    }

    /// Checks that the file is not truncated: a header with a number of frames also has the duration.
    fn check_length(&self, length: i64) -> Result<(), String> {
        let Some(stream) = self.input.stream(self.stream).filter(|stream| stream.frames() > 0) else {
            return Ok(());
        };
        let announced = stream.duration();
        // Headers may be wrong by a tenth.
        if length >= announced - announced / 10 {
            return Ok(());
        }
        let secs = |ticks: i64| ticks as f64 * f64::from(stream.time_base());
        Err(format!("the file breaks off after {:.2} of {:.2} s", secs(length), secs(announced)))
    }
}

/// The stored width and height in pixels; 0 if the container does not have them.
fn size(parameters: codec::Parameters) -> Result<(u32, u32), String> {
    let codec = parameters.id();
    // Only a context of an encoder has the size before it is open. Opening a decoder for a huge video fails too, but
    // with an unclear message.
    let unopened = context::Context::from_parameters(parameters).and_then(|context| context.encoder().video());
    let (width, height) = unopened
        .map(|video| (video.width(), video.height()))
        .map_err(|error| format!("its codec {} cannot be decoded: {error}", codec.name()))?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let allowed = MAX_PIXELS / 1_000_000;
        return Err(format!("its frames are {width}x{height} pixels, allowed are {allowed} megapixels"));
    }
    Ok((width, height))
}

fn unreadable(path: &Path, error: ffmpeg::Error) -> String {
    match has_index(path) {
        Ok(Some(false)) => "cannot be opened: it has no index (moov); the file was probably cut off".into(),
        _ => format!("cannot be opened: {error}"),
    }
}

/// Whether an MP4 or QuickTime file has an index; `None` for other files.
fn has_index(path: &Path) -> std::io::Result<Option<bool>> {
    const MAX_BOXES: usize = 1_000;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut at = 0_u64;
    for number in 0..MAX_BOXES {
        let mut header = [0_u8; 16];
        file.seek(SeekFrom::Start(at))?;
        if at >= length || file.read_exact(&mut header[..8]).is_err() {
            // A file shorter than one box is no MP4 file.
            return Ok((number > 0).then_some(false));
        }
        let kind = &header[4..8];
        if number == 0 && kind != b"ftyp" {
            return Ok(None);
        }
        if kind == b"moov" {
            return Ok(Some(true));
        }
        let short = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let size = match short {
            0 => return Ok(Some(false)),
            1 if file.read_exact(&mut header[8..]).is_ok() => {
                u64::from_be_bytes([8, 9, 10, 11, 12, 13, 14, 15].map(|at: usize| header[at]))
            }
            short => u64::from(short),
        };
        if size < 8 {
            return Ok(None);
        }
        at = at.saturating_add(size);
    }
    Ok(None)
}
