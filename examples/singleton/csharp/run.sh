#!/usr/bin/env bash
# The sample in C#. Usage: run.sh worker | front | watch INSTANCE-ID | prepare
# The first call builds it into target/singleton-csharp of this checkout, with stubs generated from proto/.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
made="$root/target/singleton-csharp"

prepare() {
    dotnet build "$here/Singleton.csproj" --artifacts-path "$made" --configuration Release --nologo --verbosity quiet
    cat "${sources[@]}" >"$made/made-from"
}

# Again only when what it is made from has changed.
sources=("$here"/*.cs "$here/Singleton.csproj" "$root"/proto/soloist/v1/{instance,orchestration_service}.proto)
cat "${sources[@]}" | cmp -s - "$made/made-from" || prepare

case "${1:-}" in
    prepare) ;;
    worker | front | watch) exec dotnet "$made/bin/Singleton/release/Singleton.dll" "$@" ;;
    *) sed -n 2p "$0" >&2 && exit 2 ;;
esac
