//! The cache on disk: one file for each clip, written as a whole and checked when it is read.
//!
//! Several processes may share a folder and be killed at any moment. A file gets its final name only when it is
//! complete. It is not flushed to the disk, because a clip that is lost in a crash fails its checksum and is read from
//! the video again. The least recently used clips are evicted first (the modification time is that of the last use, to
//! the hour), but never a clip that this run has used: every epoch needs all of them again. This file knows nothing of
//! how clips are made.

use std::collections::HashSet;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tempfile::NamedTempFile;

use super::entry;
use super::key::{ClipKey, FileFacts};
use super::read_clip::ReadClip;
use super::stats::CacheStats;
use crate::dataset::Footage;

const CLIP: &str = "clip";
/// The file extension of a record, which maps a path, a size and a modification time to a content.
const RECORD: &str = "id";
const PARTIAL: &str = ".partial-";
const LOCK: &str = ".lock";
const HOUR: Duration = Duration::from_secs(3600);
/// The number of failures in a row after which nothing more is written: a full disk stays full, but a single failure
/// may be another process that held the lock too long.
const MAX_FAILURES: u32 = 3;
/// The time after which an unused record is removed. Writing it again costs two small reads.
const RECORD_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// A folder of clips, for any number of threads and processes.
#[derive(Debug)]
pub struct DiskCache {
    directory: PathBuf,
    limit_bytes: u64,
    /// The lock file. It contains the size of all clips in the folder, or more; a process holds the lock while it adds
    /// clips.
    lock: Option<Mutex<File>>,
    /// Clips that this run has used or written.
    used: Mutex<HashSet<u128>>,
    /// Failures in a row to write a clip, and to write a record. They are counted apart because a record may fit where
    /// a clip does not.
    clip_failures: AtomicU32,
    record_failures: AtomicU32,
    full: AtomicBool,
    damaged: AtomicU64,
    write_failures: AtomicU64,
    refused: AtomicU64,
    bytes: AtomicU64,
}

impl DiskCache {
    /// The cache in `directory`, which is created, with at most `limit_bytes` of clips. If the folder cannot be
    /// written, its clips are still used, and a warning is logged.
    #[must_use]
    pub fn open(directory: &Path, limit_bytes: u64) -> Self {
        let lock = fs::create_dir_all(directory).and_then(|()| {
            File::options().read(true).write(true).create(true).truncate(false).open(directory.join(LOCK))
        });
        let (lock, failure) = match lock {
            Ok(lock) => (Some(Mutex::new(lock)), None),
            Err(error) => (None, Some(error)),
        };
        let cache = Self {
            directory: directory.to_owned(),
            limit_bytes,
            lock,
            used: Mutex::default(),
            clip_failures: AtomicU32::new(0),
            record_failures: AtomicU32::new(0),
            full: AtomicBool::new(false),
            damaged: AtomicU64::new(0),
            write_failures: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        match failure {
            Some(error) => {
                cache.count_failure(&error);
                cache.clip_failures.store(MAX_FAILURES, Ordering::Relaxed);
                cache.record_failures.store(MAX_FAILURES, Ordering::Relaxed);
            }
            None => cache.sweep(),
        }
        cache
    }

    /// The size of the clips in a folder; 0 if there is none.
    #[must_use]
    pub fn bytes_in(directory: &Path) -> u64 {
        files(directory).filter(|file| file.is_clip()).map(|file| file.bytes).sum()
    }

    /// The hash of the content of a video; `None` if the video's properties cannot be read. The video is opened only if
    /// no record has this path, size and time.
    pub(super) fn content(&self, footage: &Footage) -> Option<u128> {
        // An error is ignored here, because the next read of the video reports it.
        let seen = FileFacts::look(footage).ok()?;
        let path = self.path(seen.place(), RECORD);
        let recorded = File::open(&path).ok().and_then(|mut file| {
            touch(&file);
            let content = entry::read_record(&mut file);
            if content.is_none() {
                self.remove_damaged(&path);
            }
            content
        });
        if recorded.is_some() {
            return recorded;
        }
        let content = seen.content().ok()?;
        self.attempt(&self.record_failures, || {
            Ok(self.partial(&[&entry::record(content)])?.persist(&path).map(drop)?)
        });
        Some(content)
    }

    /// The clip, if it is there and not damaged.
    pub(super) fn get(&self, key: &ClipKey) -> Option<ReadClip> {
        self.read(key, entry::read)
    }

    /// The data that is stored with a clip. Its pixels are not checked.
    pub(super) fn peek(&self, key: &ClipKey) -> Option<ReadClip> {
        self.read(key, entry::read_meta)
    }

    fn read<T>(
        &self,
        key: &ClipKey,
        read: impl FnOnce(&mut File, &ClipKey) -> Result<T, entry::Unreadable>,
    ) -> Option<T> {
        let path = self.path(key.hash, CLIP);
        // The file does not exist, or was removed meanwhile.
        let mut file = File::open(&path).ok()?;
        match read(&mut file, key) {
            Ok(value) => {
                touch(&file);
                self.used().insert(key.hash);
                Some(value)
            }
            Err(entry::Unreadable::Damaged) => {
                self.remove_damaged(&path);
                None
            }
            Err(entry::Unreadable::NoMemory) => None,
        }
    }

    /// Whether another clip would be written.
    pub(super) fn has_room(&self) -> bool {
        self.clip_failures.load(Ordering::Relaxed) < MAX_FAILURES && !self.full.load(Ordering::Relaxed)
    }

    /// Writes a clip, unless a clip that this run uses would have to be evicted for it.
    pub(super) fn insert(&self, key: &ClipKey, clip: &ReadClip) {
        if self.full.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.attempt(&self.clip_failures, || {
            let path = self.path(key.hash, CLIP);
            let head = entry::head(key, clip);
            let partial = self.partial(&[&head, &clip.meta, &clip.thwc])?;
            self.locked(|lock| {
                // Another process has written it meanwhile, so its size is already counted.
                if !path.exists() {
                    if !self.reserve(lock, head.len() as u64 + clip.bytes())? {
                        self.full.store(true, Ordering::Relaxed);
                        self.refused.fetch_add(1, Ordering::Relaxed);
                        return Ok(());
                    }
                    partial.persist(&path)?;
                }
                self.used().insert(key.hash);
                Ok(())
            })
        });
    }

    /// Removes an entry. Its size is counted until the next eviction.
    pub(super) fn remove(&self, key: &ClipKey) {
        if let Err(error) = fs::remove_file(self.path(key.hash, CLIP)).or_else(is_not_there) {
            tracing::debug!("{}: an entry cannot be removed: {error}", self.directory.display());
        }
    }

    pub(super) fn stats(&self) -> CacheStats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            damaged: load(&self.damaged),
            write_failures: load(&self.write_failures),
            refused: load(&self.refused),
            disk_bytes: load(&self.bytes),
            ..CacheStats::default()
        }
    }

    /// Adds `more` bytes to the counted size, after evicting clips if necessary; `false` if not enough can be evicted.
    /// The size is counted before the file is written: if the process is killed in between, the counted size is too
    /// large, which the next eviction corrects.
    fn reserve(&self, lock: &mut File, more: u64) -> io::Result<bool> {
        let mut bytes = match read_count(lock)? {
            Some(bytes) if bytes + more <= self.limit_bytes => bytes,
            _ => self.evict(more),
        };
        let fits = bytes + more <= self.limit_bytes;
        if fits {
            bytes += more;
        }
        self.write_count(lock, bytes)?;
        Ok(fits)
    }

    /// Evicts the least recently used clips until `more` bytes fit, and a tenth of the cache more, so that the next
    /// clips need no look at the folder. Returns the size of the remaining clips.
    fn evict(&self, more: u64) -> u64 {
        let mut clips: Vec<_> = files(&self.directory).filter(Listed::is_clip).collect();
        let mut bytes = clips.iter().map(|clip| clip.bytes).sum::<u64>();
        if bytes + more <= self.limit_bytes {
            return bytes;
        }
        clips.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        let used: HashSet<PathBuf> = self.used().iter().map(|hash| self.path(*hash, CLIP)).collect();
        for clip in clips.iter().filter(|clip| !used.contains(&clip.path)) {
            if bytes + more <= self.limit_bytes - self.limit_bytes / 10 {
                break;
            }
            if fs::remove_file(&clip.path).is_ok() {
                bytes -= clip.bytes;
            }
        }
        bytes
    }

    /// Removes files that killed processes left, and old records; counts the clips.
    fn sweep(&self) {
        for file in files(&self.directory) {
            let unused = SystemTime::now().duration_since(file.modified).unwrap_or_default();
            let life = match () {
                () if file.name().starts_with(PARTIAL) => HOUR,
                () if file.path.extension().is_some_and(|kind| kind == RECORD) => RECORD_LIFETIME,
                () => continue,
            };
            if unused > life {
                // Another process may have removed it.
                let _ = fs::remove_file(&file.path);
            }
        }
        self.attempt(&self.clip_failures, || {
            self.locked(|lock| {
                let bytes = self.evict(0);
                self.write_count(lock, bytes)
            })
        });
    }

    fn write_count(&self, lock: &mut File, bytes: u64) -> io::Result<()> {
        self.bytes.store(bytes, Ordering::Relaxed);
        lock.rewind()?;
        lock.write_all(&bytes.to_le_bytes())
    }

    /// Runs `work` while no other process can hold the lock.
    fn locked<T>(&self, work: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        /// The longest wait for the lock. Counting a large folder takes a second or two; a process that holds the lock
        /// longer must be hung.
        const MAX_WAIT: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };
        const PAUSE: Duration = Duration::from_millis(2);
        let lock = self.lock.as_ref().ok_or_else(|| io::Error::other("the folder cannot be written"))?;
        let mut file = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < MAX_WAIT => thread::sleep(PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
        let result = work(&mut file);
        file.unlock()?;
        result
    }

    fn partial(&self, parts: &[&[u8]]) -> io::Result<NamedTempFile> {
        // Temporary files are private by default. With this mode, the umask decides who can read the file.
        let mode = Permissions::from_mode(0o666);
        let mut partial = tempfile::Builder::new().prefix(PARTIAL).permissions(mode).tempfile_in(&self.directory)?;
        parts.iter().try_for_each(|part| partial.write_all(part))?;
        Ok(partial)
    }

    /// Writes, unless writing failed too often before.
    fn attempt(&self, failures_in_a_row: &AtomicU32, write: impl FnOnce() -> io::Result<()>) {
        if failures_in_a_row.load(Ordering::Relaxed) >= MAX_FAILURES {
            self.write_failures.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match write() {
            Ok(()) => failures_in_a_row.store(0, Ordering::Relaxed),
            Err(error) => {
                failures_in_a_row.fetch_add(1, Ordering::Relaxed);
                self.count_failure(&error);
            }
        }
    }

    fn count_failure(&self, error: &io::Error) {
        if self.write_failures.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "{}: the clip cache cannot be written, the run goes on without: {error}; after {MAX_FAILURES} failures \
                 in a row nothing more is tried",
                self.directory.display()
            );
        }
    }

    fn remove_damaged(&self, path: &Path) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = fs::remove_file(path) {
            tracing::debug!("{}: damaged, and cannot be removed: {error}", path.display());
        }
    }

    fn path(&self, hash: u128, kind: &str) -> PathBuf {
        self.directory.join(format!("{hash:032x}.{kind}"))
    }

    fn used(&self) -> MutexGuard<'_, HashSet<u128>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets the modification time to now. An error is ignored: where this is not allowed, files cannot be removed either.
fn touch(file: &File) {
    let now = SystemTime::now();
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    if modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > HOUR)) {
        let _ = file.set_modified(now);
    }
}

fn is_not_there(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn read_count(lock: &mut File) -> io::Result<Option<u64>> {
    lock.rewind()?;
    let mut bytes = Vec::new();
    lock.take(9).read_to_end(&mut bytes)?;
    Ok(bytes.try_into().ok().map(u64::from_le_bytes))
}

struct Listed {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

impl Listed {
    fn name(&self) -> std::borrow::Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }

    /// Whether this is a clip, finished or partial.
    fn is_clip(&self) -> bool {
        self.path.extension().is_some_and(|kind| kind == CLIP)
    }
}

/// The files of a folder, except those that vanish meanwhile.
fn files(directory: &Path) -> impl Iterator<Item = Listed> {
    fs::read_dir(directory).into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        Some(Listed { path: entry.path(), bytes: metadata.len(), modified: metadata.modified().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_that_holds_the_lock_costs_single_clips_at_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(folder.path(), u64::MAX);
        let clip = ReadClip { thwc: vec![7; 3], ..ReadClip::default() };
        let key = |hash| ClipKey { hash, shape: [1, 1, 1] };
        // A lock belongs to an open file, so a second open file acts as another process.
        let other = File::open(folder.path().join(LOCK)).unwrap();
        other.lock().unwrap();
        cache.insert(&key(0), &clip);
        cache.insert(&key(1), &clip);
        assert_eq!((cache.stats().write_failures, cache.has_room()), (2, true));
        other.unlock().unwrap();
        cache.insert(&key(2), &clip);
        assert!(cache.get(&key(0)).is_none() && cache.get(&key(2)) == Some(clip.clone()));
        other.lock().unwrap();
        (3..7).for_each(|hash| cache.insert(&key(hash), &clip));
        assert_eq!((cache.stats().write_failures, cache.has_room()), (6, false), "three in a row");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the lock, a clip, and no partial file");
    }
}
