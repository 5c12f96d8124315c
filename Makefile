# The interface of the project: `make help` lists the targets. Each target sets up the environment.
STACK ?= dev
BASE ?= origin/main
STACKS ?= dev staging prod
ARGS ?=
export LOCAL
# If the environment forbids Python to keep bytecode (as many containers do), every command compiles
# its thousand modules again, which takes 3 s. The bytecode is beside the modules; git ignores it.
unexport PYTHONDONTWRITEBYTECODE

PY := .venv/bin/python
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup tools cluster up wait preview render destroy adopt down outputs refresh drift compare \
	retain env infer status image models check-models test-quick test bench check lint format generate preview-json pr-comment pr-dev pr-post validate

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  STACK=dev|staging|prod chooses the stack (dev)."

setup: ## Create or update the Python environment (.venv, by uv)
	@./ops/bootstrap.sh >/dev/null

tools: setup ## Find or build every tool; drop unused ones
	@$(PY) -m local_cluster.toolchain ensure $(ARGS)

up: setup ## Provision the stack; for dev, on an embedded local Kubernetes
	@$(PY) -m ops up --stack $(STACK) $(ARGS)

wait: setup ## Wait until every replica runs what `make up` has applied
	@$(PY) -m ops wait --stack $(STACK)

preview: setup ## Show the changes that `make up` would make
	@$(PY) -m ops preview --stack $(STACK) $(ARGS)

render: setup ## Write all manifests of the stack as YAML into OUT, without a cluster
	@$(PY) -m ops render --stack $(STACK) --out $(or $(OUT),build/rendered/$(STACK))

outputs: setup ## Print the stack's outputs
	@$(PY) -m ops outputs --stack $(STACK) $(ARGS)

refresh: setup ## Update Pulumi's state from the real objects
	@$(PY) -m ops refresh --stack $(STACK) $(ARGS)

destroy: setup ## Remove the stack's objects (asks, except on the local cluster)
	@$(PY) -m ops destroy --stack $(STACK) $(ARGS)

# make exits with 2 whenever a command fails, and with 1 only if it was asked a question (-q) and a
# line is left to run. That line represents the error; + marks the lines that run with -q too.
ifneq ($(filter drift,$(MAKECMDGOALS)),)
MAKEFLAGS += -q
endif
DRIFT_ERROR := .state/drift-error

drift: compare ## Report differences from the state: exits with 0 (none), 2 (drift) or 1 (error)
	$(if $(shell test -e $(DRIFT_ERROR) && rm $(DRIFT_ERROR) && echo yes),false,+@true)

compare:
	+@mkdir -p $(dir $(DRIFT_ERROR)); rm -f $(DRIFT_ERROR); \
	./ops/bootstrap.sh >/dev/null && $(PY) -m ops drift --stack $(STACK) $(ARGS); code=$$?; \
	test $$code -eq 0 || test $$code -eq 2 || { touch $(DRIFT_ERROR); exit 0; }; exit $$code

retain: setup ## Keep the models of an earlier release in the state; run it when `up` asks for it
	@$(PY) -m ops retain --stack $(STACK)

adopt: setup ## Take over the objects of a stack of the same name whose state is lost
	@$(PY) -m ops adopt --stack $(STACK) $(ARGS)

cluster: setup ## Start only the local cluster
	@$(PY) -m ops cluster --stack $(STACK)

down: setup ## Stop the local cluster and drop dev's state; leaves nothing behind
	@$(PY) -m ops down --stack $(STACK)

infer: setup ## Send one call through the gateway of a local cluster that serves
	@$(PY) -m ops infer --stack $(STACK) $(ARGS)

status: setup ## Show pods, calls and the scaler of the local cluster, live
	@$(PY) -m ops status --stack $(STACK) $(ARGS)

image: setup ## Build the local image NAME if it is missing; print its archive, for docker load
	@$(PY) -m ops image $(NAME)

models: setup ## Write the models of the stack as files into the folder OUT
	@$(PY) -m ops models --stack $(STACK) $(if $(OUT),--out $(OUT))

check-models: setup ## Check a model repository (the folder DIR) without a cluster
	@$(PY) -m ops check-models --stack $(STACK) $(if $(DIR),--dir "$(DIR)")

env: setup ## Print the environment for bare pulumi and kubectl: eval "$$(make -s env)"
	@$(PY) -m ops env --stack $(STACK)

test-quick: setup ## Run the tests that need no tool and no cluster: a minute
	@$(PY) -m ops test-quick $(ARGS)

test: setup ## Run all tests
	@$(PY) -m ops test $(ARGS)

bench: setup ## Run the benchmarks; figures go to build/bench
	@$(PY) -m ops bench $(ARGS)

check: lint ## Run the linters and the type checker

lint: setup
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@$(PY) -m ops lint
	@.venv/bin/deptry .
	@.venv/bin/deptry . --exclude '.*\.venv/' --ignore DEP002,DEP004 # with the tests
	@for package in packages/*; do (cd $$package && ../../.venv/bin/deptry src) || exit 1; done
	@.venv/bin/pyright --warnings

format: setup ## Format the code
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

generate: setup ## Rewrite the generated files: the JSON schema and parts of the documents
	@$(PY) -m ops generate

preview-json: setup ## Write the preview of STACK as JSON to the file OUT (pull requests)
	@$(PY) -m ops preview-json --stack $(STACK) --out $(or $(OUT),build/pr/$(STACK).json)

pr-comment: setup ## Turn preview JSON files (IN) into a Markdown comment (the file OUT)
	@$(PY) -m ops pr-comment $(or $(IN),build/pr/$(STACK).json) --out $(or $(OUT),build/pr/$(STACK).md)

pr-dev: setup ## Apply BASE to a simulated cluster and report the preview of this checkout against it
	@$(PY) -m ops pr-dev --base $(BASE) --out $(or $(OUT),build/pr)

pr-post: setup ## Put the comment in the file IN on pull request number PR
	@$(PY) -m ops pr-post $(or $(IN),build/pr/$(STACK).md) --pr $(PR)

validate: setup ## Check the rendered manifests of every stack with schemas and linters
	@for stack in $(STACKS); do \
		$(PY) -m ops render --stack $$stack --out build/rendered/$$stack || exit 1; done
	@$(PY) -m ops validate $(STACKS:%=build/rendered/%) $(ARGS)
