//! Notes about videos in memory, up to a limit. Knows nothing of what is noted.

use std::collections::HashMap;

/// The size of all notes in memory: those of 10,000 videos with 32 frames. What is beyond it is found anew each time.
const MAX_MEMORY_BYTES: usize = 128 << 20;

/// Notes in memory.
#[derive(Debug, Default)]
pub(super) struct NoteStore {
    notes: HashMap<u128, Vec<u8>>,
    bytes: usize,
}

impl NoteStore {
    pub(super) fn get(&self, key: u128) -> Option<Vec<u8>> {
        self.notes.get(&key).cloned()
    }

    /// Keeps a note, if there is room for it.
    pub(super) fn keep(&mut self, key: u128, note: Vec<u8>) {
        if self.bytes + note.len() <= MAX_MEMORY_BYTES {
            self.bytes += note.len();
            let before = self.notes.insert(key, note);
            self.bytes -= before.map_or(0, |before| before.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_up_to_the_limit_and_replaced() {
        let mut store = NoteStore::default();
        store.keep(1, vec![1; MAX_MEMORY_BYTES - 10]);
        store.keep(2, vec![2; 11]);
        assert_eq!((store.get(2), store.bytes), (None, MAX_MEMORY_BYTES - 10));
        store.keep(3, vec![3; 4]);
        store.keep(3, vec![4; 6]);
        assert_eq!((store.get(3), store.bytes), (Some(vec![4; 6]), MAX_MEMORY_BYTES - 4));
    }
}
