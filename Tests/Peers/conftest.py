"""Fixtures of the peer tests, which compare `mayfly` with PyTorch, transformers and tokenizers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Nothing here may ask the network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch
from playwright.sync_api import Browser, sync_playwright

from support import CHROMIUM, MAYFLY, mayfly, prepared_prose, settings

torch.set_num_threads(1)  # Models are small, and another worker computes beside this one.
# Workers of pytest-xdist ignore interrupts, and so would the programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Small enough for many runs in a test, and it still learns: two layers, 64 wide, a learned vocabulary of 320.
SMALL = settings(
    model__architecture="llama", model__hidden_size=64, model__num_hidden_layers=2, model__num_attention_heads=4,
    model__num_key_value_heads=2, model__intermediate_size=128, model__max_position_embeddings=64, train__context=64,
    train__batch_size=8, train__learning_rate=3e-3, train__warmup_steps=5, train__schedule="cosine",
    train__optimizer="adamw",
)


def pytest_sessionstart(session: pytest.Session) -> None:
    if not session.config.option.collectonly and not os.access(MAYFLY, os.X_OK):
        pytest.exit(f"{MAYFLY} is missing: run `make build` first, or set MAYFLY", returncode=2)


@pytest.fixture(scope="session")
def small() -> list[str]:
    return SMALL


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder with train, val and test splits and a tokenizer of 320 tokens."""
    return prepared_prose(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 60 steps on that folder."""
    out = tmp_path_factory.mktemp("runs") / "small"
    mayfly("train", "--data", data, "--steps", 60, "--out", out, *SMALL)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
