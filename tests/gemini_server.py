"""A loopback server that speaks the wire format of Gemini's generateContent and batches, or misbehaves on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CURATED = Path(__file__).parents[1] / "peace" / "descriptors" / "curated.json"
KEY = "test-key-5e4d2c1b0a"

SECRET_MESSAGE = f"API key not valid: {KEY}. Please pass a valid API key."


@dataclass
class Gemini:
    """How labels are answered: `deeds` maps a label to misdeeds, one a request; the last one stays.

    Misdeeds: ok, busy (429 with RetryInfo), down (503), broken (500 without JSON), hang, drop, blocked, unsafe, cut,
    no_json, half_json, german, empty_axis, no_axis, no_candidates, no_parts, bad_request, bad_key, forbidden, unknown,
    not_json_body, fenced, nested, listed, quota, other (other texts).
    """

    deeds: dict[str, list[str]] = field(default_factory=dict)
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)
    batches: dict[str, Any] = field(default_factory=dict)
    looks: int = 1
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def deed(self, label: str) -> str:
        planned = self.deeds.get(label) or self.deeds.get("*") or ["ok"]
        return planned[min(self.asked[label], len(planned)) - 1]


def answer_of(label: str, deed: str = "ok") -> dict[str, Any]:
    """What a good model would say: the curated texts, in the response schema."""
    own = json.loads(CURATED.read_text())["labels"][label]
    axes = dict(own["axes"])
    if deed == "german":
        axes["morphology"] = "Die QRS-Komplexe sind verbreitert und der Lagetyp ist nicht normal, mit einem späten R."
    if deed == "empty_axis":
        axes["st_t"] = "  "
    if deed == "no_axis":
        del axes["st_t"]
    if deed == "other":
        axes["rhythm"] = "Each P wave leads to one QRS complex at a steady rate set by the sinus node."
    return {
        **axes,
        "summary": own["fused"],
        "leads": ["V1", "V6"],
        "criteria": ["QRS 120 ms or more"] if label == "CRBBB" else "",
        "age_note": "In children limits are lower.",
        "references": "AHA/ACCF/HRS 2009",
    }


@contextmanager
def gemini(**deeds: list[str]) -> Iterator[Gemini]:
    """Serve on a free port; keywords are labels, `every` is all others."""
    state = Gemini({("*" if name == "every" else name): found for name, found in deeds.items()})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *words: object) -> None:
            pass

        def do_GET(self) -> None:
            state.keys.add(self.headers.get("x-goog-api-key", ""))
            name = "batches/" + self.path.rsplit("/", 1)[-1]
            batch = state.batches.get(name)
            if batch is None:
                _send(self, 404, _error(404, "NOT_FOUND", "no such batch"))
                return
            batch["looks"] += 1
            done = batch["looks"] > state.looks
            metadata: dict[str, Any] = {"state": "BATCH_STATE_SUCCEEDED" if done else "BATCH_STATE_RUNNING"}
            if done:
                metadata["output"] = {"inlinedResponses": {"inlinedResponses": batch["responses"]}}
            _send(self, 200, {"name": name, "metadata": metadata, "done": done})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.keys.add(self.headers.get("x-goog-api-key", ""))
            with state.lock:
                state.paths.append(self.path)
                state.bodies.append(body)
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
            _batch(self, state, body) if "batch" in body else _one(self, state, body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def _one(handler: BaseHTTPRequestHandler, state: Gemini, body: dict[str, Any]) -> None:
    label = _label(body)
    with state.lock:
        state.asked[label] += 1
        deed = state.deed(label)
    time.sleep(0.01)
    with state.lock:
        state.at_once -= 1  # before the answer: the next request may follow it at once
    if deed == "hang":
        time.sleep(3)
    if deed in ("hang", "drop"):
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
    elif deed == "not_json_body":
        _send(handler, 200, "<html>a proxy's page</html>")
    elif deed == "broken":
        _send(handler, 500, "Internal Server Error")
    elif deed in _REFUSALS:
        _send(handler, _REFUSALS[deed]["error"]["code"], _REFUSALS[deed])
    else:
        _send(handler, 200, response(label, deed))


def _batch(handler: BaseHTTPRequestHandler, state: Gemini, body: dict[str, Any]) -> None:
    responses = []
    for request in body["batch"]["inputConfig"]["requests"]["requests"]:
        label = _label(request["request"])
        state.asked[label] += 1
        deed = state.deed(label)
        if deed in _REFUSALS:
            held: dict[str, Any] = {"error": {"code": 13, "message": "the request was refused"}}
        else:
            held = {"response": response(label, deed)}
        responses.append({**held, "metadata": request["metadata"]})
    name = f"batches/b{len(state.batches)}"
    state.batches[name] = {"looks": 0, "responses": responses}
    _send(handler, 200, {"name": name, "metadata": {"state": "BATCH_STATE_PENDING"}})


def response(label: str, deed: str) -> dict[str, Any]:
    """A GenerateContentResponse."""
    text, reason = json.dumps(answer_of(label, deed)), "STOP"
    if deed == "blocked":
        return {"promptFeedback": {"blockReason": "SAFETY"}}
    if deed == "no_candidates":
        return {"usageMetadata": {"totalTokenCount": 3}}
    if deed in ("no_parts", "unsafe"):
        return {"candidates": [{"finishReason": "SAFETY" if deed == "unsafe" else "STOP"}]}
    if deed == "cut":
        text, reason = text[: len(text) // 2], "MAX_TOKENS"
    if deed == "half_json":
        text = text[:-20]
    if deed == "no_json":
        text = "I am sorry, I cannot describe this."
    if deed == "fenced":
        text = f"Here it is:\n```json\n{text}\n```\nAnything else?"
    if deed == "listed":
        own = answer_of(label)
        names = {"Rhythm": "rhythm", "P and QRS morphology": "morphology", "ST/T": "st_t"}
        text = json.dumps({"axes": [{"axis": name, "text": own[key]} for name, key in names.items()]})
    if deed == "nested":
        own = answer_of(label)
        axes = {"Rhythm": own["rhythm"], "morphology": [own["morphology"]], "ST-T": {"text": own["st_t"]}}
        text = json.dumps([{"label": label, "axes": axes, "extra": 3}])
    content = {"parts": [{"text": text}], "role": "model"}
    candidate = {"content": content, "finishReason": reason, "index": 0}
    usage = {"totalTokenCount": 321, "promptTokenCount": 200}
    return {"candidates": [candidate], "modelVersion": "loopback-1", "usageMetadata": usage}


def _label(body: dict[str, Any]) -> str:
    prompt = body["contents"][0]["parts"][0]["text"]
    return str(prompt.split("(", 1)[1].split(")", 1)[0])


def _error(code: int, status: str, message: str, details: Any = None) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, "details": details or []}}


_RETRY = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.05s"}]
_KEY_INFO = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
_REFUSALS = {
    "busy": _error(429, "RESOURCE_EXHAUSTED", "quota", _RETRY),
    "quota": _error(429, "RESOURCE_EXHAUSTED", "quota of the day", [{"retryDelay": "43200s"}]),
    "down": _error(503, "UNAVAILABLE", "overloaded"),
    "bad_request": _error(400, "INVALID_ARGUMENT", "schema too deep"),
    "bad_key": _error(400, "INVALID_ARGUMENT", SECRET_MESSAGE, _KEY_INFO),
    "forbidden": _error(403, "PERMISSION_DENIED", f"the key {KEY} has no access"),
    "unknown": _error(404, "NOT_FOUND", "models/nothing is not found"),
}


def _send(handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
