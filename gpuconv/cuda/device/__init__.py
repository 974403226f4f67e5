"""What several kernels compute with, on the device."""
