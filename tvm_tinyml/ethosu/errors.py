"""What the functional model refuses."""

from __future__ import annotations

from tvm_tinyml.errors import TinyMLError


class CommandStreamError(TinyMLError):
    """A command stream that is malformed, leaves its memory regions or asks for what the model does not know."""
