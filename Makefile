# Everything a new user needs, each target doing its own set-up.
#   make play    walk about in a dream (without a display: dream ten seconds to reverie-dream.mp4)
#   make test    the whole test suite, with everything that it needs
#   make fast    the tests that are not marked as slow: under 90 seconds on two cores
#   make check   style, format and types
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FOLDERS := model simulator env demos

.PHONY: play test fast check types clean

# The base dependencies alone; `make test` adds all extras.
$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@ $(VENV)/.installed

play: $(VENV)/.installed
	$(BIN)/reverie play $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(ARGS)

fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

check: $(VENV)/.installed-dev types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Type checkers do not see an editable install that maps folders to reverie.*, so they are shown links.
types: $(VENV)/.installed-dev
	@mkdir -p build/types/reverie
	@for folder in $(FOLDERS); do ln -sfn $(CURDIR)/$$folder build/types/reverie/$$folder; done
	MYPYPATH=build/types $(BIN)/mypy --namespace-packages --explicit-package-bases build/types/reverie

clean:
	rm -rf build dist *.egg-info
