"""Which of the twenty kinds a region looks like: its silhouette beside those of many rendered examples.

A model's outlines are less sure than a pen's. So a region may be taken for a kind that it is not most like, as long as
nothing else is much nearer. Knows nothing of what a prompt asks for; `judge` decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..draw.palette import KINDS, NATURAL, contrast_accent
from ..draw.render import render
from ..draw.scene import Place, Scene, Subject
from ..draw.subjects_bonsai import FORMS
from .segmentation import Region, pixels_of, regions

MEASURES = ((0.13, 1), (0.3, 3), (0.19, 2), (0.22, 4), (0.16, 5), (0.26, 6))  # half side and seed of each example
BONSAI_MEASURES = ((0.13, 1), (0.3, 3), (0.2, 7), (0.38, 8))
ALIKE = 0.62  # the least likeness at which a silhouette is taken for a kind
DOUBT = 1.33  # how much farther from a kind than from the nearest one it may be
STRETCH = 0.4  # what a likeness loses when a region is e times as wide for its height as the example


@dataclass(frozen=True)
class Seen:
    """A region, how much it is like each kind (1: the same), and the form of the bonsai that it is most like."""

    region: Region
    likeness: dict[str, float]
    form: str

    def looks_like(self, kind: str) -> bool:
        """Whether it can be taken for one: nothing else is much nearer, in how far it is from being the same."""
        best = max(self.likeness.values())
        return self.likeness[kind] >= max(ALIKE, 1 - DOUBT * (1 - best))

    @property
    def kind(self) -> str:
        """The kind it is most like."""
        return max(self.likeness, key=self.likeness.__getitem__)


class Examples(NamedTuple):
    """Silhouettes [n, 1024] of 0 to 1, the sums of their squares [n], logs of width to height [n], kinds and forms."""

    silhouettes: NDArray[np.float32]
    squares: NDArray[np.float32]
    aspects: NDArray[np.float32]
    kinds: NDArray[np.str_]
    forms: NDArray[np.str_]


def recognise(region: Region) -> Seen:
    """Compare with every example: overlap of the silhouettes (Tanimoto's coefficient) less the difference in shape."""
    known = _examples()
    own = region.silhouette.astype(np.float32).ravel()
    both = known.silhouettes @ own
    overlap = both / (known.squares + own @ own - both)
    likeness = overlap - STRETCH * np.abs(known.aspects - region.aspect)
    best = {kind: float(likeness[known.kinds == kind].max()) for kind in KINDS}
    bonsai = np.where(known.kinds == "bonsai", likeness, -np.inf)
    return Seen(region, best, str(known.forms[bonsai.argmax()]))


@lru_cache(maxsize=1)
def _examples() -> Examples:
    """Every kind in several sizes, on paper and in a meadow, either way round."""
    seen = [(subject, found[0]) for subject, scene in _scenes() if (found := regions(pixels_of(render(scene))))]
    upright = np.stack([region.silhouette for _, region in seen]).astype(np.float32)
    silhouettes = np.concatenate([upright, upright[:, :, ::-1]]).reshape(2 * len(seen), -1)
    return Examples(
        silhouettes,
        (silhouettes**2).sum(1),
        np.array([region.aspect for _, region in seen] * 2, np.float32),
        np.array([subject.kind for subject, _ in seen] * 2),
        np.array([subject.form for subject, _ in seen] * 2),
    )


def _scenes() -> Iterator[tuple[Subject, Scene]]:
    for kind in KINDS:
        colour = "red" if kind == "house" else NATURAL[kind][0]
        plain = Subject(kind, colour, accent=contrast_accent(kind, colour))
        for form, season in product(FORMS, ("", "snow")) if kind == "bonsai" else [("", "")]:
            for number, (r, seed) in enumerate(BONSAI_MEASURES if kind == "bonsai" else MEASURES):
                subject = replace(plain, r=r, seed=seed, form=form, season=season)
                yield subject, Scene("single", (replace(subject, cy=0.5),), tint="pearl")
                if number < 2:
                    yield subject, Scene("single", (replace(subject, cy=0.6),), place=Place("day", "meadow"))
