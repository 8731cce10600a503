//! The NAL units of an H.264 or HEVC packet. Knows nothing of their contents.

/// The NAL units of a packet, with length prefixes (MP4, Matroska) or start codes (MPEG-TS, AVI).
pub(super) fn units(packet: &[u8]) -> Option<Vec<&[u8]>> {
    by_length(packet).or_else(|| by_start_code(packet))
}

/// The packet, cut off after this number of bytes of one of its units.
pub(super) fn cut_off(packet: &[u8], unit: &[u8], bytes: usize) -> Vec<u8> {
    let start = unit.as_ptr().addr() - packet.as_ptr().addr();
    let mut cut = packet[..start + bytes].to_vec();
    // The stop bit of the unit.
    cut.push(0x80);
    if by_length(packet).is_some() {
        let length = u32::try_from(bytes + 1).expect("units are shorter than 4 GiB");
        cut[start - 4..start].copy_from_slice(&length.to_be_bytes());
    }
    cut
}

fn by_length(mut packet: &[u8]) -> Option<Vec<&[u8]>> {
    let mut units = Vec::new();
    while !packet.is_empty() {
        let (length, rest) = packet.split_first_chunk()?;
        let (unit, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        units.push(unit);
        packet = rest;
    }
    Some(units)
}

fn by_start_code(packet: &[u8]) -> Option<Vec<&[u8]>> {
    if !packet.starts_with(&[0, 0, 1]) && !packet.starts_with(&[0, 0, 0, 1]) {
        return None;
    }
    let starts: Vec<_> =
        (0..packet.len().saturating_sub(2)).filter(|at| packet[*at..].starts_with(&[0, 0, 1])).collect();
    let ends = starts.iter().skip(1).copied().chain([packet.len()]);
    Some(starts.iter().zip(ends).map(|(start, end)| &packet[start + 3..end]).collect())
}
