#!/usr/bin/env bash
# The sample in Java. Usage: run.sh worker | front | watch INSTANCE-ID | prepare
# The first call makes target/singleton-java of this checkout: classes, with stubs generated from proto/, and libraries.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
made="$root/target/singleton-java"

# Again only when what they are made from has changed.
prepare() {
    sources=("$here"/pom.xml "$here"/src/main/java/singleton/*.java "$root"/proto/soloist/v1/{instance,orchestration_service}.proto)
    if ! cat "${sources[@]}" | cmp -s - "$made/made-from"; then
        (cd "$here" && mvn --quiet --batch-mode compile dependency:copy-dependencies </dev/null)
        cat "${sources[@]}" >"$made/made-from"
    fi
}

case "${1:-}" in
    prepare) prepare ;;
    worker | front | watch)
        prepare
        exec java -cp "$made/classes:$made/lib/*" singleton.Main "$@"
        ;;
    *) sed -n 2p "$0" >&2 && exit 2 ;;
esac
