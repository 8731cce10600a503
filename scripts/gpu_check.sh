#!/usr/bin/env bash
# Runs the tests on a CUDA machine from an unpacked bundle (scripts/gpu_bundle.sh), and measures the four presets under
# caps of device memory. A part a call, so that each stays within ten minutes.
#
# usage: gpu_check.sh tests [NAME]     every test, a line each, or those of one program; tests/cuda.rs needs a GPU
#        gpu_check.sh presets GIB      each preset under a cap of GIB (0: none), with and without the guard
#        gpu_check.sh trial            the way of `presets` on the CPU with tiny settings: its figures mean nothing
# Results go as Markdown to $OUT, or to ./gpu-results where that is not set. Needs Python 3 with torch 2.11.
set -euo pipefail
# shellcheck source=scripts/gpu_common.sh
. "$(dirname "$0")/gpu_common.sh"

PRESETS=(quick_demo memory_optimized medium default)
# Seconds for one test program, and for one training.
TEST_LIMIT=280
TRAIN_LIMIT=65

# Each test of one program: "pass|fail|skip program::name", also the rest of a program that hangs or crashes.
run_tests_of() {
    local program=$1 name log rc=0
    name=$(basename "$program")
    log=$work/$name.log
    # From the folder that `cargo test` would use.
    (cd "$LINK/src" && exec timeout "$TEST_LIMIT" "$program" --show-output) >"$log" 2>&1 || rc=$?
    python3 - "$name" "$rc" "$log" <<'PYTHON'
import re, sys
name, rc, log = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], errors="replace").read()
outcomes = dict(re.findall(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)", log, re.M))
skipped = set(re.findall(r"^skipped: (\S+): ", log, re.M))
for test, outcome in sorted(outcomes.items()):
    word = {"ok": "skip" if test in skipped else "pass", "FAILED": "fail", "ignored": "skip"}[outcome]
    print(word, f"{name}::{test}")
if rc not in (0, 101) or (rc == 101 and "FAILED" not in outcomes.values()):
    print("fail", f"{name}: ended with code {rc}" + (" (too long)" if rc == 124 else ""))
PYTHON
}

check_tests() {
    local file=$out/gpu-tests${1:+-$1}.md lines=$work/lines program log word
    has_cuda || say "no CUDA device: the tests that need one are skipped"
    for program in "$BUNDLE"/tests/${1:-*}; do run_tests_of "$program"; done | tee "$lines"
    {
        head_of_results "Tests"
        for word in pass fail skip; do echo "- $word: $(grep -c "^$word " "$lines" || true)"; done
        code <"$lines"
        for log in "$work"/*.log; do
            if grep -q "FAILED\|panicked" "$log"; then tail -c 4000 "$log" | code; fi
        done
    } >"$file"
    say "results: $file"
    ! grep -q '^fail ' "$lines"
}

# Markdown of what comes in.
code() {
    printf '\n```text\n'
    cat
    printf '\n```\n'
}

# One row of the table: a preset with settings after it.
train_row() {
    local preset=$1 label=$2 run=$work/$1-$2
    shift 2
    say "$preset, $label"
    timeout "$TRAIN_LIMIT" "$DFDETECT" train --config "$BUNDLE/src/configs/$preset.yaml" --data "$work/demo" \
        --output "$run" --epochs 2 --set training.limit_batches=8 --set data.faces.mode=off \
        --set logging.memory_log_interval=1 --set cache.directory="$work/frames" "$@" >"$run.log" 2>&1 || say "  ended with code $?: $(grep -m 1 error "$run.log" || true)"
    python3 "$BUNDLE/scripts/gpu_row.py" "$preset" "$label" "$run"
}

check_presets() {
    local title=$1 file=$out/gpu-presets-$2.md preset
    shift 2
    "$DFDETECT" demo-data --output "$work/demo" --videos "${VIDEOS:-160}" >/dev/null 2>"$work/demo.log" ||
        fail "demo-data failed" "$(tail -n 3 "$work/demo.log")"
    {
        head_of_results "$title"
        python3 "$BUNDLE/scripts/gpu_row.py"
        for preset in "${PRESETS[@]}"; do
            train_row "$preset" guard "$@"
            train_row "$preset" "no guard" "$@" --set gpu.memory_management.oom_retry=false
        done
    } >"$file"
    cat "$file"
    say "results: $file"
}

usage() { sed -n '/^# usage/,/^# Results/s/^# //p' "$0" >&2; exit 2; }
part=${1:-}
case $part-$# in
tests-1 | trial-1) ;;
tests-2) [ -x "$BUNDLE/tests/$2" ] || usage ;;
presets-2) [[ "$2" =~ ^[0-9]+$ ]] || usage ;;
*) usage ;;
esac
find_libraries
[ "$part" != presets ] || need_cuda "presets under a cap of $2 GiB"
out=${OUT:-gpu-results}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $part in
tests) check_tests "${@:2}" ;;
presets)
    # The cap holds for the allocator of libtorch; what the driver takes for the process comes on top.
    share=$(python3 -c "import torch; print(min(1, ($2 or 2**20) * 2**30 / torch.cuda.mem_get_info()[1]))")
    check_presets "Presets under a cap of $2 GiB (0: none)" "$2" --device cuda --set "gpu.memory_fraction=$share"
    ;;
trial)
    VIDEOS=24
    check_presets "A trial on the CPU: figures without meaning" trial --device cpu --batch-size 2 \
        --set data.max_frames=2 --set "data.frame_size=[32,32]" --set training.limit_batches=2
    ;;
esac
