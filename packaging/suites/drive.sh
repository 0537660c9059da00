# Part of suites.sh: a throw-away drive with friends on loopback, each a node of its own.

FRIENDS=(anna ben carla dmitri esra)
base= mnt= disk= kith=
declare -A pid=()

node() { "$kith" --home "$base/nodes/$1" "${@:2}"; }

# Starts a node's daemon, and waits until it answers.
start() {
    # The pipe on its standard input closes when this script is gone, whatever way: then it ends.
    # Not through a function: the number that the shell tells must be the daemon's.
    "$kith" --home "$base/nodes/$1" daemon --until-eof <"$base/alive" 9>&- >>"$logs/node-$1.log" 2>&1 &
    pid[$1]=$!
    local try
    for try in $(seq 600); do
        node "$1" drive list >/dev/null 2>&1 && return
        kill -0 "${pid[$1]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "the node $1 does not start: $logs/node-$1.log, and its own log:" >&2
    tail -n 5 "$base/nodes/$1/state/kith.log" >&2
    return 1
}

# Kills a node as a power cut would.
kill_node() {
    kill -9 "${pid[$1]}"
    wait "${pid[$1]}" 2>/dev/null
    unset "pid[$1]"
}

# Other users are let in where that is allowed: pjdfstest changes users.
mount_drive() {
    local other=()
    [ "$(id -u)" -ne 0 ] || other=(--allow-other)
    node you mount --drive suites "${other[@]}" "$mnt" >>"$logs/node-you.log" 2>&1
}

drive_up() {
    kith=${KITH_PROGRAM:-$PWD/target/release/kith}
    if [ -z "${KITH_PROGRAM:-}" ]; then
        echo "== building $kith"
        cargo build --release --quiet || return 1
    fi
    base=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/kith-suites.XXXXXX")") || return 1
    mnt=$base/mnt disk=$base/disk
    mkdir -p "$base/nodes" "$mnt" "$disk" && chmod 755 "$base"
    mkfifo "$base/alive" && exec 9<>"$base/alive"
    # Ports of this run: beside each other, from a number that differs between runs.
    local name port=$((20000 + ($$ * 7) % 20000)) ticket
    for name in you "${FRIENDS[@]}"; do
        port=$((port + 1))
        node "$name" init --name "$name" --lend 20G --household "$name" --listen "127.0.0.1:$port" \
            >>"$logs/node-$name.log" 2>&1 && start "$name" || return 1
    done
    for name in "${FRIENDS[@]}"; do
        ticket=$(node you invite "$name" --valid 10m 2>>"$logs/node-you.log" | grep -o 'kith-[^ ]*' | head -n 1)
        echo "$ticket" | node "$name" join - >>"$logs/node-$name.log" 2>&1 || {
            echo "$name could not join: $logs/node-$name.log" >&2
            return 1
        }
    done
    node you drive create suites >>"$logs/node-you.log" 2>&1 && mount_drive || {
        echo "the drive is not mounted: $logs/node-you.log" >&2
        return 1
    }
    # The other side of every comparison is the disk, so this must not be it.
    mountpoint -q "$mnt" || {
        echo "$mnt is no mount" >&2
        return 1
    }
}

# Nothing stays mounted, running or on the disk: only what this script started is touched.
drive_down() {
    local name
    [ -n "$base" ] || return 0
    cd / || return 0
    for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null; done
    for name in "${!pid[@]}"; do wait "${pid[$name]}" 2>/dev/null; done
    if mountpoint -q "$mnt" || ! ls "$mnt" >/dev/null 2>&1; then fusermount3 -uz "$mnt" 2>/dev/null || umount -l "$mnt"; fi
    exec 9>&-
    mountpoint -q "$mnt" || rm -rf "$base"
}
