# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVED ?= served
MINUTES ?= 60
# where `make test-realsize` works; removed in the end
REALSIZE ?= dist/realsize
# --no-compile: Python compiles what is imported when it is, which spares a quarter of the installation
PIP_FLAGS ?= -q --no-compile
AUDIT_FLAGS ?= # for example --vulnerability-service osv
# what `make eval` asks
MANIFEST ?= build/demo/held_out/questions.jsonl
# where the chart's claims are tested, quick tests and slow ones
K8S_TESTS := tests/helm tests/monitoring tests/k8s tests/benchmarks/test_capacity.py tests/serving/test_drain_command.py \
  tests/serving/test_launcher.py tests/serving/test_api_keys.py tests/client/test_connection_care.py \
  tests/runtime/test_engine_manifest.py
# the parts of test-gpu that are no stage; only the tests of single stages have "stage" in their names
GPU_PART_torch := tests/gpu/test_torch.py
GPU_PART_engines := tests/gpu/test_engines.py
GPU_PART_whole := tests/gpu/test_engines.py -k 'not stage'
GPU_STAGE = $(if $(GPU_PART_$(PART)),,$(PART))
GPU_TESTS = $(or $(GPU_PART_$(PART)),tests/gpu$(if $(PART),/test_engines.py -k stage))
INSTALL = $(BIN)/pip install $(PIP_FLAGS) -c constraints.txt -e

.PHONY: help demo test test-faults test-engines test-realsize test-images test-gpu test-k8s audit lint serve talk eval train-demo bench soak capacity bench-full clean
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

# What the virtual environment holds: the one that serves, and what each kind of work adds to it.
$(VENV)/server: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 12) else \
	  f"Python 3.11 or 3.12 is needed, $(PYTHON) is {v[0]}.{v[1]}: run make PYTHON=python3.11")'
	@echo 'setting up $(VENV): 140 MB of packages'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[server]'
	@touch $@

$(VENV)/installed: $(VENV)/server
	$(INSTALL) '.[server,gateway,build,dev]'
	@touch $@

$(VENV)/gateway: $(VENV)/server
	$(INSTALL) '.[server,gateway]'
	@touch $@

$(VENV)/eval: $(VENV)/server
	$(INSTALL) '.[server,eval]'
	@touch $@

$(VENV)/train: $(VENV)/installed
	$(INSTALL) '.[server,build,train,eval]'
	@touch $@

# Of its own, so that what looks at the dependencies is none of them
$(VENV)/audit/installed: constraints-audit.txt
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install $(PIP_FLAGS) --no-deps -r constraints-audit.txt
	@touch $@

# Of its own, over the packages of the machine: PyTorch, TensorRT and TensorRT-LLM stay those of NVIDIA's image, as in
# build/Dockerfile, and pytest is any that fits them. A machine without any PyTorch has nothing to keep, and gets ours.
HAS_TORCH = $(PYTHON) -c 'from importlib.util import find_spec; raise SystemExit(find_spec("torch") is None)'
KEEP_PACKAGES = $(PYTHON) build/image/merge_constraints.py constraints.txt | grep -v '^pytest=='
$(VENV)/gpu/installed: pyproject.toml constraints.txt build/image/merge_constraints.py
	$(PYTHON) -m venv --without-pip --system-site-packages $(VENV)/gpu
	if $(HAS_TORCH); then $(KEEP_PACKAGES); else cat constraints.txt; fi > $(VENV)/gpu/constraints.txt
	extras=container$$($(HAS_TORCH) || echo ,build); $(PYTHON) -m pip --python $(VENV)/gpu/bin/python3 install $(PIP_FLAGS) \
	  -c $(VENV)/gpu/constraints.txt 'pytest>=8' -e ".[$$extras]"
	@touch $@

demo: $(VENV)/server ## ask a spoken question about a picture, see and hear the answer
	$(BIN)/python -m stream_omni_build.demo --served $(SERVED)

test: $(VENV)/installed ## all quick tests, on the real server
	$(BIN)/python -m pytest

test-faults: $(VENV)/installed ## the slow tests: fuzzing at length, a server broken in every way we know; then docs/reliability.md's table
	rm -f tests/faults/seen.jsonl
	$(BIN)/python -m pytest -m faults
	$(BIN)/python -m tests.faults.table

test-k8s: $(VENV)/installed ## the chart, dashboards, alerts and scaling, all tests: several real servers, Envoy, Prometheus; ten minutes
	$(BIN)/python -m pytest -m 'not faults and not engines and not gpu' -v -s -rs --durations=20 $(K8S_TESTS)

test-engines: $(VENV)/installed ## every stage at its real size through TensorRT's compiler, on a machine without a GPU
	$(BIN)/python -m pytest -m engines

test-realsize: $(VENV)/installed ## convert and export a random checkpoint of real size: 20 to 50 GB of disk in REALSIZE
	$(BIN)/python -m stream_omni_build.engines.real_size --work $(REALSIZE)

test-images: $(VENV)/installed ## whether all that the images install can be had in our versions; needs the network
	$(BIN)/python -m pytest -m images

test-gpu: $(VENV)/gpu/installed ## in NVIDIA's image (docs/production.md): numbers, engines, times; PART=torch, whole or a stage such as llm
	$(if $(GPU_STAGE),STREAM_OMNI_GPU_STAGES=$(GPU_STAGE)) $(VENV)/gpu/bin/python3 -m pytest -m gpu -rs $(GPU_TESTS)

audit: $(VENV)/audit/installed ## known weaknesses of the pinned dependencies; writes dist/sbom.cdx.json
	@mkdir -p dist && rm -f dist/audit.json
	$(VENV)/audit/bin/cyclonedx-py requirements constraints.txt --output-format JSON --output-file dist/sbom.cdx.json
	@$(VENV)/audit/bin/pip-audit $(AUDIT_FLAGS) --strict --requirement constraints.txt --no-deps --disable-pip \
	  --format json --output dist/audit.json; code=$$?; test -s dist/audit.json && exit $$code; \
	  echo 'make audit: not everything was audited (see above): it needs an advisory database that knows each package'; \
	  exit 2

lint: $(VENV)/installed ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: $(VENV)/server ## keep the server of `make demo` running
	$(BIN)/python -m stream_omni_build.demo --served $(SERVED) --only-build
	$(BIN)/stream-omni serve --repository $(SERVED)/demo

talk: $(VENV)/gateway ## talk to the demo's model on a page: http://localhost:8080/
	$(BIN)/python -m stream_omni_build.demo --served $(SERVED) --page

eval: $(VENV)/eval ## judge the demo checkpoint: eight held-out questions, or make eval MANIFEST=mine.jsonl
	$(BIN)/python -m stream_omni_build.demo --served $(SERVED) --only-build
	$(BIN)/stream-omni eval --manifest $(MANIFEST) --repository $(SERVED)/demo --out $(SERVED)/quality

train-demo: $(VENV)/train ## train the demo checkpoint, some hours; goes on where it was interrupted
	$(BIN)/python -m stream_omni_demo

bench: $(VENV)/installed ## measure speed and memory, some minutes; on a machine that does nothing else
	$(BIN)/python -m benchmarks run --plan quick
	$(BIN)/python -m benchmarks plot
	$(BIN)/python -m benchmarks table

soak: $(VENV)/installed ## a server at capacity with cancels, for MINUTES (60): fails where anything that it holds grows
	$(BIN)/python -m benchmarks endure --minutes $(MINUTES)

capacity: $(VENV)/installed ## how many turns the demo's server answers at once in time; the chart's default target follows from it
	$(BIN)/python -m stream_omni_build.demo --served $(SERVED) --only-build
	$(BIN)/python -m benchmarks capacity --served $(SERVED)/demo --first-audio-ms 1000 --most 16
	$(BIN)/python -m benchmarks plot
	$(BIN)/python -m stream_omni_chart

bench-full: $(VENV)/installed ## the same with as many rounds as quoted numbers need, about two hours
	$(BIN)/python -m benchmarks run --plan full
	$(BIN)/python -m benchmarks plot
	$(BIN)/python -m benchmarks table

clean: ## remove the virtual environment and what was built
	rm -rf $(VENV) $(SERVED) dist
