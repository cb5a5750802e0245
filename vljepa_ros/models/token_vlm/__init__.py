"""Token VLMs (Qwen2.5-VL, InstructBLIP): they write an answer token by token, without embedding."""
