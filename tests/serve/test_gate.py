"""Who gets in."""

import base64

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from audiogen.errors import AudiogenError
from audiogen.serve.gate import Gate, check_host

HERE = "http://127.0.0.1:7860"
PASSWORD = "anna:secret"


def client(password: str | None = None, address: str = HERE) -> TestClient:
    return TestClient(Gate(PlainTextResponse("inside"), password), base_url=address)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_this_machine_needs_no_password(host: str):
    check_host(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_other_addresses_need_one(host: str):
    with pytest.raises(AudiogenError, match="AUDIOGEN_AUTH=user:password"):
        check_host(host, None)
    check_host(host, PASSWORD)


@pytest.mark.parametrize("password", ["", "secret", ":secret", "anna:"])
def test_a_password_has_two_parts(password: str):
    with pytest.raises(AudiogenError, match="user:password"):
        check_host("0.0.0.0", password)


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860"])
def test_the_machine_s_own_names_are_let_in(host: str):
    assert client().get("/", headers={"Host": host}).text == "inside"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7860", ""])
def test_other_names_are_not(host: str):
    assert client().get("/", headers={"Host": host}).status_code == 403


def test_pages_of_other_sites_are_not():
    assert client().post("/api/speak", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client().post("/api/speak", headers={"Origin": "null"}).status_code == 403
    assert client().post("/api/speak", headers={"Origin": HERE}).text == "inside"


@pytest.mark.parametrize(
    "path", ["file=/etc/passwd", "FILE=/etc/passwd", "upload", "proxy=http://localhost/", "queue/join", "vibe-edit"]
)
def test_gradio_s_own_interface_is_shut(path: str):
    assert client().get(f"/gradio_api/{path}").status_code == 404
    assert client().get(f"{HERE}//gradio_api/{path}").status_code == 404


def test_a_password_is_asked_for_once():
    visitor = client(PASSWORD, "http://example.org:7860")
    refused = visitor.get("/")
    assert refused.status_code == 401 and "Basic" in refused.headers["www-authenticate"]
    assert "set-cookie" not in refused.headers
    assert visitor.get("/", auth=("anna", "guess")).status_code == 401
    assert visitor.get("/", headers={"Authorization": "Basic ??"}).status_code == 401
    welcome = visitor.get("/", auth=("anna", "secret"))
    assert welcome.text == "inside"
    assert "HttpOnly" in welcome.headers["set-cookie"] and "SameSite=Strict" in welcome.headers["set-cookie"]
    assert visitor.get("/").text == "inside"  # by the cookie, which WebSockets carry too


def test_a_forged_cookie_opens_nothing():
    assert client(PASSWORD).get("/", headers={"Cookie": "audiogen_session=guess"}).status_code == 401


def test_a_password_with_other_letters():
    credentials = base64.b64encode("änna:gehëim".encode()).decode()
    answer = client("änna:gehëim").get("/", headers={"Authorization": f"Basic {credentials}"})
    assert answer.text == "inside"
