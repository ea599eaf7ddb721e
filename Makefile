# What is done by hand most. The README's test command, which CI runs, needs none of this.
.PHONY: setup test lint docs

.venv/bin/python:
	python3 -m venv .venv

setup: .venv/bin/python  ## everything that developing needs; compiles the modules, too
	.venv/bin/pip install -q -c constraints.txt -e '.[dev,docs]'

test:  ## ten to fifteen minutes
	.venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	PYTHONPATH=.mypy .venv/bin/lint-imports

docs:  ## the site, into build/site
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict
