"""`python -m bonsai_mlx`: the same as `bonsai-mlx`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
