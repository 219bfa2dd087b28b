#!/usr/bin/env bash
# The point, with no cloud: a machine panics and reboots, ECS forgets, the archive does not.
# usage: tests/demo.sh CONSOLE_ARCHIVE FOLDER; the folder is made, and must be empty if it is there
set -euo pipefail

console_archive=$(realpath "$1")
folder=$(mkdir -p "$2" && cd "$2" && pwd)
[ -z "$(ls -A "$folder")" ] || { echo "$folder is not empty; give another folder" >&2; exit 2; }
cd "$(dirname "$0")/.."

machine=i-bp1panicnoroot00001
recorded=tests/fixtures/consoles
consoles=$folder/ecs
mkdir "$consoles"
cp "$recorded/$machine.log" "$consoles"

. tests/simulator.sh
trap 'kill "$simulator"' EXIT
export ARCHIVE_URL="file://$folder/archive"
export RUST_LOG=warn # Each command says what it did.

say() {
    printf '\n%s\n' "$*"
}

step() {
    printf '\n$ console-archive %s\n' "$*"
    "$console_archive" "$@"
}

say "1. A machine panics. ECS sends an event, and the function keeps the console:"
step invoke events/eventbridge-instance-failure-reboot.json

say "2. The machine reboots. Now ECS has only the console of the new boot:"
head -n 619 "$recorded/i-bp1cloudinit0000001.log" > "$consoles/$machine.log"
step capture "$machine"
step get "$machine" --tail 3

say "3. The archive has both:"
step list "$machine"

say "4. And it gives back the last words of the machine before the reboot:"
step get "$machine" --previous --tail 20

windows=i-bp1windows000000001
cp "$recorded/$windows.error" "$consoles"
cp tests/fixtures/screenshots/stop.jpg "$consoles/$windows.jpg"
say "5. A Windows machine has no console output. What its screen shows is kept:"
step invoke events/eventbridge-windows-no-console.json
step get "$windows" --screenshot -o "$folder/screen.jpg"

printf '\nEverything of this run is in %s\n' "$folder"
