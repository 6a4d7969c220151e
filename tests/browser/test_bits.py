"""A model that draws in bits on the page: chosen, told what others are not told, watched, and its pictures as codes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.images.bitcode import BitCode
from tests.browser.driver import DRAWN_WITHIN_MS, Site, Watch, wait_until_ready

pytestmark = pytest.mark.browser

# A server whose catalog has a tiny model of bits with random weights.
WITH_BITS = """
import os
from pathlib import Path
from bonsai_mlx.hub import published
from bonsai_mlx.hub.entry import Entry
note = "Draws in bits: a picture begins as coins and ends as 2 KB."
bits = Entry(
    "seedling-bits", "Seedling of bits", note, "binary", embedded_folder=Path(os.environ["BITS_OF_TESTS"]),
    recommended_steps=16, recommended_size=(64, 64), family="bits", resident_bytes=2_000_000,
)
published.CATALOG = (*(one for one in published.CATALOG if one.family != "bits"), bits)
from server.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def bits_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("bits-site")
    os.environ["BITS_OF_TESTS"] = str(make_checkpoint(folder / "tiny", "tiny-bits", "binary"))
    site = Site(folder, program=("-c", WITH_BITS))
    yield site
    site.stop()
    del os.environ["BITS_OF_TESTS"]


@pytest.fixture
def chosen(bits_site: Site, open_page: Callable[..., Page]) -> Page:
    page = open_page(bits_site.url)
    wait_until_ready(page)
    page.get_by_text("More models").click()
    page.get_by_role("radio", name="Seedling of bits").check()
    return page


def drawn(page: Page) -> str:
    """Press Generate and wait; the id of the picture."""
    with page.expect_response(re.compile("/jobs$")) as answer:
        page.get_by_role("button", name="Generate").click()
    assert answer.value.status == 202, answer.value.text()
    job: str = answer.value.json()["jobs"][0]["id"]
    # what another test has asked for may be on the stage before it
    expect(page.locator(f"#stage .frame a[data-view='{job}'] img")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    expect(page.locator("#cancel")).to_have_count(0, timeout=DRAWN_WITHIN_MS)
    return job


def test_it_is_chosen_under_more_models_and_said_what_it_is(chosen: Page) -> None:
    expect(chosen.locator("#model-note")).to_contain_text("a picture begins as coins and ends as 2 KB")
    expect(chosen.locator("#steps")).to_have_value("16")
    expect(chosen.locator("#steps-hint")).to_contain_text("16 steps recommended")
    expect(chosen.get_by_label("Temperature")).to_be_visible()
    chosen.locator("#variants").get_by_role("radio").first.check()
    expect(chosen.locator("#steps")).to_have_value("4")
    expect(chosen.get_by_label("Temperature")).to_be_hidden()
    expect(chosen.get_by_label("Without words")).to_be_hidden()


def test_what_is_asked_for_has_a_size_of_the_model_just_chosen(bits_site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(bits_site.url)
    wait_until_ready(page)
    held: list[Route] = []
    page.route(re.compile(r"/sizes\?"), lambda route: held.append(route))
    page.get_by_text("More models").click()
    with page.expect_request(re.compile(r"/sizes\?")):
        page.get_by_role("radio", name="Seedling of bits").check()
    page.locator("#prompt").fill("a cup")
    with page.expect_request(re.compile("/jobs$")) as asked:
        page.get_by_role("button", name="Generate").click()
        held.pop().continue_()
    body = asked.value.post_data_json
    assert (body["model"], body["width"], body["height"]) == ("seedling-bits", 64, 64)


def test_temperature_and_no_words_are_asked_for_and_come_back(chosen: Page, watch: Watch, bits_site: Site) -> None:
    watch.expected += ["status of 422"]
    chosen.locator("#prompt").fill("")
    chosen.get_by_role("button", name="Generate").click()
    expect(chosen.locator("#prompt-error")).to_be_visible()
    chosen.get_by_label("Without words").check()
    chosen.get_by_label("Temperature").fill("9")
    chosen.get_by_role("button", name="Generate").click()
    expect(chosen.locator("#temperature-error")).to_be_visible()
    chosen.get_by_label("Temperature").fill("0.5")
    chosen.locator("#steps").fill("2")
    image = drawn(chosen)
    request = chosen.request.get(f"{bits_site.url}/jobs/{image}").json()["request"]
    assert (request["unconditional"], request["temperature"], request["prompt"]) == (True, 0.5, "anything")
    chosen.get_by_label("Without words").uncheck()
    chosen.get_by_label("Temperature").fill("")
    chosen.locator("#stage-foot").get_by_role("button", name="Use settings").click()
    expect(chosen.get_by_label("Temperature")).to_have_value("0.5")
    expect(chosen.get_by_label("Without words")).to_be_checked()
    expect(chosen.locator("#prompt")).to_have_value("")


def test_its_bits_are_shown_while_it_draws(chosen: Page) -> None:
    chosen.locator("#prompt").fill("a fox")
    chosen.get_by_label("Without words").uncheck()
    chosen.locator("#steps").fill("100")
    with chosen.expect_response(re.compile(r"/jobs/[0-9a-f]{32}/bits")) as shown:
        chosen.get_by_role("button", name="Generate").click()
    assert shown.value.status == 200
    assert shown.value.headers["content-type"] == "image/png"
    expect(chosen.locator("#stage .frame a img")).to_be_visible(timeout=DRAWN_WITHIN_MS)


def test_a_picture_shows_its_code_and_what_is_alike(chosen: Page, bits_site: Site) -> None:
    chosen.locator("#prompt").fill("two stars")
    chosen.locator("#steps").fill("4")
    chosen.get_by_label("Without words").uncheck()
    images = []
    for seed in ("1", "2"):
        chosen.locator("#seed").fill(seed)
        images.append(drawn(chosen))
    chosen.goto(f"{bits_site.url}/i/{images[1]}")
    expect(chosen.locator("#code")).to_contain_text("72 bytes are all of it")
    chosen.get_by_role("button", name="Show as a QR code").click()
    expect(chosen.get_by_alt_text("A QR code that holds all of the picture")).to_be_visible()
    chosen.get_by_role("button", name="Copy as text").click()
    code = chosen.request.get(f"{bits_site.url}/images/{images[1]}/code").json()["code"]
    expect(chosen.locator("#code-text")).to_have_text(code)
    chosen.locator("#variations summary").click()
    with chosen.expect_request(re.compile("/jobs$")) as asked:
        chosen.get_by_role("button", name="Subtle changes").click()
    body = asked.value.post_data_json
    assert (body["init"], body["strength"], body["count"]) == (images[1], 0.3, 4)
    assert "variation_amount" not in body
    chosen.wait_for_url(f"{bits_site.url}/")
    chosen.goto(f"{bits_site.url}/i/{images[1]}")
    alike = chosen.get_by_role("list", name="Alike in their bits")
    expect(alike.locator(f'a[href="/i/{images[0]}"]')).to_be_visible()


def test_a_dropped_picture_is_shown_from_its_bits(chosen: Page, bits_site: Site, tmp_path: Path) -> None:
    chosen.locator("#prompt").fill("a boat")
    chosen.locator("#steps").fill("2")
    chosen.get_by_label("Without words").uncheck()
    chosen.get_by_label("Temperature").fill("0.5")
    image = drawn(chosen)
    chosen.get_by_label("Temperature").fill("0.9")
    file = tmp_path / "boat.png"
    file.write_bytes(chosen.request.get(f"{bits_site.url}/images/{image}.png").body())
    jobs = chosen.request.get(f"{bits_site.url}/images").json()["total"]
    chosen.locator("#image-file").set_input_files(file)
    dialog = chosen.get_by_role("dialog")
    expect(dialog).to_contain_text("Its bits are in the file: 96 characters are all of it.")
    dialog.get_by_role("button", name="Show it from its bits").click()
    expect(dialog).to_contain_text("This is what its bits say, exactly; nothing was drawn.")
    expect(dialog.get_by_alt_text("The picture that the bits stand for")).to_be_visible()
    assert chosen.request.get(f"{bits_site.url}/images").json()["total"] == jobs
    expect(dialog.get_by_role("row", name="Temperature")).to_contain_text("0.5")
    dialog.get_by_role("button", name="Apply").click()
    expect(chosen.get_by_label("Temperature")).to_have_value("0.5")


def test_two_pictures_are_blended_by_a_model_of_bits_alone(chosen: Page, bits_site: Site) -> None:
    chosen.get_by_label("Without words").uncheck()
    chosen.locator("#prompt").fill("two hearts")
    chosen.locator("#steps").fill("8")
    images = []
    for seed in ("3", "4"):
        chosen.locator("#seed").fill(seed)
        images.append(drawn(chosen))
    chosen.goto(f"{bits_site.url}/?edit={','.join(images)}")
    expect(chosen.locator(".slot-thumb")).to_have_count(2)
    blend = chosen.get_by_role("radio", name="Blend")
    blend.check()
    expect(chosen.get_by_role("radio", name="Change")).to_be_hidden()  # it looks at none
    chosen.get_by_label("How much of image 2").fill("0.1")
    expect(chosen.locator("#share-value")).to_have_text("10 %")
    expect(chosen.locator("#strength-value")).to_have_text("A little, 30 %")
    chosen.locator("#strength").fill("0.1")
    chosen.locator("#prompt").fill("")
    image = drawn(chosen)
    job = chosen.request.get(f"{bits_site.url}/jobs/{image}").json()
    said = [job["request"][name] for name in ("morph_weight", "strength", "unconditional")]
    assert said == [0.1, 0.1, True]
    assert [(one["id"], one["role"]) for one in job["parents"]] == [(images[0], "input"), (images[1], "morph")]
    told = chosen.request.get(f"{bits_site.url}/images/{image}/code").json()["code"]
    ends = [chosen.request.post(f"{bits_site.url}/encode", data={"picture": one}).json()["code"] for one in images]
    near, far = (BitCode.of_text(told).distance(BitCode.of_text(end)) for end in ends)
    assert near is not None
    assert far is not None
    assert near < far  # a tenth of the second picture's bits
    chosen.reload()
    expect(blend).to_be_checked()
    expect(chosen.locator("#share-value")).to_have_text("10 %")
    chosen.get_by_role("button", name="Remove image 2").click()
    chosen.get_by_role("button", name="Generate").click()
    expect(chosen.locator("#submit-note")).to_have_text("Add the second picture, with the +.")
    chosen.locator("#variants").get_by_role("radio").first.check()
    expect(blend).to_be_hidden()
    expect(chosen.get_by_role("radio", name="Redraw")).to_be_checked()
