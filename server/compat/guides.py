"""What to enter in which program, with this server's own address filled in. Words and values only."""

import json
from dataclasses import dataclass
from typing import Literal

Protocol = Literal["openai", "a1111", "ollama", "lemonade", "native"]
PROTOCOLS: dict[Protocol, str] = {
    "openai": "OpenAI images",
    "a1111": "A1111 web UI",
    "ollama": "Ollama",
    "lemonade": "Lemonade",
    "native": "Bonsai demo",
}


@dataclass(frozen=True, slots=True)
class Server:
    """What the guides are filled in with."""

    address: str  # "http://127.0.0.1:8000", without a slash at the end
    model: str  # what clients call the default model
    size: str  # its own size, "512x512"
    token: bool  # whether a token is needed
    command: str = "bonsai-mlx"  # the program, as another one can start it

    @property
    def key(self) -> str:
        """What to give as an API key; most programs insist on one, and without a token any text will do."""
        return "YOUR-TOKEN" if self.token else "x"

    @property
    def keyless(self) -> str:
        words = "It has to send the header “Authorization: Bearer YOUR-TOKEN”; if it cannot, use a server without one."
        return words if self.token else ""


@dataclass(frozen=True, slots=True)
class Guide:
    """One way to connect one program: settings to copy, or code."""

    name: str
    protocol: Protocol
    where: str  # in which place of the program
    settings: tuple[tuple[str, str], ...] = ()
    code: str = ""
    note: str = ""


def guides(server: Server) -> list[Guide]:
    return [*_apps(server), *_libraries(server), *_tools(server)]


def _apps(server: Server) -> list[Guide]:
    address, model, size = server.address, server.model, server.size
    basic = (("API Auth String", "bonsai:YOUR-TOKEN"),) if server.token else ()
    docker = "When Open WebUI runs in Docker, write host.docker.internal in place of the host; Bonsai must then listen "
    docker += "on more than this computer: scripts/server --host 0.0.0.0 --allowed-host host.docker.internal."
    return [
        Guide(
            "Open WebUI, OpenAI engine",
            "openai",
            "Admin Panel, Settings, Images",
            (
                ("Image Generation Engine", "Default (Open AI)"),
                ("API Base URL", f"{address}/v1"),
                ("API Key", server.key),
                ("Model", model),
                ("Image Size", size),
            ),
            note=docker,
        ),
        Guide(
            "Open WebUI, Automatic1111 engine",
            "a1111",
            "Admin Panel, Settings, Images",
            (
                ("Image Generation Engine", "Automatic1111"),
                ("AUTOMATIC1111 Base URL", address),
                *basic,
                ("Model", model),
                ("Image Size", size),
            ),
            note="Steps and guidance may stay as they are: the server uses as many steps as the model was made for.",
        ),
        Guide(
            "SillyTavern",
            "a1111",
            "Extensions, Image Generation",
            (
                ("Source", "Stable Diffusion Web UI (AUTOMATIC1111)"),
                ("SD Web UI URL", address),
                *_authentication(server),
            ),
            note="Then press Connect and choose the model.",
        ),
        Guide(
            "AnythingLLM, as Ollama",
            "ollama",
            "Settings, Image Generation",
            (("Provider", "Ollama"), ("Base URL", address), ("Model", f"{model}:latest"), ("Size", size)),
            note=server.keyless,
        ),
        Guide(
            "AnythingLLM, as Lemonade",
            "lemonade",
            "Settings, Image Generation",
            (("Provider", "Lemonade"), ("Base URL", f"{address}/api/v1"), ("Model", model), ("Size", size)),
            note=server.keyless,
        ),
        Guide(
            "LibreChat, OpenAI image tool",
            "openai",
            "the file .env",
            code=f"IMAGE_GEN_OAI_API_KEY={server.key}\nIMAGE_GEN_OAI_BASEURL={address}/v1",
            note="Then add the OpenAI image tools to an agent.",
        ),
        Guide(
            "LibreChat, Stable Diffusion tool",
            "a1111",
            "the file .env",
            code=f"SD_WEBUI_URL={address}",
            note="It asks for 22 steps at 1024x1024; the server draws as many steps as the model was made for. "
            + server.keyless,
        ),
    ]


def _authentication(server: Server) -> tuple[tuple[str, str], ...]:
    return (("Authentication", "bonsai:YOUR-TOKEN"),) if server.token else ()


def _libraries(server: Server) -> list[Guide]:
    address, model, size, key = server.address, server.model, server.size, server.key
    width, height = size.split("x")
    headers = ', headers={"Authorization": "Bearer YOUR-TOKEN"}' if server.token else ""
    python = f"""import base64
from openai import OpenAI

client = OpenAI(base_url="{address}/v1", api_key="{key}")
answer = client.images.generate(
    model="{model}", prompt="a bonsai tree", size="{size}", extra_body={{"seed": 7}}
)
open("bonsai.png", "wb").write(base64.b64decode(answer.data[0].b64_json))"""
    node = f"""import {{ writeFileSync }} from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{address}/v1", apiKey: "{key}" }});
const answer = await client.images.generate({{
  model: "{model}", prompt: "a bonsai tree", size: "{size}", seed: 7,
}});
writeFileSync("bonsai.png", Buffer.from(answer.data[0].b64_json, "base64"));"""
    java = f"""ImageModel model = OpenAiImageModel.builder()
    .baseUrl("{address}/v1")
    .apiKey("{key}")
    .modelName("{model}")
    .size("{size}")
    .build();
Image image = model.generate("a bonsai tree").content();"""
    ollama = f"""import base64
import ollama

answer = ollama.Client(host="{address}"{headers}).generate(
    model="{model}", prompt="a bonsai tree", width={width}, height={height}
)
open("bonsai.png", "wb").write(base64.b64decode(answer.image))"""
    return [
        Guide("openai-python", "openai", "pip install openai", code=python),
        Guide("openai-node", "openai", "npm install openai", code=node),
        Guide("LangChain4j", "openai", "langchain4j-open-ai", code=java),
        Guide("ollama-python", "ollama", "pip install ollama", code=ollama),
    ]


def _tools(server: Server) -> list[Guide]:
    address, header = server.address, ' -H "Authorization: Bearer YOUR-TOKEN"' if server.token else ""
    curl = f"""curl -s {address}/generate{header} \\
  -H "Content-Type: application/json" \\
  -d '{{"prompt": "a bonsai tree", "seed": 7}}' -o bonsai.png"""
    openai = f"""curl -s {address}/v1/images/generations{header} \\
  -d '{{"prompt": "a bonsai tree", "size": "{server.size}", "seed": 7}}'"""
    started = {"command": server.command, "args": ["mcp", "--url", address]}
    mcp = json.dumps({"mcpServers": {"bonsai": started}})
    return [
        Guide("curl, a file", "native", "a terminal", code=curl),
        Guide("curl, OpenAI's answer", "openai", "a terminal", code=openai),
        Guide(
            "Scripts of the Bonsai demo",
            "native",
            "wherever they name the address of the demo's server",
            (
                ("Server", address),
                ("Backend", f"{server.model}-mlx" if server.model.startswith("bonsai") else server.model),
            ),
            note="POST /generate, POST /generate/compare and GET /backends answer as the demo's own server does. "
            + server.keyless,
        ),
        Guide(
            "Assistants with tools (MCP)",
            "native",
            "scripts/setup --extra mcp, then in the assistant's list of MCP servers",
            code=mcp,
            note="Set BONSAI_TOKEN in its environment." if server.token else "",
        ),
    ]
