# `make` or `make help` lists what there is. Needs Python 3.11 or newer and make, nothing else.

PYTHON ?= python3
UV_VERSION := 0.13.9# what `make lock` resolves with

TEST_WORKERS ?= 2

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Taken as typed: make would otherwise read a `$` in a folder's name as a variable.
override SOURCE := $(value SOURCE)
override OUTPUT := $(value OUTPUT)
override PRESET := $(value PRESET)
override SET := $(value SET)
export SOURCE OUTPUT PRESET SET

# Of `make bench` and `make bench-check`.
override PHOTOGRAPHS := $(value PHOTOGRAPHS)
override REVISION := $(value REVISION)
export PHOTOGRAPHS REVISION

# Of `make fuzz`; no seed is a new one.
FUZZ_SECONDS ?= 600
export FUZZ_SECONDS FUZZ_SEED

export DAGSTER_DISABLE_TELEMETRY := yes
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "; print "make <target>:"} \
		/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "make run takes: SOURCE=<folder of images>  OUTPUT=<folder>"
	@echo "                PRESET=balanced|throughput|quality|memory_efficient"
	@echo "                SET='full_px=1600 full_avif_quality=70'"
	@echo "Without SOURCE it renders a small set of sample photographs first."

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Expected Python 3.11 or newer as '$(PYTHON)', received" \
			"$$($(PYTHON) --version 2>/dev/null || echo nothing):" \
			"name another with 'make PYTHON=python3.12 ...'." >&2; exit 2; }
	@$(PY) -c '' 2>/dev/null || { echo "Creating $(VENV) ..."; \
		$(PYTHON) -m venv --clear $(VENV) || { \
		echo "Expected a Python with the venv module (Debian: apt install python3-venv)." >&2; \
		exit 2; }; }
	@echo "Installing the locked packages into $(VENV), once (a minute or two) ..."
	@$(PY) -m pip install -qq --require-hashes -r requirements.lock
	@$(PY) -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: run
run: $(STAMP) ## Run the nightly job for one partition, through Dagster, and print the table
	@set -f; set -- $$SET; \
	for pair do set -- "$$@" --set "$$pair"; shift; done; \
	exec $(PY) -m image_assets.defs.run_once \
		$${SOURCE:+--source "$$SOURCE"} $${OUTPUT:+--output "$$OUTPUT"} \
		$${PRESET:+--preset "$$PRESET"} "$$@"

.PHONY: ui
ui: $(STAMP) ## Open the Dagster UI on the same data, until Ctrl-C
	@exec $(PY) -m image_assets.defs.ui

.PHONY: test
test: $(STAMP) ## Run the tests
	@$(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile

.PHONY: fuzz
fuzz: $(STAMP) ## Mutated files through the whole engine, 10 minutes; FUZZ_SECONDS=60 FUZZ_SEED=7
	@exec $(PY) -m image_assets_tests.fuzz

.PHONY: check
check: $(STAMP) ## Format, lint, types, import rules, tests: what CI runs
	@echo "== format"; $(VENV)/bin/ruff format --check .
	@echo "== lint"; $(VENV)/bin/ruff check .
	@echo "== types"; $(VENV)/bin/mypy
	@echo "== import rules"; $(VENV)/bin/lint-imports
	@echo "== tests"; $(MAKE) test

.PHONY: format
format: $(STAMP) ## Rewrite the code as `check` wants it
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: bench
bench: $(STAMP) ## Us against sharp, libvips, ImageMagick, Pillow (2 h); PHOTOGRAPHS=folder
	@$(PY) -m bench.versus $${PHOTOGRAPHS:+"$$PHOTOGRAPHS"} --presets throughput balanced
	@$(PY) -m bench.versus $${PHOTOGRAPHS:+"$$PHOTOGRAPHS"} --presets quality \
		--reference "sharp, default" --contenders sharp --only none
	@set -e; for format in avif webp jpeg; do \
		$(PY) -m bench.versus $${PHOTOGRAPHS:+"$$PHOTOGRAPHS"} --presets throughput \
			--contenders sharp --only none --formats $$format; done
	@$(PY) -m bench.versus $${PHOTOGRAPHS:+"$$PHOTOGRAPHS"} --presets quality \
		--reference "sharp, default" --contenders sharp --only none --formats avif --variants full

.PHONY: bench-check
bench-check: $(STAMP) ## Fail where this checkout costs more than REVISION: CPU + 5 %, bytes + 1 %
	@exec $(PY) -m bench.check $${REVISION:+"$$REVISION"} \
		$${PHOTOGRAPHS:+--photographs "$$PHOTOGRAPHS"}

.PHONY: benches
benches: $(STAMP) ## List the benches that print the README's figures
	@echo "Run one with: $(PY) -m bench.<name> --help"
	@for file in bench/*.py; do \
		case $$file in */_*) ;; *) \
		printf '  %-24s ' "$$(basename "$$file" .py)"; \
		$(PY) -c 'import ast, pathlib, sys; \
			doc = ast.get_docstring(ast.parse(pathlib.Path(sys.argv[1]).read_text("utf-8"))); \
			print((doc or "").partition("\n")[0])' "$$file";; esac; \
	done

# A virtual environment of its own: a broken lock must not keep anyone from making a new one.
.PHONY: lock
lock: ## Resolve pyproject.toml anew into requirements.lock, for every Python and platform
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install -qq uv==$(UV_VERSION)
	@.venv-lock/bin/uv pip compile pyproject.toml --quiet --no-config \
		--output-file requirements.lock --all-extras \
		--universal --python-version 3.11 --fork-strategy fewest --generate-hashes --upgrade \
		--no-strip-extras --no-header --no-emit-index-url --no-emit-find-links
	@echo "requirements.lock is new: run 'make check'."

.PHONY: lock-lowest
lock-lowest: ## Install the oldest versions that pyproject.toml allows into .venv-lowest
	@$(PYTHON) -m venv --clear .venv-lowest
	@.venv-lowest/bin/python -m pip install -qq uv==$(UV_VERSION)
	@.venv-lowest/bin/uv pip compile pyproject.toml --quiet --no-config --all-extras \
		--resolution lowest-direct --no-header --no-emit-index-url --no-emit-find-links \
		--no-strip-extras --output-file .venv-lowest/requirements.txt
	@.venv-lowest/bin/python -m pip install -qq -r .venv-lowest/requirements.txt
	@.venv-lowest/bin/python -m pip install -qq --no-deps --no-build-isolation -e .

.PHONY: clean
clean: ## Remove the virtual environment and caches; never samples, outputs or run history
	@rm -rf $(VENV) .venv-lock .venv-lowest build dist .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis
	@find image_assets image_assets_tests bench -name __pycache__ -type d -prune \
		-exec rm -rf {} + 2>/dev/null || true
