"""`bonsai-mlx mcp`: pictures as tools for assistants that speak the Model Context Protocol on stdin and stdout.

A thin client of the server's own HTTP interface, so that there is one way to draw: when a Bonsai server answers at
`--url`, its queue, engine and gallery are used. Otherwise the whole application runs inside this process, without a
port, from the first call on; its engine is the usual child process and its output folder the usual one. Either way the
pictures are in the gallery. Nothing but the protocol is written to stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx2
from pydantic import Field, ValidationError

from bonsai_mlx.printable import log_to_stderr
from bonsai_mlx.request import EXTEND_STRENGTH
from bonsai_mlx.runtime.environment import text, tidy
from bonsai_mlx.runtime.extras import install_command
from bonsai_mlx.usage import Parser
from bonsai_mlx.version import __version__
from bonsai_mlx.wording import user_path

from .assistants.arguments import refusal, unknown_argument, wrong_arguments
from .assistants.files import RefusedFileError, read_picture
from .hosts import is_loopback

_INSTALL = install_command("mcp")
try:
    from mcp.server import MCPServer
    from mcp.server.mcpserver import Context, Image
    from mcp.server.mcpserver.exceptions import ToolError
except ImportError:  # the extra is not installed, or it is a version with another interface
    if not {"-h", "--help"} & set(sys.argv):
        sys.exit("bonsai-mlx: the MCP server needs the mcp package; get it with: " + _INSTALL)

DEFAULT_URL = "http://127.0.0.1:8000"
INSTRUCTIONS = """Draws pictures on this machine with Bonsai Image. Describe what is to be seen in one or two plain
sentences. The same prompt and seed give the same picture, so to change only the words, keep the seed."""
_IN_USE = (
    "Another Bonsai works in {folder}. If it is a server, give its address with --url or BONSAI_URL; if it draws for "
    "another assistant, start a server for both, or set BONSAI_OUTPUT to another folder for one of them."
)
_DESCRIPTION = """Pictures as tools for assistants that speak the Model Context Protocol, on stdin and stdout: an
assistant starts this itself, and can then draw, edit, extend and fetch pictures and list the models. They are in the
gallery like all others."""
_EPILOG = (
    """To add it to an assistant, give it this as one of its MCP servers:
  {"mcpServers": {"bonsai": {"command": "bonsai-mlx", "args": ["mcp"]}}}
with the full path of bonsai-mlx where the assistant does not find it.

variables:
  BONSAI_URL     as --url
  BONSAI_TOKEN   what that server wants from everybody who asks it
  BONSAI_OUTPUT  the folder for the pictures where it draws by itself

An assistant may name pictures of this machine by their paths where the server is on it too: those in the folders of
--pictures, else in your home, and nothing hidden.

It needs the mcp package: """
    + _INSTALL
)
_POLL_S = 0.25
_PROBE_S = 2.0
_MAX_PNG_BYTES = 700_000  # some assistants refuse answers of more than a megabyte, and base64 adds a third

Prompt = Annotated[str, Field(description="What is to be seen, in plain words")]
Seed = Annotated[int | None, Field(description="0 to 4294967295; leave out for a random one", ge=0, le=2**32 - 1)]
Steps = Annotated[int | None, Field(description="Leave out: the model is made for a fixed number", ge=1, le=100)]
Side = Annotated[
    int | None, Field(description="Pixels, a multiple of 16; leave out for the model's own", ge=64, le=2048)
]
ModelName = Annotated[str | None, Field(description="A name from list_models; leave out for the default")]
ImageId = Annotated[str, Field(description="The id that generate_image gave", pattern=r"^[0-9a-f]{32}$")]
SomeId = Annotated[str | None, Field(description="The id that a tool gave; or give `path`", pattern=r"^[0-9a-f]{32}$")]
OwnFile = Annotated[
    str | None, Field(description="Instead of an id: the full path of a PNG, JPEG, WebP or AVIF file", min_length=1)
]

Strength = Annotated[
    float | None, Field(description="0.3 keeps nearly all, 0.9 little; leave out to give an instruction", gt=0, le=1)
]
Added = Annotated[int, Field(description="Pixels to add on this side", ge=0, le=2048)]


class Bonsai:
    """The server, wherever it runs."""

    def __init__(self, url: str, token: str | None, stack: AsyncExitStack, pictures: Sequence[Path] = ()) -> None:
        self._url = url
        self._pictures = tuple(pictures)
        self._headers = {"User-Agent": f"bonsai-mlx-mcp/{__version__}"}
        self._headers |= {"Authorization": f"Bearer {token}"} if token else {}
        self._stack = stack
        self._outside: httpx2.AsyncClient | None = None
        self._inside: httpx2.AsyncClient | None = None
        self._starting = asyncio.Lock()

    async def client(self) -> httpx2.AsyncClient:
        """A connection to the server that runs, else to our own; ToolError when the running one wants a token."""
        async with self._starting:
            if self._inside is not None:
                return self._inside
            if self._outside is None:
                self._outside = await self._stack.enter_async_context(self._connection(None))
            if await self._answers(self._outside):
                return self._outside
            self._inside = await self._start()
            return self._inside

    def _connection(self, transport: httpx2.AsyncBaseTransport | None) -> httpx2.AsyncClient:
        # What goes to this machine must not pass through its proxy, which macOS has for all programs at once.
        direct = {"http://": None, "https://": None} if is_loopback(httpx2.URL(self._url).host) else None
        return httpx2.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=30, transport=transport, mounts=direct
        )

    async def _answers(self, client: httpx2.AsyncClient) -> bool:
        try:
            response = await client.get("/health", timeout=_PROBE_S)
            body = response.json()
        except (httpx2.HTTPError, ValueError):
            return False
        error = body.get("error") if isinstance(body, dict) else None
        if response.status_code == 401 and isinstance(error, dict) and error.get("code") == "unauthorized":
            raise ToolError(f"The Bonsai server at {self._url} needs its token: set BONSAI_TOKEN for this program.")
        return response.status_code == 200 and isinstance(body, dict) and "worker" in body

    async def _start(self) -> httpx2.AsyncClient:
        from .app import create_app  # here: with a server running, none of it is needed
        from .gallery.files import FolderInUseError
        from .settings import Settings

        settings = Settings(host="127.0.0.1")
        app = create_app(settings)
        try:
            await self._stack.enter_async_context(app.router.lifespan_context(app))
        except FolderInUseError as error:
            raise ToolError(_IN_USE.format(folder=settings.output)) from error
        except OSError as error:
            message = (
                f"Pictures cannot be kept in {settings.output}: {error.strerror}; set BONSAI_OUTPUT to another folder."
            )
            raise ToolError(message) from error
        self._url = DEFAULT_URL  # only a name now: requests do not leave this process
        return await self._stack.enter_async_context(self._connection(httpx2.ASGITransport(app=app)))

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, file: bytes | None = None
    ) -> httpx2.Response:
        """The answer to one request; ToolError with the server's own words when it is an error."""
        client = await self.client()
        try:
            response = await client.request(method, path, json=body, content=file)
        except httpx2.HTTPError as error:
            raise ToolError(f"The Bonsai server does not answer: {type(error).__name__}.") from error
        if response.is_error:
            raise ToolError(refusal(response.json()["error"]))
        return response

    async def given(self, image_id: str | None, path: str | None) -> str:
        """The one picture that is named, as the server knows it. ToolError."""
        if (image_id is None) == (path is None):
            raise ToolError("Give either the id of a picture, or the path of a file, and not both.")
        if path is None:
            return str(image_id)
        await self.client()
        if not is_loopback(httpx2.URL(self._url).host):
            raise ToolError(f"path: files of this machine are not sent to {self._url}. Add the picture to its page.")
        try:
            file = await asyncio.to_thread(read_picture, path, self._pictures)
        except RefusedFileError as error:
            raise ToolError(str(error)) from None
        return str((await self.call("POST", "/inputs", file=file)).json()["id"])

    async def picture(self, image_id: str, notes: Sequence[str] = ()) -> list[Any]:
        """The image, as JPEG when the PNG file is too large for an answer, and its recipe as text, and the notes."""
        image = (await self.call("GET", f"/images/{image_id}")).json()
        data, form = (await self.call("GET", f"/images/{image_id}.png")).content, "png"
        if len(data) > _MAX_PNG_BYTES:
            data, form = (await self.call("GET", f"/v1/images/{image_id}.jpeg")).content, "jpeg"
        names = ("id", "prompt", "seed", "steps", "width", "height", "model", "variant", "created_at", "timings")
        recipe = {name: image[name] for name in names} | ({"notes": list(notes)} if notes else {})
        return [Image(data=data, format=form), json.dumps(recipe, ensure_ascii=False, indent=1)]


async def draw(bonsai: Bonsai, context: Context[Any, Any], request: dict[str, Any]) -> list[Any]:
    """Queue one picture, tell how it goes, and return it. Cancelling the call cancels the job."""
    request = {name: value for name, value in request.items() if value is not None}
    job = (await bonsai.call("POST", "/jobs", request)).json()["jobs"][0]
    told = -1.0
    try:
        while job["finished_at"] is None:
            if job["progress"] > told:  # the protocol wants every report to be more than the last
                told = job["progress"]
                await context.report_progress(told, 1.0, _words(job))
            await asyncio.sleep(_POLL_S)
            job = (await bonsai.call("GET", f"/jobs/{job['id']}")).json()
    except asyncio.CancelledError:
        await asyncio.shield(bonsai.call("DELETE", f"/jobs/{job['id']}"))
        raise
    if job["status"] != "done":
        error = job["error"] or {"message": f"The job was {job['status']}."}
        raise ToolError(refusal(error))
    return await bonsai.picture(job["image_id"], job["notes"])


def _words(job: dict[str, Any]) -> str:
    if job["status"] == "queued":
        return f"Waiting, place {job['position']} in the queue"
    return f"Step {job['step']} of {job['steps_total']}" if job["phase"] == "denoise" else str(job["phase"] or "")


def _tools() -> type[MCPServer[Any]]:
    """Where the package is there: tools that tell what is wrong with their arguments."""

    class Tools(MCPServer[Any]):  # type: ignore[misc]  # the package may be absent
        async def list_tools(self) -> Any:
            tools = await super().list_tools()
            for tool in tools:
                tool.input_schema = tool.input_schema | {"additionalProperties": False}
            return tools

        async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
            known = {tool.name: tool.input_schema.get("properties", {}) for tool in await self.list_tools()}
            if name in known and (lack := unknown_argument(name, arguments, known[name])):
                raise ToolError(lack)
            try:
                return await super().call_tool(name, arguments, context)
            except ToolError as error:
                if isinstance(error.__cause__, ValidationError):
                    raise ToolError(wrong_arguments(error.__cause__)) from None
                if isinstance(error.__cause__, ToolError):
                    raise error.__cause__ from None
                raise

    return Tools


def build(url: str, token: str | None, pictures: Sequence[Path] = ()) -> MCPServer[Any]:
    @asynccontextmanager
    async def lifespan(_server: MCPServer[Any]) -> AsyncIterator[Bonsai]:
        async with AsyncExitStack() as stack:
            yield Bonsai(url, token, stack, pictures)

    server: MCPServer[Any] = _tools()(
        "bonsai-mlx", version=__version__, instructions=INSTRUCTIONS, lifespan=lifespan, log_level="WARNING"
    )

    @server.tool(title="Draw a picture", structured_output=False)
    async def generate_image(
        context: Context[Any, Any],
        prompt: Prompt,
        seed: Seed = None,
        steps: Steps = None,
        width: Side = None,
        height: Side = None,
        model: ModelName = None,
    ) -> list[Any]:
        """Draw one picture from a description; returns it with its recipe (seed, steps, size, model, id)."""
        wanted = {"prompt": prompt, "seed": seed, "steps": steps, "width": width, "height": height, "model": model}
        return await draw(context.request_context.lifespan_context, context, wanted)

    @server.tool(title="Change a picture", structured_output=False)
    async def edit_image(
        context: Context[Any, Any],
        prompt: Prompt,
        id: SomeId = None,
        path: OwnFile = None,
        strength: Strength = None,
        seed: Seed = None,
        model: ModelName = None,
    ) -> list[Any]:
        """Change a picture of the gallery, or a file of this machine; returns the new one with its recipe.

        With `strength` it is drawn again from itself: say what is to be seen. Without, the prompt is an instruction.
        """
        bonsai: Bonsai = context.request_context.lifespan_context
        name = await bonsai.given(id, path)
        used = {"references": [name]} if strength is None else {"init": name, "strength": strength}
        return await draw(bonsai, context, {"prompt": prompt, "seed": seed, "model": model} | used)

    @server.tool(title="Make a picture larger at its sides", structured_output=False)
    async def extend_image(
        context: Context[Any, Any],
        prompt: Prompt,
        id: SomeId = None,
        path: OwnFile = None,
        left: Added = 0,
        top: Added = 0,
        right: Added = 0,
        bottom: Added = 0,
        seed: Seed = None,
        model: ModelName = None,
    ) -> list[Any]:
        """Go on drawing beyond the edges of a picture of the gallery, or of a file; what was there stays as it is."""
        bonsai: Bonsai = context.request_context.lifespan_context
        wanted: dict[str, Any] = {"prompt": prompt, "seed": seed, "model": model, "init": await bonsai.given(id, path)}
        wanted |= {"strength": EXTEND_STRENGTH, "extend": [left, top, right, bottom]}
        return await draw(bonsai, context, wanted)

    @server.tool(title="List the models", structured_output=False)
    async def list_models(context: Context[Any, Any]) -> str:
        """The models, which of them can draw now, and which is the default."""
        listed = (await context.request_context.lifespan_context.call("GET", "/models")).json()
        names = ("name", "title", "state", "recommended_size", "recommended_steps", "note")
        models = [{name: model[name] for name in names} for model in listed["models"]]
        return json.dumps({"default": listed["default"], "models": models}, ensure_ascii=False, indent=1)

    @server.tool(title="Fetch a picture made before", structured_output=False)
    async def get_image(context: Context[Any, Any], id: ImageId) -> list[Any]:
        """A picture from the gallery with its recipe."""
        found: list[Any] = await context.request_context.lifespan_context.picture(id)
        return found

    return server


def main(arguments: Sequence[str] | None = None) -> None:
    tidy()
    parser = Parser(
        prog="bonsai-mlx mcp",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--url",
        default=text("BONSAI_URL") or DEFAULT_URL,
        help=f"a running Bonsai server (default: BONSAI_URL, else {DEFAULT_URL}); without one it draws by itself",
    )
    parser.add_argument(
        "--pictures",
        type=user_path,
        action="append",
        metavar="FOLDER",
        help="whose pictures an assistant may name by their paths; several may be given; default: your home",
    )
    options = parser.parse_args(arguments)
    folders = [folder.resolve() for folder in options.pictures or [Path.home()]]
    log_to_stderr(logging.WARNING)
    build(options.url, text("BONSAI_TOKEN"), folders).run()


if __name__ == "__main__":
    main()
