#!/usr/bin/env bash
# Runs the tests as other x86 CPUs would: with older kernels of libtorch, oneDNN and MKL than this CPU has, and with other
# numbers of threads. Prints a table, and ends with 1 where a test failed.
# usage: scripts/test_cpus.sh [--all-tests] [SETTING...]
# A SETTING is a name of the table, such as oldest or threads-4; without any, all of them are run.
# --all-tests runs every test instead of those that kernels can move (numbers, training, explanations, resume, memory).
set -euo pipefail
cd "$(dirname "$0")/.."

# Name, environment, and what the CPU must have for the setting to differ from a smaller one (flags in /proc/cpuinfo).
# `oldest` is all that an x86 CPU of 2008 has; MKL_CBWR takes MKL's branch for it.
SETTINGS=(
    "newest|-|-"
    "oldest|ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE OMP_NUM_THREADS=1|-"
    "aten-default|ATEN_CPU_CAPABILITY=default|-"
    "aten-avx2|ATEN_CPU_CAPABILITY=avx2|avx2 fma"
    "aten-avx512|ATEN_CPU_CAPABILITY=avx512|avx512f avx512bw avx512dq avx512vl"
    "onednn-sse41|ONEDNN_MAX_CPU_ISA=SSE41|-"
    "onednn-avx2|ONEDNN_MAX_CPU_ISA=AVX2|avx2"
    "onednn-avx512|ONEDNN_MAX_CPU_ISA=AVX512_CORE|avx512f"
    "onednn-avx512-bf16|ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16|avx512_bf16"
    "onednn-all|ONEDNN_MAX_CPU_ISA=ALL|-"
    "threads-1|OMP_NUM_THREADS=1|-"
    "threads-2|OMP_NUM_THREADS=2|-"
    "threads-4|OMP_NUM_THREADS=4|-"
)
# Numbers, explanations, memory; and of whole trainings those that promise equal bits, and the one that diverges. Exports compute
# with the networks of `backbones`.
MOVED=(--test backbones --test curve --test optim --test parameters --test pretrained --test suggest)
MOVED_TRAININGS=(kill real_out_of_memory given_weights diverges)

all_tests=
[ "${1:-}" != --all-tests ] || { all_tests=yes && shift; }
wanted=("$@")

run_tests() {
    if [ -n "$all_tests" ]; then
        cargo test --locked --no-fail-fast --lib --bins --tests
    else
        local failed=0
        if [ "${OMP_NUM_THREADS:-}" = 1 ]; then
            # One core each.
            run_library_tests >"$library_log" 2>&1 &
            run_other_tests || failed=1
            wait $! || failed=1
            cat "$library_log"
        else
            run_library_tests || failed=1
            run_other_tests || failed=1
        fi
        return "$failed"
    fi
}

run_library_tests() {
    # Some take minutes: the numbers of all backbones are compared elsewhere, and old CPUs do not compute in half precision.
    # Others count operations or recoveries, copy tensors without computing any, or compute no tensors.
    cargo test --locked --no-fail-fast --lib -- --skip every_backbone_trains --skip half_precision --skip operations \
        --skip memory::advice --skip metrics:: --skip train::saver \
        --skip tests::recovery
}

run_other_tests() {
    local failed=0
    cargo test --locked --no-fail-fast "${MOVED[@]}" || failed=1
    cargo test --locked --no-fail-fast --test train -- "${MOVED_TRAININGS[@]}" || failed=1
    return "$failed"
}

is_wanted() {
    [ ${#wanted[@]} -gt 0 ] || return 0
    local name
    for name in "${wanted[@]}"; do [ "$name" != "$1" ] || return 0; done
    return 1
}

lacks() {
    local flag
    [ "$1" != - ] || return 1
    for flag in $1; do grep -qw "$flag" /proc/cpuinfo || return 0; done
    return 1
}

for name in "${wanted[@]}"; do
    printf '%s\n' "${SETTINGS[@]}" | grep -q "^$name|" || {
        printf 'test_cpus: error: there is no setting %s\n  hint: %s\n' "$name" "$(printf '%s\n' "${SETTINGS[@]}" | cut -d '|' -f 1 | tr '\n' ' ')" >&2
        exit 2
    }
done

cargo test --locked --no-run --lib --bins --tests
log=$(mktemp)
library_log=$(mktemp)
trap 'rm -f "$log" "$library_log"' EXIT
rows=()
failed=0
for setting in "${SETTINGS[@]}"; do
    IFS='|' read -r name environment needs <<<"$setting"
    is_wanted "$name" || continue
    if lacks "$needs"; then
        rows+=("$name|not on this CPU|-|-")
        continue
    fi
    [ "$environment" != - ] || environment=
    # With more threads than cores, threads that spin while they wait take hours: OMP_WAIT_POLICY.
    echo "== $name${environment:+: $environment}" >&2
    started=$SECONDS
    # The words of the environment are settings.
    # shellcheck disable=SC2086,SC2163
    (export OMP_WAIT_POLICY=passive $environment && run_tests) 2>&1 | tee "$log" >&2 || failed=1
    passed=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$log")
    broken=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | tr '\n' ' ')
    rows+=("$name|$passed passed|${broken:-none}|$((SECONDS - started)) s")
done
for row in "setting|tests|failed|time" "${rows[@]}"; do
    IFS='|' read -r name passed broken time <<<"$row"
    printf '%-20s %-16s %8s  %s\n' "$name" "$passed" "$time" "$broken"
done
exit "$failed"
