#!/usr/bin/env bash
# Schemathesis against a real `pinfold serve`: no 5xx, no status or type that /openapi.json does not say, every answer as its
# schema says, and what the schema forbids refused.
#
#   tests/schemathesis.sh [EXAMPLES]      requests an operation and phase, at most; 25 by default
#
# Needs Python 3 with venv, KVM and the network. SCHEMATHESIS is the program, if it is there already; PINFOLD the
# binary, if it is built already. What is known and why is in schemathesis.toml beside this.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'kill ${bridge:-} ${serve:-} 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT

if [ -z "${SCHEMATHESIS:-}" ]; then
    python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install --quiet 'schemathesis==4.32.5'
    SCHEMATHESIS=$scratch/venv/bin/schemathesis
fi
if [ -z "${PINFOLD:-}" ]; then
    (cd "$here/.." && cargo build --quiet -p pinfold)
    PINFOLD=$here/../target/x86_64-unknown-linux-gnu/debug/pinfold
fi

# A supervisor of its own: another lock, another socket.
mkdir "$scratch/run"
XDG_RUNTIME_DIR=$scratch/run "$PINFOLD" serve --state-dir "$scratch/state" 2>"$scratch/serve.log" &
serve=$!
python3 "$here/support/bridge.py" "$scratch/run/pinfold.sock" "$scratch/port" &
bridge=$!
for _ in $(seq 100); do
    [ -S "$scratch/run/pinfold.sock" ] && [ -s "$scratch/port" ] && break
    sleep 0.1
done
# What the examples of the reference name.
XDG_RUNTIME_DIR=$scratch/run "$PINFOLD" apply "$here/support/schemathesis-host.toml"

status=0
(cd "$scratch" && "$SCHEMATHESIS" --config-file "$here/schemathesis.toml" run --checks all --seed "${SEED:-1}" \
    --max-examples "${1:-25}" --no-color "http://127.0.0.1:$(cat "$scratch/port")/openapi.json") || status=$?
if ! kill -0 "$serve"; then
    echo "pinfold serve has ended:" >&2
    tail -n 20 "$scratch/serve.log" >&2
    status=1
fi
exit "$status"
