"""The chat page in a real browser, by keyboard alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from serving import Server, serving
from support import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(run, tmp_path_factory.mktemp("page") / "log.txt") as server:
        yield server


class Watched:
    """A page, what it asked for and what it complained about."""

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.page: Page = context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        # Chromium may miss a first request where interception begins only then.
        self.page.route("**/*", lambda route: route.continue_())
        self.page.goto(server.url)
        expect(self.page.locator("#model")).to_have_text(server.name)
        expect(self.page.locator("#input")).to_be_focused()

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def finished(self, count: int) -> None:
        expect(self.page.locator("article.assistant[aria-busy=false]")).to_have_count(count)


@pytest.fixture(params=["light", "dark"])
def watched(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Watched]:
    with browser.new_context(color_scheme=request.param, locale="en-US") as context:
        yield Watched(context, server)


def stream(*pieces: str, reason: str = "stop") -> str:
    choices = [{"delta": {"content": piece}} for piece in pieces] + [{"delta": {}, "finish_reason": reason}]
    return "".join(f"data: {json.dumps({'choices': [c]})}\n\n" for c in choices) + "data: [DONE]\n\n"


def test_a_conversation_by_keyboard_alone(watched: Watched, server: Server) -> None:
    page = watched.page
    watched.press("Shift+Tab")  # from the message to the log, New, the settings
    watched.press("Shift+Tab")
    watched.press("Shift+Tab")
    watched.press("Enter")
    watched.press("Tab")
    expect(page.locator("#temperature")).to_be_focused()
    watched.press("Tab")
    watched.type("4")
    watched.press("Escape")
    page.locator("#input").focus()
    watched.type("The miller")
    watched.press("Shift+Enter")
    watched.type("and a grey cat")
    watched.press("Enter")
    watched.finished(1)
    expect(page.locator("#input")).to_be_focused()
    expect(page.locator("article.user p")).to_have_text("The miller\nand a grey cat")
    assert page.locator("article.assistant p").inner_text().strip()
    watched.press("Tab")
    watched.press("Tab")
    assert watched.complaints == []
    assert all(url.startswith(server.url) or url.startswith("data:") for url in watched.requests), watched.requests


def test_the_theme_is_the_readers(watched: Watched) -> None:
    background = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
    scheme = watched.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3]))
    assert (brightness < 150) if scheme else (brightness > 600), background


def test_markup_is_text(watched: Watched) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    watched.page.route("**/v1/chat/completions", lambda route: route.fulfill(
        status=200, content_type="text/event-stream", body=stream(evil[:9], evil[9:])))
    watched.type(evil)
    watched.press("Enter")
    watched.finished(1)
    for who in ("user", "assistant"):
        expect(watched.page.locator(f"article.{who} p")).to_have_text(evil)
    assert watched.page.locator("main img, main script").count() == 0
    assert watched.complaints == []


def test_escape_stops_and_gives_the_question_back(watched: Watched) -> None:
    watched.page.route("**/v1/chat/completions", lambda route: None)  # never answered
    watched.type("Tell me all")
    watched.press("Enter")
    expect(watched.page.locator("#stop")).to_be_visible()
    watched.press("Escape")
    expect(watched.page.locator("#send")).to_be_visible()
    expect(watched.page.locator("#input")).to_have_value("Tell me all")
    expect(watched.page.locator("#status")).to_have_text("Stopped.")
    assert watched.complaints == []


def test_enter_of_an_input_method_sends_nothing(watched: Watched) -> None:
    watched.type("ni hao")
    watched.page.evaluate("""document.getElementById("input").dispatchEvent(
        new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true}))""")
    expect(watched.page.locator("#input")).to_have_value("ni hao")
    assert watched.page.locator("article").count() == 0


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (429, "queue_full", "busy"), (503, "server_stopping", "stopping"), (500, None, "in its words"),
        (400, "context_length_exceeded", "longer than the model can read"),
    ],
)
def test_errors_are_said_in_words(watched: Watched, status: int, code: str | None, words: str) -> None:
    body = json.dumps({"error": {"message": "in its words", "code": code}})
    watched.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=status, body=body))
    watched.type("Hello")
    watched.press("Enter")
    expect(watched.page.get_by_role("alert")).to_contain_text(words)
    expect(watched.page.locator("#input")).to_have_value("Hello")
    offers_new = watched.page.get_by_role("alert").get_by_role("button", name="New").count() == 1
    assert offers_new == (code == "context_length_exceeded")


def test_a_lost_connection_is_said(watched: Watched) -> None:
    watched.page.route("**/v1/chat/completions", lambda route: route.abort())
    watched.type("Hello")
    watched.press("Enter")
    expect(watched.page.get_by_role("alert")).to_contain_text("connection")


def test_an_answer_that_is_cut_off_says_why(watched: Watched) -> None:
    watched.page.route("**/v1/chat/completions", lambda route: route.fulfill(
        status=200, content_type="text/event-stream", body=stream(" ", " Well", reason="length")))
    for count, (length, words) in enumerate([("", "can read no more"), ("5", "longest answer")], start=1):
        watched.page.locator("summary").click()
        watched.page.locator("#length").fill(length)
        watched.press("Escape")
        watched.page.locator("#input").fill("Hello")
        watched.page.locator("#input").press("Enter")
        watched.finished(count)
        # Not as it came: a space stands between a template's words and the answer.
        assert watched.page.locator("article.assistant p").last.inner_text() == "Well"
        expect(watched.page.locator("article.assistant").last).to_contain_text(words)


def test_a_key_can_be_given(browser: Browser, run: Path, tmp_path: Path) -> None:
    with serving(run, tmp_path / "log.txt", "--api-key", "secret") as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.get_by_role("alert")).to_contain_text("key")
        page.locator("summary").click()
        page.locator("#key").fill("secret")
        page.locator("#key").press("Enter")
        expect(page.locator("#model")).to_have_text(server.name)
        expect(page.get_by_role("alert")).to_be_empty()
        page.locator("#input").fill("The miller")
        page.locator("#input").press("Enter")
        expect(page.locator("article.assistant[aria-busy=false]")).to_have_count(1)


def test_the_end_of_a_conversation_stays_in_sight(watched: Watched) -> None:
    watched.page.route("**/v1/chat/completions", lambda route: route.fulfill(
        status=200, content_type="text/event-stream", body=stream("line\n" * 60, "the end")))
    watched.type("Hello")
    watched.press("Enter")
    watched.finished(1)
    watched.page.locator("#input").fill("one\n" * 6)
    copy = watched.page.get_by_role("button", name="Copy")
    expect(copy).to_be_in_viewport(ratio=1)
    watched.page.unroute("**/v1/chat/completions")
    watched.page.route("**/v1/chat/completions", lambda route: route.abort())
    watched.press("Enter")
    expect(watched.page.get_by_role("alert")).to_contain_text("connection")
    expect(copy).to_be_in_viewport(ratio=1)


def test_new_forgets_the_conversation(watched: Watched) -> None:
    asked: list[int] = []

    def answer(route: object) -> None:
        asked.append(len(route.request.post_data_json["messages"]))
        route.fulfill(status=200, content_type="text/event-stream", body=stream("Yes"))

    watched.page.route("**/v1/chat/completions", answer)
    for count in (1, 2):
        watched.type("Is it?")
        watched.press("Enter")
        watched.finished(count)
    watched.page.get_by_role("button", name="New").click()
    watched.type("Is it?")
    watched.press("Enter")
    watched.finished(1)
    assert asked == [1, 3, 1]


def test_chinese_readers_get_chinese_words(browser: Browser, server: Server) -> None:
    with browser.new_context(locale="zh-CN", viewport={"width": 360, "height": 640}) as context:
        page = Watched(context, server).page
        assert page.evaluate("document.documentElement.lang") == "zh"
        expect(page.locator("#send")).to_have_text("发送")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
