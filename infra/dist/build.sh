#!/usr/bin/env bash
# Builds a program as it ships: for any Linux with this C library or a newer one, and with the same
# bytes wherever it is built.
# usage: infra/dist/build.sh TRIPLE.GLIBC CARGO_ARGUMENT...
set -euo pipefail

target=$1
shift
cargo fetch --locked --quiet --target "${target%%.*}"
# Paths of the build machine would be in messages of panics.
RUSTFLAGS="--remap-path-prefix=$PWD/="
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    RUSTFLAGS+=" --remap-path-prefix=$sources="
done
export RUSTFLAGS
exec cargo zigbuild --locked --release --target "$target" "$@"
