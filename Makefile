# `make` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help setup setup-test up test lint fmt clean

BIN := .venv/bin
# make up ARGS="--no-bot", make test ARGS="tests/unit -k sdp"
ARGS ?=

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: system packages (root or sudo), then .venv
	@scripts/setup.sh

setup-test: ## The same, and the programs that the tests call
	@scripts/setup.sh test

up: setup ## Start everything here, show the log; Ctrl-C stops it
	@exec $(BIN)/sidecall up $(ARGS)

test: ## Set up, lint, run all tests, check coverage
	@exec scripts/test.sh $(ARGS)

lint: setup ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fmt: setup ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove everything that make and the programs made here
	rm -rf .venv .cache run .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
