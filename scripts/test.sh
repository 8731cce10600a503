#!/usr/bin/env bash
# Everything that must hold before a change lands: set-up, formatting, lints, documentation, all tests.
set -euo pipefail
cd "$(dirname "$0")/.."
# Nothing is built twice here.
export CARGO_INCREMENTAL=0

scripts/setup.sh --tests
for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || {
        printf 'test: error: cargo %s was not found\n  hint: rustup component add rustfmt clippy\n' "$tool" >&2
        exit 1
    }
done
echo "== formatting" >&2
cargo fmt --check
echo "== lints" >&2
cargo clippy --locked --all-targets -- -D warnings
echo "== documentation" >&2
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
echo "== tests" >&2
cargo test --locked --no-fail-fast
echo "== example" >&2
cargo run --locked --quiet --example train_and_predict
echo "== what runs on GPUs, tried on the CPU" >&2
scripts/gpu_bundle.sh trial
# Tests that a CPU's kernels can move, once more under the oldest kernels and with one thread.
scripts/test_cpus.sh oldest
