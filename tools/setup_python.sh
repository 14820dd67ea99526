#!/usr/bin/env bash
# Make .venv: Python 3.10-3.12, the packages pinned in tools/constraints.txt, and this checkout, editable.
#
# A stamp in .venv holds the checksum of what the environment was made from; while it matches, nothing is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=.venv/bin/python
stamp=.venv/.tvm-tinyml-setup
# An editable install points at this folder, so a checkout that was moved is set up again.
made_from=$({ pwd; cat pyproject.toml tools/constraints.txt tools/setup_python.sh; } | sha256sum)
if [[ -x $python && -f $stamp && $(<"$stamp") == "$made_from" ]]; then
    exit 0
fi

if ! [[ -x $python ]] || ! "$python" -m pip --version >/dev/null 2>&1; then
    if ! base=$(tools/find_python.sh); then
        echo "setup: no Python 3.10, 3.11 or 3.12 with venv on PATH; run tools/setup_system.sh" >&2
        exit 1
    fi
    echo "setup: creating .venv with $("$base" --version)"
    "$base" -m venv .venv
fi
if ! "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'; then
    echo "setup: .venv holds $("$python" --version), but 3.10-3.12 is needed; remove .venv and run make again" >&2
    exit 1
fi

echo "setup: installing the pinned Python packages into .venv"
install=("$python" -m pip install --disable-pip-version-check --constraint tools/constraints.txt)
# The build backend is installed first and used from .venv: an isolated build would fetch an unpinned one.
"${install[@]}" hatchling editables
"${install[@]}" --no-build-isolation --editable '.[dev]'
"$python" -m pip check
echo "$made_from" >"$stamp"
