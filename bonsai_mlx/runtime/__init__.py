"""The machine and the process that it runs: device, BLAS, memory."""
