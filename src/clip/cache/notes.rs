//! Notes about videos: small results that are expensive to find, such as where a face is. They are kept on disk as long
//! as clips, and in memory where the disk takes none. Knows nothing of what is noted.

use std::sync::{MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_128;

use super::clip_cache::{ClipCache, Content};
use super::disk::DiskCache;
use super::key::ClipKey;
use super::note_store::NoteStore;
use super::read_clip::ReadClip;
use crate::config::Switch;
use crate::dataset::Footage;
use crate::video::{ClipSpec, PACKET_TABLE_VERSION, PacketTables, VideoInput};

/// The smallest file of which a packet table is kept.
const MIN_TABLED_BYTES: u64 = 16 << 20;

/// The notes about one video.
#[derive(Clone, Copy)]
pub struct Notes<'a> {
    cache: &'a ClipCache,
    content: Content,
    footage: &'a Footage,
    spec: &'a ClipSpec,
}

impl<'a> Notes<'a> {
    pub(in crate::clip) fn new(
        cache: &'a ClipCache,
        content: Content,
        footage: &'a Footage,
        spec: &'a ClipSpec,
    ) -> Self {
        Self { cache, content, footage, spec }
    }

    /// The note with this name, or what `find` finds, which is noted unless it is `None`. The name has all settings
    /// that decide the note, apart from the [`ClipSpec`], and the number of frames if it matters.
    ///
    /// # Errors
    /// That of `find`.
    pub fn kept<T: Serialize + DeserializeOwned, E>(
        &self,
        name: &str,
        find: impl FnOnce() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        if let Some(noted) = self.get(name) {
            return Ok(Some(noted));
        }
        let found = find()?;
        if let Some(found) = &found {
            self.keep(name, found);
        }
        Ok(found)
    }

    pub(in crate::clip) fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&self.bytes(&self.key(name))?).ok()
    }

    pub(in crate::clip) fn keep(&self, name: &str, note: &impl Serialize) {
        if let Ok(note) = serde_json::to_vec(note) {
            self.keep_bytes(&self.key(name), note);
        }
    }

    fn bytes(&self, key: &ClipKey) -> Option<Vec<u8>> {
        let on_disk = self.disk().and_then(|disk| disk.peek(key)).map(|note| note.meta);
        on_disk.or_else(|| self.in_memory().get(key.hash))
    }

    fn keep_bytes(&self, key: &ClipKey, meta: Vec<u8>) {
        let note = ReadClip { meta, ..ReadClip::default() };
        if let Some(disk) = self.disk().filter(|disk| disk.has_room()) {
            disk.insert(key, &note);
            // A disk that is full takes nothing.
            if disk.peek(key).is_some() {
                return;
            }
        }
        self.in_memory().keep(key.hash, note.meta);
    }

    /// The disk, if the content is known. Otherwise a file that replaced the video would get its notes.
    fn disk(&self) -> Option<&'a DiskCache> {
        self.cache.disk.as_ref().filter(|_| self.content.is_known())
    }

    fn in_memory(&self) -> MutexGuard<'a, NoteStore> {
        self.cache.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A note is stored as a clip without frames.
    fn key(&self, name: &str) -> ClipKey {
        ClipKey::new(self.hash(), &ClipSpec { frames: 0, ..*self.spec }, name)
    }

    /// The key of the packet table, which no setting decides.
    fn table_key(&self) -> ClipKey {
        let spec = ClipSpec { hw_decode: Switch::Off, ..ClipSpec::uniform(0, 0, 0, 0) };
        ClipKey::new(self.hash(), &spec, &format!("packets {PACKET_TABLE_VERSION}"))
    }

    fn hash(&self) -> u128 {
        self.content.0.unwrap_or_else(|| xxh3_128(format!("{:?}", self.footage).as_bytes()))
    }

    /// The video, for a reader that keeps its packet table here.
    #[must_use]
    pub fn video(&self) -> VideoInput<'_> {
        VideoInput::with_tables(self.footage, self)
    }
}

impl PacketTables for Notes<'_> {
    fn keeps(&self, file_bytes: u64) -> bool {
        file_bytes >= MIN_TABLED_BYTES
    }

    fn table(&self) -> Option<Vec<u8>> {
        self.bytes(&self.table_key())
    }

    fn keep_table(&self, table: Vec<u8>) {
        let key = self.table_key();
        // An earlier one could not be used.
        self.disk().into_iter().for_each(|disk| disk.remove(&key));
        self.keep_bytes(&key, table);
    }
}
