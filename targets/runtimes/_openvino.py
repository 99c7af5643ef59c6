"""The openvino package without its reports to its makers.

Importing this file bars `openvino_telemetry`, so that openvino and nncf use a stub of their own. Without it `import openvino`,
each convert_model and each nncf.quantize call Google Analytics, unasked, from a forked process: 0.3 to 0.8 s a time where
there is no network. It has to happen before anybody imports openvino, and so at import and not in a function.
"""

from __future__ import annotations

import sys
from typing import Any

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None is how a module is barred


def library() -> Any:
    """The openvino package."""
    import openvino

    return openvino
