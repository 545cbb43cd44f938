#!/bin/sh
# Builds what a zip function or a layer consists of, into a folder that `sam build` gives it (Makefile, build-%).
#
#   scripts/build_lambda.sh layer core|litert FOLDER    FOLDER/python: the layer's requirements.txt, and its packages
#   scripts/build_lambda.sh function NAME FOLDER        FOLDER: lambdas/NAME
#   scripts/build_lambda.sh python                      prints the Python of Lambda's version that is here, or nothing
#
# Any Python will do: uv takes the wheels that Lambda's own Python can load, by hash, from the index of your own
# configuration. Where that Python is here as well (on the path, or pyenv's), the layer also gets its bytecode: /opt
# is read-only, so that every cold start would compile it again otherwise (PredictBatch's imports: 0.36 s, not 0.14 s).
set -eu

version=${FANWISE_BUILD_PYTHON:-3.12} # as Runtime in template.yaml
platform=x86_64-manylinux_2_28       # of Amazon Linux 2023, which python3.12 runs on

say() { echo "build: $*" >&2; }
usage() {
    echo "usage: scripts/build_lambda.sh layer core|litert FOLDER | function NAME FOLDER | python" >&2
    exit 2
}

# Sets $runtime to a Python of the version that is built for, or to nothing.
find_runtime() {
    for runtime in "python$version" "$(pyenv prefix "$version" 2>/dev/null || true)/bin/python$version"; do
        if "$runtime" -c "" >/dev/null 2>&1; then return; fi
    done
    runtime=
}

if [ "$*" = python ]; then
    find_runtime
    echo "$runtime"
    exit
fi
[ $# = 3 ] || usage
kind=$1 name=$2
mkdir -p "$3"
target=$(cd "$3" && pwd)
cd "$(dirname "$0")/.."

# What no function imports: tests, stubs for type checkers, commands, and LiteRT's code for a browser's GPU (19 MB).
# Licences (*.dist-info) stay.
prune() {
    rm -rf "${1:?}/bin" "$1/.lock"
    find "$1" -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
    find "$1" -type f \( -name '*.pyi' -o -name 'libLiteRtWebGpu*' \) -exec rm -f {} +
}

build_layer() {
    source=layers/$name/python
    [ -f "$source/requirements.txt" ] || usage
    uv=.venv/bin/uv
    if [ ! -x "$uv" ]; then uv=uv; fi
    if ! "$uv" --version >/dev/null 2>&1; then
        say "needs uv, which \`make setup\` brings; so does \`pip install uv\`"
        exit 1
    fi
    "$uv" pip install --quiet --require-hashes --no-build --no-deps --link-mode copy --python-version "$version" \
        --python-platform "$platform" --target "$target/python" --requirements "$source/requirements.txt"
    for package in "$source"/*/; do
        if [ -f "$package/__init__.py" ]; then cp -R "${package%/}" "$target/python/"; fi
    done
    prune "$target/python"
    find_runtime
    if [ -n "$runtime" ]; then
        # Not checked against the sources: their times do not survive a zip.
        "$runtime" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$target" -p /opt "$target/python" ||
            say "not every module of the layer $name compiles; those are left as they are"
    else
        say "there is no Python $version here, so the layer $name goes without bytecode: its cold starts are slower"
    fi
}

build_function() {
    [ -f "lambdas/$name/handler.py" ] || usage
    cp "lambdas/$name"/*.py "$target/"
}

case $kind in
    layer) build_layer ;;
    function) build_function ;;
    *) usage ;;
esac
chmod -R a+rX "$target" # Lambda runs it as another user
