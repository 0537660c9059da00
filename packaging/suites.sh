#!/usr/bin/env bash
# Other people's filesystem tests, on a throw-away drive with friends on loopback and, to compare,
# on the local disk. Installs what is missing (Debian and its kin; root or sudo).
#
#   packaging/suites.sh [quick|long] [NAME...]     names: pjdfstest fsx fio sqlite git rsync tar stress
#
# One line for each suite: PASS, FAIL or NOT RUN with the reason; what it said is in target/suites/.
# Exit code: 0 all passed, 1 one failed, 2 usage, 3 none failed but one was not run.
# KITH_PROGRAM: the program to test (default: target/release/kith, built if it is not there).
# KITH_SEED: where the seeds of fsx start (they are printed). TMPDIR: on the disk to use.
set -uo pipefail
cd "$(dirname "$0")/.."
ALL=(pjdfstest fsx fio sqlite git rsync tar stress)
length=quick
case "${1:-}" in quick | long)
    length=$1
    shift
    ;;
esac
for name in "$@"; do
    [[ " ${ALL[*]} " == *" $name "* ]] || {
        echo "usage: packaging/suites.sh [quick|long] [NAME...]; names: ${ALL[*]}" >&2
        exit 2
    }
done
chosen=("$@")
[ $# -gt 0 ] || chosen=("${ALL[@]}")

logs=$PWD/target/suites tools=$PWD/target/tools
rm -rf "$logs"
mkdir -p "$logs" "$tools"
. packaging/suites/tools.sh
. packaging/suites/drive.sh
. packaging/suites/cases.sh

failed=0 not_run=0
# One line of the result: how it ended, which suite, why.
line() { printf '%-8s %-10s %s\n' "$1" "$2" "$3"; }

# Runs a suite, which sets `why`: 0 passed, 1 failed, 3 not run.
run() {
    local name=$1 code=0 begun=$SECONDS
    why=
    "suite_$name" || code=$?
    case $code in
    0) line PASS "$name" "$why ($((SECONDS - begun)) s)" ;;
    3)
        line "NOT RUN" "$name" "$why"
        not_run=$((not_run + 1))
        ;;
    *)
        line FAIL "$name" "$why (see target/suites/$name*)"
        failed=$((failed + 1))
        ;;
    esac
}

install_missing "${chosen[@]}"
trap 'drive_down' EXIT
trap 'exit 130' INT TERM HUP
drive_up || exit 1
for name in "${chosen[@]}"; do
    run "$name"
done
echo "$((${#chosen[@]} - failed - not_run)) passed, $failed failed, $not_run not run"
[ "$failed" -eq 0 ] || exit 1
[ "$not_run" -eq 0 ] || exit 3
