//! What the bytes of a compressed frame say without decoding it: whether other frames are made from it, and whether
//! decoding can start there. Reads the first bits of H.264, HEVC and VP9 frames; knows nothing of files.
//!
//! Sources: ITU-T H.264 7.3.1 and 7.4.1, ITU-T H.265 7.3.1.2 and table 7-1, the VP9 bitstream specification 6.2.

use ffmpeg_next::codec::Id;

use super::nal::units;

/// A frame's part among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    /// Whether others may be made from it.
    pub(super) reference: bool,
    /// Whether decoding can start with it: what follows needs nothing from before, and neither does it.
    pub(super) entry: bool,
    /// HEVC: frames that are no reference within their layer may be one to layers above.
    pub(super) layer: u8,
}

const INTRA: Role = Role { reference: true, entry: true, layer: 0 };
const INTER: Role = Role { reference: true, entry: false, layer: 0 };

/// `None` where the packet is not exactly one frame, as far as can be told.
pub(super) fn role(codec: Id, packet: &[u8], key: bool) -> Option<Role> {
    match codec {
        Id::H264 => h264(packet),
        Id::HEVC => hevc(packet),
        Id::VP9 => vp9(packet),
        // A temporal unit shows exactly one frame.
        Id::AV1 => Some(if key { INTRA } else { INTER }),
        // Each stands for itself, but where one is damaged its decoder leaves what was in memory before.
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
            // Data partitions and a second view: rare enough to decode all.
            2..=4 | 20 => return None,
            _ => {}
        }
    }
    role
}

/// Decoding always starts at the front: the decoder makes up references that a damaged frame asks for and says nothing, and
/// only decoding in order makes up the same.
fn hevc(packet: &[u8]) -> Option<Role> {
    let mut role: Option<Role> = None;
    for unit in units(packet)? {
        let [first, second, ..] = *unit else { return None };
        let (kind, view, layer) = (first >> 1 & 0x3f, (first & 1) << 5 | second >> 3, (second & 7).checked_sub(1)?);
        if kind > 31 || view > 0 {
            continue;
        }
        let role = role.get_or_insert(Role { reference: false, layer, ..INTER });
        // Even types up to 14 are no reference within their layer.
        role.reference |= kind > 14 || kind % 2 == 1;
    }
    role
}

/// All frames of VP9 count as references: which are, is only known deep inside.
fn vp9(packet: &[u8]) -> Option<Role> {
    let (first, last) = (*packet.first()?, *packet.last()?);
    if first >> 6 != 0b10 {
        return None;
    }
    // Profile 3 has a reserved bit more.
    let bits = if first & 0x30 == 0x30 { first << 5 } else { first << 4 };
    let (existing, inter, shown) = (bits & 0x80 != 0, bits & 0x40 != 0, bits & 0x20 != 0);
    let several = last >> 5 == 0b110;
    if !existing && !shown && !several {
        return None;
    }
    Some(if existing || inter { INTER } else { INTRA })
}
