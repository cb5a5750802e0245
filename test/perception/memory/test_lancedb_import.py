"""What of LanceDB is imported."""

from __future__ import annotations

import subprocess
import sys


def test_the_client_of_remote_catalogues_is_left_out_and_can_still_be_imported() -> None:
    code = (
        "import sys\n"
        "from vljepa_ros.perception.memory.lancedb_import import CATALOGUES, import_lancedb\n"
        "print(import_lancedb().__name__, [m for m in sys.modules if m.startswith(CATALOGUES)])\n"
        "print([f for f in sys.meta_path if type(f).__module__.startswith('vljepa_ros')])\n"
        "from lance_namespace_urllib3_client.models import ListTablesResponse\n"
        "print('tables' in ListTablesResponse.model_fields)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.stdout.splitlines() == ["lancedb []", "[]", "True"], done.stderr
