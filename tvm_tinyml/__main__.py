"""`python -m tvm_tinyml` is the same program as `tvm-tinyml`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
