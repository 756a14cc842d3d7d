# Two commands set everything up: `make run` and `make test`. The others are for people who change linkbench.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SITE := .venv/site

.PHONY: run test lint types docs site leaderboard leaderboard-check check clean

run: $(READY)
	$(BIN)/linkbench run scenarios/quickstart.yaml

# files of tests side by side, one for each processor: torch computes on one thread
test: $(READY)
	$(BIN)/pytest -n logical --dist loadfile

$(READY): pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt hatchling editables
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	# torchattacks declares torchvision and an old requests, and imports neither
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps torchattacks
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable plugins/linkbench-torchattacks --editable plugins/linkbench-art
	touch $(READY)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python docs/check.py

# the same pages as a site in build/site, with search; works offline
site: $(SITE)
	$(SITE)/bin/python -m sphinx --quiet --fail-on-warning --keep-going -c docs -d build/doctrees . build/site
	@echo "site: build/site/index.html"

# in an environment of its own: torchattacks wants another version of a package that Sphinx needs
$(SITE): constraints.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/pip install --quiet --constraint constraints.txt furo myst-parser sphinx
	touch $(SITE)

# README.md, leaderboard.csv and index.html from the committed entries
leaderboard: $(READY)
	$(BIN)/linkbench leaderboard build

leaderboard-check: $(READY)
	$(BIN)/linkbench leaderboard build --out build/leaderboard
	for file in README.md leaderboard.csv index.html; do \
	  cmp leaderboard/$$file build/leaderboard/$$file || { echo "leaderboard/$$file is stale: run make leaderboard"; exit 1; }; \
	done

check: lint types docs leaderboard-check test

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
