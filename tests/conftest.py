"""What all tests share."""

from __future__ import annotations

import sys
from pathlib import Path

# Worker processes import what tests give them by name, so the helpers' folder must be on the path that they inherit.
sys.path.insert(0, str(Path(__file__).parent))
