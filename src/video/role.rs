//! The role of a compressed frame: whether other frames refer to it, and whether decoding can start there. This file
//! reads the first bits of H.264, HEVC and VP9 frames. It knows nothing of files.
//!
//! Sources: ITU-T H.264 7.3.1 and 7.4.1, ITU-T H.265 7.3.1.2 and table 7-1, the VP9 bitstream specification 6.2.

use ffmpeg_next::codec::Id;
use serde::{Deserialize, Serialize};

use super::nal::units;

/// The role of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Role {
    /// Whether other frames may refer to it.
    pub(super) reference: bool,
    /// Whether decoding can start with it: neither it nor a later frame refers to a frame before it.
    pub(super) entry: bool,
    /// The layer, in HEVC: frames that are no reference within their layer may be one for higher layers.
    pub(super) layer: u8,
}

const INTRA: Role = Role { reference: true, entry: true, layer: 0 };
const INTER: Role = Role { reference: true, entry: false, layer: 0 };

/// The role of the frame in a packet; `None` if the packet is not exactly one frame.
pub(super) fn role(codec: Id, packet: &[u8], key: bool) -> Option<Role> {
    match codec {
        Id::H264 => h264(packet),
        Id::HEVC => hevc(packet),
        Id::VP9 => vp9(packet),
        // A temporal unit shows exactly one frame.
        Id::AV1 => Some(if key { INTRA } else { INTER }),
        // All frames are independent, but for a damaged frame the decoder shows remains of the one before.
        Id::MJPEG => Some(INTER),
        _ => None,
    }
}

fn h264(packet: &[u8]) -> Option<Role> {
    let mut role: Option<Role> = None;
    for unit in units(packet)? {
        let header = *unit.first()?;
        match header & 0x1f {
            1 | 5 => {
                let role = role.get_or_insert(Role { reference: false, ..INTER });
                role.reference |= header & 0x60 != 0;
                if header & 0x1f == 5 {
                    role.entry = true;
                }
            }
            // Data partitions and second views are rare. Such files are decoded as a whole.
            2..=4 | 20 => return None,
            _ => {}
        }
    }
    role
}

/// No frame is an entry point, so decoding starts at the front: the decoder invents missing references of a damaged
/// frame without an error, and it invents the same ones only if it decodes in order.
fn hevc(packet: &[u8]) -> Option<Role> {
    let mut role: Option<Role> = None;
    for unit in units(packet)? {
        let [first, second, ..] = *unit else { return None };
        let (kind, view, layer) = (first >> 1 & 0x3f, (first & 1) << 5 | second >> 3, (second & 7).checked_sub(1)?);
        if kind > 31 || view > 0 {
            continue;
        }
        let role = role.get_or_insert(Role { reference: false, layer, ..INTER });
        // Even types up to 14 are no references within their layer.
        role.reference |= kind > 14 || kind % 2 == 1;
    }
    role
}

/// All frames of VP9 count as references, because only later headers tell which ones are.
fn vp9(packet: &[u8]) -> Option<Role> {
    let (first, last) = (*packet.first()?, *packet.last()?);
    if first >> 6 != 0b10 {
        return None;
    }
    // Profile 3 has one more reserved bit.
    let bits = if first & 0x30 == 0x30 { first << 5 } else { first << 4 };
    let (existing, inter, shown) = (bits & 0x80 != 0, bits & 0x40 != 0, bits & 0x20 != 0);
    let several = last >> 5 == 0b110;
    if !existing && !shown && !several {
        return None;
    }
    Some(if existing || inter { INTER } else { INTRA })
}
