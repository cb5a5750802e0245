"""VL-JEPA: X-Encoder, Predictor, Y-Encoder and Y-Decoder, in nano's and the paper's sizes.

Modules that need torch (`nano_model`, `nano_heads`, `nano_weights`, `paper_model`) are never
imported here: by default the exported graphs run without torch.
"""
