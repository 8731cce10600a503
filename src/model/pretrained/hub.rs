//! The source of ImageNet weights: the caches of Python's libraries, else the Hugging Face hub.
//!
//! Downloads go into the hub's own cache (`HF_HOME`) in the layout of `huggingface_hub`, so that both use each other's
//! files. This file reads no tensors; that is `weights_file.rs`.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ureq::http::header::{ETAG, HeaderMap, LOCATION};

use super::download::{DownloadError, RemoteFile, agent, download, sha256_of};
use super::error::PretrainedError;
use crate::config::Backbone;

const FILE: &str = "model.safetensors";
/// Larger files are refused; the weights of every supported ResNet are smaller.
const MAX_BYTES: u64 = 1 << 30;

/// torchvision's first ImageNet weights (`IMAGENET1K_V1`) in both places: the repository on the hub, and torchvision's
/// file, whose name ends with the first digits of its SHA-256.
fn names(backbone: Backbone) -> (&'static str, &'static str) {
    match backbone {
        Backbone::Resnet18 => ("timm/resnet18.tv_in1k", "resnet18-f37072fd.pth"),
        Backbone::Resnet34 => ("timm/resnet34.tv_in1k", "resnet34-b627a593.pth"),
        Backbone::Resnet50 => ("timm/resnet50.tv_in1k", "resnet50-0676ba61.pth"),
        Backbone::Resnet101 => ("timm/resnet101.tv_in1k", "resnet101-63fe2227.pth"),
    }
}

/// Caches and network settings, from the environment.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Folder of the hub's files: `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub hub_cache: PathBuf,
    /// Folder of torchvision's files: `hub/checkpoints` in `TORCH_HOME`.
    pub torch_cache: PathBuf,
    /// Address of the hub or of a mirror: `HF_ENDPOINT`.
    pub endpoint: String,
    /// Whether the network must not be used: `HF_HUB_OFFLINE`.
    pub offline: bool,
}

impl Sources {
    /// As Python's `huggingface_hub` and `torch.hub` read the environment.
    #[must_use]
    pub fn from_env() -> Self {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = folder("HOME").unwrap_or_default();
        let cache = folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
        let hf_home = folder("HF_HOME").unwrap_or_else(|| cache.join("huggingface"));
        let torch_home = folder("TORCH_HOME").unwrap_or_else(|| cache.join("torch"));
        let endpoint = env::var("HF_ENDPOINT").ok().filter(|value| !value.is_empty());
        Self {
            hub_cache: folder("HF_HUB_CACHE").unwrap_or_else(|| hf_home.join("hub")),
            torch_cache: torch_home.join("hub/checkpoints"),
            endpoint: endpoint.unwrap_or_else(|| "https://huggingface.co".into()).trim_end_matches('/').to_owned(),
            offline: env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0")),
        }
    }

    /// The file with a backbone's ImageNet weights: from a cache, or downloaded into it. When `stop` is set, the
    /// partial download is kept.
    ///
    /// # Errors
    /// No cache has the file and it cannot be downloaded, or a cached file has another SHA-256 than its name says.
    pub fn imagenet(&self, backbone: Backbone, stop: &AtomicBool) -> Result<PathBuf, PretrainedError> {
        let (repository, torch_file) = names(backbone);
        let repository = Repository {
            url: format!("{}/{repository}/resolve/main/{FILE}", self.endpoint),
            folder: self.hub_cache.join(format!("models--{}", repository.replace('/', "--"))),
        };
        if let Some(cached) = repository.cached() {
            return Ok(cached);
        }
        let torch_path = self.torch_cache.join(torch_file);
        if torch_path.is_file() {
            check_name(&torch_path)?;
            return Ok(torch_path);
        }
        let fetched = match self.offline {
            true => Err(DownloadError::Refused("HF_HUB_OFFLINE is set".into())),
            false => repository.fetch(&format!("{backbone:?}").to_lowercase(), stop),
        };
        fetched.map_err(|error| match error {
            DownloadError::Interrupted => PretrainedError::Interrupted,
            error => {
                PretrainedError::Unreachable { url: repository.url, problem: error.to_string(), place: torch_path }
            }
        })
    }
}

/// Checks a file's SHA-256 against its first digits, which torchvision puts into the file's name.
fn check_name(path: &Path) -> Result<(), PretrainedError> {
    let hash = File::open(path).and_then(|mut file| sha256_of(&mut file));
    let hash = hash.map_err(|source| PretrainedError::cannot_read(path, source))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    match name.rsplit('-').next() {
        Some(digits) if hash.starts_with(digits) => Ok(()),
        _ => Err(PretrainedError::invalid(path, format!("its SHA-256 is {hash}, which its name says otherwise"))),
    }
}

/// One repository of the hub, and its place in the cache.
struct Repository {
    url: String,
    folder: PathBuf,
}

impl Repository {
    fn cached(&self) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.folder.join("refs/main")).ok()?;
        Some(self.snapshot(commit.trim())).filter(|path| path.is_file())
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(FILE)
    }

    /// Downloads the file and links it into the cache.
    fn fetch(&self, label: &str, stop: &AtomicBool) -> Result<PathBuf, DownloadError> {
        let remote = self.remote_file()?;
        let blob = self.folder.join("blobs").join(&remote.sha256);
        let snapshot = self.snapshot(&remote.commit);
        let reference = self.folder.join("refs/main");
        for file in [&blob, &snapshot, &reference] {
            fs::create_dir_all(file.parent().unwrap_or(file))?;
        }
        if !blob.exists() {
            tracing::info!("fetching ImageNet weights from {}", self.url);
            download(&self.url, &remote, &blob, label, stop)?;
        }
        match symlink(Path::new("../../blobs").join(&remote.sha256), &snapshot) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        crate::files::write_whole(&reference, remote.commit.as_bytes())?;
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
    fn torchvisions_names_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        // The SHA-256 of "abc" is in its standard (FIPS 180-2, B.1).
        for (name, holds) in
            [("resnet18-ba7816bf.pth", true), ("resnet18-f37072fd.pth", false), ("resnet18.pth", false)]
        {
            let path = folder.path().join(name);
            fs::write(&path, "abc").unwrap();
            assert_eq!(check_name(&path).is_ok(), holds, "{name}");
        }
    }

    #[test]
    fn an_address_begins_with_its_origin() {
        assert_eq!(origin("https://a.b:80/c/d"), "https://a.b:80");
        assert_eq!(origin("http://a.b"), "http://a.b");
    }
}
