"""Where uploads and results lie. To be imported before gradio, which reads the place as it is imported.

Gradio hands out what lies in its folder as it is, and copies there what it finds elsewhere; so results lie in it, too.
"""

import os
import tempfile
from pathlib import Path

_GIVEN = os.environ.get("GRADIO_TEMP_DIR")
# All that goes when the process ends: uploads too, but not those in a folder that somebody has named.
OWN = (Path(_GIVEN or Path(tempfile.gettempdir()) / "gradio") / f"depth-demo-{os.getpid()}").resolve()
RESULTS = OWN if _GIVEN else OWN / "results"
os.environ.setdefault("GRADIO_TEMP_DIR", str(OWN))
