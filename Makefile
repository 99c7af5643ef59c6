# Edgepress. `make help` lists the targets.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# The wheel of torch differs by machine; say which index to take it from with PIP_INDEX_URL or PIP_FIND_LINKS.
TORCH := torch==2.13.0
RECIPE ?= pipeline/recipes/digits.toml
PRESET ?=
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/installed
RUN_FLAGS := $(if $(PRESET),--preset $(PRESET)) $(FLAGS)

.DEFAULT_GOAL := demo
.DELETE_ON_ERROR:
# Each is remade with the preset that its recipe names. The last one's page is the README's picture.
PUBLISHED := $(filter-out lenet5_mnist digits mnist,$(sort $(basename $(notdir $(wildcard pipeline/recipes/*.toml))))) digits mnist

.PHONY: demo help setup cpu gpu rpi phone web emulated-pi coverage compare test check format published bench-measure bench-arm bench-kernels bench-som bench-watermark eyes kernels clean debian

demo: setup ## Set up and run the demo recipe on the digits inside scikit-learn
	@./edgepress run pipeline/recipes/digits.toml --target cpu $(RUN_FLAGS)

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with every package locked; a second time does nothing

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v[:2] == (3, 11) else f"edgepress needs Python 3.11, $(PYTHON) is {v.major}.{v.minor}; say which with PYTHON=...")'
	@test -x $(RUN) || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing $(TORCH)"
	@$(RUN) -m pip install -q --disable-pip-version-check $(TORCH)
	@echo "installing the other packages (3 GB in all; some minutes)"
	@$(RUN) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*project["dependencies"], *project["optional-dependencies"]["dev"], sep="\n")' > $(VENV)/requirements.txt
	@$(RUN) -m pip install -q --disable-pip-version-check -r $(VENV)/requirements.txt -c constraints.txt
	@touch $@

cpu: setup ## Run RECIPE=... on this machine's CPU (PRESET=quick|full, FLAGS=--dry-run ...)
	@./edgepress run $(RECIPE) --target cpu $(RUN_FLAGS)

gpu: setup ## Run RECIPE=... on this machine's GPU (DEVICE=1 for another than the first); without one the report says so
	@./edgepress run $(RECIPE) --target gpu --device "$(DEVICE)" $(RUN_FLAGS)

rpi: setup ## Run RECIPE=... on a Raspberry Pi: DEVICE=user@host, or one emulated: emulated-pi4, emulated-pi5, emulated-pi4-32
	@./edgepress run $(RECIPE) --target rpi --device "$(DEVICE)" $(RUN_FLAGS)

phone: setup ## Run RECIPE=... on an Android phone over adb (DEVICE=SERIAL where there are several; BENCHMARK_MODEL=LiteRT's tool)
	@./edgepress run $(RECIPE) --target phone --device "$(DEVICE)" $(if $(BENCHMARK_MODEL),--option "benchmark_model=$(BENCHMARK_MODEL)") $(RUN_FLAGS)

web: setup ## Run RECIPE=... in a browser that opens a page: DEVICE=usb, lan or https://ADDRESS for a phone's
	@./edgepress run $(RECIPE) --target web --device "$(DEVICE)" $(RUN_FLAGS)

emulated-pi: setup debian ## Make an emulated board under build/ (DEVICE=emulated-pi4 unless said), set it up, say what a run would do
	@./edgepress run $(RECIPE) --target rpi --device $(or $(DEVICE),emulated-pi4) --dry-run $(RUN_FLAGS)

coverage: setup ## Every architecture in every format, as the published reports and yours show
	@./edgepress coverage $(FLAGS)

compare: setup ## Line up two reports: A=... B=... (FLAGS='--fail-on "quality drop > 0.5 points"')
	@./edgepress compare $(A) $(B) $(FLAGS)

test: setup debian check ## Everything that CI runs
	@$(RUN) -m pytest -n 2 --dist loadgroup $(TESTS)

check: setup ## Format, lint and types
	@$(RUN) -m ruff format --check --quiet . || { echo "run 'make format'"; exit 1; }
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m mypy

format: setup ## Mend what ruff can mend
	@$(RUN) -m ruff format --quiet . && $(RUN) -m ruff check --quiet --fix .

# A program, and the package that brings it: what each is for is said where it is missing.
DEBIAN := chromium:chromium sshd:openssh-server qemu-aarch64-static:qemu-user-static qemu-aarch64:qemu-user cc:gcc c++:g++ adb:adb \
  aarch64-linux-gnu-g++:g++-aarch64-linux-gnu arm-linux-gnueabihf-g++:g++-arm-linux-gnueabihf

debian: ## Debian packages that the tests use: installed as root, named elsewhere
	@missing=""; PATH="$$PATH:/usr/sbin"; for each in $(DEBIAN); do command -v "$${each%%:*}" >/dev/null 2>&1 || missing="$$missing $${each##*:}"; done; \
	[ -z "$$missing" ] || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "installing$$missing"; apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	else echo "not installed:$$missing; the tests of the report page, of the emulated board and of kernels for ARM that need them will be skipped (apt-get install$$missing)"; fi

published: setup ## Remake reports/published/ (hours; resumes where it stopped) and the README's tables and picture
	@for name in $(PUBLISHED); do echo "publishing $$name"; \
	  ./edgepress run pipeline/recipes/$$name.toml --target cpu --publish reports/published/$$name --resume || exit; done
	@$(RUN) -m reports.excerpt README.md reports/published/*.json
	@command -v chromium >/dev/null 2>&1 && chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1000 \
	  --screenshot=reports/published/page.png "file://$${EDGEPRESS_HOME:-$(CURDIR)/build}/runs/latest/index.html" >/dev/null 2>&1 \
	  || echo "reports/published/page.png is as it was: chromium is not installed"

bench-measure: setup ## How well the measuring measures: build/bench/measure.json
	@$(RUN) -m pipeline.bench.measure

bench-arm: setup ## Instructions of a network of bits and of floats on emulated ARM: build/bench/arm.json
	@$(RUN) -m pipeline.bench.arm

bench-kernels: setup ## Networks of +-1 beside float32 and int8 in every runtime, and the ceiling: build/bench/kernels.json (5 minutes)
	@$(RUN) -m pipeline.bench.kernels $(FLAGS)

bench-watermark: setup ## How often a picture is taken for one that a model made: build/bench/watermark.json
	@$(RUN) -m pipeline.bench.watermark

eyes: setup ## The classifiers that judges of pictures look with, trained anew (half an hour): models/eyes
	@$(RUN) -m pipeline.bench.eyes mnist fashion_mnist cifar10

bench-som: setup ## Our self-organizing map beside MiniSom's: build/bench/som.json
	@$(RUN) -m pipeline.bench.som

kernels: setup ## Compile the kernels of binary networks with this machine's compiler (done on first use, too)
	@$(RUN) -m targets.kernels.build

clean: ## Remove what runs made (not .venv)
	rm -rf build
