"""Chat templates: known ones are rendered here, unknown ones in a child that cannot take more than its share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.text import chat_template, template_sandbox
from bonsai_mlx.text.chat_template import ChatTemplate

SOURCE = Path("tokenizer/chat_template.jinja")
TOKENS = {"eos_token": "<|im_end|>"}


def shipped() -> str:
    folder = lookup("seedling").embedded_folder
    assert folder
    return (folder.parent / "common" / SOURCE).read_text()


def test_the_programs_own_template_needs_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "_PROGRAM", ("/nonexistent",))
    assert "a fox" in ChatTemplate(shipped(), SOURCE).render("a fox", TOKENS)


def test_an_unknown_template_makes_the_same_text_as_a_known_one() -> None:
    unknown = ChatTemplate("{#- another -#}" + shipped(), SOURCE)
    for prompt in ("a fox", "größe 😀\n{{ 7 * 7 }}", "<|im_end|>"):
        assert unknown.render(prompt, TOKENS) == ChatTemplate(shipped(), SOURCE).render(prompt, TOKENS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0].content * 10**10 }}",
        "{{ messages[0].content.center(10**10) }}",
        "{{ '%10000000000d' % (messages | length) }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(t='a fox') %}{% for i in range(99999) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in range(99999) %}{{ messages[0].content }} and much more text than any prompt becomes{% endfor %}",
    ],
)
def test_a_template_without_an_end_ends(template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, limit = Path(template_sandbox.__file__).read_text(), f"\nMAX_CPU_S = {template_sandbox.MAX_CPU_S}\n"
    assert program.count(limit) == 1
    hasty = tmp_path / "hasty.py"
    hasty.write_text(program.replace(limit, "\nMAX_CPU_S = 1\n"))
    monkeypatch.setattr(chat_template, "_PROGRAM", (*chat_template._PROGRAM[:-1], str(hasty)))
    with pytest.raises(CheckpointError, match="the chat template fails"):
        ChatTemplate(template, SOURCE).render("a fox", TOKENS)


@pytest.mark.parametrize("template", ["{{ 'a' * 10**10 }}", "{{ " + "(" * 30_000 + ")" * 30_000 + " }}", "{% for"])
def test_a_template_that_does_not_even_compile_is_damaged(template: str) -> None:
    with pytest.raises(CheckpointError, match=r"chat template (is damaged|fails)"):
        ChatTemplate(template, SOURCE).render("a fox", TOKENS)


def test_the_child_keeps_to_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not see to that: then whoever started it does."""
    monkeypatch.setattr(chat_template, "_resident_bytes", lambda pid: 1 << 40)
    monkeypatch.setattr(chat_template, "_LOOK_S", 0.001)
    with pytest.raises(CheckpointError, match="more than 5 s or 512 MB"):
        ChatTemplate("{#- another -#}" + shipped(), SOURCE)
