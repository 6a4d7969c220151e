"""The steps that pictures of the gallery came about by: from their files, and where those say too little, the index."""

from __future__ import annotations

import json
import logging
from typing import Any

from bonsai_mlx.errors import PictureError
from bonsai_mlx.pipelines.chains import MAX_STEPS, merged

from ..errors import ApiError
from ..gallery.convert import Steps
from ..gallery.decoder import Decoder
from ..gallery.gallery import Gallery
from ..schemas.jobs import Job

log = logging.getLogger("bonsai.jobs")

Chain = list[dict[str, Any]]


class Chains:
    """Use from the event loop."""

    def __init__(self, gallery: Gallery, decoder: Decoder) -> None:
        self._gallery = gallery
        self._decoder = decoder

    async def before(self, job: Job) -> Chain:
        """The steps that led to what goes into a job; none where they are too many, or not known."""
        parents = dict.fromkeys(one.id for one in job.parents if one.role != "mask")
        return merged([await self.to(parent) for parent in parents])

    async def to(self, image_id: str, deep: int = MAX_STEPS) -> Chain:
        """The steps that an image came about by, its own last; none where it is gone or was not made here."""
        try:
            parents = self._gallery.details(image_id).parents
            own: Chain = json.loads(await self._decoder.decode(self._gallery.file(image_id), Steps()))
        except (ApiError, OSError, PictureError) as error:
            log.info("the steps of image %s are not known: %s", image_id, error)
            return []
        if len(own) != 1 or deep <= 1:  # it tells all, or nothing
            return own
        ids = dict.fromkeys(one.id for one in parents if one.role != "mask")
        return [*merged([await self.to(parent, deep - 1) for parent in ids]), *own]
