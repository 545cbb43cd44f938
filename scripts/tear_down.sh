#!/bin/sh
# Removes a deployed stack and everything in it: executions, functions, queues, and the three buckets with all that
# was ever put there. Asks first.
#
#   scripts/tear_down.sh STACK [--keep-results] [--yes]
#
# What it leaves: an ECR repository that scripts/build_image.sh made, and SAM's own bucket of uploads, which other
# stacks may use; it says so. Given again, it goes on where it was interrupted.
set -eu

say() { echo "tear_down: $*" >&2; }
fail() {
    say "$@"
    exit 2
}

stack='' keep_results='' yes=''
for word in "$@"; do
    case $word in
        --keep-results) keep_results=yes ;;
        --yes) yes=yes ;;
        -*) fail "there is no option $word; usage: scripts/tear_down.sh STACK [--keep-results] [--yes]" ;;
        *)
            [ -z "$stack" ] || fail "one stack at a time, not also $word"
            stack=$word
            ;;
    esac
done
[ -n "$stack" ] || fail "usage: scripts/tear_down.sh STACK [--keep-results] [--yes]"
command -v aws >/dev/null 2>&1 || fail "there is no AWS CLI (aws) on the path"

account=$(aws sts get-caller-identity --query Account --output text) || exit 1
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[ -n "$region" ] || fail "which Region? set AWS_REGION"

# The buckets outlive their stack (DeletionPolicy: Retain), so they are found by the names that the template gives.
buckets=
for kind in input models results; do
    bucket=$stack-$kind-$account-$region
    if [ "$kind" = results ] && [ -n "$keep_results" ]; then continue; fi
    if aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then buckets="$buckets $bucket"; fi
done
there=yes
aws cloudformation describe-stacks --stack-name "$stack" >/dev/null 2>&1 || there=
if [ -z "$there" ] && [ -z "$buckets" ]; then
    fail "there is no stack $stack in $region of account $account, and none of its buckets; nothing was removed"
fi

say "account $account, Region $region. To be removed for good:"
[ -z "$there" ] || say "  stack $stack, whose running jobs are stopped"
for bucket in $buckets; do say "  bucket $bucket, every version of every object in it"; done
if [ -z "$yes" ]; then
    printf 'Type the name of the stack to go on: ' >&2
    read -r typed || typed=
    [ "$typed" = "$stack" ] || fail "that is not $stack; nothing was removed"
fi

if [ -n "$there" ]; then
    machine=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='StateMachineArn'].OutputValue")
    case $machine in
        arn:*)
            for execution in $(aws stepfunctions list-executions --state-machine-arn "$machine" \
                --status-filter RUNNING --query 'executions[].executionArn' --output text); do
                [ "$execution" = None ] || aws stepfunctions stop-execution --execution-arn "$execution" \
                    --error TornDown --cause "the stack is being removed" >/dev/null
            done
            ;;
    esac
    say "removing the stack ..."
    aws cloudformation delete-stack --stack-name "$stack"
    aws cloudformation wait stack-delete-complete --stack-name "$stack"
fi

# Versions and the markers of deletions, a thousand at a time (API_DeleteObjects).
empty() {
    for kind in Versions DeleteMarkers; do
        while :; do
            batch=$(aws s3api list-object-versions --bucket "$1" --max-items 1000 --output json \
                --query "{Objects: ${kind}[].{Key: Key, VersionId: VersionId}, Quiet: \`true\`}")
            case $batch in *VersionId*) ;; *) break ;; esac
            printf '%s' "$batch" >"$scratch"
            aws s3api delete-objects --bucket "$1" --delete "file://$scratch" >/dev/null
        done
    done
}
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
for bucket in $buckets; do
    say "emptying $bucket ..."
    empty "$bucket"
    aws s3api delete-bucket --bucket "$bucket"
done
say "done. Left, if you made them: the image's ECR repository, and SAM's bucket of uploads (aws-sam-cli-managed-...)"
