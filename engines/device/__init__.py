"""What the engines on NVIDIA GPUs share: calls in flight, errors, pictures and planes in a device's memory."""
