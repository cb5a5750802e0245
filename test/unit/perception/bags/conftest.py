from __future__ import annotations

import sys
from pathlib import Path

# colour_engine.py lies one folder up
sys.path.append(str(Path(__file__).parent.parent))
