#!/bin/sh
# Builds PredictBatch's container image with TensorFlow, pushes it to this account's ECR, and prints its URI:
#
#   sam deploy --parameter-overrides PredictBatchImageUri="$(scripts/build_image.sh)"
#
#   scripts/build_image.sh [REPOSITORY]     by default fanwise/predict-batch; made where it is not there
#
# Needs Docker, and the AWS CLI with credentials and a Region. The URI names the image by digest, so that a stack sees
# that it is another one. All but the URI goes to stderr.
set -eu

cd "$(dirname "$0")/.."
repository=${1:-fanwise/predict-batch}
say() { echo "image: $*" >&2; }
fail() {
    say "$@"
    exit 1
}

for tool in docker aws; do
    command -v "$tool" >/dev/null 2>&1 || fail "needs $tool, which is not on the path"
done
docker info >/dev/null 2>&1 || fail "Docker's engine does not answer; start it, or look at \`docker info\`"
account=$(aws sts get-caller-identity --query Account --output text) ||
    fail "AWS does not take these credentials; look at \`aws sts get-caller-identity\`"
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[ -n "$region" ] || fail "no Region is set; set AWS_REGION"
export AWS_REGION="$region" AWS_DEFAULT_REGION="$region" # version 1 of the AWS CLI knows the latter alone

# Made on demand: who can push may as well find it there. Tags are written once, as versions of a model are.
if ! aws ecr describe-repositories --repository-names "$repository" >/dev/null 2>&1; then
    say "making the repository $repository"
    aws ecr create-repository --repository-name "$repository" --image-tag-mutability IMMUTABLE \
        --image-scanning-configuration scanOnPush=true >/dev/null || fail "could not make the repository $repository"
fi
registry=$account.dkr.ecr.$region.amazonaws.com
case $region in cn-*) registry=$registry.cn ;; esac
# By what it is made of, so that the same again is pushed once.
tag=$(find docker/predict_batch requirements/image.txt requirements/bootstrap.txt layers/core/python/fanwise \
    lambdas/predict_batch -type f ! -name '*.pyc' -exec cksum {} + | LC_ALL=C sort -k 3 | cksum | cut -d ' ' -f 1)
image=$registry/$repository:$tag

digest() {
    aws ecr describe-images --repository-name "$repository" --image-ids "imageTag=$tag" \
        --query 'imageDetails[0].imageDigest' --output text 2>/dev/null
}
if ! digest >/dev/null; then
    # Lambda takes one image for one platform, without the attestations that buildx would add.
    docker build --platform linux/amd64 --provenance=false --file docker/predict_batch/Dockerfile --tag "$image" . >&2 ||
        fail "the build failed; why is said above"
    aws ecr get-login-password | docker login --username AWS --password-stdin "$registry" >&2 ||
        fail "ECR at $registry refused the login"
    docker push "$image" >&2 || fail "the push to $registry failed; why is said above"
fi
pushed=$(digest) || fail "ECR does not know the image $image that was pushed"
echo "$registry/$repository@$pushed"
