//! The packet table of a file as bytes: all that a scan finds, the fingerprint of the file, and a checksum against
//! damage. Whatever else its numbers are, reading them does no harm. This file reads no video and knows nothing of
//! where tables are kept.

use xxhash_rust::xxh3::xxh3_64;

use super::h264::{Limits, List, Marking, Picture};
use super::hardware;
use super::packet::{PacketInfo, Packets};
use super::place::{MAX_PACKET_BYTES, Place};

/// The version of the format and of what `role.rs` and `h264.rs` find. Increase it when either changes.
pub const VERSION: u32 = 1;
/// The largest table: about an hour and a half of H.264 at 25 frames a second.
const MAX_BYTES: usize = 8 << 20;
/// The size of the checksum at its beginning.
const SUM_BYTES: usize = 8;
/// The longest reference list, as in `h264.rs`, and the largest step in one.
const MAX_LIST: usize = 32;
const MAX_STEP: u64 = 1 << 33;

/// The table of a file with this fingerprint; `None` if it cannot be used without a scan, or is too large.
pub(super) fn write(packets: &Packets, fingerprint: u128) -> Option<Vec<u8>> {
    let places = packets.places.as_ref()?;
    packets.shown()?;
    let rows: Vec<_> = packets.infos.iter().zip(places).collect();
    let table = postcard::to_stdvec(&(fingerprint, rows)).ok()?;
    (table.len() + SUM_BYTES <= MAX_BYTES).then(|| [&xxh3_64(&table).to_le_bytes()[..], &table].concat())
}

/// The packets of the file with this fingerprint and size; `None` if this is not its table.
pub(super) fn read(table: &[u8], fingerprint: u128, file_bytes: u64) -> Option<Packets> {
    if table.len() > MAX_BYTES {
        return None;
    }
    let (sum, table) = table.split_first_chunk::<SUM_BYTES>()?;
    if u64::from_le_bytes(*sum) != xxh3_64(table) {
        return None;
    }
    // Nothing is reserved for a number of rows that the table only claims.
    let ((own, rows), rest) = postcard::take_from_bytes::<(u128, Vec<(PacketInfo, Place)>)>(table).ok()?;
    let sound = own == fingerprint && rest.is_empty();
    let (infos, places): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let sound = sound && places.iter().all(|place| is_in_file(place, file_bytes));
    let sound = sound && infos.iter().zip(&places).all(|(info, place)| is_plausible(info, place));
    let packets = Packets { infos, kept: None, in_order: true, places: Some(places) };
    (sound && packets.shown().is_some()).then_some(packets)
}

fn is_in_file(place: &Place, file_bytes: u64) -> bool {
    let end = place.at.checked_add(place.bytes.into());
    (1..=MAX_PACKET_BYTES).contains(&place.bytes) && end.is_some_and(|end| end <= file_bytes)
}

fn is_plausible(info: &PacketInfo, place: &Place) -> bool {
    info.hidden == hardware::hides(place.flags.into()) && info.picture.as_ref().is_none_or(can_be_followed)
}

/// Whether the references of a picture can be worked out without an overflow.
fn can_be_followed(picture: &Picture) -> bool {
    let Picture { limits: Limits { max_frame_num, max_order_lsb, max_references }, frame_num, order_lsb, .. } = picture;
    let is_step = |step: &i64| step.unsigned_abs() <= MAX_STEP;
    let is_list = |list: &List| list.length.max(list.steps.len()) <= MAX_LIST && list.steps.iter().all(is_step);
    let marks = match &picture.marking {
        Marking::Named(differences) => differences.iter().all(is_step),
        Marking::NoReference | Marking::Sliding => true,
    };
    [max_frame_num, max_order_lsb].into_iter().all(|most| (16..=1 << 16).contains(most))
        && *max_references <= 16
        && [frame_num, order_lsb].into_iter().all(|number| (0..=1 << 32).contains(number))
        && marks
        && picture.slices.iter().all(|lists| lists.len() <= 2 && lists.iter().all(is_list))
        && !picture.header.is_empty()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::references;
    use super::super::role::Role;
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
            idr: at.is_multiple_of(10),
            frame_num: at as i64 % 10,
            order_lsb: (2 * at % 20) as i64,
            marking: marking(at),
            slices: vec![vec![List { length: at % 4 + 1, steps: vec![-3, 1] }; at % 3]; at % 2 + 1],
            header: vec![at as u8; at % 20 + 1],
        };
        let info = |at: usize| PacketInfo {
            time: Some(1000 - 40 * (at as i64 ^ 1)),
            hidden: at == 3,
            role: Some(Role { reference: at % 3 != 1, entry: at.is_multiple_of(10), layer: (at % 2) as u8 }),
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
        assert!(table.len() < 30 * 80, "{} bytes", table.len());
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

    #[test]
    fn a_damaged_table_is_not_used() {
        let good = write(&packets(40), 7).unwrap();
        for at in 0..good.len() {
            let mut table = good.clone();
            table[at] ^= 1 << (at % 8);
            assert!(read(&table, 7, FILE_BYTES).is_none(), "byte {at}");
        }
    }

    /// Whatever the numbers are, neither reading them nor looking for references panics.
    #[test]
    fn a_forged_table_does_no_harm() {
        let signed = |table: &[u8]| [&xxh3_64(table).to_le_bytes()[..], table].concat();
        let good = write(&packets(40), 7).unwrap().split_off(SUM_BYTES);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut sound = 0;
        for _ in 0..20_000 {
            let mut table = good.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(1..table.len());
                table[at] = if rng.random() { rng.random() } else { [0, 0x7f, 0x80, 0xff][rng.random_range(0..4)] };
            }
            let Some(packets) = read(&signed(&table), 7, FILE_BYTES) else { continue };
            sound += 1;
            for sequence in packets.infos.chunk_by(|_, next| next.picture.as_ref().is_none_or(|next| !next.idr)) {
                let pictures: Option<Vec<_>> = sequence.iter().map(|info| info.picture.as_ref()).collect();
                let _ = pictures.and_then(|pictures| references::needed(&pictures, |at| at % 4 == 0));
            }
            assert!(packets.infos.len() <= table.len() && packets.places.unwrap().len() == packets.infos.len());
        }
        assert!(sound > 1000, "{sound}");
        let endless = [&good[..1], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &good[2..]].concat();
        assert!(read(&signed(&endless), 7, FILE_BYTES).is_none());
    }
}
