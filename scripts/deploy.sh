#!/bin/sh
# Builds the stack and deploys it (SAM CLI). `sam deploy --guided` asks for what it needs; it offers what it was
# answered the last time, and keeps the answers in samconfig.toml.
#
#   scripts/deploy.sh [OPTIONS OF sam deploy]             with LiteRT alone; needs no Docker
#   scripts/deploy.sh --image [OPTIONS OF sam deploy]     also builds and pushes the image with TensorFlow (Docker)
#
# Account and Region are those of the AWS configuration (AWS_PROFILE, AWS_REGION). docs/deploying.md tells the whole.
# Exit code 2 for what is wrong with the words or missing here, 1 or SAM's own where it could not be done.
set -eu

cd "$(dirname "$0")/.."

say() { echo "deploy: $*" >&2; }
fail() {
    say "$@"
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
# SAM knows AWS_DEFAULT_REGION alone.
if [ -n "${AWS_REGION:-}" ]; then export AWS_DEFAULT_REGION="$AWS_REGION"; fi

# Buckets are named after the stack, and CloudFormation would find that out halfway.
stack=$(sed -n 's/^ *stack_name *= *"\([^"]*\)".*/\1/p' samconfig.toml | tail -n 1) from=samconfig.toml
after=
for word in "$@"; do
    case $after$word in
        --stack-name=*) stack=${word#*=} from=--stack-name ;;
        --stack-name*) stack=$word from=--stack-name ;;
    esac
    if [ "$word" = --stack-name ]; then after=$word; else after=; fi
done
named="at most 26 lower-case letters, digits and hyphens, beginning with a letter: buckets are named after it"
lower=abcdefghijklmnopqrstuvwxyz # a range would have capitals in it, in some locales
case $stack in
    [!$lower]* | *[!${lower}0-9-]* | ???????????????????????????*) fail "$from: the stack's name \"$stack\" has to be $named" ;;
esac

"$sam" build
if [ -n "$image" ]; then
    uri=$(scripts/build_image.sh) || {
        say "the image was not built; nothing was deployed"
        exit 1
    }
    # Into the words' own --parameter-overrides: of two, SAM would take the last.
    into=
    for word in "$@"; do
        shift
        set -- "$@" "$word"
        if [ "$word" = --parameter-overrides ]; then
            set -- "$@" "PredictBatchImageUri=$uri"
            into=$word
        fi
    done
    [ -n "$into" ] || set -- "$@" --parameter-overrides "PredictBatchImageUri=$uri"
    say "all other parameters are asked for anew: SAM offers their defaults, not what they were"
fi
say "if you choose another name for the stack than $stack: $named"
"$sam" deploy --guided "$@"
