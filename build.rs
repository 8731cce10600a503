//! Compiles the C++ shim against libtorch, lets the binary find libtorch without `LD_LIBRARY_PATH`, and says where the face
//! detector's network and EfficientNet-Lite0's weights lie, which become part of the program.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    for source in [
        "guarded.h",
        "shim.cpp",
        "foreach.cpp",
        "relu6.cpp",
        "depthwise.cpp",
        "trace.cpp",
        "upload.cpp",
        "operations.cpp",
        "history.cpp",
    ] {
        println!("cargo:rerun-if-changed=src/torch/{source}");
    }
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    name_included("DFDETECT_CENTERFACE", "centerface.onnx", "the face detector's network was");
    name_included("DFDETECT_EFFICIENTNET_LITE0", "efficientnet_lite0.pth", "EfficientNet-Lite0's weights were");
    name_commit();
    let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default();
    let include = libtorch.join("include");
    if !include.join("ATen/ATen.h").is_file() {
        println!("cargo:warning=libtorch was not found in {}: run scripts/setup.sh", libtorch.display());
        std::process::exit(1);
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        // libtorch's own headers warn a lot; the shim itself is compiled with warnings in review, not in every build.
        .warnings(false)
        // Loops over pixels are unbearable without it, also in tests.
        .opt_level(3)
        .flag("-isystem")
        .flag(&include)
        .file("src/torch/shim.cpp")
        .file("src/torch/foreach.cpp")
        .file("src/torch/history.cpp")
        .file("src/torch/relu6.cpp")
        .file("src/torch/depthwise.cpp")
        .file("src/torch/trace.cpp")
        .file("src/torch/upload.cpp")
        .file("src/torch/operations.cpp")
        .compile("dfdetect_shim");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libtorch.join("lib").display());
}

/// Which commit a release is built from; debug builds would have to be made anew after each.
fn name_commit() {
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    println!("cargo:rerun-if-changed=src");
    let (log, commit) = (
        git(&["rev-parse", "--git-path", "logs/HEAD"]),
        git(&["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]),
    );
    if let (Some(log), Some(commit)) = (log, commit) {
        println!("cargo:rerun-if-changed={log}");
        println!("cargo:rustc-env=DFDETECT_COMMIT={commit}");
    }
}

/// A file that `scripts/setup.sh` obtains, or the one that the environment names.
fn name_included(variable: &str, usual: &str, what_was: &str) {
    println!("cargo:rerun-if-env-changed={variable}");
    // Asked at run time: checkouts that share a target folder share the compiled build script.
    let checkout = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let usual = checkout.join(".deps").join(usual);
    let file = std::env::var_os(variable).map_or(usual, PathBuf::from);
    println!("cargo:rerun-if-changed={}", file.display());
    let Some(file) = file.canonicalize().ok().filter(|file| file.is_file()) else {
        println!("cargo:warning={what_was} not found in {}: run scripts/setup.sh", file.display());
        std::process::exit(1);
    };
    println!("cargo:rustc-env={variable}={}", file.display());
}
