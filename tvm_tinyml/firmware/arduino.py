"""An Arduino library: library.properties, the model under src/, and a sketch that runs it once.

Layout: "Arduino library specification" (1.5 format, recursive). The builder compiles everything below src/ with src/ as
the include path and the flags of the board, so headers lie where includes look first.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from tvm_tinyml import __version__
from tvm_tinyml.errors import TargetError

from . import example
from .generated import METADATA, Generated

EXTRAS = "extras"


def arduino_project(model: Generated) -> dict[str, str]:
    """The library's folder; it goes to `libraries/` of a sketchbook, or to the IDE as a ZIP file.

    Raises TargetError for a model that calls an Ethos-U: there is no library with its driver.
    """
    if model.calls_npu:
        raise TargetError(
            "an Arduino library cannot bring the driver of an Ethos-U; leave -npu= out of the target"
        )
    sketch = f"{model.name}_check"
    return {
        "library.properties": _properties(model),
        **{f"src/{PurePosixPath(path).name}": text for path, text in model.code.items()},
        f"examples/{sketch}/{sketch}.ino": _sketch(model),
        # The specification reserves this folder for what no build looks at.
        f"{EXTRAS}/{METADATA}": model.files[METADATA],
    }


def _properties(model: Generated) -> str:
    target = f"Compiled for {model.config}: choose a board with that core or one that understands its instructions."
    fields = {
        "name": model.name,
        "version": __version__,
        "author": "tvm-tinyml",
        "maintainer": "tvm-tinyml",
        "sentence": f"The neural network {model.name} as C, with one static memory plan.",
        "paragraph": f"{target} Run File > Examples > {model.name} to check it on your board.",
        "category": "Data Processing",
        "url": "https://tvm.apache.org",
        "architectures": "*",
        "includes": f"{model.name}.h",
    }
    return "".join(f"{key}={value}\n" for key, value in fields.items())


def _sketch(model: Generated) -> str:
    return (
        f"/* Runs {model.name} once and says whether it passed\n * {example.checked(model)}.\n *\n"
        " * Build: put the library's folder into libraries/ of the sketchbook, or add it with\n"
        " * Sketch > Include Library > Add .ZIP Library, and open this example; or with arduino-cli:\n"
        f" *     arduino-cli compile --fqbn <board> --library <folder of the library> <folder of this sketch>\n */\n"
        f"{example.includes(model)}\n\n{example.memory(model)}\n\n"
        "void setup()\n{\n    Serial.begin(115200);\n}\n\n"
        f"void loop()\n{{\n    const int result = {example.check(model)};\n"
        f"    Serial.print({model.name}_version);\n"
        '    Serial.println(result == 0 ? ": passed" : ": failed");\n    delay(5000);\n}\n'
    )
