# Two commands do everything on a machine with Python 3.11 and pip:
#   make demo    speaks an unseen sentence, listens to it, and leaves speech.wav and report.html in demo/
#   make test    passes the tests
# Each makes its own virtual environment once, and again when pyproject.toml or constraints.txt changes.

PYTHON ?= python3.11
INSTALL = pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test clean

demo: .venv-demo/ready
	.venv-demo/bin/audiogen demo --out demo

test: .venv-test/ready
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/python -m pytest

.venv-demo/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/$(INSTALL) --editable .
	touch $@

.venv-test/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/$(INSTALL) --editable '.[all,dev]'
	touch $@

clean:
	rm -rf .venv-demo .venv-test demo
