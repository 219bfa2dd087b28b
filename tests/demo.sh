#!/usr/bin/env bash
# The main job with no cloud: simulator up, every event invoked, consoles listed, one printed back.
# usage: tests/demo.sh CONSOLE_ARCHIVE FOLDER
set -euo pipefail

console_archive=$(realpath "$1")
folder=$(mkdir -p "$2" && cd "$2" && pwd)
cd "$(dirname "$0")/.."

. tests/simulator.sh
trap 'kill "$simulator"' EXIT
export ARCHIVE_URL="file://$folder"

step() {
    printf '\n$ console-archive %s\n' "$*"
    "$console_archive" "$@"
}

step invoke events/*.json 2>/dev/null
step list
step get i-bp1panicnoroot00001 | tail -n 12
printf '\nThe consoles are in %s\n' "$folder"
