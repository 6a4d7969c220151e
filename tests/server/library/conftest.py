"""A gallery with pictures, as the tests of the gallery have it."""

from tests.server.gallery.conftest import _end_decoder, gallery, parts  # noqa: F401
