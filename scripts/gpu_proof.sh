#!/usr/bin/env bash
# The first quarter of an hour on a GPU: what this program claims there, shown from an unpacked bundle (gpu_bundle.sh).
# Each part has its own time limit, and results are written as they come: wherever it is cut off, what is there holds.
#
# usage: gpu_proof.sh [PART...]         all parts, or those that are named: tests memory presets speed estimate decode;
#                                       besides, `others` runs the other test programs
#        gpu_proof.sh trial [PART...]   the same on the CPU with tiny settings: its figures mean nothing
# Appends Markdown to results.md in $OUT (./gpu-results where that is not set), with logs beside it. Ends with 0 where all
# went well, 1 where something failed or was cut off, 77 where there is no CUDA device. Needs Python 3 with torch 2.11.
set -euo pipefail
# shellcheck source=scripts/gpu_common.sh
. "$(dirname "$0")/gpu_common.sh"

# Seconds of each; those of PARTS, where what matters most comes first, are together eleven minutes.
declare -A LIMITS=([tests]=90 [memory]=120 [presets]=150 [speed]=180 [estimate]=60 [decode]=60 [others]=120)
PARTS=(tests memory presets speed estimate decode)

usage() {
    sed -n '/^# usage/,/^# Appends/{/^# Appends/d;s/^# //p}' "$0" >&2
    exit 2
}

MODE=cuda
[ "${1:-}" != trial ] || { MODE=trial && shift; }
[ $# = 0 ] || PARTS=("$@")
for part in "${PARTS[@]}"; do [ -n "${LIMITS[$part]:-}" ] || usage; done

find_bundle
if [ "$MODE" = cuda ] && ! has_cuda; then
    say "no CUDA device: skipped (${PARTS[*]})"
    exit 77
fi
OUT=$(realpath -m "${OUT:-gpu-results}")
mkdir -p "$OUT"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK" "$LINK"' EXIT
export MODE BUNDLE LINK WORK OUT

results=$OUT/results.md
failed=0
head_of_results >>"$results"
for part in "${PARTS[@]}"; do
    limit=${LIMITS[$part]}
    # A slow machine is no failure of a trial.
    [ "$MODE" = cuda ] || limit=$((10 * limit))
    say "== $part, at most $limit s"
    printf '\n## %s\n\n' "$part" >>"$results"
    started=$SECONDS rc=0
    timeout --kill-after 10 "$limit" python3 "$BUNDLE/scripts/gpu_parts.py" "$part" >>"$results" || rc=$?
    case $rc in
    0) outcome="went well" ;;
    124 | 137) outcome="was cut off" ;;
    *) outcome="failed" ;;
    esac
    [ "$rc" = 0 ] || failed=1
    printf '\n%s %s after %s of %s s\n' "$part" "$outcome" $((SECONDS - started)) "$limit" | tee -a "$results" >&2
done
say "results: $results"
exit "$failed"
