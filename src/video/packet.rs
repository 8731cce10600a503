//! What is known of the packets of a video without decoding them.

use ffmpeg_next::codec::packet::Packet;

use super::h264;
use super::role::Role;

/// What is known of a packet without decoding it.
#[derive(Debug, Clone)]
pub(super) struct PacketInfo {
    /// When its frame is shown, where the file says so.
    pub(super) time: Option<i64>,
    /// An edit list leaves its frame out: it is decoded, as others may need it, and never shown.
    pub(super) hidden: bool,
    /// What its bytes say of its frame; `None` where they do not make exactly one that is understood.
    pub(super) role: Option<Role>,
    /// H.264: which others its frame can be made from.
    pub(super) picture: Option<h264::Picture>,
}

impl PacketInfo {
    /// Whether others may be made from its frame.
    pub(super) fn is_reference(&self) -> bool {
        self.role.is_some_and(|role| role.reference)
    }

    /// Whether others may be made from its frame, and, where that is known, it is no B-frame.
    pub(super) fn is_anchor(&self) -> bool {
        self.picture.as_ref().map_or(self.is_reference(), h264::Picture::is_anchor)
    }
}

/// All packets of the video stream in the order they are decoded.
pub(super) struct Packets {
    pub(super) infos: Vec<PacketInfo>,
    /// The packets themselves, numbered by their time stamps, where they are few enough to be kept.
    pub(super) kept: Option<Vec<Packet>>,
    /// Whether times of decoding never go back, as where numbers are too short for them and start anew.
    pub(super) in_order: bool,
}

impl Packets {
    /// How many frames there are, as far as can be told.
    pub(super) fn frames(&self) -> usize {
        self.infos.iter().filter(|packet| !packet.hidden).count()
    }
}

/// HEVC: marks frames of all layers but the highest as references, which shows only once all packets are known.
pub(super) fn mark_lower_layers(packets: &mut [PacketInfo]) {
    let top = packets.iter().filter_map(|packet| packet.role).map(|role| role.layer).max().unwrap_or(0);
    for role in packets.iter_mut().filter_map(|packet| packet.role.as_mut()) {
        role.reference |= role.layer < top;
    }
}
