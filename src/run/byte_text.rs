//! Sizes in bytes as text for people. Formats no other numbers; those of reports are in `report/number_format.rs`.

use bytesize::ByteSize;

/// In binary units: `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}
