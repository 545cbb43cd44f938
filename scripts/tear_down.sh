#!/bin/sh
# Removes a deployed stack and everything in it: executions, functions, queues, and the three buckets with all that
# was ever put there. Asks first.
#
#   scripts/tear_down.sh STACK [--keep-results] [--yes]
#
# What it leaves: an ECR repository that scripts/build_image.sh made, and SAM's own bucket of uploads, which other
# stacks may use; it says so. Given again, it goes on where it was interrupted. Exit code 2 for what is wrong with the
# words, 1 where AWS says no.
set -eu

say() { echo "tear_down: $*" >&2; }
fail() {
    say "$@"
    exit 2
}
# What the AWS CLI said last is why; blank lines and warnings are before.
refused() {
    say "$1: $(sed '/^$/d' "$errors" | tail -n 1)"
    exit 1
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
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
trap 'exit 130' INT TERM

region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[ -n "$region" ] || fail "which Region? set AWS_REGION"
# Version 1 of the AWS CLI knows AWS_DEFAULT_REGION alone, version 2 shows answers in a pager.
export AWS_DEFAULT_REGION="$region" AWS_PAGER=''
account=$(aws sts get-caller-identity --query Account --output text 2>"$errors") || refused "nothing was removed"

# Its description says whose a stack is, even of one that could not be created. Not to be told of a stack is not to be
# without it: what one left is removed by itself only where CloudFormation says that it is not there.
there=yes
described=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].[Description, Outputs[?OutputKey=='StateMachineArn'] | [0].OutputValue]" 2>"$errors") || {
    grep -q "does not exist" "$errors" || refused "nothing was removed"
    there=
}
case $there$described in
    '' | yesfanwise:*) ;;
    *) fail "stack $stack in $region is not fanwise's; nothing was removed" ;;
esac

# The buckets outlive their stack (DeletionPolicy: Retain), so they are found by the names that the template gives.
mine=$(aws s3api list-buckets --query 'Buckets[].[Name]' --output text 2>"$errors") || refused "nothing was removed"
buckets='' kept=''
for kind in input models results; do
    bucket=$stack-$kind-$account-$region
    printf '%s\n' "$mine" | grep -qxF "$bucket" || continue
    if [ "$kind" = results ] && [ -n "$keep_results" ]; then
        kept=$bucket
    else
        buckets="$buckets $bucket"
    fi
done
if [ -z "$there" ] && [ -z "$buckets" ]; then
    fail "there is no stack $stack in $region of account $account, and no bucket of it to remove; nothing was removed"
fi

say "account $account, Region $region. To be removed for good:"
[ -z "$there" ] || say "  stack $stack, whose running jobs are stopped"
for bucket in $buckets; do say "  bucket $bucket, every version of every object in it"; done
[ -z "$kept" ] || say "Kept: bucket $kept"
if [ -z "$yes" ]; then
    printf 'Type the name of the stack to go on: ' >&2
    typed=
    read -r typed || true
    [ "$typed" = "$stack" ] || fail "that is not $stack; nothing was removed"
fi

case $described in
    *arn:*)
        running=$(aws stepfunctions list-executions --state-machine-arn "arn:${described#*arn:}" \
            --status-filter RUNNING --query 'executions[].[executionArn]' --output text 2>"$errors") ||
            refused "the running jobs could not be listed"
        for execution in $running; do
            case $execution in arn:*) ;; *) continue ;; esac # None, of none
            say "stopping $execution"
            aws stepfunctions stop-execution --execution-arn "$execution" --error TornDown \
                --cause "the stack is being removed" >/dev/null 2>"$errors" || refused "it could not be stopped"
        done
        ;;
esac
if [ -n "$there" ]; then
    say "removing the stack; that takes some minutes ..."
    aws cloudformation delete-stack --stack-name "$stack" 2>"$errors" || refused "the stack could not be removed"
    aws cloudformation wait stack-delete-complete --stack-name "$stack" 2>"$errors" ||
        refused "the stack is not removed; aws cloudformation describe-stack-events --stack-name $stack says why"
fi

# Versions and the markers of deletions, a thousand at a time (API_DeleteObjects, which answers 200 with what it did
# not delete).
empty() {
    while :; do
        batch=$(aws s3api list-object-versions --bucket "$1" --no-paginate --output json \
            --query "{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}, Quiet: \`true\`}" \
            2>"$errors") || return 1
        case $batch in *VersionId*) ;; *) return 0 ;; esac
        left=$(printf '%s' "$batch" | aws s3api delete-objects --bucket "$1" --delete file:///dev/stdin \
            --query 'Errors[0].[Key, Message]' --output text 2>"$errors") || return 1
        case $left in
            '' | None) ;;
            *)
                echo "$left" >"$errors"
                return 1
                ;;
        esac
    done
}
for bucket in $buckets; do
    say "emptying $bucket ..."
    empty "$bucket" || refused "$bucket could not be emptied; the same command goes on"
    aws s3api delete-bucket --bucket "$bucket" 2>"$errors" ||
        refused "$bucket could not be deleted; where somebody still wrote into it, the same command goes on"
done
say "done. Left, if you made them: the image's ECR repository, and SAM's bucket of uploads (aws-sam-cli-managed-...)"
