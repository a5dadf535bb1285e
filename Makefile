# Needs python3.11 or newer, make and a package index; everything else comes from requirements/.
.DEFAULT_GOAL := help
.PHONY: help install demo test faults guards lint bench lock

VENV := .venv
RUN := $(VENV)/bin
ARGS ?=
SEEDS ?= 200
ROUNDS ?= 500
PLUGS ?= 3
UV ?= uv
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3.14 python3; do \
	if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$candidate; break; fi; done)

help: ## Say what each target does
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

# The stamp is a copy of the lock file, so only a change of its content installs again.
install: ## Make .venv from the pinned requirements, when they changed
	@cmp -s requirements/dev.txt $(VENV)/.installed || { \
	test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found." >&2; exit 1; } \
	&& { test -x $(RUN)/python || $(PYTHON) -m venv $(VENV); } \
	&& $(RUN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r requirements/dev.txt \
	&& cp requirements/dev.txt $(VENV)/.installed; }

demo: install ## Run everything with paper venues and sample data (ARGS="--check" ends by itself)
	$(RUN)/python manage.py demo $(ARGS)

test: install ## Run the tests (ARGS="tests/base -k bus" narrows them)
	$(RUN)/pytest -n 3 --dist worksteal $(ARGS)

faults: install ## Break everything on purpose (SEEDS=n ROUNDS=n PLUGS=n; ARGS="--help")
	$(RUN)/python -m tests.faults.pack --seeds $(SEEDS) --rounds $(ROUNDS) --plugs $(PLUGS) $(ARGS)

guards: install ## Take each guard out of a copy and see its test fail (ARGS="--help")
	$(RUN)/python -m tests.faults.guards $(ARGS)

lint: install ## Check style, types, import directions and migrations
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy .
	$(RUN)/lint-imports
	$(RUN)/python manage.py makemigrations --check --dry-run
	$(RUN)/python manage.py check

bench: install ## Measure (ARGS="NAME --json"; hedge-latency when unset)
	$(RUN)/python manage.py benchmark $(or $(ARGS),hedge-latency)

lock: ## Compile the requirement files anew (needs uv)
	cd requirements && for name in base dev; do $(UV) pip compile --generate-hashes \
		--python-version 3.11 --no-header --quiet $$name.in -o $$name.txt || exit 1; done
