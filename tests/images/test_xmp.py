"""XMP packets: ours, and what is read from anybody's."""

from __future__ import annotations

import hashlib
from xml.etree import ElementTree

import pytest
from hypothesis import given

from bonsai_mlx.images import xmp
from bonsai_mlx.images.recipe import Recipe

from ..recipes import RECIPES, a_recipe


@given(RECIPES)
def test_a_recipe_comes_back_from_a_packet_that_xml_readers_take(recipe: Recipe) -> None:
    packet = xmp.whole(recipe)
    ElementTree.fromstring(packet.partition("?>")[2].rpartition("<?")[0])  # noqa: S314  our own
    assert Recipe.from_json(xmp.recipe_in(packet)) == recipe


@given(RECIPES)
def test_the_mark_says_that_a_model_made_it_and_never_what(recipe: Recipe) -> None:
    packet = xmp.mark(recipe)
    assert "trainedAlgorithmicMedia" in packet
    assert xmp.recipe_in(packet) == ""
    root = ElementTree.fromstring(packet.partition("?>")[2].rpartition("<?")[0])  # noqa: S314  our own
    tool = root.find(".//{http://ns.adobe.com/xap/1.0/}CreatorTool")
    assert tool is not None
    assert (tool.text or "").startswith("bonsai-mlx")


def test_a_packet_that_is_too_long_names_its_extension_by_digest() -> None:
    recipe = a_recipe(prompt="x" * 70_000)
    packet, digest, extension = xmp.extended(recipe)
    assert len(packet.encode()) < xmp.MAX_PACKET_BYTES < len(extension)
    assert digest == hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
    assert digest in packet
    assert Recipe.from_json(xmp.recipe_in(extension.decode())) == recipe


@pytest.mark.parametrize(
    ("packet", "comment"),
    [
        ("<exif:UserComment><rdf:Alt><rdf:li>a &lt;fox&gt;</rdf:li></rdf:Alt></exif:UserComment>", "a <fox>"),
        ('<rdf:Description exif:UserComment="a fox"/>', "a fox"),
        ("<rdf:Description exif:UserComment = 'a fox'/>", "a fox"),
        ("<exif:UserComment>never ended", ""),
        ('<rdf:Description exif:UserComment="never ended', ""),
        ("", ""),
    ],
)
def test_a_comment_as_an_element_or_an_attribute(packet: str, comment: str) -> None:
    assert xmp.comment_in(packet) == comment
