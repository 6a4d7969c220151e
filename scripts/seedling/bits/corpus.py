"""Training batches of bits, from the packed codes of all pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..model.corpus import Corpus
from ..model.networks import device
from ..model.run import Run
from .autoencoder import codes_file, unpacked_codes
from .shipped import bring_text


class BitCorpus(Corpus):
    """Clean bits -1 and +1 and captions; see Corpus."""

    def __init__(self, run: Run) -> None:
        """Reads what the stage "bits-codes" wrote."""
        bring_text(run)
        self._read_captions(run)
        paths = (codes_file(run), codes_file(run, half=True))
        self._full, self._half = (torch.from_numpy(np.load(path, mmap_mode="r+")) for path in paths)

    def clean(self, latents: Tensor) -> Tensor:
        """See Corpus."""
        return unpacked_codes(latents.numpy()).to(device())
