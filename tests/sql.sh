#!/usr/bin/env bash
# Engines of SQL read the catalog as docs/sql.md says, and count what `list` counts.
# usage: tests/sql.sh PYTHON CONSOLE_ARCHIVE [SCRIPT]
set -euo pipefail

python=$1
console_archive=$(realpath "$2")
script=${3:-tests/sql.py}
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
consoles=$folder/ecs
mkdir "$consoles"
cp tests/fixtures/consoles/*.log "$consoles"
echo "405 NotSupported" > "$consoles/i-windows.error"
. tests/simulator.sh
trap 'kill "$simulator"; rm -rf "$folder"' EXIT
export ARCHIVE_URL="file://$folder/archive" RUST_LOG=error

for console in "$consoles"/*; do
    name=${console##*/}
    # Without a console it is exit code 3.
    "$console_archive" capture "${name%.*}" > "$folder/captured" || [ $? = 3 ]
done
"$console_archive" reindex
"$console_archive" list --output json > "$folder/list.json"
"$python" "$script" "$folder/archive" "$folder/list.json"
