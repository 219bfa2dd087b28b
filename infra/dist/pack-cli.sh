#!/usr/bin/env bash
# Packs the command line with its completions, its man pages and what a reader needs.
# usage: infra/dist/pack-cli.sh TARBALL PROGRAM PRINTER...
# PRINTER runs the same program on this machine, which may not run PROGRAM itself.
set -euo pipefail

tarball=$1 program=$2
shift 2
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT

mkdir "$pages/completions"
"$@" completions bash > "$pages/completions/console-archive.bash"
"$@" completions zsh > "$pages/completions/_console-archive"
"$@" completions fish > "$pages/completions/console-archive.fish"
"$@" man --folder "$pages/man"
infra/dist/pack.py "$tarball" console-archive="$program" \
    README.md=README.md CHANGELOG.md=CHANGELOG.md LICENSE=LICENSE \
    docs=docs completions="$pages/completions" man="$pages/man"
