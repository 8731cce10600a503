//! Reading packets with the help of tables that somebody keeps, so that a video is scanned once and not for each read.
//! Does not know where they are kept; `table.rs` has their format.

use super::container::VideoFile;
use super::limits::check_frames;
use super::packet::Packets;
use super::table;

/// A place for the packet table of one video.
pub trait PacketTables {
    /// Whether the table of a file of this size is kept.
    fn keeps(&self, file_bytes: u64) -> bool;

    /// The table that was kept last. One that is damaged, or that of another file, is not used.
    fn table(&self) -> Option<Vec<u8>>;

    /// Keeps a table, in place of one that could not be used.
    fn keep_table(&self, table: Vec<u8>);
}

/// The packets of a file as its kept table has them; `None` if there is none.
pub(super) fn kept(
    file: &VideoFile,
    min_frames: usize,
    tables: Option<&dyn PacketTables>,
) -> Result<Option<Packets>, String> {
    let kept = tables.filter(|tables| tables.keeps(file.bytes)).and_then(PacketTables::table);
    let Some(packets) = kept.and_then(|table| table::read(&table, file.fingerprint(), file.bytes)) else {
        return Ok(None);
    };
    check_frames(packets.frames(), min_frames)?;
    Ok(Some(packets))
}

/// Reads all packets of a file, and has its table kept.
pub(super) fn scan(
    file: &mut VideoFile,
    keep: bool,
    min_frames: usize,
    tables: Option<&dyn PacketTables>,
) -> Result<Packets, String> {
    let tables = tables.filter(|tables| tables.keeps(file.bytes));
    let packets = file.packets(keep, tables.is_some(), min_frames)?;
    if let Some((tables, table)) = tables.zip(table::write(&packets, file.fingerprint())) {
        tables.keep_table(table);
    }
    Ok(packets)
}
