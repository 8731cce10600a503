//! One pass of a decoder over the packets of a video. Knows nothing of files, or of which packets to send.

use std::collections::{BTreeMap, BTreeSet};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::decoder::Conceal;
use ffmpeg_next::codec::{Parameters, context, decoder, discard::Discard, packet::Packet, threading};
use ffmpeg_next::{Dictionary, frame};

use super::convert::Converter;
use super::decoded::DecodedFrame;
use super::hardware;
use super::limits::MAX_PIXELS;
use super::packet::PacketInfo;
use crate::config::Switch;

/// A decoder that fails this often is not asked again.
const MAX_ERRORS: usize = 1_000;

/// A decoder that uses one thread.
fn open(parameters: Parameters, hw_decode: Switch) -> Result<decoder::Video, String> {
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
pub(super) struct Selection<'a> {
    decoder: decoder::Video,
    converter: Converter,
    /// Packets that were sent and whose frames did not come yet.
    promised: BTreeSet<usize>,
    /// Packets of which the decoder got no more than a header.
    headers: BTreeSet<usize>,
    wanted: &'a BTreeSet<usize>,
    /// The wanted frames that came.
    pub(super) found: BTreeMap<usize, DecodedFrame>,
    /// Frames that came whole.
    pub(super) decoded: usize,
}

impl<'a> Selection<'a> {
    /// A pass for the wanted packets.
    pub(super) fn new(
        parameters: Parameters,
        hw_decode: Switch,
        converter: Converter,
        wanted: &'a BTreeSet<usize>,
    ) -> Result<Self, String> {
        let decoder = open(parameters, hw_decode)?;
        let (promised, headers, found) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Ok(Self { decoder, converter, promised, headers, wanted, found, decoded: 0 })
    }

    /// `false` if something is wrong.
    pub(super) fn send(&mut self, number: usize, packet: &Packet, info: &PacketInfo) -> Result<bool, String> {
        let needed = self.wanted.contains(&number) || info.role.is_none_or(|role| role.reference);
        // No other frame is made from a non-reference frame, so leaving it out changes no pixel.
        self.decoder.skip_frame(if needed { Discard::Default } else { Discard::NonReference });
        self.decoder.conceal(Conceal::GUESS_MVS | Conceal::DEBLOCK);
        if needed && !info.hidden {
            self.promised.insert(number);
        }
        Ok(self.decoder.send_packet(packet).is_ok() && self.receive()?)
    }

    /// Lets the decoder count in a picture that nothing wanted is made from, so that its lists of references are those of a
    /// full decode. There is nothing to see in the frame that comes of it.
    pub(super) fn send_header(&mut self, number: usize, header: &[u8]) -> Result<bool, String> {
        let mut packet = Packet::copy(header);
        packet.set_pts(Some(number as i64));
        self.decoder.skip_frame(Discard::Default);
        self.decoder.conceal(Conceal::empty());
        self.headers.insert(number);
        Ok(self.decoder.send_packet(&packet).is_ok() && self.receive()?)
    }

    /// Takes the frames that are still inside, and makes the decoder ready for another part.
    pub(super) fn drain(&mut self) -> Result<bool, String> {
        let sound =
            self.decoder.send_eof().is_ok() && self.receive()? && self.promised.is_empty() && self.headers.is_empty();
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
            if number.is_some_and(|number| self.headers.remove(&number)) {
                continue;
            }
            let Some(number) = number.filter(|number| self.promised.remove(number)) else { return Ok(false) };
            self.decoded += 1;
            if frame.is_corrupt() || frame.has_decode_errors() {
                return Ok(false);
            }
            if self.wanted.contains(&number) {
                let Ok(frame) = hardware::download(frame) else { return Ok(false) };
                self.found.insert(number, self.converter.convert(&frame)?);
            }
        }
    }
}

/// One pass over a whole video that takes what the decoder gives.
pub(super) struct Counting<'a> {
    decoder: decoder::Video,
    converter: Converter,
    wanted: &'a BTreeSet<usize>,
    /// The wanted frames that came.
    pub(super) found: BTreeMap<usize, DecodedFrame>,
    /// Frames that came.
    pub(super) frames: usize,
    errors: usize,
    last_error: Option<ffmpeg::Error>,
}

impl<'a> Counting<'a> {
    /// A pass for the wanted frames by number.
    pub(super) fn new(
        parameters: Parameters,
        converter: Converter,
        wanted: &'a BTreeSet<usize>,
    ) -> Result<Self, String> {
        let decoder = open(parameters, Switch::Off)?;
        Ok(Self { decoder, converter, wanted, found: BTreeMap::new(), frames: 0, errors: 0, last_error: None })
    }

    pub(super) fn send(&mut self, packet: &Packet) -> Result<(), String> {
        let sent = self.decoder.send_packet(packet);
        self.receive(sent)
    }

    /// Takes the frames that are still inside.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        let sent = self.decoder.send_eof();
        self.receive(sent)
    }

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
                    self.found.insert(self.frames, self.converter.convert(&frame)?);
                }
                self.frames += 1;
            }
        }
    }

    /// A tenth may be lost, as with files that break off.
    pub(super) fn check(&self, announced: usize) -> Result<(), String> {
        match self.last_error {
            Some(error) if self.frames < announced - announced / 10 => {
                Err(format!("it is damaged: {} of {announced} frames could be decoded ({error})", self.frames))
            }
            _ => Ok(()),
        }
    }
}
