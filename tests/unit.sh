#!/usr/bin/env bash
# The example of a systemd unit, as systemd itself reads it. Where there is no systemd-analyze, nothing is checked.
# usage: unit.sh PATH-OF-SOLOIST
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 PATH-OF-SOLOIST" >&2; exit 2; }
command -v systemd-analyze >/dev/null || { echo "WARNING: NO SYSTEMD-ANALYZE: THE UNIT IS NOT CHECKED"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The program has to be where the unit says.
sed "s|^ExecStart=[^ ]*|ExecStart=$(realpath "$1")|" "$(dirname "$0")/../examples/systemd/soloist.service" \
    >"$folder/soloist.service"
said=$(systemd-analyze verify --man=no "$folder/soloist.service" 2>&1) || { echo "$said"; exit 1; }
# An unknown name is only a remark of systemd's.
[ -z "$said" ] || { echo "$said"; exit 1; }
echo "the unit: ok"
