PYTHON ?= python3
VENV = .venv
RUN = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed
DEMO = demo
UNSEEN = White-browed Reedsinger,Bibbed Bloomfinch,Brown-capped Frosttit,Ringed Tealcreeper,Black-lored Reedsinger

.PHONY: help install demo test lint types check clean

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(INSTALLED)  ## Make the virtual environment and install Fieldmark into it

$(INSTALLED): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Fieldmark needs Python 3.11 or newer; give one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet --editable '.[dev,milvus]'
	@touch $@

demo: $(INSTALLED)  ## Train on drawn birds, build an index, query it, evaluate it
	$(RUN) -m embedder.train --config configs/drawn_birds.yaml --run $(DEMO)/run
	$(RUN) -m embedder.train --config configs/drawn_birds.yaml --run $(DEMO)/frozen --train.epochs 0
	$(RUN) -m index.build $(DEMO)/run drawn_birds --split test --out $(DEMO)/birds.index
	$(RUN) -m embedder.data.drawn_birds $(DEMO)/new --species '$(UNSEEN)' --count 1 --seed 1
	$(RUN) -m index.query $(DEMO)/birds.index $(DEMO)/new --k 6 --picture $(DEMO)/answers.png
	$(RUN) -m embedder.embed $(DEMO)/frozen drawn_birds --split test --out $(DEMO)/frozen-vectors
	@echo; echo "Species never trained on, with the network as it comes:"
	$(RUN) -m eval.recall $(DEMO)/frozen-vectors
	@echo; echo "The same species after training:"
	$(RUN) -m eval.recall $(DEMO)/birds.index --report $(DEMO)/report
	@echo; echo "Look at:"; \
	echo "  $(DEMO)/answers.png       new photos of unseen species and the references that they were named by"; \
	echo "  $(DEMO)/report/report.html how good it is, and why: the species, their look-alikes, a map of all photos"; \
	echo "  $(DEMO)/run/curves.png    how the training went"; \
	echo "  $(DEMO)/birds.index       the index: one folder that answers on any machine"; \
	echo "Or ask it yourself, on a page at http://127.0.0.1:8000:"; \
	echo "  $(RUN) -m index.serve $(DEMO)/birds.index"

test: $(INSTALLED)  ## Run the whole test suite
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)  ## Check style
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(INSTALLED)  ## Check types
	$(RUN) -m mypy

check: lint types test  ## Everything that must pass before a commit

clean:  ## Remove the virtual environment and what the demo made
	rm -rf $(VENV) $(DEMO) build *.egg-info
