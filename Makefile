# Everything sets itself up: a virtual environment in .venv, made once and again when
# pyproject.toml changes. Needs python3 (3.11 or newer) with venv, gcc, make and git.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
# Many tests wait for real processes, so that three at a time are done in half the time. Tests of
# one file stay together: some share a server.
TOGETHER := -n 3 --dist loadfile

SANITIZED       := build/sanitized
SANITIZED_FLAGS := -w -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
                   -fno-sanitize-recover=all -fsanitize-coverage=trace-pc

.DEFAULT_GOAL := help
.PHONY: help demo test check sanitize fuzz format docs site bench wheel clean

help: ## Show this help
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
	  awk -F'\t' '{ printf "  make %-8s %s\n", $$1, $$2 }'

$(STAMP): pyproject.toml $(wildcard setup.py geodns/fastpath/*.pyx geodns/fastpath/*.pxi)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "geodns needs Python 3.11 or newer; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing geodns and its tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP) ## Show geodns offline: shipped orders, asked as clients of several countries
	@$(BIN)/geodns demo $(ARGS)

test: $(STAMP) ## Run all tests (ARGS="-k name" to choose)
ifeq ($(strip $(ARGS)),)
	@echo "The server's tests with the pure fast path:"
	@GEODNS_PURE=1 $(BIN)/python -m pytest -q $(TOGETHER) tests/serve tests/scenarios -k "not native"
	@echo "All tests, with the native fast path where it was built:"
endif
	@$(BIN)/python -m pytest $(if $(strip $(ARGS)),$(ARGS),-q $(TOGETHER))

check: $(STAMP) ## Lint, format, types, rooms, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/reference.py --check
	$(BIN)/geodns orders check

sanitize: $(SANITIZED)/.built ## Test the native extension under AddressSanitizer and UBSan (needs gcc)
	@tests/fuzz/sanitized.sh $(BIN)/python -m pytest --capture=sys tests/fastpath tests/fuzz $(ARGS)

fuzz: $(SANITIZED)/.built ## Fuzz under the sanitizers for a minute (ARGS="--seconds 600 answer")
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=2.3' || true
	@tests/fuzz/sanitized.sh $(BIN)/python -m tests.fuzz.run $(ARGS)

$(SANITIZED)/.built: $(STAMP) tests/fuzz/cover.c $(wildcard setup.py geodns/fastpath/*.pyx geodns/fastpath/*.pxi)
	@echo "Building the native extension with AddressSanitizer and UBSan into $(SANITIZED) ..."
	@mkdir -p $(SANITIZED)
	@GEODNS_REQUIRE_NATIVE=1 GEODNS_NATIVE_CFLAGS="$(SANITIZED_FLAGS)" $(BIN)/python setup.py \
	  -q build_ext --force --build-lib $(SANITIZED) --build-temp $(SANITIZED)/temp
	@$${CC:-gcc} -O2 -shared -fPIC -w -o $(SANITIZED)/cover.so tests/fuzz/cover.c -ldl
	@touch $@

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## Write the generated documents (docs/settings.md, docs/orders.md)
	$(BIN)/python docs/reference.py

site: $(STAMP) ## Build the pages of docs/ as a site into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(STAMP) ## Measure side by side with other servers (needs dnsperf and gcc; ARGS=--full)
	@$(BIN)/python -m bench.run $(ARGS)

wheel: $(STAMP) ## Build a wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## Remove what was built; keeps .venv
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
