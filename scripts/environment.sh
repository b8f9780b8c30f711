# Makes and updates the Python environment of this checkout. `./fewer`, `./test` and `.ci/run` source it with `root` set to the checkout.
# shellcheck shell=sh disable=SC2154

venv=${FEWER_VENV:-$root/.venv}
case $venv in
/*) ;;
*) venv=$PWD/$venv ;;
esac

say() { printf 'fewer: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# What an environment is made from: where it is, and with which pins.
made_from() {
    printf '%s\n%s\n' "$root" "$venv"
    cat "$root/pyproject.toml" "$root/constraints.txt" | cksum
}

# is_ready EXTRAS: whether the environment holds these extras, in their present versions.
is_ready() {
    [ -x "$venv/bin/fewer" ] && [ -f "$venv/.fewer-$1" ] && [ "$(cat "$venv/.fewer-$1")" = "$(made_from)" ]
}

find_python() {
    for python in python3.11 python3 python3.12 python3.13; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            return
        fi
    done
    fail "no Python 3.11 or newer is on PATH (looked for python3.11, python3, python3.12, python3.13)." \
        "Install one, for instance with the system's package manager, and start again."
}

# One set-up at a time. The lock belongs to this shell's open file, so it falls with the shell, however that ends.
lock() {
    exec 9>"$venv/.fewer-lock"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
    say "another start is setting up the environment; waiting for it"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' || fail "cannot lock $venv/.fewer-lock"
}

unlock() { exec 9>&-; }

pip_install() {
    (cd "$root" && "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input -c constraints.txt "$@" >&2)
}

# make_ready EXTRAS: `core`, or names of extras joined by commas. Prints to standard error only. May be cut off and started
# again at any point, because the file that says what the environment was made from is written last.
make_ready() {
    find_python
    mkdir -p "$venv" || fail "cannot make the folder $venv"
    trap 'say "stopped; the next start goes on from here"; exit 130' INT TERM
    lock
    if ! is_ready "$1"; then
        set_up "$1"
    fi
    unlock
    trap - INT TERM
}

set_up() {
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        say "1/3 updating the environment in $venv"
    else
        say "1/3 making an environment, once, in $venv: some minutes and about 1.7 GB, or several more with torch for CUDA"
        if [ -f "$venv/pyvenv.cfg" ]; then # half made, or of a Python that has gone
            rm -rf "$venv/bin" "$venv/lib" "$venv/lib64" "$venv/pyvenv.cfg"
        fi
        "$python" -m venv "$venv" >&2 || fail "making the environment failed, see above"
    fi
    say "2/3 installing torch: 200 MB to fetch, or several GB for CUDA"
    pip_install torch || fail "installing torch failed, see above"
    say "3/3 installing fewer and the other libraries: 170 MB to fetch"
    case $1 in
    core) pip_install -e . || fail "installing fewer failed, see above" ;;
    *) pip_install -e ".[$1]" || fail "installing fewer with $1 failed, see above" ;;
    esac
    made_from >"$venv/.fewer-core"
    made_from >"$venv/.fewer-$1"
    say "ready"
}
