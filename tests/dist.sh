#!/usr/bin/env bash
# What ships: it is whole, runs on old systems, and passes the tests.
# usage: tests/dist.sh DIST GLIBC [TEST...]
set -euo pipefail

dist=$1 glibc=$2
shift 2
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "$*" >&2
    exit 1
}

(cd "$dist" && sha256sum --quiet --check SHA256SUMS-*)
programs=$folder/programs
mkdir "$programs"
python3 -m zipfile -e "$dist"/*-function-*.zip "$programs"
tar -xzf "$dist"/console-archive-*.tar.gz -C "$programs"

# Completions and man pages are this program's.
pages=$folder/pages
"$programs/console-archive" man --folder "$pages/man"
mkdir "$pages/completions"
"$programs/console-archive" completions bash > "$pages/completions/console-archive.bash"
"$programs/console-archive" completions zsh > "$pages/completions/_console-archive"
"$programs/console-archive" completions fish > "$pages/completions/console-archive.fish"
for kind in completions man; do
    diff -r "$pages/$kind" "$programs/$kind" || fail "the tarball's $kind are not the program's"
done
diff -r docs "$programs/docs" || fail "the tarball's docs are not those here"

for program in bootstrap console-archive; do
    newest=$(readelf --version-info "$programs/$program" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
    [ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -n 1)" = "GLIBC_$glibc" ] ||
        fail "$program needs $newest"
    echo "$program needs $newest at the most"
    ! grep -q -a -F -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}" "$programs/$program" ||
        fail "$program has paths of the machine it was built on"
done

python3 - "$dist" "$programs" <<'PYTHON'
import glob, json, os, stat, sys, zipfile

(package,) = glob.glob(f"{sys.argv[1]}/*-function-*.zip")
(program,) = zipfile.ZipFile(package).infolist()
mode = program.external_attr >> 16
# Lambda and Function Compute run it as another user than the file's.
assert program.filename == "bootstrap" and stat.S_ISREG(mode) and stat.S_IMODE(mode) == 0o755
os.chmod(f"{sys.argv[2]}/bootstrap", mode)  # Python leaves it out.

def crates(pattern):
    (file,) = glob.glob(f"{sys.argv[1]}/{pattern}.cdx.json")
    bill = json.load(open(file))
    assert bill["bomFormat"] == "CycloneDX" and "file:///#" in bill["metadata"]["component"]["bom-ref"]
    # What is in this repository has no file in a registry.
    downloaded = [c for c in bill["components"] if not c["bom-ref"].startswith("path+file:///src/")]
    assert all(c.get("licenses") for c in bill["components"]) and all(c.get("hashes") for c in downloaded)
    return {c["name"] for c in bill["components"]}

function, cli = crates("*-function-*"), crates("console-archive-*")
assert {"ring", "aws-sdk-s3", "lambda_runtime"} <= function & cli
assert "clap" in cli and "clap" not in function
print(f"{len(function)} crates are in the function, {len(cli)} in the command-line tool")
PYTHON

PROGRAMS=$programs cargo test --locked --test suite -- "$@"
