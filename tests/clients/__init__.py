"""What others make of this library: each file is an example to be copied, and has a test beside it."""
