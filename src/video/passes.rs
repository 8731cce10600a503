//! One pass of a decoder over the packets of a video. Knows nothing of files, and does not choose the packets.

use std::collections::{BTreeMap, BTreeSet};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::decoder::Conceal;
use ffmpeg_next::codec::{Parameters, context, decoder, discard::Discard, packet::Packet, threading};
use ffmpeg_next::{Dictionary, frame};

use super::convert::RawFrame;
use super::decoded::Made;
use super::hardware;
use super::limits::MAX_PIXELS;
use super::make::Making;
use super::packet::PacketInfo;
use crate::config::Switch;

/// The number of errors after which a pass is given up.
const MAX_ERRORS: usize = 1_000;

/// Opens a decoder that uses one thread.
fn open(parameters: Parameters, hw_decode: Switch) -> Result<decoder::Video, String> {
    let codec = parameters.id();
    let unusable = |error: ffmpeg::Error| format!("its codec {} cannot be decoded: {error}", codec.name());
    let mut context = context::Context::from_parameters(parameters).map_err(unusable)?;
    // Several videos at a time use the cores better than several threads for one.
    context.set_threading(threading::Config { kind: threading::Type::None, count: 1, ..Default::default() });
    hardware::attach(&mut context, hw_decode);
    let mut options = Dictionary::new();
    // The limit also holds if the size changes within the stream.
    options.set("max_pixels", &MAX_PIXELS.to_string());
    context.decoder().open_as_with(codec, options).and_then(decoder::Opened::video).map_err(unusable)
}

/// A pass over selected packets. It is valid only if each packet gives exactly the frame that was expected.
pub(super) struct Selection<'a, 'm, T> {
    decoder: decoder::Video,
    making: &'a mut Making<'m, T>,
    /// Sent packets whose frames have not come yet.
    expected: BTreeSet<usize>,
    /// Packets of which only the header was sent.
    headers: BTreeSet<usize>,
    /// The numbers of the wanted frames in the video, by packet.
    wanted: &'a BTreeMap<usize, usize>,
    /// What was made of the wanted frames, by their number in the video.
    pub(super) found: BTreeMap<usize, Made<T>>,
    /// The number of frames that were decoded.
    pub(super) decoded: usize,
}

impl<'a, 'm, T> Selection<'a, 'm, T> {
    /// A pass for the wanted packets.
    pub(super) fn new(
        parameters: Parameters,
        hw_decode: Switch,
        making: &'a mut Making<'m, T>,
        wanted: &'a BTreeMap<usize, usize>,
    ) -> Result<Self, String> {
        let decoder = open(parameters, hw_decode)?;
        let (expected, headers, found) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Ok(Self { decoder, making, expected, headers, wanted, found, decoded: 0 })
    }

    /// Sends a packet. Returns `false` if the pass is not valid.
    pub(super) fn send(&mut self, number: usize, packet: &Packet, info: &PacketInfo) -> Result<bool, String> {
        let needed = self.wanted.contains_key(&number) || info.role.is_none_or(|role| role.reference);
        // No other frame refers to a non-reference frame, so leaving it out changes no pixel.
        self.decoder.skip_frame(if needed { Discard::Default } else { Discard::NonReference });
        self.decoder.conceal(Conceal::GUESS_MVS | Conceal::DEBLOCK);
        if needed && !info.hidden {
            self.expected.insert(number);
        }
        Ok(self.decoder.send_packet(packet).is_ok() && self.receive()?)
    }

    /// Sends only the header of a picture to which no wanted one refers, so that the reference lists of the decoder are
    /// those of a full decode. The resulting frame is not used.
    pub(super) fn send_header(&mut self, number: usize, header: &[u8]) -> Result<bool, String> {
        let mut packet = Packet::copy(header);
        packet.set_pts(Some(number as i64));
        self.decoder.skip_frame(Discard::Default);
        self.decoder.conceal(Conceal::empty());
        self.headers.insert(number);
        Ok(self.decoder.send_packet(&packet).is_ok() && self.receive()?)
    }

    /// Receives the remaining frames, and resets the decoder for another run of packets.
    pub(super) fn drain(&mut self) -> Result<bool, String> {
        let sound =
            self.decoder.send_eof().is_ok() && self.receive()? && self.expected.is_empty() && self.headers.is_empty();
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
            let Some(number) = number.filter(|number| self.expected.remove(number)) else { return Ok(false) };
            self.decoded += 1;
            if frame.is_corrupt() || frame.has_decode_errors() {
                return Ok(false);
            }
            if let Some(number) = self.wanted.get(&number) {
                let Ok(frame) = hardware::download(frame) else { return Ok(false) };
                self.found.insert(*number, self.making.of(*number, RawFrame::Frame(frame))?);
            }
        }
    }
}

/// A pass over a whole video, which accepts every frame that the decoder returns.
pub(super) struct Counting<'a, 'm, T> {
    decoder: decoder::Video,
    making: &'a mut Making<'m, T>,
    wanted: &'a BTreeSet<usize>,
    /// What was made of the wanted frames.
    pub(super) found: BTreeMap<usize, Made<T>>,
    /// The number of frames that were decoded.
    pub(super) frames: usize,
    errors: usize,
    last_error: Option<ffmpeg::Error>,
}

impl<'a, 'm, T> Counting<'a, 'm, T> {
    /// A pass for the frames with the wanted numbers.
    pub(super) fn new(
        parameters: Parameters,
        making: &'a mut Making<'m, T>,
        wanted: &'a BTreeSet<usize>,
    ) -> Result<Self, String> {
        let decoder = open(parameters, Switch::Off)?;
        Ok(Self { decoder, making, wanted, found: BTreeMap::new(), frames: 0, errors: 0, last_error: None })
    }

    pub(super) fn send(&mut self, packet: &Packet) -> Result<(), String> {
        let sent = self.decoder.send_packet(packet);
        self.receive(sent)
    }

    /// Receives the remaining frames.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        let sent = self.decoder.send_eof();
        self.receive(sent)
    }

    /// Receives the frames that are ready after `sent`. An error is only counted; missing frames are found at the end.
    fn receive(&mut self, sent: Result<(), ffmpeg::Error>) -> Result<(), String> {
        let mut result = sent;
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
            let mut frame = frame::Video::empty();
            result = self.decoder.receive_frame(&mut frame);
            if result.is_ok() {
                if self.wanted.contains(&self.frames) {
                    self.found.insert(self.frames, self.making.of(self.frames, RawFrame::Frame(frame))?);
                }
                self.frames += 1;
            }
        }
    }

    /// A tenth of the frames may be missing, as in truncated files.
    pub(super) fn check(&self, announced: usize) -> Result<(), String> {
        match self.last_error {
            Some(error) if self.frames < announced - announced / 10 => {
                Err(format!("it is damaged: {} of {announced} frames could be decoded ({error})", self.frames))
            }
            _ => Ok(()),
        }
    }
}
