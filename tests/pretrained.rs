//! Fetching weights: from a server that behaves as the Hugging Face hub does, and from some that do not.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use dfdetect::backbone::Backbone;
use dfdetect::config::HubFile;
use dfdetect::model::{PretrainedError, Sources, WeightsSource};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Nobody wants to stop.
static GO_ON: AtomicBool = AtomicBool::new(false);
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const FILE: &str = "/timm/resnet18.tv_in1k/resolve/main/model.safetensors";
/// Where torchvision has its files.
const TORCHVISION: &str = "/models";

/// Any bytes do: what is in a file of weights is another test's matter.
fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a server departs from what the hub does.
#[derive(Clone)]
struct Manners {
    /// Answers that break off after so many bytes, the next one last.
    cut_after: Vec<usize>,
    knows_ranges: bool,
    status: u16,
    /// What it says the file's SHA-256 is.
    sha256: String,
    /// Answers with a path of another name first, as after a repository was renamed.
    renamed: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self { cut_after: Vec::new(), knows_ranges: true, status: 200, sha256: sha256(&content()), renamed: false }
    }
}

/// A server on a free port, and the requests it got: method, path, and where the range begins.
struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<(String, String, usize)>>>,
}

impl Server {
    /// The thread ends with the process.
    fn start(mut manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, home) = (requests.clone(), endpoint.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &home, &mut manners, &log);
            }
        });
        Self { endpoint, requests }
    }

    fn requests(&self) -> Vec<(String, String, usize)> {
        self.requests.lock().unwrap().clone()
    }

    /// Where the ranges of all requests for the file itself began.
    fn ranges(&self) -> Vec<usize> {
        self.requests().iter().filter(|(_, path, _)| path == "/blob").map(|(_, _, from)| *from).collect()
    }
}

fn answer(mut stream: TcpStream, home: &str, manners: &mut Manners, log: &Mutex<Vec<(String, String, usize)>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let [method, path, _] = first.split(' ').collect::<Vec<_>>()[..] else { return };
    let headers: Vec<_> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    log.lock().unwrap().push((method.to_owned(), path.to_owned(), range.unwrap_or(0)));

    let content = content();
    let mut head = |status: u16, more: &str| {
        let _ = write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\n{more}\r\n");
    };
    if manners.status != 200 {
        head(manners.status, "content-length: 0\r\n");
    } else if path == FILE && manners.renamed {
        head(307, &format!("content-length: 0\r\nlocation: /new{FILE}\r\n"));
    } else if path.ends_with(FILE) || path.starts_with("/facebook/") {
        let (sha256, size) = (&manners.sha256, content.len());
        let facts = format!("x-repo-commit: {COMMIT}\r\nx-linked-etag: \"{sha256}\"\r\nx-linked-size: {size}\r\n");
        head(302, &format!("content-length: 0\r\n{facts}location: {home}/blob\r\n"));
    } else {
        let from = if manners.knows_ranges { range.unwrap_or(0) } else { 0 };
        let body = &content[from..];
        let place = format!("content-range: bytes {from}-{}/{}\r\n", content.len() - 1, content.len());
        match range {
            Some(_) if manners.knows_ranges => head(206, &format!("content-length: {}\r\n{place}", body.len())),
            _ => head(200, &format!("content-length: {}\r\n", body.len())),
        }
        let end = manners.cut_after.pop().unwrap_or(body.len()).min(body.len());
        let _ = stream.write_all(&body[..end]);
    }
}

fn sources(folder: &Path, endpoint: &str) -> Sources {
    Sources {
        hub_cache: folder.join("hub"),
        torch_cache: folder.join("torch"),
        hub_endpoint: endpoint.to_owned(),
        torchvision_endpoint: format!("{endpoint}{TORCHVISION}"),
        github_endpoint: format!("{endpoint}/github"),
        offline: false,
    }
}

/// The file of the hub that [`FILE`] is, from this server or the cache.
fn from_hub(folder: &Path, endpoint: &str, stop: &AtomicBool) -> Result<PathBuf, PretrainedError> {
    let file = HubFile { repository: "timm/resnet18.tv_in1k".into(), file: HubFile::USUAL.into() };
    sources(folder, endpoint).hub(&file, stop).map(path)
}

fn path(weights: WeightsSource) -> PathBuf {
    match weights {
        WeightsSource::File(path) => path,
        WeightsSource::BuiltIn { name, .. } => panic!("{name} is built in"),
    }
}

fn repository(folder: &Path) -> PathBuf {
    folder.join("hub/models--timm--resnet18.tv_in1k")
}

/// Fetches from a server of these manners into a new folder; gives back the file's path, or the error's text.
fn fetch(manners: Manners) -> (Result<PathBuf, String>, Server, TempDir) {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start(manners));
    let fetched = from_hub(folder.path(), &server.endpoint, &GO_ON);
    (fetched.map_err(|error| error.to_string()), server, folder)
}

#[test]
fn a_file_is_fetched_once_and_lies_where_pythons_library_looks() {
    let (fetched, server, folder) = fetch(Manners::default());
    let path = fetched.unwrap();
    let repository = repository(folder.path());
    assert_eq!(path, repository.join("snapshots").join(COMMIT).join("model.safetensors"));
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(path.canonicalize().unwrap().file_name().unwrap().to_str().unwrap(), sha256(&content()));
    let left: Vec<_> = fs::read_dir(repository.join("blobs")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let before = server.requests();
    let expected = [("HEAD", FILE), ("GET", FILE), ("GET", "/blob")];
    assert_eq!(before, expected.map(|(method, path)| (method.to_owned(), path.to_owned(), 0)));
    assert_eq!(from_hub(folder.path(), &server.endpoint, &GO_ON).unwrap(), path);
    assert_eq!(server.requests(), before, "it is in the cache");
}

#[test]
fn a_cut_connection_is_gone_on_with_where_it_broke_off() {
    let manners = Manners { cut_after: vec![50_000, 100_000], ..Manners::default() };
    let (fetched, server, _folder) = fetch(manners);
    assert_eq!(fs::read(fetched.unwrap()).unwrap(), content());
    assert_eq!(server.ranges(), [0, 100_000, 150_000]);
}

#[test]
fn what_an_earlier_call_left_is_gone_on_with() {
    let (fetched, server, folder) = fetch(Manners { cut_after: vec![0, 0, 0, 70_000], ..Manners::default() });
    let error = fetched.unwrap_err();
    assert!(error.contains("cannot be fetched") && error.contains("\n  hint: "), "{error}");
    assert_eq!(server.ranges(), [0, 70_000, 70_000, 70_000]);

    let server = Server::start(Manners::default());
    let path = from_hub(folder.path(), &server.endpoint, &GO_ON).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(server.ranges(), [70_000]);
}

#[test]
fn a_download_can_be_stopped_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Manners { cut_after: vec![70_000], ..Manners::default() });
    let stopped = from_hub(folder.path(), &server.endpoint, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(PretrainedError::Interrupted)), "{stopped:?}");
    let path = from_hub(folder.path(), &server.endpoint, &GO_ON).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
}

#[test]
fn a_server_without_ranges_begins_again() {
    let (fetched, server, _folder) =
        fetch(Manners { cut_after: vec![100_000], knows_ranges: false, ..Manners::default() });
    assert_eq!(fs::read(fetched.unwrap()).unwrap(), content());
    assert_eq!(server.ranges(), [0, 100_000]);
}

#[test]
fn another_file_than_promised_is_not_kept() {
    let (fetched, _, folder) = fetch(Manners { sha256: sha256(b"something else"), ..Manners::default() });
    let error = fetched.unwrap_err();
    assert!(error.contains("another SHA-256") && error.contains(&sha256(&content())), "{error}");
    assert_eq!(fs::read_dir(repository(folder.path()).join("blobs")).unwrap().count(), 0);

    let server = Server::start(Manners::default());
    assert!(from_hub(folder.path(), &server.endpoint, &GO_ON).is_ok());
}

#[test]
fn a_file_that_is_not_there_is_asked_for_once() {
    let (fetched, server, folder) = fetch(Manners { status: 404, ..Manners::default() });
    let error = fetched.unwrap_err();
    assert!(error.contains("404") && error.contains(&format!("{}{FILE}", server.endpoint)), "{error}");
    assert_eq!(server.requests().len(), 1);
    assert!(!repository(folder.path()).exists());
}

#[test]
fn a_renamed_repository_is_found() {
    let (fetched, server, _folder) = fetch(Manners { renamed: true, ..Manners::default() });
    assert_eq!(fs::read(fetched.unwrap()).unwrap(), content());
    assert_eq!(server.requests()[1].1, format!("/new{FILE}"));
}

#[test]
fn names_out_of_answers_never_become_paths() {
    let (fetched, server, folder) = fetch(Manners { sha256: "../".repeat(22)[..64].to_owned(), ..Manners::default() });
    let error = fetched.unwrap_err();
    assert!(error.contains("does not answer as the Hugging Face hub does"), "{error}");
    assert!(server.ranges().is_empty() && !folder.path().join("hub").exists());
}

#[test]
fn a_file_in_a_folder_of_the_repository_is_linked_from_there() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start(Manners::default()));
    let file = HubFile { repository: "timm/resnet18.tv_in1k".into(), file: "a/b/model.safetensors".into() };
    // This server knows the usual file alone; another name is the storage to it.
    let failed = sources(folder.path(), &server.endpoint).hub(&file, &GO_ON).unwrap_err().to_string();
    assert!(failed.contains("hf:timm/resnet18.tv_in1k/a/b/model.safetensors cannot be fetched"), "{failed}");
    let snapshot = repository(folder.path()).join("snapshots").join(COMMIT).join("a/b/model.safetensors");
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    fs::create_dir_all(repository(folder.path()).join("refs")).unwrap();
    fs::write(repository(folder.path()).join("refs/main"), COMMIT).unwrap();
    fs::write(&snapshot, "weights").unwrap();
    assert_eq!(path(sources(folder.path(), &server.endpoint).hub(&file, &GO_ON).unwrap()), snapshot);
}

#[test]
fn published_weights_of_another_sha256_than_the_one_in_the_code_are_not_kept() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start(Manners::default()));
    let sources = sources(folder.path(), &server.endpoint);
    let error = sources.imagenet(Backbone::Resnet18, &GO_ON).unwrap_err();
    let said = error.to_string();
    assert!(error.is_absence() && said.contains("another SHA-256") && said.contains(&sha256(&content())), "{said}");
    assert!(said.contains("f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"), "{said}");
    assert_eq!(fs::read_dir(folder.path().join("torch")).unwrap().count(), 0);
    let file = format!("{TORCHVISION}/resnet18-f37072fd.pth");
    assert!(server.requests().iter().all(|(_, path, _)| *path == file), "{:?}", server.requests());

    let place = folder.path().join("torch/resnet18-f37072fd.pth");
    fs::write(&place, "something else").unwrap();
    let error = sources.imagenet(Backbone::Resnet18, &GO_ON).unwrap_err();
    let said = error.to_string();
    assert!(!error.is_absence() && said.contains("resnet18-f37072fd.pth: its SHA-256 is"), "{said}");
    assert_eq!(fs::read(place).unwrap(), b"something else", "what the user has is left alone");
}

#[test]
fn published_weights_of_the_hub_are_those_of_a_revision() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start(Manners::default()));
    let sources = sources(folder.path(), &server.endpoint);
    // This server answers with another commit.
    let error = sources.imagenet(Backbone::Dinov2Vitb14, &GO_ON).unwrap_err();
    let (said, revision) = (error.to_string(), "f9e44c814b77203eaa57a6bdbbd535f21ede1415");
    assert!(error.is_absence() && said.contains(&format!("the hub answers with commit {COMMIT}")), "{said}");
    let file = format!("/facebook/dinov2-base/resolve/{revision}/model.safetensors");
    assert!(server.requests().iter().all(|(_, path, _)| *path == file), "{:?}", server.requests());
    let place = folder.path().join("hub/models--facebook--dinov2-base/snapshots").join(revision);
    assert!(said.contains(&format!("put it at {}", place.join("model.safetensors").display())), "{said}");

    // What is in the cache under that revision is taken, and compared where the SHA-256 is known.
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("model.safetensors"), "weights").unwrap();
    assert_eq!(path(sources.imagenet(Backbone::Dinov2Vitb14, &GO_ON).unwrap()), place.join("model.safetensors"));
    let small = "hub/models--facebook--dinov2-small/snapshots/ed25f3a31f01632728cabb09d1542f84ab7b0056";
    fs::create_dir_all(folder.path().join(small)).unwrap();
    fs::write(folder.path().join(small).join("model.safetensors"), "weights").unwrap();
    let said = sources.imagenet(Backbone::Dinov2Vits14, &GO_ON).unwrap_err().to_string();
    assert!(said.contains("ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"), "{said}");
}

#[test]
fn without_a_network_the_error_says_which_file_to_put_where() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut sources = sources(folder.path(), &format!("http://127.0.0.1:{port}"));
    let said = |sources: &Sources, backbone| {
        let error = sources.imagenet(backbone, &GO_ON).unwrap_err();
        assert!(error.is_absence(), "{error}");
        error.to_string()
    };
    let place = folder.path().join("torch/resnet50-0676ba61.pth");
    let (error, place) = (said(&sources, Backbone::Resnet50), place.display());
    assert!(error.contains("resnet50-0676ba61.pth on a machine with a connection and put it at"), "{error}");
    assert!(error.contains(&place.to_string()), "{error}");

    sources.offline = true;
    let error = said(&sources, Backbone::Resnet50);
    assert!(error.contains("HF_HUB_OFFLINE is set") && error.contains("\n  hint: "), "{error}");
    let error = said(&sources, Backbone::EfficientnetLite2);
    assert!(error.contains("efficientnet-lite2-9656183e.pth out of the Python package"), "{error}");
    let built_in = sources.imagenet(Backbone::EfficientnetLite0, &GO_ON).unwrap();
    assert!(matches!(built_in, WeightsSource::BuiltIn { .. }), "{built_in}");
}
