#!/usr/bin/env bash
# The function under the ecosystem's own tools: cargo-lambda runs it, cargo-lambda and the AWS CLI
# invoke it, as the README says.
# usage: tests/cargo-lambda.sh VENV CONSOLE_ARCHIVE   (a Python environment with cargo-lambda and awscli)
set -euo pipefail

venv=$1
console_archive=$(realpath "$2")
cd "$(dirname "$0")/.."
export PATH="$venv/bin:$PATH"
folder=$(mktemp -d)

. tests/simulator.sh
export ARCHIVE_URL="file://$folder/archive"

# In a session of its own, so that the function it starts ends with it.
setsid cargo lambda watch --bin bootstrap --ignore-changes --invoke-port 9531 >"$folder/watch.log" 2>&1 &
watch=$!
trap 'kill "$simulator"; kill -- -"$watch"; rm -rf "$folder"' EXIT

fail() {
    echo "tests/cargo-lambda.sh: $1" >&2
    cat "$folder/watch.log" >&2
    exit 1
}

grep --quiet 'starting Runtime server' < <(timeout 60 tail --follow --pid="$watch" --lines=+1 "$folder/watch.log") ||
    fail 'cargo lambda watch does not start'

# The first invocation starts the build of the function, and waits for it.
timeout 900 cargo lambda invoke bootstrap --invoke-port 9531 --data-file events/manual.json >"$folder/first"
grep -q '"outcome":"stored"' "$folder/first" || fail "cargo lambda invoke answered: $(cat "$folder/first")"

AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1 \
    timeout 60 aws lambda invoke --endpoint-url http://127.0.0.1:9531 --function-name bootstrap \
    --payload file://events/manual.json "$folder/second" >/dev/null
grep -q '"outcome":"already_stored"' "$folder/second" || fail "aws lambda invoke answered: $(cat "$folder/second")"

echo 'cargo lambda and aws lambda invoke the function: ok'
