#!/usr/bin/env bash
# The main job with no cloud: simulator up, every event invoked, consoles listed, one printed back.
# usage: tests/demo.sh CONSOLE_ARCHIVE FOLDER
set -euo pipefail

console_archive=$1
folder=$(mkdir -p "$2" && cd "$2" && pwd)
cd "$(dirname "$0")/.."

# The simulator prints the settings to use with it once it listens.
exec 3< <(exec "$console_archive" simulate --listen 127.0.0.1:0 --consoles tests/fixtures/consoles 2>/dev/null)
simulator=$!
trap 'kill "$simulator"' EXIT
while read -r line <&3; do
    case $line in
    'export ARCHIVE_URL='*) break ;;
    'export '*) export "${line#export }" ;;
    esac
done
export ARCHIVE_URL="file://$folder"

step() {
    printf '\n$ console-archive %s\n' "$*"
    "$console_archive" "$@"
}

step invoke events/*.json 2>/dev/null
step list
step get i-bp1panicnoroot00001 | tail -n 12
printf '\nThe consoles are in %s\n' "$folder"
