#!/usr/bin/env bash
# Records the demo's trace from real ttnn runs on mock devices: record.sh PYTHON OUTPUT
# Wants TT_METAL_MOCK_CLUSTER_DESC_PATH to describe four chips, and a release build.
set -euo pipefail
python=${1:?usage: record.sh PYTHON OUTPUT}
output=${2:?usage: record.sh PYTHON OUTPUT}
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../../target}/release
export TT_ALLOC_PREFIX=record TT_ALLOC_TRACKING_ENABLED=1
"$target/examples/record-trace" "$output" &
recorder=$!
sleep 1
track() { LD_PRELOAD="$target/libtt_alloc_preload.so" "$python" "$here/$1" >/dev/null 2>&1; }
track serve_llm.py & server=$!
sleep 8; track train.py & trainer=$!
sleep 4; track finetune.py & doomed=$!
sleep 22; pkill -KILL -P "$doomed" || kill -KILL "$doomed"
wait "$server" "$trainer" || true
wait "$recorder"
