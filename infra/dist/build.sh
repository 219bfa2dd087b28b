#!/usr/bin/env bash
# Builds a program as it ships, with the same bytes wherever it is built: by `cargo zigbuild` for any
# Linux with this C library or a newer one, by `cargo build` for a machine of this kind. The profile is
# `function` or `release`.
# usage: infra/dist/build.sh zigbuild|rustc|build TRIPLE[.GLIBC] --profile PROFILE CARGO_ARGUMENT...
set -euo pipefail

build=$1 target=$2
shift 2
cargo fetch --locked --quiet --target "${target%%.*}"
# Paths of the build machine would be in messages of panics.
RUSTFLAGS="--remap-path-prefix=$PWD/="
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    RUSTFLAGS+=" --remap-path-prefix=$sources="
done
export RUSTFLAGS
command=(cargo "$build")
# To pass options to the compiler, as `cargo rustc` does, and link by zig.
[ "$build" != rustc ] || command=(cargo-zigbuild rustc)
exec "${command[@]}" --locked --target "$target" "$@"
