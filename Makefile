# Mayfly's commands. `make help` lists them; CONTRIBUTING.md says when to use which.

MAYFLY := .build/release/mayfly
PREFIX ?= /usr/local
PYTHON := .venv/bin/python

# Building the program and building the tests must use the same flags, or everything is compiled twice: release mode
# without testable imports is what both use (tests reach `package` declarations, so they need no @testable).
SWIFT_BUILD := swift build -c release
SWIFT_TEST := swift test -c release --disable-testable-imports

# Most of these tests use one core. Each file goes to one worker, which makes its fixtures once.
PYTEST_WORKERS := --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help build cuda demo check test test-kernels test-cuda-compile test-cuda-driver test-cuda-kernels test-swift test-peers test-lm-eval cuda-test-driver gpu-check gpu-probe gpu-program bench bench-decode bench-gemm gemm-program bench-precision bench-prepare tasks profile format lint install venv clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the program: .build/release/mayfly
	@Scripts/require swift git
	$(SWIFT_BUILD) --product mayfly

demo: build ## train a model on Shakespeare and let it write, in about five minutes
	@Scripts/require python
	@Scripts/fetch-shakespeare data/shakespeare
	$(MAYFLY) demo --text data/shakespeare

check: build ## build and run the fast Swift tests (a minute or two)
	$(SWIFT_TEST) --skip Slow

test: test-kernels test-cuda-compile test-cuda-driver test-cuda-kernels test-swift test-peers ## run all tests, also those against PyTorch and transformers

test-kernels: ## compare the kernels of every instruction set here, and of arm64 under qemu, with the plain ones
	@Scripts/require swift qemu
	@$(MAKE) --quiet --directory Tests/Kernels
	@$(MAKE) --quiet --directory Tests/Kernels ARCH=arm64

test-cuda-compile: ## compile the CUDA kernels for every architecture (needs no GPU; a few minutes when all is new)
	@Scripts/require python
	Scripts/check-cuda-kernels

cuda-test-driver: ## make the CUDA driver that runs kernels on the CPU: .build/cuda-test-driver
	@Scripts/require swift
	@$(MAKE) --quiet --directory Tests/CUDADriver

test-cuda-driver: ## test that driver: what it computes, and that it finds planted bugs
	@Scripts/require swift qemu
	@$(MAKE) --quiet --directory Tests/CUDADriver test

test-cuda-kernels: venv cuda-test-driver ## compare the CUDA kernels with fp64, on that driver
	$(PYTHON) -m pytest $(PYTEST_WORKERS) Tests/CUDAKernels

test-swift: build cuda-test-driver
	$(SWIFT_TEST)

test-peers: build venv cuda-test-driver
	@Scripts/require chromium systemd codecs curl
	$(SWIFT_BUILD) --product EncoderPeer
	@Scripts/fetch-manpages-zh data/manpages-zh
	@Scripts/fetch-language-texts --few > /dev/null
	$(PYTHON) -m pytest $(PYTEST_WORKERS) Tests/Peers

test-lm-eval: build venv ## score a served model with lm-evaluation-harness (installs 600 MB of Python packages)
	$(PYTHON) -m pip install --quiet --requirement Scripts/requirements-lm-eval.txt
	$(PYTHON) -m pytest Tests/Peers/test_lm_eval.py

bench: build venv gemm-program ## train beside PyTorch (half an hour; BENCH="--quick" for a look, BENCH="--help" for more)
	@Scripts/require compiler
	$(PYTHON) Benchmarks/bench.py $(BENCH)

bench-decode: build venv ## write token by token beside llama.cpp and mlx-lm (compiles llama.cpp the first time: minutes)
	@Scripts/require compiler
	$(PYTHON) -m pip install --quiet --requirement Scripts/requirements-decode.txt
	$(PYTHON) Benchmarks/decode.py $(DECODE)

bench-prepare: build venv ## encode, learn a vocabulary and prepare text beside tokenizers, tiktoken and datatrove (ten minutes)
	@Scripts/require python
	python3 -m venv .build/bench/venv
	.build/bench/venv/bin/python -m pip install --quiet --requirement Scripts/requirements-prepare.txt
	$(PYTHON) Benchmarks/tokens.py encode
	$(PYTHON) Benchmarks/tokens.py learn --rounds 3
	$(PYTHON) Benchmarks/tokens.py load
	$(PYTHON) Benchmarks/prepare.py
	$(PYTHON) Benchmarks/data_quality.py

tasks: build venv ## fine-tune for each task and measure it beside baselines (half an hour; TASKS="--quick": two minutes)
	@Scripts/fetch-tasks
	$(PYTHON) Benchmarks/tasks.py $(TASKS)

bench-gemm: gemm-program ## measure matrix products side by side with oneDNN
	.build/gemm-bench/gemm_bench --json .build/gemm-bench/fp32.json
	.build/gemm-bench/gemm_bench --storage bf16 --json .build/gemm-bench/bf16.json

bench-precision: build ## whether bf16 and fp16 train as well as fp32 (an hour; PRECISION="--help" for less)
	@Scripts/require python
	@Scripts/fetch-shakespeare data/shakespeare
	python3 Benchmarks/precision.py $(PRECISION)

STAGE ?= kernels
GPU_SECONDS ?= 450
# PyTorch is there before us: we install none.
GPU_PYTHON ?= python3

gpu-check: ## on a machine with a GPU and PyTorch, eight minutes each: STAGE=kernels, STAGE=bench, STAGE=train
	$(GPU_PYTHON) Benchmarks/gpu_check.py $(STAGE) --seconds $(GPU_SECONDS)

gpu-probe: ## on a machine with a GPU and PyTorch: what the card can, in two minutes
	$(GPU_PYTHON) Benchmarks/gpu_check.py probe

gpu-program: ## make the programs of gpu-check, which need no Swift, and tokens for them: .build/gpu
	@Scripts/require swift git xz
	Scripts/gpu-program

gemm-program:
	@Scripts/require swift python
	@$(MAKE) --quiet --directory Benchmarks/gemm

profile: build ## where a training step spends its time, by function (needs Linux perf)
	@Scripts/profile

format: ## reformat the Swift code
	swift format --in-place --parallel --recursive Package.swift Sources Tests

lint: ## check formatting and that each module imports only what the manifest lets it
	swift format lint --strict --parallel --recursive Package.swift Sources Tests
	Scripts/check-imports

install: build ## copy the program to $(PREFIX)/bin
	install -D -m 755 $(MAYFLY) $(DESTDIR)$(PREFIX)/bin/mayfly

cuda: ## install what an NVIDIA GPU needs beside its driver, from PyPI: NVRTC and cuBLASLt (600 MB)
	@Scripts/require python
	python3 -m pip install --quiet --upgrade --no-deps --target "$${XDG_DATA_HOME:-$$HOME/.local/share}/mayfly/cuda" \
	  'nvidia-cuda-nvrtc' 'nvidia-cublas'

venv: .venv/.made ## make .venv with PyTorch, transformers and pytest

.venv/.made: Scripts/requirements-test.txt
	@Scripts/require python
	@echo "Installing Python packages into .venv: $$(grep -v '^#' $< | tr '\n' ' ')" >&2
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement $<
	@touch $@

clean: ## remove what was built (not the data, the runs or .venv)
	rm -rf .build
