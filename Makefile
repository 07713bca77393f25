# make demo   simulate the tutorial's night, reduce it, say where image and report are
# make test   lint, types and the test suite
# make bench   time and memory of each command, in units of the start of numpy and astropy (some minutes)
# make accuracy   simulate easy and hard nights, reduce them, compare with the truth (an hour)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SEEDS  := 6201 6202 6203

.PHONY: demo test lint types picture bench accuracy clean

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(STAMP)
	BIN=$(CURDIR)/$(BIN) bash scripts/demo.sh

# The pictures of the README are those of the demo; the second needs Chromium.
picture: demo
	cp demo/stack.png docs/stack.png
	chromium --headless=new --no-sandbox --hide-scrollbars --window-size=1280,930 \
	  --screenshot=$(CURDIR)/docs/report.png file://$(CURDIR)/demo/reduced/index.html

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks scripts
	$(BIN)/ruff format --check src tests benchmarks scripts

types: $(STAMP)
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest -n 2 -q

bench: $(STAMP)
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/speed_steps.py

accuracy: $(STAMP)
	$(BIN)/python benchmarks/accuracy.py --seeds $(SEEDS) --output docs/accuracy.md
	$(BIN)/python benchmarks/accuracy.py --seeds $(firstword $(SEEDS)) --set classic --output docs/accuracy-classic.md
	$(BIN)/python benchmarks/accuracy.py --quick --only faint --seeds $$(seq 101 120) --output docs/accuracy-faint.md

clean:
	rm -rf $(VENV) demo build .mypy_cache .pytest_cache .ruff_cache
