#!/usr/bin/env bash
# What ships is the same, byte by byte, when it is built again in another folder from nothing.
# usage: tests/reproducible.sh DIST
set -euo pipefail

dist=$1
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir "$folder/again"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$folder/again"
(unset MAKEFLAGS MAKELEVEL && CARGO_TARGET_DIR=$folder/target make -C "$folder/again" dist)
if ! diff -r "$dist" "$folder/target/dist"; then
    echo "built again, it is not the same" >&2
    exit 1
fi
echo "built again elsewhere, every file is the same:"
cat "$dist"/SHA256SUMS-*
