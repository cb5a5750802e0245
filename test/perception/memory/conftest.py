from __future__ import annotations

import pytest

pytest.importorskip("lancedb", reason="the memory needs the extra [memory]")
