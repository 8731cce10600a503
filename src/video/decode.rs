//! The wanted frames of a video, equal bit for bit to those of a full decode.
//!
//! If every packet is one frame with a presentation time, frames are chosen in the order of these times, and only the
//! wanted frames and their references are decoded: decoding starts at the last entry point before a wanted frame, and
//! frames to which no other refers are left out. Each returned frame is checked against its packet. In any doubt, the
//! whole file is decoded in order and its frames are counted.
//!
//! With a kept packet table, only the wanted packets are read, each checked against the table. This file knows nothing
//! of faces and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ffmpeg_next::codec::packet::Packet;

use super::container::{Probing, VideoFile};
use super::decoded::{DecodedClip, Made};
use super::limits::{self, Deadline};
use super::make::Making;
use super::packet::{PacketInfo, Packets};
use super::passes::{Counting, Selection};
use super::place::PlacedFile;
use super::spec::ClipSpec;
use super::tables::{self, PacketTables};
use super::{hardware, picks, references};
use crate::config::Switch;

/// What was made of frames, by their number in the video, and the number of decoded frames.
type Selected<T> = (BTreeMap<usize, Made<T>>, usize);

/// Reads the frames of a clip from a file.
pub(super) fn read<T>(
    path: &Path,
    draw: Option<u64>,
    making: &mut Making<T>,
    tables: Option<&dyn PacketTables>,
) -> Result<DecodedClip<T>, String> {
    let spec = making.spec;
    let deadline = Deadline::after(spec.deadline_secs);
    let mut file = VideoFile::open(path, deadline, Probing::Headers)?;
    let (width, height) = file.shown_size();
    making.converter.orientation = file.orientation;
    let scan = |file: &mut VideoFile| tables::scan(file, true, spec.least_frames(), tables);
    let packets = match tables::kept(&file, spec.least_frames(), tables)? {
        Some(packets) => packets,
        None => scan(&mut file)?,
    };
    let mut video = Video { path, spec, size: [width, height], deadline, packets };
    let mut clip = video.chosen(&file, draw, making)?;
    if matches!(clip, Err(Doubt::Changed)) {
        tracing::debug!("{}: a packet is not as its table has it: all are read", path.display());
        // Opened again, the file is read from its beginning.
        file = VideoFile::open(path, deadline, Probing::Headers)?;
        video.packets = scan(&mut file)?;
        clip = video.chosen(&file, draw, making)?;
    }
    if let Ok(clip) = clip {
        return Ok(clip);
    }
    tracing::debug!("{}: not every packet is a sound frame: all of it is decoded", path.display());
    drop(file);
    video.counted(draw, making)
}

/// Why a clip could not be made of chosen packets alone.
enum Doubt {
    /// A packet is not where its table has it.
    Changed,
    /// Not every packet gives exactly the frame that is expected of it.
    NotSound,
}

/// The runs of packets that must be decoded for the wanted ones: first and last of each.
fn runs(packets: &[PacketInfo], wanted: &BTreeMap<usize, usize>) -> Vec<(usize, usize)> {
    let starts = |packet: &usize| packets[*packet].role.is_some_and(|role| role.entry);
    let start_of = |packet: usize| (0..=packet).rev().find(starts).unwrap_or(0);
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for packet in wanted.keys().rev() {
        let start = start_of(*packet);
        match runs.last_mut() {
            Some(run) if *packet >= run.0 => run.0 = run.0.min(start),
            _ => runs.push((start, *packet)),
        }
    }
    runs.reverse();
    runs
}

/// Pictures that may be references, but that no wanted picture needs.
fn skipped_references(packets: &[PacketInfo], wanted: &BTreeMap<usize, usize>) -> BTreeSet<usize> {
    let mut skipped_references = BTreeSet::new();
    let mut start = 0;
    for sequence in packets.chunk_by(|_, next| next.picture.as_ref().is_none_or(|picture| !picture.idr)) {
        let pictures: Option<Vec<_>> = sequence.iter().map(|packet| packet.picture.as_ref()).collect();
        let needed =
            pictures.and_then(|pictures| references::needed(&pictures, |at| wanted.contains_key(&(start + at))));
        let numbers = (start..).zip(sequence).zip(needed.unwrap_or_default());
        skipped_references
            .extend(numbers.filter(|((_, packet), needed)| !needed && packet.is_reference()).map(|((at, _), _)| at));
        start += sequence.len();
    }
    skipped_references
}

struct Video<'a> {
    path: &'a Path,
    spec: &'a ClipSpec,
    /// Width and height as shown.
    size: [u32; 2],
    deadline: Deadline,
    packets: Packets,
}

impl Video<'_> {
    /// The clip, by decoding only what it needs.
    fn chosen<T>(
        &self,
        file: &VideoFile,
        draw: Option<u64>,
        making: &mut Making<T>,
    ) -> Result<Result<DecodedClip<T>, Doubt>, String> {
        let Some(shown) = self.packets.shown() else { return Ok(Err(Doubt::NotSound)) };
        let is_anchor = |frame: usize| self.packets.infos[shown[frame]].is_anchor();
        let picks = picks::choose(self.spec, shown.len(), draw, is_anchor);
        let wanted = picks.iter().map(|frame| (shown[*frame], *frame)).collect();
        // The CPU may decode what the GPU cannot.
        let on_gpu = hardware::available(self.spec.hw_decode).then_some(self.spec.hw_decode);
        for hw_decode in on_gpu.into_iter().chain([Switch::Off]) {
            match self.selected(file, &wanted, hw_decode, making)? {
                Ok((found, decoded)) => {
                    let picked = (&picks[..], self.spec.choices(shown.len()));
                    return Ok(Ok(DecodedClip::new(picked, found, self.size, decoded)));
                }
                Err(Doubt::Changed) => return Ok(Err(Doubt::Changed)),
                Err(Doubt::NotSound) => {}
            }
        }
        Ok(Err(Doubt::NotSound))
    }

    /// What is made of the wanted frames (their numbers by packet), and the number of decoded frames, which is as small
    /// as possible.
    fn selected<T>(
        &self,
        file: &VideoFile,
        wanted: &BTreeMap<usize, usize>,
        hw_decode: Switch,
        making: &mut Making<T>,
    ) -> Result<Result<Selected<T>, Doubt>, String> {
        let mut pass = Selection::new(file.parameters(), hw_decode, making, wanted)?;
        // It is not known how a GPU decoder treats a header without its picture.
        let skipped_references =
            if hw_decode == Switch::Off { skipped_references(&self.packets.infos, wanted) } else { BTreeSet::new() };
        let mut source = match (&self.packets.kept, &self.packets.places) {
            (None, Some(places)) => Source::Placed(PlacedFile::open(self.path, places)?),
            _ => self.source(Probing::Headers)?,
        };
        for (start, end) in runs(&self.packets.infos, wanted) {
            for number in start..=end {
                self.deadline.check()?;
                let info = &self.packets.infos[number];
                let sound = match &info.picture {
                    Some(picture) if skipped_references.contains(&number) => {
                        pass.send_header(number, &picture.header)?
                    }
                    _ => match source.packet(number)? {
                        Some(packet) => pass.send(number, &packet, info)?,
                        None => return Ok(Err(Doubt::Changed)),
                    },
                };
                if !sound {
                    return Ok(Err(Doubt::NotSound));
                }
            }
            if !pass.drain()? {
                return Ok(Err(Doubt::NotSound));
            }
        }
        let (path, packets) = (self.path.display(), self.packets.infos.len());
        tracing::debug!(
            "{path}: {} of {packets} frames were decoded, {} as far as their header",
            pass.decoded,
            skipped_references.len()
        );
        Ok(Ok((pass.found, pass.decoded)))
    }

    /// The wanted frames of a full decode in order. It decodes a second time if the number of frames differs from that
    /// of the packets.
    fn counted<T>(&self, draw: Option<u64>, making: &mut Making<T>) -> Result<DecodedClip<T>, String> {
        // The file is opened with FFmpeg's defaults: the frames that it decodes then may change the result for a
        // damaged file.
        let file = VideoFile::open(self.path, self.deadline, Probing::Full)?;
        let announced = self.packets.frames();
        let mut frames = announced;
        loop {
            let picks = picks::choose(self.spec, frames, draw, |_| true);
            let wanted = picks.iter().copied().collect();
            let mut pass = Counting::new(file.parameters(), making, &wanted)?;
            let mut source = self.source(Probing::Full)?;
            for number in 0..self.packets.infos.len() {
                self.deadline.check()?;
                let Some(packet) = source.packet(number)? else { break };
                pass.send(&packet)?;
            }
            pass.drain()?;
            pass.check(announced)?;
            limits::check_frames(pass.frames, self.spec.least_frames())?;
            if pass.frames == frames {
                return Ok(DecodedClip::new((&picks, self.spec.choices(frames)), pass.found, self.size, frames));
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

/// The source of the packets of a pass.
enum Source<'a> {
    Kept(&'a [Packet]),
    Placed(PlacedFile<'a>),
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
    /// The packet with this number, and its number in place of its time. Numbers must ascend from call to call.
    fn packet(&mut self, number: usize) -> Result<Option<Held<'a>>, String> {
        match self {
            Self::Kept(packets) => Ok(packets.get(number).map(Held::Kept)),
            Self::Placed(file) => Ok(file.packet(number).map(|mut packet| {
                packet.set_pts(Some(number as i64));
                Held::Read(packet)
            })),
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
