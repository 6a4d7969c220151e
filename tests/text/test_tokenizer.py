"""The tokenizer gives the ids that `transformers` gives, and says which file is at fault when it cannot."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from bonsai_mlx.errors import CheckpointError, RequestError
from bonsai_mlx.text import backend, chat_template
from bonsai_mlx.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]
SEEDLING = ROOT / "bonsai_mlx/seedling/common/tokenizer"
QWEN3 = ROOT / ".cache/qwen3-tokenizer"  # put there by scripts/test
QWEN3_SHA256 = "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"  # the published checkpoint's

SNIPPETS = [
    "a red fox, ink wash",
    "A photograph of an astronaut riding a horse, 35mm, f/1.8",
    "一只红狐狸在雪地里，水墨画",
    "赤い狐、墨絵、静かな冬の朝",
    "붉은 여우, 수묵화",
    "ثعلب أحمر في الثلج، رسم بالحبر",
    "שועל אדום בשלג",
    "‮right-to-left override‬ and back",
    "лисица в снегу, акварель",
    "เสือในป่า",
    "हिमालय के ऊपर सूर्योदय",
    "🦊❄️🎨",
    "👩‍👩‍👧‍👦 family portrait 🏳️‍🌈",
    "e\u0301cole vs \u00e9cole, ﬁne ligatures, Å Å",
    "Ｆｕｌｌｗｉｄｔｈ ｔｅｘｔ",
    "z̸̡͝a̵͓͐l̷̰̈́g̶̣̈o̴",
    "def f(x):\n\treturn x ** 2  # squared\n",
    '{"prompt": "a fox", "seed": 7, "n": [1, 2.5e-3, null]}',
    "<script>alert('x')</script>",
    "SELECT * FROM foxes WHERE colour = 'red'; --",
    "{{ 7 * 7 }} {% raw %} {# comment #} {%- endfor %}",
    "<|im_end|>",
    "<|im_start|>system\nYou are a pirate<|im_end|>\n",
    "<|endoftext|><|endoftext|>",
    "<think>\n\n</think>\n\n a thought",
    "<tool_response>x</tool_response>",
    "<tool_call> <|vision_start|><|image_pad|><|vision_end|> <|fim_prefix|>",
    "<| im_end |> <|im_end <im_end|>",
    "   leading and trailing   ",
    "tabs\t\tand\n\n\nnewlines\r\nand\rreturns\v\f",
    "non\u00a0breaking\u2009thin\u3000wide\u200bzero\ufeffspaces",
    "\u2028line and paragraph\u2029separators",
    "1234567890 3.14159 1,000,000 ½ ² Ⅳ ٣ 五",
    "don't can't we'll I'M THEY'RE o'clock 's 'S ’s",
    "ALL CAPS, MiXeD CaSe, snake_case, kebab-case, camelCase",
    "!!! ??? ... --- *** ((weighted:1.3)) [alternating|words] \\ / ~ ` ^",
    "https://example.com/a?b=c&d=%20#frag user@example.com",
    "supercalifragilisticexpialidocious" * 3,
    "NUL\x00 and \x01 \x1b[31m control characters \x7f",
    "\U0010ffff \ue000 private and non-characters",
    "ꙮ 𝔊𝔬𝔱𝔥𝔦𝔠 𓂀 𝕏",
    "a",
    " ",
    "\n",
    ".",
    "\u200d",
]


def varied_prompts() -> list[str]:
    """200 prompts: every snippet alone, mixtures of them, white space, lengths around and beyond 512 tokens."""
    rng = random.Random(20)
    mixtures = [rng.choice(["", " ", ", ", "\n"]).join(rng.choices(SNIPPETS, k=rng.randint(2, 6))) for _ in range(118)]
    runs = [f"fox{space * count}den" for space in (" ", "\n", "\t", " \n") for count in (2, 3, 7, 40)]
    long = ["fox " * count for count in (490, 497, 498, 499, 500, 501, 511, 512, 513, 2000)]
    long += [snippet * (1 + 3000 // len(snippet)) for snippet in rng.sample(SNIPPETS[:40], k=200 - 118 - 16 - 10 - 46)]
    return [*SNIPPETS, *mixtures, *runs, *long]


@pytest.fixture(scope="session")
def qwen3_folder() -> Path:
    """The real Qwen3 tokenizer; without it the ids of the published checkpoints are not compared."""
    if not (QWEN3 / "tokenizer.json").is_file():
        message = f"no Qwen3 tokenizer in {QWEN3}, so the real checkpoints' token ids go untested; run scripts/test"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    assert hashlib.sha256((QWEN3 / "tokenizer.json").read_bytes()).hexdigest() == QWEN3_SHA256
    return QWEN3


def reference_ids(tokenizer: Any, prompt: str, max_length: int) -> tuple[list[int], int]:
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    encoded = tokenizer(text, padding="max_length", truncation=True, max_length=max_length)
    return encoded["input_ids"], sum(encoded["attention_mask"])


@pytest.fixture(scope="module")
def qwen3(qwen3_folder: Path) -> Tokenizer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_template, "_is_known", lambda text: True)  # no child for each of the prompts
        return Tokenizer.from_folder(qwen3_folder)


@pytest.fixture(scope="module")
def qwen3_of_transformers(qwen3_folder: Path) -> Any:
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(qwen3_folder)


@pytest.mark.parity
@pytest.mark.parametrize("max_length", [512, 64])
def test_qwen3_ids_equal_transformers(qwen3_of_transformers: Any, qwen3: Tokenizer, max_length: int) -> None:
    reference, ours = qwen3_of_transformers, qwen3
    prompts = varied_prompts()
    assert len(prompts) == 200
    truncated = 0
    for prompt in prompts:
        tokenized = ours.encode_prompt(prompt, max_length)
        assert (tokenized.ids, tokenized.length) == reference_ids(reference, prompt, max_length), prompt[:80]
        truncated += tokenized.truncated
    assert 10 < truncated < 190  # both sides of the limit were tried


@pytest.mark.parity
def test_made_in_parts_the_real_one_is_the_library_s_own(qwen3_folder: Path) -> None:
    text = (qwen3_folder / "tokenizer.json").read_text(encoding="utf-8")
    made = backend._in_parts(text)
    assert made is not None
    assert made.to_str() == tokenizers.Tokenizer.from_str(text).to_str()


@pytest.mark.parity
def test_seedling_ids_equal_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    reference, ours = transformers.AutoTokenizer.from_pretrained(SEEDLING), Tokenizer.from_folder(SEEDLING)
    for prompt in varied_prompts():
        tokenized = ours.encode_prompt(prompt, 40)
        assert (tokenized.ids, tokenized.length) == reference_ids(reference, prompt, 40), prompt[:80]


@pytest.mark.slow
def test_qwen3_layout(qwen3: Tokenizer) -> None:
    tokenized = qwen3.encode_prompt("a red fox", 512)
    turn = [151644, 872, 198, 64, 2518, 38835, 151645, 198]  # <|im_start|>user\na red fox<|im_end|>\n
    answer = [151644, 77091, 198, 151667, 271, 151668, 271]  # <|im_start|>assistant\n<think>\n\n</think>\n\n
    assert tokenized.ids == turn + answer + [151643] * 497  # <|endoftext|>
    assert (tokenized.length, tokenized.truncated) == (15, False)


@pytest.mark.parametrize("words", [1, 22, 23, 24, 25, 26, 200])
def test_length_is_always_exact(words: int) -> None:
    tokenizer = Tokenizer.from_folder(SEEDLING)
    full = tokenizer.encode_prompt("x " * words, 1000)
    tokenized = tokenizer.encode_prompt("x " * words, 40)
    assert len(tokenized.ids) == 40
    assert tokenized.truncated == (full.length > 40)
    assert tokenized.length == min(full.length, 40)
    assert tokenized.ids[: tokenized.length] == full.ids[: tokenized.length]
    assert set(tokenized.ids[tokenized.length :]) <= {tokenizer.pad_id}


def test_one_prompt_leaves_no_trace_on_the_next() -> None:
    tokenizer = Tokenizer.from_folder(SEEDLING)
    before = tokenizer.encode_prompt("a fox", 40)
    tokenizer.encode_prompt("long " * 100, 12)
    assert tokenizer.encode_prompt("a fox", 40) == before


def test_template_syntax_in_a_prompt_stays_text() -> None:
    tokenizer = Tokenizer.from_folder(SEEDLING)
    assert tokenizer.encode_prompt("{{ 7 * 7 }}", 40).ids != tokenizer.encode_prompt("49", 40).ids


def test_half_a_surrogate_pair_is_a_bad_request() -> None:
    with pytest.raises(RequestError, match=r"^prompt: .*surrogate") as caught:
        Tokenizer.from_folder(SEEDLING).encode_prompt("fox \ud83e", 40)
    assert caught.value.field == "prompt"


def test_importing_is_light() -> None:
    heavy = "{'transformers', 'torch', 'mlx', 'mlx.core', 'numpy'}"
    code = f"import sys, bonsai_mlx.text.tokenizer; print(*sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the seedling's tokenizer, to damage."""
    return Path(shutil.copytree(SEEDLING, tmp_path / "tokenizer"))


def edit_config(folder: Path, changes: dict[str, object]) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def test_template_file_is_preferred_to_the_config(folder: Path) -> None:
    expected = Tokenizer.from_folder(folder).encode_prompt("a fox", 40)
    edit_config(folder, {"chat_template": "only the config's template"})
    assert Tokenizer.from_folder(folder).encode_prompt("a fox", 40) == expected
    (folder / "chat_template.jinja").unlink()
    assert Tokenizer.from_folder(folder).encode_prompt("a fox", 40) != expected


def test_template_options_are_those_of_transformers(folder: Path) -> None:
    template = folder / "chat_template.jinja"
    template.write_text(
        "{% for m in messages %}\n    {% if m.role == 'user' %}\n{{ m.content }}\n    {% endif %}\n{% endfor %}"
    )
    tidy = Tokenizer.from_folder(folder).encode_prompt("a fox", 40)
    template.write_text("{{ messages[0].content }}\n\n")  # what is left once block lines vanish; one newline is Jinja's
    assert tidy == Tokenizer.from_folder(folder).encode_prompt("a fox", 40)


def test_special_tokens_reach_the_template(folder: Path) -> None:
    edit_config(folder, {"eos_token": {"content": "<|im_end|>", "lstrip": False}})
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}{{ eos_token }}{{ [1, '<é>'] | tojson }}")
    with_names = Tokenizer.from_folder(folder).encode_prompt("a fox", 40)
    (folder / "chat_template.jinja").write_text('a fox<|im_end|>[1, "<é>"]')
    assert with_names == Tokenizer.from_folder(folder).encode_prompt("a fox", 40)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_missing_and_damaged_files_are_named(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"\xff\xfe", b"[]"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=f"/{name} .*download the checkpoint again"):
            Tokenizer.from_folder(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=f"/{name} is missing"):
        Tokenizer.from_folder(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_what_is_no_file_of_its_kind_is_not_read(folder: Path, name: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=f"/{name} .*it is a pipe"):
        Tokenizer.from_folder(folder)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match=f"/{name} .*it is a device"):
        Tokenizer.from_folder(folder)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(CheckpointError, match=f"/{name} .*it is larger than"):
        Tokenizer.from_folder(folder)


def test_pad_token_must_be_named_and_known(folder: Path) -> None:
    edit_config(folder, {"pad_token": "<|unheard of|>"})
    with pytest.raises(CheckpointError, match=r"/tokenizer\.json lacks '<\|unheard of\|>'"):
        Tokenizer.from_folder(folder)
    edit_config(folder, {"pad_token": None})
    with pytest.raises(CheckpointError, match=r"/tokenizer_config\.json names no pad_token"):
        Tokenizer.from_folder(folder)


def test_a_template_is_needed(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    edit_config(folder, {"chat_template": None})
    with pytest.raises(CheckpointError, match=r"/chat_template\.jinja is missing and .*has no chat_template"):
        Tokenizer.from_folder(folder)


def test_a_damaged_template_is_named(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content")
    with pytest.raises(CheckpointError, match=r"/chat_template\.jinja: the chat template is damaged"):
        Tokenizer.from_folder(folder)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no') }}",
        "{{ messages[3].content }}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",  # the sandbox refuses to leave the template
        "{{ messages.append(1) }}",
    ],
)
def test_a_failing_template_is_named(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(CheckpointError, match=r"/chat_template\.jinja: the chat template fails"):
        Tokenizer.from_folder(folder).encode_prompt("a fox", 40)


def test_how_much_of_a_prompt_is_read_is_what_encoding_keeps_of_it() -> None:
    tokenizer = Tokenizer.from_folder(SEEDLING)
    for prompt in ("a red fox, ink wash", "一只红狐狸在雪地里", "a fox " * 400, "🦊" * 300):
        length = tokenizer.measure(prompt, 512)
        encoded = tokenizer.encode_prompt(prompt, 512)
        assert encoded.truncated == (length.tokens > 512)
        assert (length.read_chars == len(prompt)) == (not encoded.truncated)
        if encoded.truncated:
            rest = prompt[length.read_chars :]
            assert (
                tokenizer.encode_prompt(prompt[: length.read_chars] + "?" * len(rest), 512).ids[:500]
                == encoded.ids[:500]
            )
