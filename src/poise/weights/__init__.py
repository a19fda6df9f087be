"""What is done to weights after training: merge, quantize, check, probe."""
