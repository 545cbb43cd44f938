#!/bin/sh
# Starts a job on a deployed stack, or on `fanwise up`, with the AWS CLI alone; prints the execution's ARN.
#
#   scripts/start_execution.sh STACK s3://BUCKET/manifests/job.json     a manifest by its URI
#   scripts/start_execution.sh STACK MANIFEST.json                      one of this machine; its items are s3://...
#
# `fanwise submit` does more: it uploads items, publishes a model, and says which job it is. Exit code 2 for what is
# wrong with the words, 1 where AWS says no.
set -eu

say() { echo "start_execution: $*" >&2; }
fail() {
    say "$@"
    exit 2
}
# What the AWS CLI said last is why; blank lines and warnings are before.
refused() {
    say "$(sed '/^$/d' "$errors" | tail -n 1)"
    exit 1
}

[ $# -eq 2 ] || fail "usage: scripts/start_execution.sh STACK s3://BUCKET/KEY.json | MANIFEST.json"
stack=$1 manifest=$2
command -v aws >/dev/null 2>&1 || fail "there is no AWS CLI (aws) on the path"
# Version 1 of it knows AWS_DEFAULT_REGION alone, version 2 shows answers in a pager.
if [ -n "${AWS_REGION:-}" ]; then export AWS_DEFAULT_REGION="$AWS_REGION"; fi
export AWS_PAGER=''

case $manifest in
    s3://*) input="{\"manifest\": \"$(printf '%s' "$manifest" | sed 's/[\\"]/\\&/g')\"}" ;;
    *)
        { [ -f "$manifest" ] && [ -r "$manifest" ]; } ||
            fail "$manifest: there is no such file; give a manifest, or the s3:// URI of one"
        input="{\"manifest\": $(cat "$manifest")}"
        ;;
esac

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
trap 'exit 130' INT TERM
machine=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='StateMachineArn'].OutputValue" 2>"$errors") || {
    grep -q "does not exist" "$errors" || refused
    fail "there is no stack $stack in this account and Region; deploy it (scripts/deploy.sh), or set AWS_REGION"
}
case $machine in
    arn:*) ;;
    *) fail "stack $stack has no output StateMachineArn; is it fanwise's?" ;;
esac
aws stepfunctions start-execution --state-machine-arn "$machine" --input "$input" --query executionArn --output text \
    2>"$errors" || refused
