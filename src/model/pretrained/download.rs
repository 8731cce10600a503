//! Download of one file over HTTP: resumed after a broken connection, verified by SHA-256, renamed into place when
//! complete. Knows nothing of the content of the file; its address and its place are decided in `hub.rs` and
//! `sources.rs`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::progress::Bar;

/// Larger files are refused; the weights of every backbone are smaller, and so is a CLIP with its text encoder.
pub(super) const MAX_BYTES: u64 = 4 << 30;
/// Attempts in a row that transfer nothing, after which the download fails.
const MAX_IDLE_ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    /// No answer, or repeated failures of the connection.
    #[error("{0}")]
    Network(#[from] ureq::Error),
    /// An answer without the file.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The file is another one.
    #[error("what came has another SHA-256 than it should: {found}, not {expected}")]
    Checksum { found: String, expected: String },
    /// The server or the environment refuses the download.
    #[error("{0}")]
    Refused(String),
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
    /// The file cannot be written.
    #[error("the cache cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// The HTTP client of all requests: times out after 30 seconds of silence; proxies are those of the environment.
pub(super) fn agent(max_redirects: u32) -> Agent {
    let config = Agent::config_builder()
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(TIMEOUT))
        .timeout_per_read(Some(TIMEOUT))
        .max_redirects(max_redirects)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("dfdetect/", env!("CARGO_PKG_VERSION")));
    config.build().into()
}

/// The length of the file at `url`, by the server's word.
pub(super) fn content_length(url: &str) -> Result<u64, DownloadError> {
    let response = agent(5).head(url).call()?;
    if !response.status().is_success() {
        return Err(DownloadError::Status(response.status()));
    }
    let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(length) if length <= MAX_BYTES => Ok(length),
        Some(length) => Err(DownloadError::Refused(format!("the server's file has {length} bytes"))),
        None => Err(DownloadError::Refused("the server does not say how long the file is".into())),
    }
}

/// Downloads `url`, `len` bytes whose SHA-256 begins with these digits, to `target` and verifies it. Received bytes go
/// to `target` with `.incomplete` appended to its name, where a later call resumes; a second process that downloads the
/// same file waits for the first.
pub(super) fn download(
    url: &str,
    sha256: &str,
    len: u64,
    target: &Path,
    label: &str,
    stop: &AtomicBool,
) -> Result<(), DownloadError> {
    let mut name = target.as_os_str().to_owned();
    name.push(".incomplete");
    let partial = Path::new(&name);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(partial)?;
    file.lock()?;
    if target.exists() {
        return Ok(());
    }
    let agent = agent(5);
    let mut download = Download { agent, url, len, file: &mut file, bar: Bar::bytes(label, len), stop };
    download.fetch(label)?;
    let found = sha256_of(&mut file)?;
    if !found.starts_with(sha256) {
        fs::remove_file(partial)?;
        return Err(DownloadError::Checksum { found, expected: sha256.to_owned() });
    }
    file.sync_all()?;
    Ok(fs::rename(partial, target)?)
}

/// Lower-case hexadecimal digits of a file's SHA-256.
pub(super) fn sha256_of(file: &mut File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    io::copy(file, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A download in progress.
struct Download<'d> {
    agent: Agent,
    url: &'d str,
    len: u64,
    file: &'d mut File,
    bar: Bar,
    stop: &'d AtomicBool,
}

impl Download<'_> {
    fn fetch(&mut self, label: &str) -> Result<(), DownloadError> {
        let mut have = self.file.metadata()?.len();
        if have > self.len {
            have = 0;
        }
        self.bar.advance(have, String::new);
        let mut idle = 0;
        while have < self.len {
            let before = have;
            let Err(error) = self.resume(&mut have) else { continue };
            idle = if have > before { 0 } else { idle + 1 };
            let is_transient = match &error {
                DownloadError::Network(_) => true,
                DownloadError::Status(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
                _ => false,
            };
            if !is_transient || idle == MAX_IDLE_ATTEMPTS {
                return Err(error);
            }
            tracing::info!("{label}: {error}; going on at {have} of {} bytes", self.len);
            std::thread::sleep(FIRST_PAUSE * 2_u32.pow(idle));
        }
        Ok(())
    }

    /// One request for the missing bytes.
    fn resume(&mut self, have: &mut u64) -> Result<(), DownloadError> {
        let mut request = self.agent.get(self.url);
        if *have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.call()?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, *have) => {}
            // The server does not support ranges: the download starts over.
            StatusCode::OK => *have = 0,
            status => return Err(DownloadError::Status(status)),
        }
        self.file.set_len(*have)?;
        self.file.seek(SeekFrom::Start(*have))?;
        let mut body = response.into_body().into_reader().take(self.len - *have);
        let mut buffer = vec![0; 1 << 16];
        while *have < self.len {
            if self.stop.load(Ordering::Relaxed) {
                return Err(DownloadError::Interrupted);
            }
            let count = match body.read(&mut buffer) {
                Ok(0) => return Err(ureq::Error::Io(io::ErrorKind::UnexpectedEof.into()).into()),
                Ok(count) => count,
                Err(error) => return Err(ureq::Error::Io(error).into()),
            };
            self.file.write_all(&buffer[..count])?;
            *have += count as u64;
            self.bar.advance(count as u64, String::new);
        }
        Ok(())
    }
}

fn starts_at(response: &Response<Body>, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}
