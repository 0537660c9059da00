# Part of suites.sh: the suites. Each works in a directory of its own on both sides.

# Quick or long: the first or the second.
of() { if [ "$length" = quick ]; then echo "$1"; else echo "$2"; fi; }

# Empty directories of a suite on the mount and on the disk; sets `on_mount` and `on_disk`.
places() {
    on_mount=$mnt/$1 on_disk=$disk/$1
    rm -rf "$on_mount" "$on_disk"
    mkdir "$on_mount" "$on_disk"
}

# The same function on both sides, each with a log: FAIL when the mount fails.
both() {
    local name=$1 work=$2 code=0 disk_code=0
    places "$name" || {
        why="no directory on the mount"
        return 1
    }
    "$work" "$on_mount" >"$logs/$name-mount.log" 2>&1 || code=$?
    "$work" "$on_disk" >"$logs/$name-disk.log" 2>&1 || disk_code=$?
    if [ "$code" -eq 0 ] && [ "$disk_code" -eq 0 ]; then return 0; fi
    why="$why; exit codes: mount $code, disk $disk_code"
    return 1
}

# --- pjdfstest: POSIX calls and their errors, as root, with two other users.

# Skipped on the mount alone, whatever the filesystem does: the C library knows the most links
# of a file by the filesystem's type, and of FUSE it knows none.
PJD_UNKNOWN=link::link_count_max

# Names of tests that ended with a word, in order.
ended() { grep -E " $2\$" "$1" | awk '{print $1}' | sort; }

suite_pjdfstest() {
    has pjdfstest || return 3
    if [ "$(id -u)" -ne 0 ]; then
        why="needs root, to become other users"
        return 3
    fi
    places pjdfstest || return 1
    cat >"$base/pjdfstest.toml" <<'TOML'
[features]
posix_fallocate = {}
rename_ctime = {}
stat_st_birthtime = {}
utime_now = {}
utimensat = {}
[settings]
# Longer than a tick of the disk's clock.
naptime = 0.02
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
TOML
    chmod 755 "$on_mount" "$on_disk"
    # From inside: the path of a socket may have 108 bytes only.
    (cd "$on_mount" && "$tools/bin/pjdfstest" -c "$base/pjdfstest.toml" -p .) >"$logs/pjdfstest-mount.log" 2>&1
    (cd "$on_disk" && "$tools/bin/pjdfstest" -c "$base/pjdfstest.toml" -p .) >"$logs/pjdfstest-disk.log" 2>&1
    local side word
    for side in mount disk; do
        for word in ok FAILED skipped; do
            ended "$logs/pjdfstest-$side.log" "$word" >"$logs/pjdfstest-$side-$word"
        done
    done
    local ok fail skip worse
    ok=$(wc -l <"$logs/pjdfstest-mount-ok") fail=$(wc -l <"$logs/pjdfstest-mount-FAILED")
    skip=$(wc -l <"$logs/pjdfstest-mount-skipped")
    # What passes on the disk and does not on the mount, be it failed, skipped or never reached.
    worse=$(comm -23 "$logs/pjdfstest-disk-ok" "$logs/pjdfstest-mount-ok" | grep -vx "$PJD_UNKNOWN" | tee "$logs/pjdfstest-worse" | wc -l)
    why="$ok passed, $fail failed, $skip skipped; disk $(wc -l <"$logs/pjdfstest-disk-ok") passed,"
    why="$why $(wc -l <"$logs/pjdfstest-disk-FAILED") failed, $(wc -l <"$logs/pjdfstest-disk-skipped") skipped"
    [ "$worse" -eq 0 ] || why="$why; worse than the disk: $(head -n 5 "$logs/pjdfstest-worse" | paste -sd' ')"
    [ "$worse" -eq 0 ] && [ "$ok" -gt 0 ] && [ "$fail" -le "$(wc -l <"$logs/pjdfstest-disk-FAILED")" ]
}

# --- fsx: random reads, writes, maps, cuts and copies of one file, each read verified.

fsx_in() {
    local i
    cat >"$base/fsx.toml" <<'TOML'
flen = 3500000
[opsize]
max = 200000
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 2
fsync = 0.5
fdatasync = 0.5
punch_hole = 2
sendfile = 2
posix_fadvise = 2
copy_file_range = 4
TOML
    for i in $(seq "$fsx_runs"); do
        echo "seed $((fsx_seed + i))"
        "$tools/bin/fsx" -f "$base/fsx.toml" -N "$fsx_ops" -S $((fsx_seed + i)) -P "$logs" "$1/file-$i" || return 1
    done
}

suite_fsx() {
    has fsx || return 3
    fsx_seed=${KITH_SEED:-$((RANDOM * 32768 + RANDOM))} fsx_runs=$(of 3 5) fsx_ops=$(of 2000 200000)
    why="$fsx_ops operations, seeds $((fsx_seed + 1)) to $((fsx_seed + fsx_runs)) (KITH_SEED=$fsx_seed)"
    both fsx fsx_in
}

# --- fio: what was written is read back and verified, by several jobs at once.

fio_in() {
    fio --directory="$1" --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --group_reporting --fallocate=none \
        --size="$(of 16m 256m)" --name=sequential --rw=write --bs=1m --numjobs=2 \
        --name=random --stonewall --rw=randwrite --bs=4k --size="$(of 4m 64m)" --numjobs=2 \
        --name=synced --stonewall --rw=randwrite --bs=4k --size="$(of 1m 16m)" --fsync=4 \
        --name=mixed --stonewall --rw=randrw --bssplit=512/20:4k/40:60k/40 --bs_unaligned=1 --size="$(of 8m 64m)" \
        --name=mapped --stonewall --ioengine=mmap --rw=randwrite --bs=4k --size="$(of 4m 64m)" \
        --name=direct --stonewall --ioengine=libaio --iodepth=8 --direct=1 --rw=randwrite --bs=4k --size="$(of 4m 64m)"
}

suite_fio() {
    has fio || return 3
    why="6 kinds of jobs, verified"
    both fio fio_in
}

# --- sqlite: two journal modes; a killed writer, a killed daemon.

# Rows that have been committed and told are in the log; all of them must be in the table.
sqlite_writer() {
    local i
    echo "PRAGMA journal_mode=$2; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, x BLOB);"
    for i in $(seq "$1"); do
        echo "BEGIN; INSERT INTO t(x) VALUES(randomblob(900)); INSERT INTO t(x) VALUES(randomblob(9000));"
        echo "UPDATE t SET x=randomblob(400) WHERE n % 13 = $((i % 13)); COMMIT; SELECT 'rows ' || count(*) FROM t;"
    done
}

# sqlite_sound FILE LOG: the table is whole and has all the rows that the log tells of.
sqlite_sound() {
    local check told there
    check=$(sqlite3 "$1" 'PRAGMA integrity_check; SELECT count(*) FROM t;') || return 1
    told=$(grep '^rows ' "$2" | tail -n 1 | cut -d' ' -f2)
    there=$(tail -n 1 <<<"$check")
    echo "$1: ${check//$'\n'/ }; told ${told:-0}"
    [ "$(head -n 1 <<<"$check")" = ok ] && [ "$there" -ge "${told:-0}" ]
}

# sqlite_killed DIR MODE KILLER...: a writer is at work when the killer comes.
sqlite_killed() {
    local dir=$1 mode=$2 log=$logs/sqlite-writer.out writer
    sqlite_writer 100000 "$mode" | sqlite3 "$dir/killed-$mode" >"$log" 2>&1 9>&- &
    writer=$!
    local try
    for try in $(seq 100); do
        [ "$(grep -c '^rows ' "$log")" -gt 20 ] && break
        sleep 0.1
    done
    "${@:3}" "$writer" || return 1
    # A daemon that was killed leaves the writer with errors; it may not go on for ever.
    kill -9 "$writer" 2>/dev/null
    wait "$writer" 2>/dev/null
    [ "$(grep -c '^rows ' "$log")" -gt 0 ] && sqlite_sound "$dir/killed-$mode" "$log"
}

kill_writer() { kill -9 "$1"; }
kill_daemon() { kill_node you && start you && mount_drive; }

sqlite_in() {
    local mode times
    times=$(of 100 2000)
    for mode in DELETE WAL; do
        sqlite_writer "$times" "$mode" | sqlite3 "$1/$mode" >"$1/told" || return 1
        # The mode was taken, and nothing fell back to another one.
        [ "$(head -n 1 "$1/told")" = "${mode,,}" ] || return 1
        sqlite_sound "$1/$mode" "$1/told" || return 1
        [ "$(sqlite3 "$1/$mode" 'SELECT count(*) FROM t')" -eq $((2 * times)) ] || return 1
        sqlite_killed "$1" "$mode" kill_writer || return 1
    done
}

suite_sqlite() {
    has sqlite3 || return 3
    why="rollback and WAL, killed writers"
    both sqlite sqlite_in || return 1
    why="$why, killed daemons"
    local mode
    for mode in DELETE WAL; do
        rm -f "$on_mount/killed-$mode"*
        sqlite_killed "$on_mount" "$mode" kill_daemon >>"$logs/sqlite-mount.log" 2>&1 || {
            why="$why: $mode after kill -9 of the daemon"
            return 1
        }
    done
}

# --- git: two repositories that exchange commits.

git_in() (
    set -e
    export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
    export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
    git init -q -b main "$1/a"
    cp -r src docs tests "$1/a/"
    cd "$1/a"
    git add -A
    git commit -q -m first
    git clone -q --no-hardlinks "$1/a" "$1/b"
    cd "$1/b"
    for i in $(seq "$(of 20 200)"); do
        echo "$i" >>src/main.rs
        git commit -q -a -m "change $i"
    done
    git mv docs papers
    git commit -q -m moved
    cd "$1/a"
    git pull -q --ff-only "$1/b" main
    git gc -q --aggressive --prune=now
    git fsck --full --strict
    git -C "$1/b" gc -q
    git -C "$1/b" fsck --full --strict
    # In the end both are the same, and nothing looks changed that is not.
    [ "$(git rev-parse HEAD)" = "$(git -C "$1/b" rev-parse HEAD)" ]
    [ -z "$(git status --porcelain)" ]
    diff -r --exclude=.git "$1/a" "$1/b"
)

suite_git() {
    has git || return 3
    why="init, commit, clone, pull, gc, fsck"
    both git git_in
}

# --- rsync and tar: what goes in comes out the same.

# A tree with everything that a home directory has; made once.
make_tree() {
    tree=$base/tree
    [ ! -d "$tree" ] || return 0
    mkdir -p "$tree/empty" "$tree/sub/deep/er"
    cp -r src docs "$tree/"
    head -c "$(of 5000000 50000000)" /dev/urandom >"$tree/photo.jpg"
    truncate -s 7000001 "$tree/sparse" && printf end | dd of="$tree/sparse" bs=1 seek=3000000 conv=notrunc status=none
    ln "$tree/photo.jpg" "$tree/sub/hard link"
    ln -s ../photo.jpg "$tree/sub/soft link" && ln -s nowhere "$tree/dangling"
    printf x >"$tree/sub/Ünïcode ✓ name" && printf x >"$tree/$(printf 'new\nline')"
    : >"$tree/sub/deep/er/nothing" && mkfifo "$tree/sub/pipe"
    chmod 600 "$tree/photo.jpg" && chmod 4751 "$tree/src/main.rs" && chmod 1777 "$tree/empty"
    setfattr -n user.comment -v 'at the lake' "$tree/photo.jpg" && setfattr -n user.tag -v x "$tree/sub"
    touch -d '1999-12-31 23:59:59.123456789' "$tree/photo.jpg" && touch -d '2038-01-20' "$tree/sub/deep"
    [ "$(id -u)" -ne 0 ] || chown -R 1234:4321 "$tree/docs"
}

rsync_in() (
    set -e
    rsync -aHAX "$tree/" "$1/in/"
    # Nothing is left to do, in contents, attributes or names: neither here nor on the way back.
    rsync -aHAXnic --delete "$tree/" "$1/in/" | tee /dev/stderr | wc -l | grep -qx 0
    rsync -aHAX "$1/in/" "$base/back/"
    rsync -aHAXnic --delete "$tree/" "$base/back/" | tee /dev/stderr | wc -l | grep -qx 0
    rm -rf "$base/back"
    # A second run onto changed files brings them back.
    echo changed >"$1/in/docs/format.md"
    rm "$1/in/src/main.rs"
    rsync -aHAXS --inplace --delete -c "$tree/" "$1/in/"
    rsync -aHAXnic --delete "$tree/" "$1/in/" | tee /dev/stderr | wc -l | grep -qx 0
)

suite_rsync() {
    has rsync setfattr || return 3
    make_tree
    why="-aHAX there and back, compared by contents"
    both rsync rsync_in
}

tar_in() (
    set -e
    tar --xattrs -C "$tree" -cf "$1/in.tar" .
    mkdir "$1/in"
    tar --xattrs -C "$1/in" -xpf "$1/in.tar"
    # Contents, modes, owners and times against the archive; both trees; and an archive of it again.
    tar --xattrs -C "$1/in" -df "$1/in.tar"
    diff -r --no-dereference --exclude=pipe "$tree" "$1/in"
    [ -p "$1/in/sub/pipe" ] && [ "$1/in/photo.jpg" -ef "$1/in/sub/hard link" ]
    # Without the times of reading and packing, and the packing process's number.
    again=(tar --sort=name --xattrs --pax-option=exthdr.name=%d/x/%f,delete=atime,delete=ctime)
    "${again[@]}" -C "$tree" -cf "$1/first.tar" .
    "${again[@]}" -C "$1/in" -cf "$1/again.tar" .
    cmp "$1/first.tar" "$1/again.tar"
)

suite_tar() {
    has tar setfattr || return 3
    make_tree
    why="with attributes, compared with the archive, the tree and an archive of the copy"
    both tar tar_in
}

# --- stress-ng: its filesystem stressors that use the directory they are given.

# Left out: bind-mount, binderfs, procfs, fanotify (not this filesystem), eventfd, ioprio (no
# files), chattr, inode-flags, verity (ext4's own).
STRESSORS=(access chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fcntl fiemap file-ioctl
    filename flock fpunch fsize fstat getdent handle hdd inotify io iomix lease link locka lockf lockofd mknod open
    rename symlink sync-file touch utime xattr)

stress_in() {
    local stressor bad=()
    for stressor in "${STRESSORS[@]}"; do
        # A stressor that ignores its time is a failure, and not a run without end.
        if timeout -k 5 60 stress-ng --temp-path "$1" --verify --timeout "$(of 1 30)" --"$stressor" "$(of 1 4)" \
            --hdd-bytes "$(of 16M 256M)" --iomix-bytes "$(of 16M 256M)" --fallocate-bytes "$(of 16M 256M)"; then
            echo "ok: $stressor"
        else
            echo "failed: $stressor, exit code $?"
        fi
    done
}

suite_stress() {
    has stress-ng || return 3
    both stress stress_in || return 1
    local side
    for side in mount disk; do
        grep '^failed: ' "$logs/stress-$side.log" | cut -d' ' -f2 | tr -d , | sort >"$logs/stress-$side-failed"
    done
    local worse same
    worse=$(comm -23 "$logs/stress-mount-failed" "$logs/stress-disk-failed" | paste -sd' ')
    same=$(comm -12 "$logs/stress-mount-failed" "$logs/stress-disk-failed" | paste -sd' ')
    why="${#STRESSORS[@]} stressors${same:+; fail on the disk as well: $same}${worse:+; fail on the mount: $worse}"
    [ -z "$worse" ]
}
