#!/usr/bin/env bash
# Packs the program, its tests and benches with a small FFmpeg into one archive, which runs on a 64-bit x86 Linux machine
# with libtorch 2.11 (a Python with torch 2.11 is enough) that has neither Rust nor FFmpeg:
#
#   scripts/gpu_bundle.sh                                      here: .deps/dfdetect-gpu.tar.xz
#   scripts/gpu_bundle.sh check                                here: unpacked and tried in a root with only Python in it
#   tar xf dfdetect-gpu.tar.xz                                 there
#   dfdetect-gpu/scripts/gpu_proof.sh
#
# `scripts/gpu_bundle.sh trial` tries the same way with what `cargo test` builds, on the CPU and with the system's FFmpeg:
# it packs nothing, and scripts/test.sh runs it.
# Builds with `cargo` (CARGO=... names another). Needs scripts/setup.sh --tests and, to pack, what scripts/ffmpeg_slim.sh
# asks for.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/gpu_common.sh
. scripts/gpu_common.sh

BENCHES=(estimate decode)
NAME=dfdetect-gpu
ARCHIVE=.deps/$NAME.tar.xz
LIMIT_MIB=60
VENV=$(realpath -m .deps/venv)
# What gpu_proof.sh calls.
TOOLS=(bash cat date dirname env getconf head ln mkdir mktemp realpath rm sed tee timeout)

# lay_out FOLDER COMMAND CARGO_ARGS...: a bundle of what cargo builds, put there by COMMAND (a copy or a link).
lay_out() {
    local folder=$1 put=$2
    shift 2
    mkdir -p "$folder"/{lib,tests,benches,target/release}
    cp -r scripts "$folder/"
    # shellcheck disable=SC2086  # CARGO may be several words
    ${CARGO:-cargo} test --locked --no-run --message-format=json-render-diagnostics "$@" >"$work/messages"
    python3 - "$work/messages" <<'PYTHON' | while read -r place file; do $put "$file" "$folder/$place"; done
import json, sys
for line in open(sys.argv[1]):
    message = json.loads(line)
    if message.get("reason") == "compiler-artifact" and message.get("executable"):
        target, is_test = message["target"], message["profile"]["test"]
        name = "unit" if "lib" in target["kind"] else target["name"]
        places = {"bin": "target/release"} if not is_test else {"lib": "tests", "test": "tests", "bench": "benches"}
        if place := places.get(target["kind"][0]):
            print(f"{place}/{name}", message["executable"])
PYTHON
}

benches() { printf -- '--bench\n%s\n' "${BENCHES[@]}"; }

# The newest version of a system library that anything packed asks for.
newest() {
    find "$bundle" -type f \( -perm -u+x -o -name '*.so.*' \) -exec objdump -T {} + 2>/dev/null |
        grep -o "$1_[0-9.]*[0-9]" | sort -Vu | tail -n 1
}

pack() {
    scripts/ffmpeg_slim.sh
    local targets=(--lib) file mib
    for file in tests/*.rs; do
        # Some look at sources, or need the ffmpeg program, a browser or Python packages: there is nothing of a GPU in those.
        grep -q 'mod ffmpeg_support\|mod browser_support\|check_exports\|join("src")' "$file" || targets+=(--test "$(basename "$file" .rs)")
    done
    mapfile -t -O "${#targets[@]}" targets < <(benches)

    # Built through the link, so that the paths compiled into tests are the same everywhere.
    [ ! -L "$LINK" ] || rm "$LINK"
    mkdir "$LINK" || fail "$LINK is there already" "remove it"
    trap 'rm -rf "$work" "$LINK"' EXIT
    mkdir -p "${CARGO_TARGET_DIR:-target}"
    ln -s "$PWD" "$LINK/src"
    ln -s "$(realpath "${CARGO_TARGET_DIR:-target}")" "$LINK/target"
    say "building ${targets[*]}"
    bundle=$work/$NAME
    CARGO_TARGET_DIR=$LINK/target lay_out "$bundle" cp --release --manifest-path "$LINK/src/Cargo.toml" "${targets[@]}"
    cp .deps/ffmpeg-slim/lib/*.so.* "$bundle/lib/"
    mkdir -p "$bundle/src/tests"
    cp -r configs "$bundle/src/"
    cp -r tests/fixtures "$bundle/src/tests/"
    find "$bundle/target" "$bundle/tests" "$bundle/benches" -type f -exec strip {} +
    {
        echo "commit: $(git describe --always --dirty --exclude '*'), built $(date -u +%F)"
        echo "needs: $(newest GLIBC), $(newest GLIBCXX) (x86-64), libtorch $(cat .deps/torch-version 2>/dev/null || echo 2.11)"
        echo "FFmpeg: $(cut -d ' ' -f 1 .deps/ffmpeg-slim/stamp), slim"
    } >"$bundle/BUNDLE"
    cat "$bundle/BUNDLE" >&2

    # A dictionary as large as all files together, because much of them is the same.
    tar -C "$work" -cf - "$NAME" | xz -T1 --lzma2=preset=6,dict=256MiB >"$ARCHIVE.part"
    mv "$ARCHIVE.part" "$ARCHIVE"
    mib=$(($(stat -c %s "$ARCHIVE") / 1024 / 1024 + 1))
    say "$ARCHIVE: $mib MiB, $(du -sm "$bundle" | cut -f 1) MiB unpacked"
    [ "$mib" -le "$LIMIT_MIB" ] || fail "$mib MiB are more than $LIMIT_MIB" "leave tests out"
}

# The libraries that files load, NUL between their names, but for those in the Python environment.
loaded_by_files() {
    # Not every file is a program.
    { xargs -0 -n 1 ldd 2>/dev/null || true; } | grep -o '/[^ ]*\.so[^ ]*' | grep -v "^$VENV" | sort -u
}

# Makes a root with Python, its libraries and a shell, and runs the trial in the unpacked bundle there.
check() {
    [ -f "$ARCHIVE" ] || fail "there is no $ARCHIVE" "scripts/gpu_bundle.sh makes it"
    [ -x "$VENV/bin/python3" ] || fail "there is no Python in $VENV" "scripts/setup.sh --tests"
    local root=$work/root link=$VENV/bin/python3 stdlib tool
    stdlib=$("$link" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    mkdir -p "$root"/{tmp,proc,dev,"$VENV","$stdlib"}
    for tool in "${TOOLS[@]}"; do
        cp --dereference --parents "$(type -P "$tool")" "$root"
    done
    # The Python of the environment is a link to a link.
    while [ -L "$link" ]; do
        link=$(cd "$(dirname "$link")" && realpath --no-symlinks "$(readlink "$link")")
        [[ $link = "$VENV"/* ]] || cp --dereference --parents "$link" "$root"
    done
    find "$root" "$stdlib/lib-dynload" "$VENV"/lib/python3*/site-packages/torch/lib -type f -print0 |
        loaded_by_files | xargs -I {} cp --dereference --parents {} "$root"
    tar -C "$root" -xf "$ARCHIVE"
    [ -e "$root/usr/bin/env" ] || install -D "$(type -P env)" "$root/usr/bin/env"

    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(--map-root-user)
    # Mounts are gone with the name space.
    # shellcheck disable=SC2016
    unshare --mount "${as_root[@]}" bash -euc '
        for folder in "$2" "$3"; do mount --bind "$folder" "$1$folder"; done
        mount --rbind /proc "$1/proc"
        mount --rbind /dev "$1/dev"
        exec chroot "$1" /usr/bin/env -i PATH="$2/bin:/usr/bin:/bin" HOME=/ USER=root OUT=/results "/$4/scripts/gpu_proof.sh" trial
    ' check "$root" "$VENV" "$stdlib" "$NAME" || {
        cat "$root"/results/results.md >&2 || true
        fail "the trial failed in a root with only Python" "see above"
    }
    say "the trial went well in a root with only Python and its libraries"
}

trial() {
    [ -x "$VENV/bin/python3" ] || fail "there is no Python in $VENV" "scripts/setup.sh --tests"
    bundle=$work/$NAME
    mapfile -t targets < <(benches)
    lay_out "$bundle" "ln -s" --lib --test cuda "${targets[@]}"
    ln -s "$PWD" "$bundle/src"
    echo "commit: $(git describe --always --dirty --exclude '*'), as cargo test builds it" >"$bundle/BUNDLE"
    PATH=$VENV/bin:$PATH LINK=$work/link OUT=$work/results "$bundle/scripts/gpu_proof.sh" trial "$@" || {
        cat "$work"/results/results.md "$work"/results/logs/*.log >&2 || true
        fail "the trial of the GPU scripts failed" "see above"
    }
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mode=${1:-pack}
[ $# = 0 ] || shift
case $mode-$# in
pack-0 | check-0 | trial-*) "$mode" "$@" ;;
*)
    sed -n '/^#   /s/^#   //p' "$0" >&2
    exit 2
    ;;
esac
