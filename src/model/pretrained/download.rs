//! One file over HTTP: resumed where it broke off, checked by its SHA-256, there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::header::{CONTENT_RANGE, RANGE};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::progress::Bar;

/// Attempts in a row that bring nothing new, before it is given up.
const MAX_VAIN_ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A file as the server describes it, before it comes.
#[derive(Debug)]
pub(super) struct Promise {
    /// Which state of the repository it belongs to.
    pub commit: String,
    pub sha256: String,
    pub len: u64,
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    /// Nobody answered, or the connection broke again and again.
    #[error("{0}")]
    Network(#[from] ureq::Error),
    /// An answer, but not the file.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// Another file than was promised.
    #[error("what came has another SHA-256 than the server said: {found}, not {expected}")]
    Checksum { found: String, expected: String },
    /// No file is to be had there.
    #[error("{0}")]
    Refused(String),
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
    /// The disk refused.
    #[error("the cache cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// For all requests: gives up on a server that is silent for half a minute; proxies are those of the environment.
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

/// Fetches `url` to `target`, and compares it with what was promised. What comes is kept beside it with `.incomplete` to its
/// name, from where a later call goes on; a second process that wants the same waits for the first.
pub(super) fn download(
    url: &str,
    Promise { sha256, len, .. }: &Promise,
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
    let mut download = Download { agent, url, len: *len, file: &mut file, bar: Bar::bytes(label, *len), stop };
    download.fetch(label)?;
    let found = sha256_of(&mut file)?;
    if found != *sha256 {
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

/// A file on its way.
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
        let mut vain = 0;
        while have < self.len {
            let before = have;
            let Err(error) = self.go_on(&mut have) else { continue };
            vain = if have > before { 0 } else { vain + 1 };
            let may_pass = match &error {
                DownloadError::Network(_) => true,
                DownloadError::Status(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
                _ => false,
            };
            if !may_pass || vain == MAX_VAIN_ATTEMPTS {
                return Err(error);
            }
            tracing::info!("{label}: {error}; going on at {have} of {} bytes", self.len);
            std::thread::sleep(FIRST_PAUSE * 2_u32.pow(vain));
        }
        Ok(())
    }

    /// One request for what is missing.
    fn go_on(&mut self, have: &mut u64) -> Result<(), DownloadError> {
        let mut request = self.agent.get(self.url);
        if *have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.call()?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, *have) => {}
            // A server that does not know ranges begins again.
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
