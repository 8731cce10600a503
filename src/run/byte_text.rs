//! How sizes in bytes are written for people.

use bytesize::ByteSize;

/// In binary units: `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}
