//! The packet table of a file as bytes: all that a scan finds. It may come from a damaged disk or a stranger, so every
//! number is checked. This file reads no video and knows nothing of where tables are kept.
//!
//! A table begins with the fingerprint of its file and the number of packets. Numbers are in LEB128, those that may be
//! negative in zigzag; positions and times are differences from the packet before.

use super::h264::{Limits, List, Lists, Marking, Picture};
use super::hardware;
use super::packet::{PacketInfo, Packets};
use super::place::{MAX_PACKET_BYTES, Place};
use super::role::Role;

/// The version of the format and of what `role.rs` and `h264.rs` find. Increase it when either changes.
pub const VERSION: u32 = 1;
/// The largest table: about an hour and a half of H.264 at 25 frames a second.
const MAX_BYTES: usize = 4 << 20;
/// The longest reference list, as in `h264.rs`, and the largest step in one.
const MAX_LIST: u64 = 32;
const MAX_STEP: u64 = 1 << 33;

const REFERENCE: u8 = 1;
const ENTRY: u8 = 2;
const PICTURE: u8 = 4;
const SAME_LIMITS: u8 = 8;
const IDR: u8 = 16;

/// The table of a file with this fingerprint; `None` if it cannot be used without a scan, or is too large.
pub(super) fn write(packets: &Packets, fingerprint: u128) -> Option<Vec<u8>> {
    let places = packets.places.as_ref()?;
    packets.shown()?;
    let mut table = fingerprint.to_le_bytes().to_vec();
    put(&mut table, places.len() as u64);
    let (mut end, mut last, mut limits) = (0_u64, 0_i64, None);
    for (info, place) in packets.infos.iter().zip(places) {
        let (role, time) = (info.role?, info.time?);
        let same_limits = info.picture.as_ref().is_some_and(|picture| limits == Some(picture.limits));
        let bits = [
            (REFERENCE, role.reference),
            (ENTRY, role.entry),
            (PICTURE, info.picture.is_some()),
            (SAME_LIMITS, same_limits),
            (IDR, info.picture.as_ref().is_some_and(|picture| picture.idr)),
        ];
        table.push(bits.iter().filter(|(_, set)| *set).map(|(bit, _)| bit).sum());
        table.extend([role.layer, place.flags]);
        put_signed(&mut table, place.at.wrapping_sub(end).cast_signed());
        put(&mut table, place.bytes.into());
        table.extend(place.sum.to_le_bytes());
        put_signed(&mut table, time.wrapping_sub(last));
        (end, last) = (place.at.wrapping_add(place.bytes.into()), time);
        if let Some(picture) = &info.picture {
            if !same_limits {
                let Limits { max_frame_num, max_order_lsb, max_references } = picture.limits;
                put_signed(&mut table, max_frame_num);
                put_signed(&mut table, max_order_lsb);
                put(&mut table, max_references as u64);
                limits = Some(picture.limits);
            }
            put_picture(&mut table, picture);
        }
        if table.len() > MAX_BYTES {
            return None;
        }
    }
    Some(table)
}

/// The packets of the file with this fingerprint and size; `None` if this is not its table.
pub(super) fn read(table: &[u8], fingerprint: u128, file_bytes: u64) -> Option<Packets> {
    let (own, rest) = table.split_first_chunk()?;
    if u128::from_le_bytes(*own) != fingerprint || table.len() > MAX_BYTES {
        return None;
    }
    let mut table = Reader(rest);
    let number = table.number()?;
    let (mut infos, mut places) = (Vec::new(), Vec::new());
    let (mut end, mut last, mut limits) = (0_u64, 0_i64, None);
    // The number is not trusted: nothing is reserved for it, and each packet takes bytes of the table.
    for _ in 0..number {
        let [bits, layer, flags] = table.bytes()?;
        let at = end.wrapping_add_signed(table.signed()?);
        let bytes = u32::try_from(table.number()?).ok().filter(|bytes| (1..=MAX_PACKET_BYTES).contains(bytes))?;
        let sum = u64::from_le_bytes(table.bytes()?);
        let time = last.wrapping_add(table.signed()?);
        end = at.checked_add(bytes.into()).filter(|end| *end <= file_bytes)?;
        last = time;
        let has = |bit| bits & bit != 0;
        let picture = if has(PICTURE) {
            if !has(SAME_LIMITS) {
                limits = Some(table.limits()?);
            }
            Some(table.picture(limits?, has(IDR))?)
        } else {
            None
        };
        let role = Role { reference: has(REFERENCE), entry: has(ENTRY), layer };
        infos.push(PacketInfo { time: Some(time), hidden: hardware::hides(flags.into()), role: Some(role), picture });
        places.push(Place { at, bytes, flags, sum });
    }
    let packets = Packets { infos, kept: None, in_order: true, places: Some(places) };
    (table.0.is_empty() && packets.shown().is_some()).then_some(packets)
}

fn put(table: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        table.push(number as u8 | 0x80);
        number >>= 7;
    }
    table.push(number as u8);
}

fn put_signed(table: &mut Vec<u8>, number: i64) {
    put(table, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

fn put_picture(table: &mut Vec<u8>, picture: &Picture) {
    put_signed(table, picture.frame_num);
    put_signed(table, picture.order_lsb);
    match &picture.marking {
        Marking::NoReference => put(table, 0),
        Marking::Sliding => put(table, 1),
        Marking::Named(differences) => {
            put(table, differences.len() as u64 + 2);
            differences.iter().for_each(|difference| put_signed(table, *difference));
        }
    }
    put(table, picture.slices.len() as u64);
    for lists in &picture.slices {
        put(table, lists.len() as u64);
        for list in lists {
            put(table, list.length as u64);
            put(table, list.steps.len() as u64);
            list.steps.iter().for_each(|step| put_signed(table, *step));
        }
    }
    put(table, picture.header.len() as u64);
    table.extend(&picture.header);
}

/// The rest of a table.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.bytes()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn up_to(&mut self, most: u64) -> Option<u64> {
        self.number().filter(|number| *number <= most)
    }

    /// As many steps as told. Each takes a byte at least, so a wrong number ends at the end of the table.
    fn steps(&mut self, number: u64) -> Option<Vec<i64>> {
        (0..number).map(|_| self.signed().filter(|step| step.unsigned_abs() <= MAX_STEP)).collect()
    }

    fn limits(&mut self) -> Option<Limits> {
        let mut largest = || self.signed().filter(|most| (16..=1 << 16).contains(most));
        let (max_frame_num, max_order_lsb) = (largest()?, largest()?);
        Some(Limits { max_frame_num, max_order_lsb, max_references: self.up_to(16)? as usize })
    }

    fn picture(&mut self, limits: Limits, idr: bool) -> Option<Picture> {
        let mut small = || self.signed().filter(|number| (0..=1 << 32).contains(number));
        let (frame_num, order_lsb) = (small()?, small()?);
        let marking = match self.number()? {
            0 => Marking::NoReference,
            1 => Marking::Sliding,
            more => Marking::Named(self.steps(more - 2)?),
        };
        let slices = (0..self.number()?).map(|_| self.lists()).collect::<Option<_>>()?;
        let header_bytes = usize::try_from(self.number()?).ok().filter(|bytes| *bytes > 0)?;
        let (header, rest) = self.0.split_at_checked(header_bytes)?;
        self.0 = rest;
        Some(Picture { limits, idr, frame_num, order_lsb, marking, slices, header: header.to_vec() })
    }

    fn lists(&mut self) -> Option<Lists> {
        let number = self.up_to(2)?;
        let list = |_| {
            let (length, steps) = (self.up_to(MAX_LIST)?, self.up_to(MAX_LIST)?);
            Some(List { length: length as usize, steps: self.steps(steps)? })
        };
        (0..number).map(list).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::references;
    use super::*;

    const FILE_BYTES: u64 = 1 << 40;

    fn packets(number: usize) -> Packets {
        let limits =
            |at: usize| Limits { max_frame_num: if at < 9 { 16 } else { 256 }, max_order_lsb: 64, max_references: 3 };
        let marking = |at| match at % 3 {
            0 => Marking::Sliding,
            1 => Marking::NoReference,
            _ => Marking::Named(vec![2, 1]),
        };
        let picture = |at: usize| Picture {
            limits: limits(at),
            idr: at % 10 == 0,
            frame_num: at as i64 % 10,
            order_lsb: (2 * at % 20) as i64,
            marking: marking(at),
            slices: vec![vec![List { length: at % 4 + 1, steps: vec![-3, 1] }; at % 3]; at % 2 + 1],
            header: vec![at as u8; at % 20 + 1],
        };
        let info = |at: usize| PacketInfo {
            time: Some(1000 - 40 * (at as i64 ^ 1)),
            hidden: at == 3,
            role: Some(Role { reference: at % 3 != 1, entry: at % 10 == 0, layer: (at % 2) as u8 }),
            picture: (at != 5).then(|| picture(at)),
        };
        let place = |at: usize| Place {
            // Not in the order of the file.
            at: 5_000_000_000 + 100_000 * (at as u64 ^ 2),
            bytes: 90_000 - at as u32 % 1000,
            flags: if at == 3 { 5 } else { 1 },
            sum: u64::MAX / (at as u64 + 1),
        };
        let places = Some((0..number).map(place).collect());
        Packets { infos: (0..number).map(info).collect(), kept: None, in_order: true, places }
    }

    fn text(packets: &Packets) -> String {
        format!("{:?} {:?}", packets.infos, packets.places)
    }

    #[test]
    fn packets_come_back_as_they_were() {
        let packets = packets(30);
        let table = write(&packets, 7).unwrap();
        assert_eq!(text(&read(&table, 7, FILE_BYTES).unwrap()), text(&packets));
        assert!(table.len() < 30 * 60, "{} bytes", table.len());
        assert!(read(&table, 8, FILE_BYTES).is_none(), "another file");
        assert!(read(&table, 7, 5_000_000_000).is_none(), "packets behind its end");
        assert!(read(&[&table[..], &[0]].concat(), 7, FILE_BYTES).is_none());
        (0..table.len()).for_each(|end| assert!(read(&table[..end], 7, FILE_BYTES).is_none(), "cut at {end}"));
    }

    #[test]
    fn files_that_need_a_scan_and_large_tables_are_not_written() {
        let timeless = |mut packets: Packets| {
            packets.infos[4].time = None;
            packets
        };
        assert!(write(&timeless(packets(9)), 7).is_none());
        assert!(write(&Packets { in_order: false, ..packets(9) }, 7).is_none());
        assert!(write(&Packets { places: None, ..packets(9) }, 7).is_none());
        assert!(write(&packets(200_000), 7).is_none());
    }

    /// Whatever the numbers are, neither reading them nor looking for references panics.
    #[test]
    fn a_damaged_table_does_no_harm() {
        let good = write(&packets(40), 7).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut sound = 0;
        for _ in 0..20_000 {
            let mut table = good.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(16..table.len());
                table[at] = if rng.random() { rng.random() } else { [0, 0x7f, 0x80, 0xff][rng.random_range(0..4)] };
            }
            let Some(packets) = read(&table, 7, FILE_BYTES) else { continue };
            sound += 1;
            for sequence in packets.infos.chunk_by(|_, next| next.picture.as_ref().is_none_or(|next| !next.idr)) {
                let pictures: Option<Vec<_>> = sequence.iter().map(|info| info.picture.as_ref()).collect();
                let _ = pictures.and_then(|pictures| references::needed(&pictures, |at| at % 4 == 0));
            }
            assert!(packets.infos.len() <= table.len() && packets.places.unwrap().len() == packets.infos.len());
        }
        assert!(sound > 1000, "{sound}");
        let endless = [&good[..16], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &good[17..]].concat();
        assert!(read(&endless, 7, FILE_BYTES).is_none());
    }
}
