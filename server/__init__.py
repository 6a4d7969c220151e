"""The web application around the engine: HTTP, jobs, gallery, downloads. No tensor code.

The web process never imports MLX: everything that does runs in the child process that `worker` starts.
"""
