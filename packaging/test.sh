#!/usr/bin/env bash
# Installs what the tests need beyond Rust (Debian and its kin; root or sudo), then runs all of them.
# Longer versions of the same tests, for hours: KITH_TORTURE=1 packaging/test.sh
set -euo pipefail
if [ -n "${KITH_TORTURE:-}" ]; then
    export KITH_KILLS="${KITH_KILLS:-100}" KITH_SEEDS="${KITH_SEEDS:-100}" KITH_HOURS="${KITH_HOURS:-10}"
    export KITH_CASES="${KITH_CASES:-1000}" KITH_KILL_MIXED="${KITH_KILL_MIXED:-300}"
    export KITH_FUSE_MODEL_OPS="${KITH_FUSE_MODEL_OPS:-200000}"
fi
cd "$(dirname "$0")/.."
need=()
command -v cc >/dev/null || need+=(gcc libc6-dev)
command -v fusermount3 >/dev/null || need+=(fuse3)
command -v rsync >/dev/null || need+=(rsync)
if [ ${#need[@]} -gt 0 ]; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    echo "== installing ${need[*]}"
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${need[@]}"
fi
cargo test "$@"
