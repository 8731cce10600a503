# shellcheck shell=bash
# Where the bundle, the program and libtorch are, whether there is a CUDA device, and the head of the results: to be
# sourced by gpu_proof.sh and gpu_bundle.sh.

# Tests know the program and the repository's files under this path, from when they were compiled.
LINK=${LINK:-/tmp/dfdetect-bundle}
BUNDLE=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")

say() { printf '%s\n' "$*" >&2; }
fail() {
    printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2
    exit "${3:-1}"
}

# Lets programs find the libraries: the bundle's FFmpeg first, then libtorch of this machine's Python.
find_bundle() {
    [ -f "$BUNDLE/BUNDLE" ] ||
        fail "$BUNDLE is no unpacked bundle" "scripts/gpu_bundle.sh makes one; unpack it and run the script in it" 2
    local torch program=$BUNDLE/target/release/dfdetect
    torch=$(python3 -c 'import torch; print(torch.__path__[0] + "/lib")' 2>/dev/null) ||
        fail "python3 has no torch" "pip install torch==2.11.0" 2
    export LD_LIBRARY_PATH=$BUNDLE/lib:$torch${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    ln -sfnT "$BUNDLE" "$LINK" || fail "$LINK cannot be made a link" "remove what is there" 2
    meminfo=$("$program" meminfo --json) ||
        fail "$program does not start" "it needs $(sed -n 's/^needs: //p' "$BUNDLE/BUNDLE"); here is $(ldd --version 2>/dev/null | head -n 1)"
}

# What `dfdetect meminfo --json` says of libtorch.
torch_value() { python3 -c 'import json, sys; m = json.loads(sys.argv[1]); print(m["torch"][sys.argv[2]])' "$meminfo" "$1"; }

has_cuda() { [ "$(torch_value cuda_available)" = True ]; }

# Device, driver, date and versions, in Markdown.
head_of_results() {
    printf '# %s\n\n' "$([ "$MODE" = cuda ] && echo "On a GPU" || echo "A trial on the CPU: figures without meaning")"
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
    printf -- '- libtorch %s\n' "$(torch_value version)"
    sed 's/^/- /' "$BUNDLE/BUNDLE"
}
