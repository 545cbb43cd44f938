#!/bin/sh
# Builds the stack and deploys it (SAM CLI); the first time `sam deploy` asks for what it needs, and keeps it.
#
#   scripts/deploy.sh [OPTIONS OF sam deploy]             with LiteRT alone; needs no Docker
#   scripts/deploy.sh --image [OPTIONS OF sam deploy]     also builds and pushes the image with TensorFlow (Docker)
#
# Account and Region are those of the AWS configuration (AWS_PROFILE, AWS_REGION). docs/deploying.md tells the whole.
set -eu

cd "$(dirname "$0")/.."

fail() {
    echo "deploy: $*" >&2
    exit 2
}

case ${1:-} in
    -h | --help)
        sed -n '2,/^set/ { /^set/d; s/^# \{0,1\}//; p; }' "$0"
        exit 0
        ;;
esac

image=
if [ "${1:-}" = --image ]; then
    shift
    command -v docker >/dev/null 2>&1 || fail "--image needs Docker; without it, the stack runs LiteRT alone"
    image=yes
fi
if [ -x .tools/sam/bin/sam ]; then
    sam=.tools/sam/bin/sam
else
    sam=$(command -v sam) || fail "there is no SAM CLI; 'make tools' installs one, locked, into .tools"
fi

"$sam" build
if [ -n "$image" ]; then
    uri=$(scripts/build_image.sh) || fail "the image was not built; nothing was deployed"
    set -- --parameter-overrides "PredictBatchImageUri=$uri" "$@"
fi
"$sam" deploy --guided "$@"
