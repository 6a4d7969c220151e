"""The errors this package raises on purpose.

Each message says what is wrong, which file or field it is about, and what to do, so that a command line or a server
can show it as it is.
"""

from .printable import printable


class BonsaiError(Exception):
    """Base of every error a caller is expected to show to a person.

    Its text may quote files and servers, so it is one line without anything that a terminal would obey.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class CheckpointError(BonsaiError):
    """A checkpoint folder is missing, incomplete, damaged or of a kind this package does not run."""


class DownloadError(BonsaiError):
    """A download could not start or finish; what has arrived is kept and the same call resumes it."""


class CheckpointInUse(DownloadError):
    """Another process is downloading, checking or deleting the same checkpoint; once it has ended, the call works."""


class RequestError(BonsaiError):
    """A generation request is not acceptable; `field` names the part of it that is at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class OutOfMemory(BonsaiError):
    """The device cannot hold what the next operation needs, or a memory limit is too small for the request."""


class DeviceError(BonsaiError):
    """The device, or the system that shares it out, stopped the work; the same request may well succeed later."""


class UpscalerError(BonsaiError):
    """A file holds no upscaler of a kind that is run here, or is not whole."""


class NoWriterError(BonsaiError):
    """Nothing here can write, for the reason that the text gives."""


class MissingLibraryError(BonsaiError):
    """A library that is installed apart is not here; `remedy` is the command that brings it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; get it with: {remedy}")
        self.message = message
        self.remedy = remedy


class PictureError(BonsaiError):
    """A file is no picture that can be read here, or one that costs more than is spent on one."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        # "unreadable", "too_large", "too_many_pixels", "no_memory", "too_slow", "crashed" or "no_mask"
        self.reason = reason
