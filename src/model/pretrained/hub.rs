//! Where ImageNet weights come from: files that Python's libraries have already fetched, else the Hugging Face hub.
//!
//! The cache is the hub's own (`HF_HOME`), laid out as its Python library does, so that both find each other's files.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ureq::http::header::{ETAG, HeaderMap, LOCATION};

use super::PretrainedError;
use super::download::{DownloadError, Promise, agent, download, sha256_of};
use crate::config::Backbone;

const FILE: &str = "model.safetensors";
/// No ResNet's weights are larger.
const MAX_BYTES: u64 = 1 << 30;

/// The same weights, torchvision's first, in both places: the hub's repository, and torchvision's file, whose name ends
/// in the first digits of its SHA-256.
fn names(backbone: Backbone) -> (&'static str, &'static str) {
    match backbone {
        Backbone::Resnet18 => ("timm/resnet18.tv_in1k", "resnet18-f37072fd.pth"),
        Backbone::Resnet34 => ("timm/resnet34.tv_in1k", "resnet34-b627a593.pth"),
        Backbone::Resnet50 => ("timm/resnet50.tv_in1k", "resnet50-0676ba61.pth"),
        Backbone::Resnet101 => ("timm/resnet101.tv_in1k", "resnet101-63fe2227.pth"),
    }
}

/// What the environment says of caches and the network.
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

    /// The file with a backbone's ImageNet weights: from a cache, or downloaded into it. Where `stop` gets set, what came so
    /// far is kept.
    ///
    /// # Errors
    /// It is nowhere and cannot be fetched, or a file that should be it is another one.
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

/// torchvision puts the first digits of a file's SHA-256 into its name.
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

    /// Downloads the file and gives it its places in the cache.
    fn fetch(&self, label: &str, stop: &AtomicBool) -> Result<PathBuf, DownloadError> {
        let promise = self.ask()?;
        let blob = self.folder.join("blobs").join(&promise.sha256);
        let snapshot = self.snapshot(&promise.commit);
        let reference = self.folder.join("refs/main");
        for file in [&blob, &snapshot, &reference] {
            fs::create_dir_all(file.parent().unwrap_or(file))?;
        }
        if !blob.exists() {
            tracing::info!("fetching ImageNet weights from {}", self.url);
            download(&self.url, &promise, &blob, label, stop)?;
        }
        match symlink(Path::new("../../blobs").join(&promise.sha256), &snapshot) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        crate::files::write_whole(&reference, promise.commit.as_bytes())?;
        Ok(snapshot)
    }

    /// What the hub says of the file. It answers with a redirection to where the numbers are; what is wanted stands in the
    /// answer itself. Redirections without it, as after a renaming, are followed.
    fn ask(&self) -> Result<Promise, DownloadError> {
        let agent = agent(0);
        let mut url = self.url.clone();
        for _ in 0..5 {
            let response = agent.head(&url).call()?;
            let (status, headers) = (response.status(), response.headers());
            if status.is_client_error() || status.is_server_error() {
                return Err(DownloadError::Status(status));
            }
            if headers.contains_key("x-repo-commit") || !status.is_redirection() {
                return promise(headers);
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

/// Both names become parts of paths, so nothing but hexadecimal digits is taken for them.
fn promise(headers: &HeaderMap) -> Result<Promise, DownloadError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(|text| text.trim_matches('"'));
    let hex = |name: &str, digits: usize| {
        text(name).filter(|text| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let sha256 = hex("x-linked-etag", 64).or_else(|| hex(ETAG.as_str(), 64));
    let len = text("x-linked-size").or_else(|| text("content-length")).and_then(|len| len.parse().ok());
    match (hex("x-repo-commit", 40), sha256, len) {
        (Some(commit), Some(sha256), Some(len)) if len <= MAX_BYTES => {
            Ok(Promise { commit: commit.to_owned(), sha256: sha256.to_lowercase(), len })
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
