#!/bin/sh
# Starts a job on a deployed stack, or on `fanwise up`, with the AWS CLI alone; prints the execution's ARN.
#
#   scripts/start_execution.sh STACK s3://BUCKET/jobs/job.json     a manifest by its URI
#   scripts/start_execution.sh STACK MANIFEST.json                 a manifest of this machine; its items are s3://...
#
# `fanwise submit` does more: it uploads items, publishes a model, and says which job it is.
set -eu

fail() {
    echo "start_execution: $*" >&2
    exit 2
}

[ $# -eq 2 ] || fail "usage: scripts/start_execution.sh STACK s3://BUCKET/KEY.json | MANIFEST.json"
stack=$1 manifest=$2
command -v aws >/dev/null 2>&1 || fail "there is no AWS CLI (aws) on the path"

machine=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='StateMachineArn'].OutputValue") || exit 1
case $machine in
    arn:*) ;;
    *) fail "stack $stack has no output StateMachineArn; is it fanwise's?" ;;
esac

case $manifest in
    s3://*) input="{\"manifest\": \"$manifest\"}" ;;
    *)
        [ -r "$manifest" ] || fail "$manifest: there is no such file; give a manifest, or the s3:// URI of one"
        input="{\"manifest\": $(cat "$manifest")}"
        ;;
esac
aws stepfunctions start-execution --state-machine-arn "$machine" --input "$input" \
    --query executionArn --output text
