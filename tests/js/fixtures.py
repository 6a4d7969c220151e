"""Writes the pictures that the browser's metadata readers are tested with: `python fixtures.py FOLDER`.

Ours come from our own writer; the others are built with Pillow in the shapes that the programs document.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bonsai_mlx.images.metadata import Recipe, encode_png

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


def png(path: Path, *, compressed: bool = False, **texts: str) -> None:
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text, zip=compressed)
    picture().save(path, pnginfo=info)


def with_comment(path: Path, comment: bytes) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    picture().save(path, exif=exif.tobytes())  # the object itself counts as empty: it only holds a sub-directory


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def hostile(folder: Path) -> None:
    whole = encode_png(picture(), RECIPE)
    head, tail = whole[:33], whole[33:]  # after IHDR
    bomb = zlib.compress(b"a" * 50_000_000, 9)
    (folder / "bomb.png").write_bytes(head + chunk(b"zTXt", b"parameters\0\0" + bomb) + tail[-12:])
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cut-in-chunk.png").write_bytes(head + struct.pack(">I", 2**31 - 1) + b"tEXtparameters\0x")
    (folder / "not-an-image.png").write_bytes(b"<script>alert(1)</script>")
    loop = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + b"\0\0\0\0"
    (folder / "exif-loop.webp").write_bytes(b"RIFF\0\0\0\0WEBPEXIF" + struct.pack("<I", len(loop)) + loop)
    (folder / "jpeg-cut.jpg").write_bytes(b"\xff\xd8\xff\xe1\x10\x00Exif\0\0II*\0")
    png(folder / "hostile-infotext.png", parameters="a: " * 50_000)


def write(folder: Path) -> None:
    """Every fixture, into an existing folder."""
    (folder / "ours.png").write_bytes(encode_png(picture(), RECIPE))
    (folder / "ours-marked.png").write_bytes(encode_png(picture(), RECIPE, "mark"))
    png(folder / "a1111.png", parameters=INFOTEXT)
    png(folder / "a1111-zipped.png", compressed=True, parameters=INFOTEXT)
    png(folder / "bare-prompt.png", parameters="a fox: red, quick")
    png(folder / "swarm.png", parameters=json.dumps(SWARM))
    png(folder / "invoke.png", invokeai_metadata=json.dumps(INVOKE))
    png(folder / "comfy.png", prompt=json.dumps(COMFY), workflow="{}")
    with_comment(folder / "mflux.png", b"ASCII\0\0\0" + json.dumps(MFLUX, ensure_ascii=False).encode())
    with_comment(folder / "forge.jpg", b"UNICODE\0" + INFOTEXT.encode("utf-16-be"))
    with_comment(folder / "forge-little.webp", b"UNICODE\0" + INFOTEXT.encode("utf-16-le"))
    with_comment(folder / "camera.jpg", b"ASCII\0\0\0my holidays: sun, sea")
    escaped = json.dumps(DRAW_THINGS).replace('"', "&quot;")
    xmp = f"<x><exif:UserComment><rdf:Alt><rdf:li>{escaped}</rdf:li></rdf:Alt></exif:UserComment></x>"
    png(folder / "draw-things.png", **{"XML:com.adobe.xmp": xmp})
    png(folder / "plain.png")
    hostile(folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
