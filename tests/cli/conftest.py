"""The Hub of the tests, which downloads by command use too."""

from tests.hub.conftest import *  # noqa: F403
