"""VL-JEPA: X-Encoder, Predictor, Y-Encoder and Y-Decoder, in nano's and the paper's sizes.

Modules that need torch (`blocks`, the four parts, `vl_jepa`, `weights`) are imported by name, never
from
here: the default path runs on the exported graphs without torch.
"""
