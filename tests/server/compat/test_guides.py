"""What other programs are told to enter."""

from __future__ import annotations

import json

import pytest

from server.compat.guides import Guide, Server, guides


def all_words(guide: Guide) -> str:
    return " ".join([guide.where, guide.code, guide.note, *(value for _, value in guide.settings)])


@pytest.mark.parametrize("token", [True, False])
def test_every_guide_says_where_the_token_goes(token: bool) -> None:
    server = Server("http://127.0.0.1:8000", "bonsai-ternary", "512x512", token)
    for guide in guides(server):
        assert (any(word in all_words(guide) for word in ("YOUR-TOKEN", "BONSAI_TOKEN"))) == token, guide.name


def test_an_assistant_finds_the_program_whatever_its_path() -> None:
    program = '/Users/me/my "tools"/.venv/bin/bonsai-mlx'
    server = Server("http://127.0.0.1:8000", "bonsai-ternary", "512x512", False, program)
    (guide,) = (guide for guide in guides(server) if "mcpServers" in guide.code)
    assert json.loads(guide.code)["mcpServers"]["bonsai"]["command"] == program
