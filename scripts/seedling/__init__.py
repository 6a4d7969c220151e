"""The pipeline that makes the embedded demonstration checkpoints: drawn data, training, export, evaluation.

Not part of the installed package, and never imported by it.
"""
