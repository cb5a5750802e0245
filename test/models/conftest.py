from __future__ import annotations

from importlib.util import find_spec

if find_spec("torch") and find_spec("transformers"):
    import torch

    torch.set_num_threads(1)
else:
    collect_ignore = ["test_paper_model.py", "test_perception_encoder.py", "test_preprocessing.py"]
