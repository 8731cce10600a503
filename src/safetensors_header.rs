//! The header of a safetensors file, read without the numbers behind it. Knows nothing of what the tensors are.

use std::io::{self, Read};

use safetensors::tensor::Metadata;

/// The limit of the safetensors crate.
const MAX_BYTES: u64 = 100_000_000;

/// Which tensors a file has, and where.
#[derive(Debug)]
pub struct SafetensorsHeader {
    /// Names, types, shapes and offsets of tensors; texts by key.
    pub metadata: Metadata,
    /// Position of the first number in the file, in bytes. Offsets count from there.
    pub start: u64,
}

impl SafetensorsHeader {
    /// Reads the header from the start of a file of `file_len` bytes: eight bytes with its length, then JSON.
    ///
    /// # Errors
    /// The file cannot be read, or is no safetensors file, or not a whole one ([`io::ErrorKind::InvalidData`], with the
    /// problem as text).
    pub fn read(file: &mut impl Read, file_len: u64) -> io::Result<Self> {
        let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_BYTES || length.saturating_add(8) > file_len {
            return Err(invalid(format!("its header would have {length} bytes")));
        }
        let mut header = Vec::new();
        file.take(length).read_to_end(&mut header)?;
        // Deserialising also checks that the tensors lie one after the other, each as long as its shape requires.
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| invalid(format!("its header is broken: {error}")))?;
        let (found, start) = (file_len - 8 - length, 8 + length);
        if metadata.data_len() as u64 != found {
            return Err(invalid(format!("it has {found} bytes of numbers, its header says {}", metadata.data_len())));
        }
        Ok(Self { metadata, start })
    }
}
