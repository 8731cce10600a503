//! Where the bytes of packets lie in a file, and reading them there without the container. A packet that is not what it
//! was is never returned. This file knows nothing of frames and of where places are kept.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ffmpeg_next::codec::packet::Packet;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::hardware;

/// The largest packet that is read from its place.
pub(super) const MAX_PACKET_BYTES: u32 = 64 << 20;
/// The largest number of bytes between the place that FFmpeg tells and the data: Matroska's block has a header of four.
const MAX_LEAD: usize = 16;

/// Where a packet lies, and what it is recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) bytes: u32,
    /// FFmpeg's flags of the packet.
    pub(super) flags: u8,
    /// The checksum of its bytes.
    pub(super) sum: u64,
}

/// Finds the places of all packets of a file, while it is read.
pub(super) struct Finder {
    file: File,
    /// The number of bytes before the data, which is the same for all packets; `None` before the first.
    lead: Option<u64>,
    buffer: Vec<u8>,
    places: Vec<Place>,
    sound: bool,
}

impl Finder {
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        Some(Self { file, lead: None, buffer: Vec::new(), places: Vec::new(), sound: true })
    }

    /// Finds the next packet.
    pub(super) fn find(&mut self, packet: &Packet) {
        if self.sound {
            let place = self.place_of(packet);
            self.places.extend(place);
            self.sound = place.is_some();
        }
    }

    /// The places of all packets; `None` if some lie in pieces, or are more than their bytes.
    pub(super) fn places(self) -> Option<Vec<Place>> {
        self.sound.then_some(self.places)
    }

    fn place_of(&mut self, packet: &Packet) -> Option<Place> {
        let data = packet.data().filter(|data| !data.is_empty())?;
        let bytes = u32::try_from(data.len()).ok().filter(|bytes| *bytes <= MAX_PACKET_BYTES)?;
        if packet.is_corrupt() || packet.side_data().next().is_some() {
            return None;
        }
        let position = u64::try_from(packet.position()).ok()?;
        let lead = match self.lead {
            Some(lead) => lead,
            None => self.lead_of(position, data)?,
        };
        self.lead = Some(lead);
        let at = position + lead;
        self.buffer.resize(data.len(), 0);
        self.file.read_exact_at(&mut self.buffer, at).ok()?;
        let flags = u8::try_from(hardware::flags(packet)).ok()?;
        (self.buffer == data).then(|| Place { at, bytes, flags, sum: xxh3_64(data) })
    }

    /// The number of bytes between a position and the data.
    fn lead_of(&mut self, position: u64, data: &[u8]) -> Option<u64> {
        (0..=MAX_LEAD as u64).find(|lead| {
            self.buffer.resize(data.len(), 0);
            self.file.read_exact_at(&mut self.buffer, position + lead).is_ok() && self.buffer == data
        })
    }
}

/// A file whose packets are read from their places.
pub(super) struct PlacedFile<'a> {
    file: File,
    places: &'a [Place],
}

impl<'a> PlacedFile<'a> {
    pub(super) fn open(path: &Path, places: &'a [Place]) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
        Ok(Self { file, places })
    }

    /// The packet with this number; `None` if it is not there any more.
    pub(super) fn packet(&self, number: usize) -> Option<Packet> {
        let place = self.places.get(number)?;
        let mut packet = Packet::new(place.bytes as usize);
        // There is no data if there is no memory for it.
        let data = packet.data_mut()?;
        self.file.read_exact_at(data, place.at).ok()?;
        if xxh3_64(data) != place.sum {
            return None;
        }
        hardware::set_flags(&mut packet, place.flags);
        Some(packet)
    }
}
