# Part of suites.sh: the programs that it needs.

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

# The Debian package that brings a program.
package_of() {
    case $1 in
    fusermount3) echo fuse3 ;;
    cc) echo gcc libc6-dev ;;
    setfattr) echo attr ;;
    *) echo "$1" ;;
    esac
}

# Programs that a suite needs, and crates that it installs.
programs_of() {
    case $1 in
    pjdfstest | fsx) echo cc ;;
    fio) echo fio ;;
    sqlite) echo sqlite3 ;;
    git) echo git ;;
    rsync) echo rsync setfattr ;;
    tar) echo tar setfattr ;;
    stress) echo stress-ng ;;
    esac
}

# A crate's program below target/tools, at the version that was looked at. What cannot be
# installed makes its suite NOT RUN and stops nothing else.
install_crate() {
    local name=$1 version=$2
    [ -x "$tools/bin/$name" ] && return
    echo "== installing $name $version below target/tools"
    cargo install --quiet --locked --root "$tools" --target-dir "$tools/build" "$name" --version "$version" \
        >"$logs/install-$name.log" 2>&1 || echo "== $name could not be installed: $logs/install-$name.log"
}

install_missing() {
    local suite program need=()
    for program in fusermount3 $(for suite in "$@"; do programs_of "$suite"; done); do
        command -v "$program" >/dev/null || need+=($(package_of "$program"))
    done
    if [ ${#need[@]} -gt 0 ]; then
        echo "== installing ${need[*]}"
        { as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq "${need[@]}"; } \
            >"$logs/install-apt.log" 2>&1 || echo "== not everything could be installed: $logs/install-apt.log"
    fi
    for suite in "$@"; do
        case $suite in
        pjdfstest) install_crate pjdfstest 0.2.2 ;;
        fsx) install_crate fsx 0.3.2 ;;
        esac
    done
}

# Whether a suite's programs are there; says which is not.
has() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || [ -x "$tools/bin/$program" ] || {
            why="$program is not installed and could not be"
            return 3
        }
    done
}
