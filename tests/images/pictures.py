"""Pictures as many programs write them, each with the settings that are to be found in it: one table for every reader.

Ours come from our own writer; the others are built with Pillow in the shapes that the programs write.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bonsai_mlx.images.metadata import Recipe, encode, encode_png

INFOTEXT = (
    "a red fox, ink wash\nsecond line\nNegative prompt: blurry, low quality\n"
    "Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 1234567890, Size: 640x384, "
    'Model: dreamshaper, Lora hashes: "a: 1, b: 2", Version: f2.0'
)
SWARM = {"sui_image_params": {"prompt": "a boat", "seed": 5, "steps": 8, "cfgscale": 1.0, "width": 1024, "height": 768}}
INVOKE = {"positive_prompt": "a cup", "negative_prompt": "dirt", "seed": 9, "steps": 30, "width": 512, "height": 512,
          "model": {"name": "sdxl"}}  # fmt: skip
MFLUX = {"mflux_version": "0.10", "prompt": "ein Bär im Wald 🐻", "seed": 3, "steps": 4, "width": 512, "height": 768,
         "model": "schnell", "guidance": 3.5}  # fmt: skip
DRAW_THINGS = {"c": "a quiet lake", "uc": "people", "seed": 77, "steps": 12, "size": "768x512", "scale": 4.5}
FOOOCUS = {"adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernautXL_v8", "base_model_hash": "aeb7e9e689",
           "full_negative_prompt": ["fog", "blurry"], "full_prompt": ["a lighthouse, café", "cinematic"],
           "guidance_scale": 4.0, "loras": [["sd_xl_offset", 0.1, "0x"]], "metadata_scheme": "fooocus",
           "negative_prompt": "fog", "performance": "Speed", "prompt": "a lighthouse, café",
           "refiner_model": "None", "resolution": "(1152, 896)", "sampler": "dpmpp_2m_sde_gpu",
           "scheduler": "karras", "seed": "8123456789012345678", "sharpness": 2.0, "steps": 30,
           "styles": "['Fooocus V2']", "vae": "Default (model)", "version": "Fooocus v2.5.5"}  # fmt: skip
COMFY = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 2**63 + 5, "steps": 25, "cfg": 8, "positive": ["6", 0],
          "negative": ["7", 0], "latent_image": ["5", 0], "sampler_name": "euler"}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 768, "height": 512, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["9", 0], "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["4", 1]}},
    "9": {"class_type": "PrimitiveString", "inputs": {"value": "a castle on a hill"}, "is_changed": [float("nan")]},
}  # fmt: skip
RECIPE = Recipe(
    prompt="a bonsai tree at sunset\nwith <b>two</b> lines, Steps: 3, and 盆栽",
    seed=4294967295, steps=4, width=256, height=256, variant="ternary", model="seedling-ternary",
)  # fmt: skip


def picture() -> Image.Image:
    return Image.new("RGB", (16, 16), (90, 120, 60))


def saved(form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, form, **options)
    return buffer.getvalue()


def png(*, compressed: bool = False, **texts: str) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text, zip=compressed)
    return saved("PNG", pnginfo=info)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(*chunks: bytes) -> bytes:
    plain = saved("PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def exif(comment: bytes) -> bytes:
    """An EXIF block with a UserComment in its own table, as the format has it."""
    block = Image.Exif()
    block.get_ifd(0x8769)[0x9286] = comment
    return bytes(block.tobytes())  # the object itself counts as empty: it only holds a sub-directory


def exif_root(**tags: Any) -> bytes:
    """An EXIF block with texts in its first table: `tag_9286="..."`."""
    block = Image.Exif()
    for name, value in tags.items():
        block[int(name.removeprefix("tag_"), 16)] = value
    return bytes(block.tobytes())


def xmp_comment(data: Any) -> str:
    escaped = json.dumps(data).replace('"', "&quot;")
    return f"<x><exif:UserComment><rdf:Alt><rdf:li>{escaped}</rdf:li></rdf:Alt></exif:UserComment></x>"


def wrong_checksum(png: bytes, kind: bytes) -> bytes:
    """The file with one bit of the checksum of its first chunk of that kind flipped."""
    at = png.index(kind)
    end = at + 4 + int.from_bytes(png[at - 4 : at])
    return png[:end] + bytes([png[end] ^ 1]) + png[end + 1 :]


def comfy(**changes: Any) -> str:
    """The graph above with other nodes, as JSON of Python's, which knows NaN."""
    return json.dumps(COMFY | changes)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


@dataclass(frozen=True)
class Case:
    """A picture and what has to be found in it: of `settings` every field, None for a picture that says nothing."""

    build: Callable[[], bytes]
    settings: dict[str, Any] | None
    extra: dict[str, str] = field(default_factory=dict)  # some of the other settings


_A1111 = {"source": "a1111", "program": "Forge", "prompt": "a red fox, ink wash\nsecond line",
          "negative": "blurry, low quality", "seed": 1234567890, "steps": 20, "width": 640, "height": 384,
          "model": "dreamshaper"}  # fmt: skip
_LORA = {"Lora hashes": "a: 1, b: 2"}
_SWARM = {"source": "swarmui", "program": "SwarmUI", "prompt": "a boat", "seed": 5, "steps": 8, "width": 1024,
          "height": 768}  # fmt: skip
_INVOKE = {"source": "invokeai", "program": "InvokeAI", "prompt": "a cup", "negative": "dirt", "seed": 9, "steps": 30,
           "width": 512, "height": 512, "model": "sdxl"}  # fmt: skip
_MFLUX = {"source": "mflux", "program": "mflux", "prompt": "ein Bär im Wald 🐻", "seed": 3, "steps": 4, "width": 512,
          "height": 768, "model": "schnell"}  # fmt: skip
_LAKE = {"source": "drawthings", "program": "Draw Things", "prompt": "a quiet lake", "negative": "people", "seed": 77,
         "steps": 12, "width": 768, "height": 512}  # fmt: skip
_COMFY = {"source": "comfyui", "program": "ComfyUI", "prompt": "a castle on a hill", "negative": "ugly",
          "seed": 2**63 + 5, "steps": 25, "width": 768, "height": 512, "model": "v1-5.safetensors"}  # fmt: skip
_FOOOCUS = {"source": "fooocus", "program": "Fooocus", "prompt": "a lighthouse, café", "negative": "fog",
            "seed": 8123456789012345678, "steps": 30, "width": 1152, "height": 896,
            "model": "juggernautXL_v8"}  # fmt: skip
_OURS = {"source": "bonsai", "program": "bonsai-mlx", "prompt": RECIPE.prompt, "seed": RECIPE.seed, "steps": 4,
         "width": 256, "height": 256, "model": "seedling-ternary", "recipe": RECIPE}  # fmt: skip
_FOX = {"source": "a1111", "prompt": "a fox", "negative": "dogs", "seed": 7, "steps": 20, "width": 512, "height": 768}
_NON_LATIN = "ein Bär, 狐, 🐻\nSteps: 20, Sampler: Euler, Seed: 7, Size: 512x768"
_BEAR = {
    "source": "a1111",
    "program": "A1111 or compatible",
    "prompt": "ein Bär, 狐, 🐻",
    "seed": 7,
    "steps": 20,
    "width": 512,
    "height": 768,
}
_TEMPLATE = "a fox\nNegative prompt: dogs\nSteps: 20, Sampler: Euler, Seed: 7, Size: 512x768, Template: a, \nred"
_ONE_LINE = "a fox Negative prompt: dogs Steps: 20, Sampler: Euler, Seed: 7, Size: 512x768"
_LINKED = comfy(**{
    "3": node("KSampler", seed=["20", 0], steps=["21", 0], cfg=8, positive=["6", 0], negative=["7", 0],
              latent_image=["5", 0]),
    "5": node("EmptyLatentImage", width=["22", 0], height=["22", 1]),
    "6": node("CLIPTextEncode", text=["23", 0], clip=["4", 1]),
    "7": node("CLIPTextEncode", text=["25", 0], clip=["4", 1]),
    "20": node("easy seed", seed=["26", 0]),
    "21": node("Int Literal", Number="25"),
    "22": node("CR SDXL Aspect Ratio", width=768, height=512, aspect_ratio="custom", batch_size=1),
    "23": node("StringConcatenate", string_a=["24", 0], string_b="on a hill", delimiter=" "),
    "24": node("PrimitiveStringMultiline", value="a castle"),
    "25": node("Text Multiline", Words="ugly"),
    "26": node("Reroute", any=["27", 0]),
    "27": node("PrimitiveInt", value=2**63 + 5),
})  # fmt: skip

CASES: dict[str, Case] = {
    "ours.png": Case(lambda: encode_png(picture(), RECIPE), _OURS),
    "ours.jpg": Case(lambda: encode(picture(), RECIPE, to="jpeg"), _OURS),
    "ours.webp": Case(lambda: encode(picture(), RECIPE, to="webp"), _OURS),
    "ours-marked.png": Case(lambda: encode_png(picture(), RECIPE, "mark"), None),
    "ours-marked.jpg": Case(lambda: encode(picture(), RECIPE, "mark", "jpeg"), None),
    "plain.png": Case(lambda: saved("PNG"), None),
    "a1111.png": Case(lambda: png(parameters=INFOTEXT), _A1111, _LORA),
    "a1111-zipped.png": Case(lambda: png(compressed=True, parameters=INFOTEXT), _A1111, _LORA),
    "bare-prompt.png": Case(
        lambda: png(parameters="a fox: red, quick"),
        {"program": "A1111 or compatible", "prompt": "a fox: red, quick", "seed": None},
    ),
    "forge.jpg": Case(lambda: saved("JPEG", exif=exif(b"UNICODE\0" + INFOTEXT.encode("utf-16-be"))), _A1111, _LORA),
    "forge.webp": Case(lambda: saved("WEBP", exif=exif(b"UNICODE\0" + INFOTEXT.encode("utf-16-le"))), _A1111, _LORA),
    "forge-with-a-mark.jpg": Case(lambda: saved("JPEG", exif=exif(b"UNICODE\0" + INFOTEXT.encode("utf-16"))), _A1111),
    "utf-8-in-text.png": Case(lambda: with_chunks(chunk(b"tEXt", b"parameters\0" + _NON_LATIN.encode())), _BEAR),
    "utf-8-in-ztxt.png": Case(
        lambda: with_chunks(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(_NON_LATIN.encode()))), _BEAR
    ),
    "latin-1-in-text.png": Case(
        lambda: with_chunks(chunk(b"tEXt", b"parameters\0" + "ein Bär".encode("latin-1"))), {"prompt": "ein Bär"}
    ),
    "latin-1-in-exif.jpg": Case(
        lambda: saved("JPEG", exif=exif(b"ASCII\0\0\0" + _NON_LATIN.replace("狐, 🐻", "é").encode("latin-1"))),
        _BEAR | {"prompt": "ein Bär, é"},
    ),
    "one-line.png": Case(lambda: png(parameters=_ONE_LINE), _FOX),
    "one-line-without-negative.jpg": Case(
        lambda: saved("JPEG", exif=exif(b"ASCII\0\0\0" + _ONE_LINE.replace("Negative prompt: dogs ", "").encode())),
        _FOX | {"negative": ""},
    ),
    "newline-in-a-value.png": Case(lambda: png(parameters=_TEMPLATE), _FOX, {"Template": "a, \nred"}),
    "newline-in-a-value-in-the-middle.png": Case(
        lambda: png(parameters=_TEMPLATE + ", Version: f2.0"), _FOX, {"Template": "a, \nred", "Version": "f2.0"}
    ),
    "newline-without-comma.png": Case(
        lambda: png(parameters=_TEMPLATE.replace("a, \nred", "a\nred, Model: m")), _FOX, {"Template": "a\nred"}
    ),
    "carriage-returns.png": Case(lambda: png(parameters=_TEMPLATE.replace("\n", "\r\n")), _FOX),
    "wrong-checksum.png": Case(lambda: wrong_checksum(png(parameters=INFOTEXT), b"tEXt"), _A1111),
    "ours-wrong-checksum.png": Case(lambda: wrong_checksum(encode_png(picture(), RECIPE), b"iTXt"), _OURS),
    "swarm.png": Case(lambda: png(parameters=json.dumps(SWARM)), _SWARM),
    "swarm.jpg": Case(lambda: saved("JPEG", exif=exif(b"UNICODE\0" + json.dumps(SWARM).encode("utf-16-le"))), _SWARM),
    "invoke.png": Case(lambda: png(invokeai_metadata=json.dumps(INVOKE)), _INVOKE),
    "mflux.png": Case(
        lambda: saved("PNG", exif=exif(b"ASCII\0\0\0" + json.dumps(MFLUX, ensure_ascii=False).encode())), _MFLUX
    ),
    "mflux.jpg": Case(lambda: saved("JPEG", exif=exif(b"ASCII\0\0\0" + json.dumps(MFLUX).encode())), _MFLUX),
    "fooocus.png": Case(
        lambda: png(parameters=json.dumps(FOOOCUS), fooocus_scheme="fooocus"), _FOOOCUS, {"sampler": "dpmpp_2m_sde_gpu"}
    ),
    "fooocus.jpg": Case(lambda: saved("JPEG", exif=fooocus_exif(json.dumps(FOOOCUS))), _FOOOCUS),
    "fooocus.webp": Case(lambda: saved("WEBP", exif=fooocus_exif(json.dumps(FOOOCUS))), _FOOOCUS),
    "fooocus-infotext.jpg": Case(
        lambda: saved("JPEG", exif=fooocus_exif(INFOTEXT)), _A1111 | {"source": "fooocus", "program": "Fooocus"}
    ),
    "draw-things.png": Case(lambda: png(**{"XML:com.adobe.xmp": xmp_comment(DRAW_THINGS)}), _LAKE),
    "draw-things.jpg": Case(lambda: saved("JPEG", xmp=xmp_comment(DRAW_THINGS).encode()), _LAKE),
    "draw-things.webp": Case(lambda: saved("WEBP", xmp=xmp_comment(DRAW_THINGS).encode()), _LAKE),
    "xmp-attribute.jpg": Case(
        lambda: saved("JPEG", xmp=f"<x exif:UserComment='{json.dumps(DRAW_THINGS)}'/>".encode()), _LAKE
    ),
    "description.jpg": Case(
        lambda: saved("JPEG", exif=exif_root(tag_010E=json.dumps({"prompt": "a cup", "seed": 9}))),
        {"source": "exif", "prompt": "a cup", "seed": 9},
    ),
    "camera.jpg": Case(lambda: saved("JPEG", exif=exif(b"ASCII\0\0\0my holidays: sun, sea")), None),
    "comfy.png": Case(lambda: png(prompt=json.dumps(COMFY), workflow="{}"), _COMFY),
    "comfy-links.png": Case(lambda: png(prompt=_LINKED), _COMFY),
    "comfy.webp": Case(lambda: saved("WEBP", exif=exif_root(tag_0110=f"prompt:{comfy()}")), _COMFY),
    "comfy-comment.jpg": Case(
        lambda: saved("JPEG", exif=exif(b"ASCII\0\0\0" + json.dumps({"prompt": COMFY}).encode())), _COMFY
    ),
}  # fmt: skip


def fooocus_exif(text: str) -> bytes:
    """Fooocus puts its text into the first table, without the name of an encoding."""
    return exif_root(tag_9286=text, tag_0131="Fooocus v2.5.5", tag_927C="fooocus")


def _hostile() -> dict[str, bytes]:
    whole = encode_png(picture(), RECIPE)
    head, tail = whole[:33], whole[33:]  # after IHDR
    bomb = zlib.compress(b"a" * 50_000_000, 9)
    loop = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + b"\0\0\0\0"
    return {
        "bomb.png": head + chunk(b"zTXt", b"parameters\0\0" + bomb) + tail[-12:],
        "truncated.png": whole[: len(whole) // 2],
        "cut-in-chunk.png": head + struct.pack(">I", 2**31 - 1) + b"tEXtparameters\0x",
        "not-an-image.png": b"<script>alert(1)</script>",
        "exif-loop.webp": b"RIFF\0\0\0\0WEBPEXIF" + struct.pack("<I", len(loop)) + loop,
        "jpeg-cut.jpg": b"\xff\xd8\xff\xe1\x10\x00Exif\0\0II*\0",
        "hostile-infotext.png": png(parameters="a: " * 50_000),
        "many-steps.png": png(parameters="Steps: 4 " * 50_000),
        "comfy-wide.png": png(prompt=json.dumps(_wide_graph())),
        "comfy-texts.png": png(prompt=json.dumps(_doubling_graph())),
    }


def _wide_graph() -> dict[str, Any]:
    """Thousands of nodes that ask one node with thousands of inputs."""
    nodes = {str(i): {"inputs": {"seed": ["x", 0], "text": ["x", 0]}} for i in range(8_000)}
    nodes["x"] = {"inputs": {f"i{i}": [str(i), 0] for i in range(8_000)}}
    return nodes | {"s": {"inputs": {"latent_image": ["x", 0], "positive": ["x", 0]}}}


def _doubling_graph() -> dict[str, Any]:
    """A text that is put together from itself twice, and that again, and so on."""
    nodes: dict[str, Any] = {
        str(i): {"inputs": {"text_a": [str(i + 1), 0], "text_b": [str(i + 1), 0]}} for i in range(99)
    }
    nodes["12"] = {"inputs": {"text": "x" * 10_000}}
    return nodes | {"s": {"inputs": {"latent_image": ["0", 0], "positive": ["0", 0]}}}


HOSTILE = _hostile()


def write(folder: Path) -> None:
    """Every picture, into an existing folder."""
    for name, case in CASES.items():
        (folder / name).write_bytes(case.build())
    for name, data in HOSTILE.items():
        (folder / name).write_bytes(data)
