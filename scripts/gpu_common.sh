# shellcheck shell=bash
# What gpu_check.sh and gpu_bench.sh share, to be sourced: where the bundle and libtorch are, whether there is a CUDA
# device, and the head of every file of results. Exit codes: 0 done, 1 failed, 2 wrong usage, 77 skipped.

# Tests know the program and the repository's files under this path, from when they were compiled.
LINK=/tmp/dfdetect-bundle
BUNDLE=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")
# shellcheck disable=SC2034  # of those that source this
DFDETECT=$BUNDLE/target/release/dfdetect

say() { printf '%s\n' "$*" >&2; }
fail() {
    printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2
    exit "${3:-1}"
}

# Lets programs find the libraries: the bundle's FFmpeg first, then libtorch of this machine's Python.
find_libraries() {
    [ -f "$BUNDLE/BUNDLE" ] ||
        fail "$BUNDLE is no unpacked bundle" "scripts/gpu_bundle.sh makes one; unpack it and run the script in it" 2
    local torch
    torch=$(python3 -c 'import torch; print(torch.__path__[0] + "/lib")' 2>/dev/null) ||
        fail "python3 has no torch" "pip install torch==2.11.0" 2
    export LD_LIBRARY_PATH=$BUNDLE/lib:$torch${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    ln -sfnT "$BUNDLE" "$LINK" || fail "$LINK cannot be made a link" "remove what is there" 2
    meminfo=$("$DFDETECT" meminfo --json) ||
        fail "$DFDETECT does not start" "it needs $(sed -n 's/^needs: //p' "$BUNDLE/BUNDLE"); here is $(ldd --version | head -n 1)"
}

# What `dfdetect meminfo --json` says of libtorch.
torch_value() { python3 -c 'import json, sys; m = json.loads(sys.argv[1]); print(m["torch"][sys.argv[2]])' "$meminfo" "$1"; }

has_cuda() { [ "$(torch_value cuda_available)" = True ]; }

# The end of a part that means nothing without a GPU.
need_cuda() {
    has_cuda && return 0
    say "no CUDA device: skipped ($1)"
    exit 77
}

# Device, driver, date and versions, in Markdown.
head_of_results() {
    printf '# %s\n\n' "$1"
    if has_cuda; then
        python3 -c 'import torch as t
p = t.cuda.get_device_properties(0)
print(f"- device: {p.name}, {p.total_memory / 2**30:.1f} GiB, compute capability {p.major}.{p.minor}")
print(f"- Python torch {t.__version__}, CUDA {t.version.cuda}, cuDNN {t.backends.cudnn.version()}")'
        printf -- '- driver: %s\n' "$(sed -n 's/^NVRM version: //p' /proc/driver/nvidia/version 2>/dev/null || echo not known)"
    else
        printf -- '- device: no CUDA device; CPU %s\n' "$(sed -n 's/^model name\t: //p' /proc/cpuinfo | head -n 1)"
    fi
    printf -- '- date: %s, %s cores\n' "$(date -u +%F)" "$(getconf _NPROCESSORS_ONLN)"
    printf -- '- %s, libtorch %s\n' "$("$DFDETECT" --version)" "$(torch_value version)"
    sed 's/^/- /' "$BUNDLE/BUNDLE"
    printf '\n'
}
