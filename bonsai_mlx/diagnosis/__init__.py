"""Is this machine ready, do its kernels compute what they should, and how fast is it?"""
