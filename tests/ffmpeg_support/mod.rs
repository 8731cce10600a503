//! The `ffmpeg` program, which makes odd files.

use std::path::Path;
use std::process::Command;

/// Runs `ffmpeg ARGS TO`; no argument may have a space in it.
pub fn ffmpeg(args: &str, to: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args.split_whitespace().map(|arg| arg.trim_matches('\'')))
        .arg(to)
        .output()
        .expect("the program ffmpeg is installed (scripts/setup.sh --tests)");
    assert!(output.status.success(), "ffmpeg {args}: {}", String::from_utf8_lossy(&output.stderr));
}
