#!/usr/bin/env bash
# A durable start must not cost the server more CPU time than a few calls that do nothing. Both are measured in turn, in
# one run on one machine, so that the speed of the machine does not matter.
# usage: bench_guard.sh PATH-OF-SOLOIST
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 PATH-OF-SOLOIST" >&2; exit 2; }
soloist=$1

# Generous for a build without optimization, where it is a little more than 2. Where gRPC itself is optimized it is more.
BOUND=3

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
timeout 120 "$soloist" bench start --compare echo --rounds 5 --duration 1s --warmup 500ms --in-flight 256 \
    --connections 4 --folder "$folder" --json >"$folder/report"
python3 - "$folder/report" "$BOUND" <<'PYTHON'
import json
import sys

report, bound = json.load(open(sys.argv[1])), float(sys.argv[2])
compare = report["compare"]
start, echo = report["median"]["serverCpuMicros"], compare["median"]["serverCpuMicros"]
rounds = ", ".join(f"{ratio['serverCpu']:.2f}" for ratio in compare["ratios"])
ratio = compare["medianRatio"]["serverCpu"]
print(f"server CPU of a start: {start:.0f} µs, of an echo: {echo:.0f} µs; ratio {ratio:.2f} ({rounds}), bound {bound}")
if not ratio <= bound:
    sys.exit(f"FAILED: a start costs {ratio:.2f} times the CPU of an echo")
PYTHON
