#!/usr/bin/env bash
# Print the path of the first Python 3.10-3.12 on PATH that can create a virtual environment; exit 1 without one.
set -u
probe='import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'
for name in python3.12 python3.11 python3.10 python3; do
    if path=$(command -v "$name") && "$path" -c "$probe" 2>/dev/null; then
        echo "$path"
        exit 0
    fi
done
exit 1
