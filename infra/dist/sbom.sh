#!/usr/bin/env bash
# Writes what a program is made of, as CycloneDX: every crate with its version, licence and digest.
# usage: infra/dist/sbom.sh CARGO_CYCLONEDX TRIPLE PROGRAM FILE [CYCLONEDX_ARGUMENT...]
set -euo pipefail

cyclonedx=$1 triple=$2 program=$3 file=$4
shift 4
# The tool writes beside Cargo.toml, names this folder, and tells the time unless told another.
SOURCE_DATE_EPOCH=0 "$cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 \
    --describe binaries --no-build-deps --target "$triple" "$@"
sed "s|path+file://$PWD/|path+file:///|g; s|path+file://$PWD#|path+file:///#|g" "${program}_bin.cdx.json" > "$file"
rm ./*_bin.cdx.json
