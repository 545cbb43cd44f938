#!/bin/sh
# Makes a Python environment exactly what a lock file says, or leaves it alone if it is that already.
#
#   scripts/environment.sh development     .venv from requirements/dev.txt, fanwise itself as an editable install
#   scripts/environment.sh tool NAME       .tools/NAME from requirements/NAME.txt: command-line tools whose
#                                          dependencies would hold ours back
#
# Whole or from the beginning: a run that was interrupted leaves FOLDER/.unfinished, and the next one starts anew
# (downloads are kept in uv's cache). FOLDER/.stamp holds the checksums of what the environment was made from; while
# they are the same, nothing is done and no network is needed. Indexes, certificates and caches are those of the
# caller's own pip and uv configuration.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd)
kind=${1:-}
case $kind in
    development) folder=.venv name=dev ;;
    tool) name=${2:?"usage: scripts/environment.sh tool NAME"} folder=.tools/$name ;;
    *)
        echo "usage: scripts/environment.sh development | tool NAME" >&2
        exit 2
        ;;
esac
lock=requirements/$name.txt
python=$folder/bin/python
# What the lock has wheels for; h5py, which TensorFlow needs, sets the upper end.
oldest=11 newest=13

say() { echo "setup: $*" >&2; }
fail() {
    say "$@"
    exit 1
}

# What an environment depends on. The folder's path is part of it: scripts and editable installs hold it.
wanted() {
    echo "$root/$folder"
    cksum scripts/environment.sh "$lock"
    if [ "$kind" = development ]; then cksum requirements/bootstrap.txt pyproject.toml; fi
}

runs() { "$1" -c "$2" </dev/null >/dev/null 2>&1; }

up_to_date() {
    [ ! -e "$folder/.unfinished" ] && [ -f "$folder/.stamp" ] &&
        [ "$(cat "$folder/.stamp")" = "$(wanted)" ] && runs "$python" ""
}

# Worth keeping: whole, in the place it was made for, and with the pip that brings uv.
usable() {
    [ ! -e "$folder/.unfinished" ] &&
        { [ ! -f "$folder/.stamp" ] || [ "$(head -n 1 "$folder/.stamp")" = "$root/$folder" ]; } &&
        runs "$python" "import pip, sys; assert (3, $oldest) <= sys.version_info < (3, $newest + 1)"
}

find_python() {
    seen=
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if ! command -v "$candidate" >/dev/null 2>&1; then
            seen="$seen there is no $candidate;"
        elif ! runs "$candidate" "import sys; assert (3, $oldest) <= sys.version_info < (3, $newest + 1)"; then
            seen="$seen $candidate is $("$candidate" --version 2>&1 | head -n 1);"
        elif ! runs "$candidate" "import ensurepip, venv"; then
            version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
            seen="$seen $candidate cannot make environments (apt-get install python3-venv or python$version-venv);"
        else
            found=$candidate
            return
        fi
    done
    fail "needs Python 3.$oldest to 3.$newest with its venv module;$seen" \
        "on Debian or Ubuntu: apt-get install python3 python3-venv; another one is chosen by PYTHON=/path/to/python3"
}

make_folder() {
    find_python
    if [ -e "$folder" ]; then say "$folder is incomplete or not usable; making it anew"; fi
    rm -rf "$folder"
    mkdir -p "$folder"
    touch "$folder/.unfinished"
    "$found" -m venv "$folder" || fail "$found -m venv failed; on Debian or Ubuntu: apt-get install python3-venv"
}

# uv checks every hash, and fetches everything before it changes anything. Wheels only: a package that had to be built
# would bring what it is built with, and that no lock names. Bytecode: without it, TensorFlow takes 5 s longer to
# import. First from uv's cache alone: what it has needs no network, not even to ask whether it is still so.
sync() {
    set -- --quiet --require-hashes --no-build --compile-bytecode --python "$python" "$lock"
    "$uv" pip sync --offline "$@" 2>/dev/null || "$uv" pip sync "$@" ||
        not_synced "the packages of $lock could not be had; uv takes indexes and certificates from its own" \
            "configuration (UV_DEFAULT_INDEX, SSL_CERT_FILE, uv.toml), not from pip's"
}

not_synced() {
    if [ "$kept" = yes ]; then rm -f "$folder/.unfinished"; fi
    fail "$@"
}

# One at a time in a clone. The lock is on this very file, so nothing is left behind.
if command -v flock >/dev/null 2>&1; then
    exec 9<scripts/environment.sh
    if ! flock -n 9; then
        say "another setup is at work in this clone; waiting for it"
        flock 9
    fi
fi

if up_to_date; then exit 0; fi
say "$folder from $lock ..."
if usable; then
    kept=yes
    touch "$folder/.unfinished"
else
    kept=no
    make_folder
fi

uv=.venv/bin/uv
if [ "$kind" = development ]; then
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r requirements/bootstrap.txt ||
        not_synced "uv could not be installed with pip; is there a network, or an index in pip's configuration?"
    sync
    "$uv" pip install --quiet --offline --no-build-isolation --no-deps --python "$python" --editable .
else
    sync
fi
wanted >"$folder/.stamp"
rm "$folder/.unfinished"
