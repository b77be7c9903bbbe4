"""A real headless Chromium driven through ChromeDriver's HTTP interface (W3C WebDriver), without further packages."""

import base64
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--window-size=1100,1000",
]


class Browser:
    """One browser with one page. Use as a context manager.

    Args:
        folder: An empty folder for the browser's profile.
        microphone: A WAV file that the browser hears as its microphone.
    """

    def __init__(self, folder: Path, microphone: Path | None = None) -> None:
        self._folder = folder
        self._flags = FLAGS + ([f"--use-file-for-fake-audio-capture={microphone}"] if microphone else [])

    def __enter__(self) -> "Browser":
        port = _free_port()
        command = [CHROMEDRIVER, f"--port={port}"]
        self._driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
        _wait(lambda: self._ready(), 60, "ChromeDriver did not start")
        options = {"binary": CHROMIUM, "args": [*self._flags, f"--user-data-dir={self._folder}"]}
        capabilities = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self._session = "/session/" + self._post("/session", capabilities)["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._client.delete(self._session)
        finally:
            self._client.close()
            self._driver.terminate()
            self._driver.wait()

    def open(self, address: str) -> None:
        """Go to a page."""
        self._post(f"{self._session}/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """What `script`, the body of a function of `arguments`, returns in the page."""
        return self._post(f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, condition: str, seconds: float = 60) -> Any:
        """Wait until the JavaScript expression `condition` is true in the page, and give its value."""
        try:
            return _wait(lambda: self.run(f"return {condition}"), seconds, f"never came: {condition}")
        except TimeoutError as error:
            error.add_note(self.run("return document.body.innerText"))
            raise

    def choose_file(self, selector: str, path: Path) -> None:
        """Give a file to the file input that `selector` finds."""
        found = self._post(f"{self._session}/element", {"using": "css selector", "value": selector})
        self._post(f"{self._session}/element/{next(iter(found.values()))}/value", {"text": str(path)})

    def screenshot(self, path: Path) -> None:
        """Save what the window shows as PNG."""
        data = self._client.get(f"{self._session}/screenshot").json()["value"]
        path.write_bytes(base64.b64decode(data))

    def _ready(self) -> bool:
        try:
            return self._client.get("/status").json()["value"]["ready"]
        except httpx.TransportError:
            return False

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._client.post(path, json=body).json()["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{answer['error']}: {answer['message']}")
        return answer


def _wait(ready: Any, seconds: float, complaint: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(complaint)
        time.sleep(0.05)
    return value


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
