# What people do in a clone. `make` alone says what there is; nothing but make and Python 3.11 to 3.13 is needed.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

BIN := .venv/bin

.PHONY: help setup demo test test-sfn-local lint format types check check-template check-build fuzz bench chaos wheel lock clean tools aws-cli

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install everything into .venv, as locked; at once, and without network, where that is done
	@scripts/environment.sh development

demo: setup ## Train a small model and run the whole pipeline over held-out scans, on this machine
	@$(BIN)/fanwise demo

# Two at a time: a worker holds TensorFlow, some 1 GB, and starts processes that do. Half of the tests each, and who is
# done first takes from the other.
test: setup aws-cli ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

# What tests/cli/test_up.py drives `fanwise up` with; its botocore is not ours.
aws-cli: setup
	@scripts/environment.sh tool awscli

test-sfn-local: setup ## Run the state machine's test cases in AWS's Step Functions Local (Docker)
	@PYTHONPATH=tests $(BIN)/python -m sfn_local

lint: setup ## Check style (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## Put the code into its format, and repair what ruff can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

types: setup ## Check types (mypy, strict)
	$(BIN)/mypy

check: lint types test check-template check-build ## All that has to pass before a change goes in

# Each tool in an environment of its own: SAM pins its dependencies to versions that would hold ours back.
tools: setup
	@scripts/environment.sh tool sam
	@scripts/environment.sh tool cfn-lint
	@scripts/environment.sh tool checkov

# SAM asks for a Region, and keeps notes of its own; it asks nothing of AWS, and needs no credentials.
check-template check-build: export AWS_DEFAULT_REGION := us-east-1
check-template check-build: export SAM_CLI_TELEMETRY := 0
check-template check-build: export __SAM_CLI_APP_DIR := $(CURDIR)/.tools/sam/notes
check-template: tools ## Check template.yaml (SAM, cfn-lint, checkov), and that it can be deployed in some order
	env -u AWS_PROFILE .tools/sam/bin/sam validate --lint --template template.yaml
	.tools/cfn-lint/bin/cfn-lint template.yaml
	.tools/checkov/bin/checkov --file template.yaml --framework cloudformation --skip-download --compact --quiet
	.tools/sam/bin/python tests/as_deployed.py

check-build: tools ## Build zips, layers and image, without Docker; print their sizes and run a job through them
	env -u AWS_PROFILE $(BIN)/python tests/builds

# What `sam build` asks for (Metadata in template.yaml), by the logical ids; ARTIFACTS_DIR is the folder that it wants
# filled. Without BuildMethod makefile it would want Python 3.12 itself, and not compile.
.PHONY: build-CoreLayer build-LiteRTLayer build-PlanJobFunction build-PredictBatchLiteRTFunction \
	build-HandleFailureFunction build-AggregateResultsFunction
build-CoreLayer: ; @scripts/build_lambda.sh layer core "$(ARTIFACTS_DIR)"
build-LiteRTLayer: ; @scripts/build_lambda.sh layer litert "$(ARTIFACTS_DIR)"
build-PlanJobFunction: ; @scripts/build_lambda.sh function plan_job "$(ARTIFACTS_DIR)"
build-PredictBatchLiteRTFunction: ; @scripts/build_lambda.sh function predict_batch "$(ARTIFACTS_DIR)"
build-HandleFailureFunction: ; @scripts/build_lambda.sh function handle_failure "$(ARTIFACTS_DIR)"
build-AggregateResultsFunction: ; @scripts/build_lambda.sh function aggregate_results "$(ARTIFACTS_DIR)"

SECONDS ?= 60
fuzz: setup ## Fuzz every parser, each for SECONDS=60 (Linux); what breaks one stays in .fuzz
	@scripts/environment.sh tool atheris
	.tools/atheris/bin/python tests/fuzz --seconds $(SECONDS)

bench: setup ## Measure beside hand-written loops, Ray Data, Lithops and Keras; an hour
	@scripts/environment.sh tool peers || echo "bench: the peers could not be installed; measuring without them" >&2
	$(BIN)/python -m benchmarks

CHAOS = --virtual 5000 --real 500

chaos: setup ## Run thousands of jobs under drawn fault plans (CHAOS="--seed 7 --virtual 100 --real 10"); half an hour
	$(BIN)/python tests/chaos.py $(CHAOS)

wheel: setup ## Build dist/fanwise-VERSION-py3-none-any.whl, without network
	$(BIN)/python -m hatchling build --target wheel

# Keeps the versions that are locked; `make lock UPGRADE=1` takes the newest that pyproject.toml allows.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	$(if $(UPGRADE),--upgrade)

lock: setup ## Write requirements/*.txt anew from pyproject.toml and requirements/*.in
	$(COMPILE) --extra demo --extra up --group dev --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/bootstrap.txt requirements/bootstrap.in
	$(COMPILE) --output-file requirements/sam.txt requirements/sam.in
	$(COMPILE) --output-file requirements/cfn-lint.txt requirements/cfn-lint.in
	$(COMPILE) --output-file requirements/awscli.txt requirements/awscli.in
	$(COMPILE) --output-file requirements/checkov.txt requirements/checkov.in
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/peers.txt requirements/peers.in
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/atheris.txt requirements/atheris.in
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/image.txt requirements/image.in
	$(COMPILE) --constraint requirements/dev.txt --output-file layers/core/python/requirements.txt layers/core/python/requirements.in
	$(COMPILE) --constraint requirements/dev.txt --output-file layers/litert/python/requirements.txt layers/litert/python/requirements.in

clean: ## Remove what these targets made, environments included (not the demo's results)
	rm -rf .venv .tools .fuzz .aws-sam dist .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
