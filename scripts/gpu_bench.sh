#!/usr/bin/env bash
# Times the training step of this program against Python PyTorch, and holds predicted against measured memory, on a CUDA
# machine from an unpacked bundle (scripts/gpu_bundle.sh).
#
# usage: gpu_bench.sh step         ResNet-18 and -50 in turns with scripts/bench_step.py, same shapes and formats
#        gpu_bench.sh estimate     what `suggest` predicts against the allocator's peaks, over a grid
#        gpu_bench.sh trial        the way of `step` on the CPU with tiny settings: its figures mean nothing
# Results go as Markdown to $OUT, or to ./gpu-results where that is not set. Needs Python 3 with torch 2.11.
set -euo pipefail
# shellcheck source=scripts/gpu_common.sh
. "$(dirname "$0")/gpu_common.sh"

ROUNDS=3

# Median seconds a step of this program, over the last two of three epochs: its wait for data is in them.
ours() {
    local depth=$1 run=$work/run-$1-$2
    "$DFDETECT" train --config "$BUNDLE/src/configs/default.yaml" --data "$work/demo" --output "$run" \
        --device "$device" --epochs 3 --batch-size "$clips" --set model.backbone="resnet$depth" --set model.pretrained=none \
        --set model.temporal=mean --set data.max_frames="$frames" --set "data.frame_size=[$size,$size]" \
        --set training.limit_batches="$batches" --set data.faces.mode=off --set augmentation.enabled=false \
        --set cache.directory="$work/frames" >"$run.log" 2>&1 || fail "training failed" "$(tail -n 3 "$run.log")"
    python3 - "$run"/*/metrics.jsonl <<'PYTHON'
import json, statistics, sys
steps = [line for line in map(json.loads, open(sys.argv[1])) if line["kind"] == "step" and line["epoch"] > 1]
print(statistics.median(step["clips"] / step["clips_per_sec"] for step in steps))
PYTHON
}

# The same of Python.
theirs() {
    python3 "$BUNDLE/scripts/bench_step.py" --device "$device" --depth "$1" --clips "$clips" --frames "$frames" \
        --size "$size" --steps $((2 * batches)) | python3 -c 'import json, sys; print(json.load(sys.stdin)["median_secs"])'
}

bench_step() {
    local file=$out/gpu-step.md depth round lines=$work/lines
    "$DFDETECT" demo-data --output "$work/demo" --videos "$videos" >/dev/null 2>"$work/demo.log" || fail "demo-data failed" "$(tail -n 3 "$work/demo.log")"
    for depth in 18 50; do
        for round in $(seq "$ROUNDS"); do
            say "ResNet-$depth, round $round of $ROUNDS"
            echo "$depth $(ours "$depth" "$round") $(theirs "$depth")" >>"$lines"
        done
    done
    {
        head_of_results "A training step against Python PyTorch"
        echo "$clips clips of $frames frames of $size x $size, channels-last, autocast; milliseconds a step, $ROUNDS rounds in turns"
        printf '\n| ResNet | dfdetect | Python | Python / dfdetect |\n| --- | --- | --- | --- |\n'
        awk '{ printf "| %s | %.1f | %.1f | %.2f |\n", $1, $2 * 1000, $3 * 1000, $3 / $2 }' "$lines"
    } | tee "$file"
    say "results: $file"
}

bench_estimate() {
    local file=$out/gpu-estimate.md
    [ -x "$BUNDLE/benches/estimate" ] || fail "the bundle has no benches/estimate" "make it anew with scripts/gpu_bundle.sh"
    {
        head_of_results "Predicted against measured memory"
        "$BUNDLE/benches/estimate" cuda
    } | tee "$file"
    say "results: $file"
}

usage() { sed -n '/^# usage/,/^# Results/s/^# //p' "$0" >&2; exit 2; }
[[ $# = 1 && "$1" =~ ^(step|estimate|trial)$ ]] || usage
find_libraries
[ "$1" = trial ] || need_cuda "$1"
out=${OUT:-gpu-results}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $1 in
step)
    device=cuda clips=8 frames=16 size=224 batches=12 videos=160
    bench_step
    ;;
estimate) bench_estimate ;;
trial)
    device=cpu clips=2 frames=2 size=64 batches=4 videos=24 ROUNDS=1
    bench_step
    ;;
esac
