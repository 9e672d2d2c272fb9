"""ONNX Runtime keeps to itself: from 1.32 on it would write what it does into the home folder, and send it away.

It looks at the environment when it is imported, so this room is imported before it. It also keeps a file open that
processes that are forked then wait for. Whoever wants it sets ``ORT_DISABLE_TELEMETRY`` to 0.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
