"""XMP packets: the one that our own files get, and the two things that are read from anybody's.

Values are found as text: an XML parser would bring its own ways to be attacked.
"""

from __future__ import annotations

import hashlib
import html
import re

from .recipe import APP, Recipe

OUR_TOOLKIT = f'x:xmptk="{APP}"'
MAX_PACKET_BYTES = 65_502  # of a JPEG's segment; what is longer goes into an extension

_RECIPE = "bonsai:recipe"
_COMMENT = "exif:UserComment"
_TRAINED_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_NOT_IN_XML = re.compile("[\ufffe\uffff]")  # the only characters of canonical JSON that XML cannot hold


def mark(recipe: Recipe, *, extra: str = "") -> str:
    """The packet that programs look for when they ask whether a picture was made by a model. Never holds the prompt.

    `extra`: one more element of the description, as XML.
    """
    tool, model = (html.escape(_printable(text)) for text in (f"{recipe.app} {recipe.app_version}", recipe.model_title))
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" {OUR_TOOLKIT}>
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{_TRAINED_MODEL}</Iptc4xmpExt:DigitalSourceType>
   <Iptc4xmpExt:AISystemUsed>{model}</Iptc4xmpExt:AISystemUsed>
   <xmp:CreatorTool>{tool}</xmp:CreatorTool>{extra}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def whole(recipe: Recipe) -> str:
    """The mark with the recipe in it, however long that makes it: for containers without a limit."""
    return mark(recipe, extra=f"\n   {_recipe_element(recipe)}")


def extended(recipe: Recipe) -> tuple[str, str, bytes]:
    """For a JPEG that has no room for `whole`: the mark, the digest that it names its extension by, the extension."""
    extension = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" {OUR_TOOLKIT}>
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="">{_recipe_element(recipe)}</rdf:Description>
 </rdf:RDF>
</x:xmpmeta>""".encode()
    digest = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()  # as the XMP specification has it
    note = f'<xmpNote:HasExtendedXMP xmlns:xmpNote="http://ns.adobe.com/xmp/note/">{digest}</xmpNote:HasExtendedXMP>'
    return mark(recipe, extra=f"\n   {note}"), digest, extension


def recipe_in(xmp: str) -> str:
    return _value(xmp, _RECIPE)


def comment_in(xmp: str) -> str:
    """The EXIF comment that Draw Things and others repeat in XMP, "" where there is none."""
    return _value(xmp, _COMMENT).strip()


def _recipe_element(recipe: Recipe) -> str:
    text = _NOT_IN_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", recipe.to_json().decode())
    return f'<{_RECIPE} xmlns:bonsai="urn:bonsai-mlx:">{html.escape(text, quote=False)}</{_RECIPE}>'


def _value(xmp: str, name: str) -> str:
    """The text of the first element of that name, or the value of an attribute: XMP allows both for the same thing."""
    start = xmp.find(f"<{name}")
    end = xmp.find(f"</{name}>", start)
    if 0 <= start < end:
        return html.unescape(re.sub(r"<[^<>]*>", "", xmp[start:end]))
    attribute = re.search(rf"\s{name}\s?=\s?([\"'])", xmp)
    end = xmp.find(attribute[1], attribute.end()) if attribute else -1
    return html.unescape(xmp[attribute.end() : end]) if attribute and end >= 0 else ""


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
