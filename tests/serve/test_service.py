"""Speech and hearing over real connections: what a client gets, and what it is refused."""

import asyncio
import base64
import json
import re
import signal
import subprocess
import sys
import threading
from contextlib import closing

import httpx
import numpy as np
import pytest
import soxr
import torch
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from audiogen.errors import AudiogenError
from audiogen.infer.listen import Partial
from audiogen.serve import listening
from audiogen.serve.sessions import Busy, Limits, Sessions


@pytest.fixture
def client(service: str):
    with httpx.Client(base_url=f"http://{service}", timeout=60, trust_env=False) as client:
        yield client


def hear(service: str, messages: list[str | bytes]) -> list[dict]:
    """All that comes back for these messages, until the service closes."""
    answers = []
    with connect(f"ws://{service}/api/listen", proxy=None) as line:
        try:
            for message in messages:
                line.send(message)
            while True:
                answers.append(json.loads(line.recv(timeout=30)))
        except ConnectionClosed:
            return answers


def pcm(wave: torch.Tensor | np.ndarray) -> bytes:
    return (np.asarray(wave) * 32767).round().astype("<i2").tobytes()


RECORDING = 0.1 * np.random.default_rng(0).standard_normal(16_000)


# Speaking.


def test_speech_is_what_the_model_makes(client, models):
    speaker, _ = models
    answer = client.post("/api/speak", json={"text": "Hello.", "voice": "bob"})
    assert answer.status_code == 200 and answer.headers["x-sample-rate"] == "24000"
    expected = torch.cat(list(speaker.stream("Hello.", "bob")), -1)[0].clamp(-1, 1)
    got = np.frombuffer(answer.content, "<i2") / 32768
    np.testing.assert_allclose(got, expected.numpy(), atol=2 / 32768)


def test_speech_comes_while_it_is_made(client):
    with client.stream("POST", "/api/speak", json={"text": "Hello there, how are you?"}) as answer:
        assert sum(1 for _ in answer.iter_raw()) > 3


def test_a_visitor_who_leaves_gives_the_place_back(client):
    text = "one two three four five six seven eight nine ten"
    for _ in range(3):  # more than there are places
        with client.stream("POST", "/api/speak", json={"text": text}) as answer:
            next(answer.iter_raw())
    assert client.post("/api/speak", json={"text": "Hi."}).status_code == 200


def prompt(**changed) -> dict:
    samples = base64.b64encode(pcm(np.zeros(24_000))).decode()
    good = {"samples": samples, "sample_rate": 16_000, "transcript": "hello", "consent": True}
    return {"text": "Hello.", "prompt": good | changed}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], '"text"'),
        ({}, '"text"'),
        ({"text": 5}, '"text"'),
        ({"text": ""}, "empty"),
        ({"text": "😀"}, "nothing to say"),
        ({"text": "a" * 201}, "at most 200"),
        ({"text": "Hi.", "voice": "../../etc/passwd"}, "unknown voice"),
        ({"text": "Hi.", "voice": 5}, '"voice"'),
        ({"text": "Hi.", "speed": "fast"}, '"speed"'),
        ({"text": "Hi.", "speed": 1e9}, "between 0.25 and 4"),
        ({"text": "Hi.", "prompt": "/etc/passwd"}, '"prompt"'),
        (prompt(consent=False), "may use this voice"),
        (prompt(consent="yes"), "may use this voice"),
        (prompt(samples="/etc/passwd"), "base64"),
        (prompt(samples="AAAA"), "base64"),
        (prompt(samples=None), "base64"),
        (prompt(samples=""), "0.0 s long"),
        (prompt(sample_rate=0), "8,000 to 96,000"),
        (prompt(sample_rate=1e9), "8,000 to 96,000"),
        (prompt(sample_rate=True), "8,000 to 96,000"),
        (prompt(transcript=None), '"transcript"'),
        (prompt(samples="A" * 300_000), "larger than"),
    ],
)
def test_wrong_requests_are_refused(client, asked, said: str):
    answer = client.post("/api/speak", json=asked)
    assert answer.status_code == 400 and said in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"hello", b"\xff\xfe", b"[" * 100_000, b'{"text": "\\ud800"}'])
def test_wrong_bodies_are_refused(client, body: bytes):
    assert client.post("/api/speak", content=body).status_code == 400


def test_only_posts_speak(client):
    assert client.get("/api/speak").status_code == 404


# Generating.


def test_generated_sound_is_what_the_model_makes(client, generator):
    asked = {"label": "one", "seconds": 0.3, "temperature": 0.9, "seed": 4}
    answer = client.post("/api/generate", json=asked)
    assert answer.status_code == 200 and answer.headers["x-sample-rate"] == "4000"
    expected = torch.cat(list(generator.stream(0.3, "one", temperature=0.9, seed=4)), -1)[0]
    np.testing.assert_allclose(np.frombuffer(answer.content, "<i2") / 32768, expected.numpy(), atol=2 / 32768)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "JSON object"),
        ({}, "which class?"),
        ({"label": "won"}, "did you mean 'one'"),
        ({"label": 1}, '"label"'),
        ({"label": "one", "second": 1}, "did you mean 'seconds'"),
        ({"label": "one", "seconds": 31}, "at most 30"),
        ({"label": "one", "seconds": "long"}, '"seconds"'),
        ({"label": "one", "temperature": None}, '"temperature"'),
        ({"label": "one", "temperature": 11}, "temperature is 11"),
        ({"label": "one", "seed": -1}, '"seed"'),
        ({"label": "one", "seed": True}, '"seed"'),
    ],
)
def test_wrong_requests_for_sound_are_refused(client, asked, said: str):
    answer = client.post("/api/generate", json=asked)
    assert answer.status_code == 400 and said in answer.json()["error"]


def test_sound_from_a_caption_is_what_the_model_makes(client, sound):
    asked = {"caption": "rain", "seconds": 0.3, "guidance": 2.0, "seed": 4}
    answer = client.post("/api/sound", json=asked)
    assert answer.status_code == 200 and answer.headers["x-sample-rate"] == "24000"
    options = sound.options.changed(guidance=2.0)
    expected = torch.cat(list(sound.stream("rain", 0.3, options, seed=4)), -1)[0].clamp(-1, 1)
    np.testing.assert_allclose(np.frombuffer(answer.content, "<i2") / 32768, expected.numpy(), atol=2 / 32768)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "JSON object of caption"),
        ({}, "no words"),
        ({"caption": "?!"}, "no words"),
        ({"caption": "word " * 10_000}, "50,000 characters"),
        ({"caption": ["rain"]}, '"caption"'),
        ({"caption": "rain", "seconds": 0}, "above 0"),
        ({"caption": "rain", "seconds": 3600}, "at most 30"),
        ({"caption": "rain", "guidance": "much"}, '"guidance"'),
        ({"caption": "rain", "guidance": 1e9}, "between 0 and 100"),
        ({"caption": "rain", "label": "one"}, "unknown key"),
        ({"caption": "rain", "seed": 0.5}, '"seed"'),
    ],
)
def test_wrong_captions_are_refused(client, asked, said: str):
    answer = client.post("/api/sound", json=asked)
    assert answer.status_code == 400 and said in answer.json()["error"]


# Listening.


def test_what_streams_in_is_heard_as_if_whole(service: str, models):
    _, listener = models
    data = pcm(RECORDING)
    cuts = [data[at : at + 3333] for at in range(0, len(data), 3333)]  # odd lengths part samples in two
    *partials, final = hear(service, [json.dumps({"sample_rate": 16_000}), *cuts, json.dumps({"end": True})])
    whole = listener.transcribe(torch.from_numpy(np.frombuffer(data, "<i2").astype(np.float32) / 32768))
    assert final == {
        "type": "final",
        "text": whole.text,
        "words": [{"word": word, "start": start, "end": end} for word, start, end, _ in whole.words],
    }
    assert all(partial["type"] == "partial" for partial in partials)


def test_other_rates_are_resampled(service: str):
    higher = soxr.resample(RECORDING, 16_000, 48_000)
    *_, final = hear(service, [json.dumps({"sample_rate": 48_000}), pcm(higher), json.dumps({"end": True})])
    assert final["type"] == "final"


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (["hello"], "sample_rate"),
        ([b"\x00\x00"], "sample_rate"),
        (["[]"], "sample_rate"),
        ([json.dumps({"sample_rate": 1})], "8,000 to 96,000"),
        ([json.dumps({"sample_rate": "/etc/passwd"})], "8,000 to 96,000"),
        ([json.dumps({"sample_rate": 16_000})], "nothing came for 1 seconds"),
        ([json.dumps({"sample_rate": 8_000}), *[bytes(16_000)] * 6], "minutes"),
    ],
)
def test_wrong_sessions_are_refused(service: str, messages: list, said: str):
    *_, last = hear(service, messages)
    assert last["type"] == "error" and said in last["message"]


def test_utterances_are_told_apart(service: str):
    spoken = np.concatenate([RECORDING, np.zeros(32_000)])
    start = json.dumps({"sample_rate": 16_000, "endpoint": True})
    answers = hear(service, [start, *[pcm(part) for part in np.split(spoken, 12)], json.dumps({"end": True})])
    finals = [answer for answer in answers if answer["type"] == "final"]
    assert finals and [final["utterance"] for final in finals] == list(range(len(finals)))
    assert answers[-1]["type"] == "final" and all("utterance" in answer for answer in answers)


@pytest.mark.parametrize("text", ["garbage", "{}", '{"end": false}', "[" * 100_000])
def test_texts_that_are_no_end_are_refused(service: str, text: str):
    *_, last = hear(service, [json.dumps({"sample_rate": 16_000}), pcm(RECORDING), text])
    assert last["type"] == "error" and '{"end": true}' in last["message"]


def test_any_bytes_are_sound(service: str):
    garbage = np.random.default_rng(1).bytes(9_999)
    *_, last = hear(service, [json.dumps({"sample_rate": 16_000}), garbage, b"", json.dumps({"end": True})])
    assert last["type"] == "final"


def test_one_too_many_is_told_to_come_back_and_the_others_hear_on(patient_service: str, models):
    """Three places: one client vanishes, one sends a frame too large, the third hears what it hears alone."""
    _, listener = models
    address, start = f"ws://{patient_service}/api/listen", json.dumps({"sample_rate": 16_000})
    with closing(connect(address, proxy=None)) as steady:
        rude, large = connect(address, proxy=None), connect(address, proxy=None)
        for line in (steady, rude, large):
            line.send(start)
            line.send(pcm(RECORDING[:8_000]))
        assert hear(patient_service, [])[-1]["message"].startswith("too many")
        rude.socket.close()
        large.send(bytes(2**20 + 1))
        with pytest.raises(ConnectionClosed, match="1009"):
            while True:
                large.recv(timeout=30)
        steady.send(pcm(RECORDING[8_000:]))
        steady.send(json.dumps({"end": True}))
        while (answer := json.loads(steady.recv(timeout=30)))["type"] != "final":
            pass
    whole = listener.transcribe(torch.from_numpy(np.frombuffer(pcm(RECORDING), "<i2").astype(np.float32) / 32768))
    assert answer["text"] == whole.text
    assert hear(patient_service, [start, json.dumps({"end": True})])[-1]["type"] == "final"


def test_streams_that_overlap_hear_what_they_hear_alone(service: str, models):
    _, listener = models
    waves = [RECORDING[:at] for at in (16_000, 12_345, 7_001)]
    heard = {}

    def listen(number: int) -> None:
        pieces = [pcm(part) for part in np.array_split(waves[number], 9)]
        heard[number] = hear(service, [json.dumps({"sample_rate": 16_000}), *pieces, json.dumps({"end": True})])[-1]

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, wave in enumerate(waves):
        alone = listener.transcribe(torch.from_numpy(np.frombuffer(pcm(wave), "<i2").astype(np.float32) / 32768))
        assert heard[number]["text"] == alone.text


def test_a_client_that_does_not_read_is_left(monkeypatch):
    monkeypatch.setattr(listening, "REFUSAL_SECONDS", 0.01)

    class Stuck:
        async def send_json(self, message: dict) -> None:
            await asyncio.sleep(60)

    answers = listening.Answers(Stuck(), listening.Start(16_000, False), Limits(idle_seconds=0.01))
    with pytest.raises(AudiogenError, match="nothing was read"):
        asyncio.run(answers.tell([Partial("a", "", False, [])]))
    asyncio.run(listening._refuse(Stuck(), "nothing was read", 1008))


def test_places_are_bounded_and_given_back():
    async def scene() -> None:
        sessions = Sessions(places=1, waiting=1)
        async with sessions.place():
            second = asyncio.create_task(sessions.place().__aenter__())
            await asyncio.sleep(0)
            with pytest.raises(Busy, match="too many"):
                await sessions.place().__aenter__()
            assert not second.done()
        await second

    asyncio.run(scene())


# The page.


def test_the_page_is_there_and_no_file_but_its_own(client):
    assert "/static/audiogen/page.js" in client.get("/").text
    assert "export async function speak" in client.get("/static/audiogen/speak.js").text
    for path in (
        "/gradio_api/file=/etc/passwd",
        "/static/audiogen/../app.py",
        "/static/audiogen/%2e%2e/app.py",
        "/static/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/file=/etc/passwd",
        "/openapi.json",
        "/monitoring",
    ):
        answer = client.get(path)
        assert answer.status_code in (403, 404), path


def test_other_sites_get_no_line(service: str):
    with pytest.raises(Exception, match="403"):
        connect(f"ws://{service}/api/listen", origin="https://evil.example", proxy=None)


# The process.


def test_the_command_serves_until_it_is_interrupted(tiny_voice_bundle, tiny_recognizer_bundle):
    command = [sys.executable, "-m", "audiogen.cli", "serve", "--port", "0"]
    models = ["--voice-model", "tiny-voice", "--recognizer", "tiny-recognizer"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A process started in the background may have been told to ignore interruptions, and would pass that on.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen([*command, *models], **pipes, **heeding) as process:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        assert httpx.get(address, trust_env=False, timeout=60).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == "interrupted\n"
