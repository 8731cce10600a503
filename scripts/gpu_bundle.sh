#!/usr/bin/env bash
# Packs the program, its tests and benches with a small FFmpeg into one archive, which runs on a 64-bit x86 Linux machine
# with libtorch 2.11 (a Python with torch 2.11 is enough) that has neither Rust nor FFmpeg:
#
#   scripts/gpu_bundle.sh                                      here: .deps/dfdetect-gpu.tar.xz
#   tar xf dfdetect-gpu.tar.xz                                 there
#   dfdetect-gpu/scripts/gpu_check.sh tests
#
# Builds with `cargo` in release mode (CARGO=... names another). Needs scripts/setup.sh and what scripts/ffmpeg_slim.sh asks for.
set -euo pipefail
cd "$(dirname "$0")/.."

BENCHES=(estimate)
# The path that gpu_common.sh makes on the other machine, where tests look for the program and for files.
LINK=/tmp/dfdetect-bundle
NAME=dfdetect-gpu
LIMIT_MIB=25

say() { printf 'gpu_bundle: %s\n' "$*" >&2; }
fail() {
    printf 'gpu_bundle: error: %s\n  hint: %s\n' "$1" "$2" >&2
    exit 1
}

scripts/ffmpeg_slim.sh

targets=(--lib)
for file in tests/*.rs; do
    # Some look at sources, or need the ffmpeg program, a browser or Python packages: there is nothing of a GPU in those.
    grep -q 'mod ffmpeg_support\|mod browser_support\|check_exports\|join("src")' "$file" || targets+=(--test "$(basename "$file" .rs)")
done
for bench in "${BENCHES[@]}"; do [ ! -f "benches/$bench.rs" ] || targets+=(--bench "$bench"); done

# Built through the link, so that the paths compiled into tests are the same everywhere.
[ ! -L "$LINK" ] || rm "$LINK"
mkdir "$LINK" || fail "$LINK is there already" "remove it"
work=$(mktemp -d)
trap 'rm -rf "$work" "$LINK"' EXIT
mkdir -p "${CARGO_TARGET_DIR:-target}"
ln -s "$PWD" "$LINK/src"
ln -s "$(realpath "${CARGO_TARGET_DIR:-target}")" "$LINK/target"
say "building ${#targets[@]} targets"
export CARGO_TARGET_DIR=$LINK/target
# shellcheck disable=SC2086  # CARGO may be several words
${CARGO:-cargo} build --release --locked --manifest-path "$LINK/src/Cargo.toml" --bin dfdetect
# shellcheck disable=SC2086
${CARGO:-cargo} test --release --locked --manifest-path "$LINK/src/Cargo.toml" --no-run "${targets[@]}" \
    --message-format=json-render-diagnostics >"$work/messages"

bundle=$work/$NAME
mkdir -p "$bundle"/{lib,tests,benches,target/release,src/tests}
cp .deps/ffmpeg-slim/lib/*.so.* "$bundle/lib/"
cp "$LINK/target/release/dfdetect" "$bundle/target/release/"
cp -r configs "$bundle/src/"
cp -r tests/fixtures "$bundle/src/tests/"
cp -r scripts "$bundle/"
python3 - "$work/messages" <<'PYTHON' | while read -r kind name file; do cp "$file" "$bundle/$kind/$name"; done
import json, sys
for line in open(sys.argv[1]):
    message = json.loads(line)
    if message.get("executable") and message.get("reason") == "compiler-artifact":
        target = message["target"]
        kind = "benches" if "bench" in target["kind"] else "tests" if message["profile"]["test"] else ""
        name = "unit" if "lib" in target["kind"] else target["name"]
        if kind:
            print(kind, name, message["executable"])
PYTHON
find "$bundle/target" "$bundle/tests" "$bundle/benches" -type f -exec strip {} +

# The newest version of a system library that anything packed asks for.
newest() {
    find "$bundle" -type f \( -perm -u+x -o -name '*.so.*' \) -exec objdump -T {} + 2>/dev/null |
        grep -o "$1_[0-9.]*[0-9]" | sort -Vu | tail -n 1
}
{
    echo "commit: $(git describe --always --dirty --exclude '*'), built $(date -u +%F)"
    echo "needs: $(newest GLIBC), $(newest GLIBCXX) (x86-64), libtorch $(cat .deps/torch-version 2>/dev/null || echo 2.11)"
    echo "FFmpeg: $(cut -d ' ' -f 1 .deps/ffmpeg-slim/stamp), slim"
} >"$bundle/BUNDLE"
cat "$bundle/BUNDLE" >&2

# A dictionary as large as all files together, because much of them is the same.
archive=.deps/$NAME.tar.xz
tar -C "$work" -cf - "$NAME" | xz -T1 --lzma2=preset=6,dict=256MiB >"$archive.part"
mv "$archive.part" "$archive"
mib=$(($(stat -c %s "$archive") / 1024 / 1024 + 1))
say "$archive: $mib MiB, $(du -sm "$bundle" | cut -f 1) MiB unpacked"
[ "$mib" -le "$LIMIT_MIB" ] || fail "$mib MiB are more than $LIMIT_MIB" "leave tests out"
