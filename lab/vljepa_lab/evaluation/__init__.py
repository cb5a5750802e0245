"""Quality (`vljepa eval`) and speed (`vljepa bench`), measured."""
