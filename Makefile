# Everything here sets itself up: a virtual environment in .venv with pinned dependencies.
PYTHON ?= python3
VENV ?= .venv
PHOTO ?=
SUBJECT ?=
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: demo test check wheel-check clean

demo: $(STAMP)
	$(BIN)/onephoto demo $(if $(PHOTO),--photo "$(PHOTO)") $(if $(SUBJECT),--subject "$(SUBJECT)")

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	PATH="$(abspath $(BIN)):$$PATH" scripts/check

# From a clean clone of what is committed to a picture, outside of any checkout.
wheel-check:
	PYTHON="$(PYTHON)" scripts/wheel_check

# The pinned torch goes in first and alone: a looser range would bring gigabytes of GPU libraries.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist out
