"""What the command `gpuconv` does: one module per command, imported when it is called."""
