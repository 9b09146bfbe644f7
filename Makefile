# One verb each. Every target does its own set-up: a fresh machine needs python3 (>= 3.11) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FILES := $(VENV)/.files
PACKAGES := common media runtime modeling data prediction evaluation publishing training package model_cards spaces

# A process that crashes ends the run, which would wait for it for ever. OpenVINO and ONNX Runtime now and then crashed
# processes that had run hundreds of other tests before, and never fresh ones, so their tests go apart.
TESTS := $(BIN)/python -m pytest -m 'not slow and not gpu' -n 2 --dist loadfile --max-worker-restart 0
APART := tests/prediction/test_onnx_export.py tests/prediction/test_runtimes.py tests/publishing/test_export.py tests/runtime

.PHONY: FORCE setup demo ablation test test-slow test-gpu check format clean

setup: $(STAMP)

# The installation links each file, so that new and moved ones have to be installed, too.
$(FILES): FORCE
	@mkdir -p $(VENV)
	@find $(PACKAGES) -type f -not -path '*/__pycache__/*' | LC_ALL=C sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

FORCE:

$(STAMP): pyproject.toml constraints.txt $(FILES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "semidepth needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[space,benchmarks,onnx,openvino,dev]'
	@touch $@

demo: setup
	$(BIN)/python training/demo.py $(ARGS)

ablation: setup
	$(BIN)/python benchmarks/ablation.py $(ARGS)

test: setup
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || echo "The browser's tests will fail: Chromium is missing, install it with: apt-get install -y chromium"
	$(TESTS) $(if $(ARGS),,$(addprefix --ignore=,$(APART))) $(ARGS)
	$(if $(ARGS),,$(TESTS) $(APART))

test-slow: setup
	$(BIN)/python -m pytest -m slow $(ARGS)

test-gpu: setup
	$(BIN)/python -m pytest -m gpu $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .typings/semidepth && for file in __init__ __main__ cli; do ln -sfn ../../package/$$file.py .typings/semidepth/$$file.py; done
	@for folder in common media runtime modeling data prediction evaluation publishing model_cards training; do ln -sfn ../../$$folder .typings/semidepth/$$folder; done
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .typings build *.egg-info .pytest_cache .ruff_cache .mypy_cache
