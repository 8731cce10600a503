//! Compiles the C++ shim against libtorch and lets the binary find libtorch without `LD_LIBRARY_PATH`.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src/torch/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
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
        .flag("-isystem")
        .flag(&include)
        .file("src/torch/shim.cpp")
        .compile("dfdetect_shim");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libtorch.join("lib").display());
}
