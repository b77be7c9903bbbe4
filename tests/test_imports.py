"""Imports point downward only, and the core needs none of the optional packages."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAPPED = ("codecs", "recipes", "conf", "serve")
BASE = {"errors", "extras", "files", "protocols", "registry"}
ALLOWED = {
    "audio": set(),
    "checkpoint": set(),
    "nn": set(),
    "text": {"checkpoint", "models"},
    "models": {"nn"},
    "codecs": {"nn", "audio"},
    "data": {"audio", "text"},
    "metrics": {"audio", "nn", "text"},
    "train": {"data", "nn", "checkpoint"},
    "infer": {"audio", "checkpoint", "codecs", "data", "kernels", "models", "nn", "text"},
    "importers": {"checkpoint", "codecs", "models", "nn", "text"},
    "kernels": {"models", "nn"},
    "serve": {"audio", "checkpoint", "infer", "metrics", "text"},
    "conf": set(),
    "pretrained": set(),
}
EXCEPTIONS = {"audiogen/text/frontend.py": {"data"}}  # asks espeak-ng, wrapped there, for languages other than English
# They wire all the rest together.
TOP = {"__init__", "api", "bench", "cli", "demo", "recipes", "score"}
OPTIONAL = (
    "encodec espeakng_loader fastapi gradio huggingface_hub jiwer lhotse librosa lightning_fabric matplotlib numba "
    "pesq pocketsphinx pystoi resemblyzer torchaudio transformers uvicorn wandb"
).split()
CORE = (
    "api",
    "cli",
    "audio",
    "checkpoint",
    "codecs",
    "models",
    "nn",
    "text.frontend",
    "infer.listen",
    "infer.compress",
)


def part_of(path: Path) -> str:
    """The part of the architecture a file belongs to."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] in MAPPED else Path(parts[1]).stem


def sources() -> list[Path]:
    return sorted(path for folder in ("audiogen", *MAPPED) for path in (ROOT / folder).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of ours that a file names in import statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "audiogen":
            yield from (f"audiogen.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("audiogen."):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("audiogen."))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downward(path: Path) -> None:
    part = part_of(path)
    if part in TOP:
        return
    allowed = ALLOWED.get(part, set()) | BASE | {part} | EXCEPTIONS.get(str(path.relative_to(ROOT)), set())
    used = {module.split(".")[1] for module in imported(ast.parse(path.read_text()))} - {"__version__"}
    assert used <= allowed, f"{part} may not import {sorted(used - allowed)}"


def test_the_core_imports_without_the_extras() -> None:
    program = f"""
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
for name in {CORE!r}:
    importlib.import_module(f"audiogen.{{name}}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
