//! The properties of packets that are known without decoding. Knows nothing of files and decoders.

use ffmpeg_next::codec::packet::Packet;
use serde::{Deserialize, Serialize};

use super::h264;
use super::place::Place;
use super::role::Role;

/// The properties of a packet that are known without decoding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PacketInfo {
    /// The presentation time of its frame, if the file has one.
    pub(super) time: Option<i64>,
    /// Whether an edit list hides its frame: it is decoded, because other frames may refer to it, but never shown.
    pub(super) hidden: bool,
    /// The role of its frame; `None` if the bytes are not exactly one known frame.
    pub(super) role: Option<Role>,
    /// The picture with its references, for H.264.
    pub(super) picture: Option<h264::Picture>,
}

impl PacketInfo {
    /// Whether other frames may refer to its frame.
    pub(super) fn is_reference(&self) -> bool {
        self.role.is_some_and(|role| role.reference)
    }

    /// Whether other frames may refer to its frame, and it is not known to be a B-frame.
    pub(super) fn is_anchor(&self) -> bool {
        self.picture.as_ref().map_or(self.is_reference(), h264::Picture::is_anchor)
    }
}

/// All packets of the video stream in decoding order.
pub(super) struct Packets {
    pub(super) infos: Vec<PacketInfo>,
    /// The packets, numbered by their time stamps, if they are small enough to be kept.
    pub(super) kept: Option<Vec<Packet>>,
    /// Whether decoding times never decrease. They do if the numbers of the file overflow.
    pub(super) in_order: bool,
    /// Where the packets lie in the file, if that was looked for and each lies in one piece.
    pub(super) places: Option<Vec<Place>>,
}

impl Packets {
    /// The number of frames, as far as it is known.
    pub(super) fn frames(&self) -> usize {
        self.infos.iter().filter(|packet| !packet.hidden).count()
    }

    /// The packet numbers of all frames in display order, if every packet is a frame with its own time.
    pub(super) fn shown(&self) -> Option<Vec<usize>> {
        let infos = &self.infos;
        let mut shown: Vec<_> = (0..infos.len()).filter(|packet| !infos[*packet].hidden).collect();
        let unknown = |packet: &PacketInfo| packet.time.is_none() || packet.role.is_none();
        if !self.in_order || infos.iter().any(unknown) {
            return None;
        }
        shown.sort_by_key(|packet| infos[*packet].time);
        let unique = shown.windows(2).all(|pair| infos[pair[0]].time != infos[pair[1]].time);
        unique.then_some(shown)
    }
}

/// Marks HEVC frames of all layers but the highest as references. The highest layer is known only after all packets.
pub(super) fn mark_lower_layers(packets: &mut [PacketInfo]) {
    let top = packets.iter().filter_map(|packet| packet.role).map(|role| role.layer).max().unwrap_or(0);
    for role in packets.iter_mut().filter_map(|packet| packet.role.as_mut()) {
        role.reference |= role.layer < top;
    }
}
