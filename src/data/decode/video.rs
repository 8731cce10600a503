//! The wanted frames of a video, bit for bit those of a full decode.
//!
//! Where every packet is one frame that says when it is shown, frames are picked by their order in time. Then only what
//! the wanted frames are made from is decoded: decoding starts at the last frame before that needs no other, and frames
//! that no other is made from are left out. Everything the decoder gives back on the way is checked against what the
//! packets promised. On the least doubt the whole file is decoded in order and its frames are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::{context, decoder, discard::Discard, packet::Packet, threading};
use ffmpeg_next::{Dictionary, frame};
use image::RgbImage;

use super::convert::Converter;
use super::file::{self, Deadline, MAX_PIXELS, PacketInfo, Packets, Probing, VideoFile};
use super::{Clip, ClipSpec, FrameSize, hardware, picks, references};
use crate::config::Switch;

/// A decoder that fails this often is not asked again.
const MAX_ERRORS: usize = 1_000;

/// Reads the frames of a clip from a file.
pub(super) fn read(path: &Path, spec: &ClipSpec, draw: Option<u64>, size: FrameSize) -> Result<Clip, String> {
    let deadline = Deadline::after(spec.deadline_secs);
    let mut file = VideoFile::open(path, deadline, Probing::Headers)?;
    let packets = file.packets(true, spec.min_frames)?;
    let video = Video { path, spec, size, deadline, packets };
    if let Some(shown) = video.shown() {
        let is_anchor = |frame: usize| video.packets.infos[shown[frame]].is_anchor();
        let picks = picks::choose(spec.sampling, shown.len(), spec.frames, draw, is_anchor);
        let wanted: Vec<_> = picks.iter().map(|frame| shown[*frame]).collect();
        // What the GPU cannot decode, the CPU may.
        let on_gpu = hardware::available(spec.hw_decode).then_some(spec.hw_decode);
        for hw_decode in on_gpu.into_iter().chain([Switch::Off]) {
            if let Some(pictures) = video.selected(&file, &wanted, hw_decode)? {
                return Ok(Clip::new(&wanted, pictures));
            }
        }
        tracing::debug!("{}: not every packet is a sound frame: all of it is decoded", path.display());
    }
    drop(file);
    video.counted(draw)
}

/// Numbers the runs of packets that must be decoded for the wanted ones: first and last of each.
fn runs(packets: &[PacketInfo], wanted: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    let starts = |packet: &usize| packets[*packet].role.is_some_and(|role| role.entry);
    let start_of = |packet: usize| (0..=packet).rev().find(starts).unwrap_or(0);
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for packet in wanted.iter().rev() {
        let start = start_of(*packet);
        match runs.last_mut() {
            Some(run) if *packet >= run.0 => run.0 = run.0.min(start),
            _ => runs.push((start, *packet)),
        }
    }
    runs.reverse();
    runs
}

/// Packets that need not be decoded for the wanted ones, although others may be made from their frames.
fn spared(packets: &[PacketInfo], wanted: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut spared = BTreeSet::new();
    let mut start = 0;
    for sequence in packets.chunk_by(|_, next| next.picture.as_ref().is_none_or(|picture| !picture.idr)) {
        let pictures: Option<Vec<_>> = sequence.iter().map(|packet| packet.picture.as_ref()).collect();
        let needed = pictures.and_then(|pictures| references::needed(&pictures, |at| wanted.contains(&(start + at))));
        let numbers = needed.unwrap_or_default().into_iter().enumerate();
        spared.extend(numbers.filter(|(_, needed)| !needed).map(|(at, _)| start + at));
        start += sequence.len();
    }
    spared
}

struct Video<'a> {
    path: &'a Path,
    spec: &'a ClipSpec,
    size: FrameSize,
    deadline: Deadline,
    packets: Packets,
}

impl Video<'_> {
    /// Packet numbers of all frames in the order they are shown, if every packet is a frame with a time of its own.
    fn shown(&self) -> Option<Vec<usize>> {
        let infos = &self.packets.infos;
        let mut shown: Vec<_> = (0..infos.len()).filter(|packet| !infos[*packet].hidden).collect();
        if infos.iter().any(|packet| packet.time.is_none() || packet.role.is_none()) {
            return None;
        }
        shown.sort_by_key(|packet| infos[*packet].time);
        let unique = shown.windows(2).all(|pair| infos[pair[0]].time != infos[pair[1]].time);
        unique.then_some(shown)
    }

    /// The wanted frames by packet number, decoding no more than needed; `None` on any doubt.
    fn selected(
        &self,
        file: &VideoFile,
        wanted: &[usize],
        hw_decode: Switch,
    ) -> Result<Option<BTreeMap<usize, RgbImage>>, String> {
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        let mut pass = Selection {
            decoder: open_decoder(file.parameters(), hw_decode)?,
            converter: Converter::new(self.size, file.orientation),
            promised: BTreeSet::new(),
            wanted: &wanted,
            found: BTreeMap::new(),
        };
        // How a GPU fills the gaps that they leave is not known.
        let spared = if hw_decode == Switch::Off { spared(&self.packets.infos, &wanted) } else { BTreeSet::new() };
        tracing::debug!("{}: {} of {} packets are spared", self.path.display(), spared.len(), self.packets.infos.len());
        let mut source = self.source(Probing::Headers)?;
        for (start, end) in runs(&self.packets.infos, &wanted) {
            for number in (start..=end).filter(|number| !spared.contains(number)) {
                self.deadline.check()?;
                let info = &self.packets.infos[number];
                let Some(packet) = source.packet(number)? else { return Ok(None) };
                if !pass.send(number, &packet, info)? {
                    return Ok(None);
                }
            }
            if !pass.drain()? {
                return Ok(None);
            }
        }
        Ok(Some(pass.found))
    }

    /// The wanted frames of a full decode in order. Decodes a second time where the packets promised another number.
    fn counted(&self, draw: Option<u64>) -> Result<Clip, String> {
        // As others open it, too: what FFmpeg finds out by decoding may change what it makes of a damaged file.
        let file = VideoFile::open(self.path, self.deadline, Probing::Full)?;
        let announced = self.packets.frames();
        let mut frames = announced;
        loop {
            let picks = picks::choose(self.spec.sampling, frames, self.spec.frames, draw, |_| true);
            let wanted = picks.iter().copied().collect();
            let mut pass = Counting {
                decoder: open_decoder(file.parameters(), Switch::Off)?,
                converter: Converter::new(self.size, file.orientation),
                wanted: &wanted,
                found: BTreeMap::new(),
                frames: 0,
                errors: 0,
                last_error: None,
            };
            let mut source = self.source(Probing::Full)?;
            for number in 0..self.packets.infos.len() {
                self.deadline.check()?;
                let Some(packet) = source.packet(number)? else { break };
                let sent = pass.decoder.send_packet(&*packet);
                pass.receive(sent)?;
            }
            let sent = pass.decoder.send_eof();
            pass.receive(sent)?;
            pass.check(announced)?;
            file::check_frames(pass.frames, self.spec.min_frames)?;
            if pass.frames == frames {
                return Ok(Clip::new(&picks, pass.found));
            }
            frames = pass.frames;
        }
    }

    fn source(&self, probing: Probing) -> Result<Source<'_>, String> {
        Ok(match &self.packets.kept {
            Some(kept) => Source::Kept(kept),
            None => Source::File { file: VideoFile::open(self.path, self.deadline, probing)?, next: 0 },
        })
    }
}

/// Where a pass gets its packets from.
enum Source<'a> {
    Kept(&'a [Packet]),
    File { file: VideoFile, next: usize },
}

enum Held<'a> {
    Kept(&'a Packet),
    Read(Packet),
}

impl std::ops::Deref for Held<'_> {
    type Target = Packet;

    fn deref(&self) -> &Packet {
        match self {
            Self::Kept(packet) => packet,
            Self::Read(packet) => packet,
        }
    }
}

impl<'a> Source<'a> {
    /// The packet of this number, which only grows from call to call, with its number in place of its time.
    fn packet(&mut self, number: usize) -> Result<Option<Held<'a>>, String> {
        match self {
            Self::Kept(packets) => Ok(packets.get(number).map(Held::Kept)),
            Self::File { file, next } => loop {
                let Some(mut packet) = file.next_packet()? else { return Ok(None) };
                *next += 1;
                if *next > number {
                    packet.set_pts(Some(number as i64));
                    return Ok(Some(Held::Read(packet)));
                }
            },
        }
    }
}

fn open_decoder(parameters: ffmpeg::codec::Parameters, hw_decode: Switch) -> Result<decoder::Video, String> {
    let codec = parameters.id();
    let unusable = |error: ffmpeg::Error| format!("its codec {} cannot be decoded: {error}", codec.name());
    let mut context = context::Context::from_parameters(parameters).map_err(unusable)?;
    // Several videos at a time use the cores better than several threads on one.
    context.set_threading(threading::Config { kind: threading::Type::None, count: 1, ..Default::default() });
    hardware::attach(&mut context, hw_decode);
    let mut options = Dictionary::new();
    // Holds where the size changes on the way, too.
    options.set("max_pixels", &MAX_PIXELS.to_string());
    context.decoder().open_as_with(codec, options).and_then(decoder::Opened::video).map_err(unusable)
}

/// One pass over parts of a video in which every packet keeps its promise, or the pass is void.
struct Selection<'a> {
    decoder: decoder::Video,
    converter: Converter,
    /// Packets that were sent and whose frames did not come yet.
    promised: BTreeSet<usize>,
    wanted: &'a BTreeSet<usize>,
    found: BTreeMap<usize, RgbImage>,
}

impl Selection<'_> {
    /// `false` if something is wrong.
    fn send(&mut self, number: usize, packet: &Packet, info: &PacketInfo) -> Result<bool, String> {
        let needed = self.wanted.contains(&number) || info.role.is_none_or(|role| role.reference);
        // No other frame is made from a non-reference frame, so leaving it out changes no pixel.
        self.decoder.skip_frame(if needed { Discard::Default } else { Discard::NonReference });
        if needed && !info.hidden {
            self.promised.insert(number);
        }
        Ok(self.decoder.send_packet(packet).is_ok() && self.receive()?)
    }

    /// Takes the frames that are still inside, and makes the decoder ready for another part.
    fn drain(&mut self) -> Result<bool, String> {
        let sound = self.decoder.send_eof().is_ok() && self.receive()? && self.promised.is_empty();
        self.decoder.flush();
        Ok(sound)
    }

    fn receive(&mut self) -> Result<bool, String> {
        loop {
            let mut frame = frame::Video::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => return Ok(true),
                Err(_) => return Ok(false),
            }
            let number = frame.pts().and_then(|number| usize::try_from(number).ok());
            let Some(number) = number.filter(|number| self.promised.remove(number)) else { return Ok(false) };
            if frame.is_corrupt() || frame.has_decode_errors() {
                return Ok(false);
            }
            if self.wanted.contains(&number) {
                let Ok(frame) = hardware::download(frame) else { return Ok(false) };
                self.found.insert(number, self.converter.picture(&frame)?);
            }
        }
    }
}

/// One pass over a whole video that takes what the decoder gives.
struct Counting<'a> {
    decoder: decoder::Video,
    converter: Converter,
    wanted: &'a BTreeSet<usize>,
    found: BTreeMap<usize, RgbImage>,
    frames: usize,
    errors: usize,
    last_error: Option<ffmpeg::Error>,
}

impl Counting<'_> {
    /// Takes what the decoder has ready after `sent`. A failure is only counted: what is missing shows at the end.
    fn receive(&mut self, sent: Result<(), ffmpeg::Error>) -> Result<(), String> {
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
            result = self.decoder.receive_frame(&mut frame);
            if result.is_ok() {
                if self.wanted.contains(&self.frames) {
                    self.found.insert(self.frames, self.converter.picture(&frame)?);
                }
                self.frames += 1;
            }
        }
    }

    /// A tenth may be lost, as with files that break off.
    fn check(&self, announced: usize) -> Result<(), String> {
        match self.last_error {
            Some(error) if self.frames < announced - announced / 10 => {
                Err(format!("it is damaged: {} of {announced} frames could be decoded ({error})", self.frames))
            }
            _ => Ok(()),
        }
    }
}
