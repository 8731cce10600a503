//! Files of the Hugging Face hub: their address, their place in the cache, and the hub's facts about them.
//!
//! Downloads go into the hub's own cache (`HF_HOME`) in the layout of `huggingface_hub`, so that both use each other's
//! files. This file reads no tensors; that is `weights_file.rs`.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ureq::http::header::{ETAG, HeaderMap, LOCATION};

use super::download::{DownloadError, MAX_BYTES, agent, download};
use crate::config::HubFile;

/// Metadata of a file on the hub, as `huggingface_hub`'s `HfFileMetadata`.
#[derive(Debug)]
struct RemoteFile {
    /// Commit of the repository.
    commit: String,
    sha256: String,
    len: u64,
}

/// A file in a repository of the hub, and its place in the cache.
pub(super) struct Repository<'f> {
    pub url: String,
    file: &'f HubFile,
    revision: &'f str,
    folder: PathBuf,
}

/// The branch that a repository shows.
pub(super) const MAIN: &str = "main";

impl<'f> Repository<'f> {
    /// The file at a revision: [`MAIN`], or a commit.
    pub fn at(file: &'f HubFile, revision: &'f str, endpoint: &str, cache: &Path) -> Self {
        let HubFile { repository, file: name } = file;
        let url = format!("{endpoint}/{repository}/resolve/{revision}/{name}");
        Self { url, file, revision, folder: cache.join(format!("models--{}", repository.replace('/', "--"))) }
    }

    /// The file, if it is in the cache.
    pub fn cached(&self) -> Option<PathBuf> {
        Some(self.place()).filter(|path| path.is_file())
    }

    /// Where the cache has the file, or would have it; that of a branch which was never fetched would be at its name.
    pub fn place(&self) -> PathBuf {
        let reference = fs::read_to_string(self.folder.join("refs").join(self.revision));
        self.snapshot(reference.as_ref().map_or(self.revision, |commit| commit.trim()))
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(&self.file.file)
    }

    /// Downloads the file and links it into the cache.
    pub fn fetch(&self, stop: &AtomicBool) -> Result<PathBuf, DownloadError> {
        let remote = self.remote_file()?;
        if self.revision != MAIN && self.revision != remote.commit {
            return Err(DownloadError::Refused(format!("the hub answers with commit {}", remote.commit)));
        }
        let blob = self.folder.join("blobs").join(&remote.sha256);
        let snapshot = self.snapshot(&remote.commit);
        let reference = self.folder.join("refs").join(MAIN);
        for file in [&blob, &snapshot, &reference] {
            fs::create_dir_all(file.parent().unwrap_or(file))?;
        }
        if !blob.exists() {
            tracing::info!("fetching weights from {}", self.url);
            download(&self.url, &remote.sha256, remote.len, &blob, &self.file.repository, stop)?;
        }
        // From the snapshot's folder, and from that of the file in it, up to the repository's.
        let up = "../".repeat(2 + self.file.file.matches('/').count());
        match symlink(Path::new(&up).join("blobs").join(&remote.sha256), &snapshot) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        if self.revision == MAIN {
            crate::files::write_whole(&reference, remote.commit.as_bytes())?;
        }
        Ok(snapshot)
    }

    /// The hub's metadata of the file. The hub answers with a redirection to the file's storage, and the metadata is in
    /// the headers of that answer. Redirections without metadata, as after a repository was renamed, are followed.
    fn remote_file(&self) -> Result<RemoteFile, DownloadError> {
        let agent = agent(0);
        let mut url = self.url.clone();
        for _ in 0..5 {
            let response = agent.head(&url).call()?;
            let (status, headers) = (response.status(), response.headers());
            if status.is_client_error() || status.is_server_error() {
                return Err(DownloadError::Status(status));
            }
            if headers.contains_key("x-repo-commit") || !status.is_redirection() {
                return remote_file(headers);
            }
            match headers.get(LOCATION).and_then(|location| location.to_str().ok()) {
                Some(path) if path.starts_with('/') => url = format!("{}{path}", origin(&url)),
                Some(address) => url = address.to_owned(),
                None => return Err(DownloadError::Status(status)),
            }
        }
        Err(DownloadError::Refused("the server redirects without end".into()))
    }
}

/// Reads the metadata from headers. Commit and SHA-256 become parts of paths, so only hexadecimal digits are accepted.
fn remote_file(headers: &HeaderMap) -> Result<RemoteFile, DownloadError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(|text| text.trim_matches('"'));
    let hex = |name: &str, digits: usize| {
        text(name).filter(|text| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let sha256 = hex("x-linked-etag", 64).or_else(|| hex(ETAG.as_str(), 64));
    let len = text("x-linked-size").or_else(|| text("content-length")).and_then(|len| len.parse().ok());
    match (hex("x-repo-commit", 40), sha256, len) {
        (Some(commit), Some(sha256), Some(len)) if len <= MAX_BYTES => {
            Ok(RemoteFile { commit: commit.to_owned(), sha256: sha256.to_lowercase(), len })
        }
        _ => {
            let problem = "the server does not answer as the Hugging Face hub does (commit, SHA-256 and size)";
            Err(DownloadError::Refused(problem.into()))
        }
    }
}

/// Scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    &url[..url[host..].find('/').map_or(url.len(), |slash| host + slash)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_begins_with_its_origin() {
        assert_eq!(origin("https://a.b:80/c/d"), "https://a.b:80");
        assert_eq!(origin("http://a.b"), "http://a.b");
    }
}
