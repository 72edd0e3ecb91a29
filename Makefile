# make train      the main job on the embedded data: trains, evaluates, prints the table; no download of data
# make demo       the web page on this machine: your pictures, a network's landmarks
# make test       lint, the unit tests, then the integration tests, on all cores: under four minutes on two
# make test-unit  lint and the unit tests alone
# make test-slow  the long tests
# make test-all   all of them
#
# Every target first makes .venv, from Python 3.11 to 3.13; another one than the first found: make test PYTHON=/path/to/python3.12

# TensorFlow 2.21 has packages for Python 3.10 to 3.13; the code needs 3.11.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

QUIET := --disable-pip-version-check --quiet

PYTEST := .venv/bin/python -m pytest
PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: train demo test test-unit test-slow test-all
.NOTPARALLEL:

train: .venv/requirements.stamp
	.venv/bin/python train.py

demo: .venv/requirements-demo.stamp
	.venv/bin/python -m inference.web_demo

test: test-unit
	$(PYTEST) $(PARALLEL) -m "integration and not slow"

test-unit: .venv/requirements-dev.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	$(PYTEST) $(PARALLEL) -m "not integration and not slow"

test-slow: .venv/requirements-dev.stamp
	$(PYTEST) -m slow

test-all: test test-slow

.venv/requirements-dev.stamp: requirements.txt requirements-export.txt requirements-records.txt

.venv/requirements-demo.stamp: requirements.txt

# A stamp is written only after pip is through, so an interrupted installation is taken up again.
.venv/%.stamp: %.txt
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { \
		echo "Makefile: Python 3.11, 3.12 or 3.13 is needed. Received $(or $(PYTHON),python3):" \
			"$$($(or $(PYTHON),python3) -V 2>&1). Name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 2; }
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv .venv || { \
		echo "Makefile: $(PYTHON) cannot make .venv. On Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	.venv/bin/python -m pip install $(QUIET) --requirement $<
	@.venv/bin/python -c 'import cv2' 2>/dev/null || { \
		echo "Makefile: opencv-python needs libGL, which this machine lacks; taking the build without windows"; \
		.venv/bin/python -m pip uninstall $(QUIET) --yes opencv-python && \
		.venv/bin/python -m pip install $(QUIET) "opencv-python-headless>=4.10,<5"; }
	@touch $@
