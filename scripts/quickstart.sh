#!/usr/bin/env bash
# From a fresh clone to a trained and measured detector: set-up, build, demo data, training, evaluation.
# Settings for the training can follow, for instance: scripts/quickstart.sh --set training.epochs=4
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
echo "== build (the first time takes some minutes)" >&2
cargo build --release --locked
dfdetect=${CARGO_TARGET_DIR:-target}/release/dfdetect

echo "== demo data" >&2
"$dfdetect" demo-data --output demo
echo "== train" >&2
"$dfdetect" train --config configs/quick_demo.yaml "$@" | tee .quickstart.out
run=$(sed -n 's/^results: //p' .quickstart.out)
rm .quickstart.out
echo "== evaluate $run on its test videos" >&2
"$dfdetect" evaluate --run "$run"
echo "The detector is in $run/checkpoints/best, its curves in $run/metrics.csv, the summary in $run/report.json"
