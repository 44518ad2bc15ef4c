"""The API of a cloud as its users see it while its parts die: answers that never come, and an API that is away for a while."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.cluster.many import Many, until

ANSWER_SECONDS = 300.0  # in which an API answers again after a kill
NEW = "compute 2.95"  # what is asked of live migrations


class Api:
    """The cloud as its users see it.  An answer that did not come is None."""

    def __init__(self, many: Many, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._many, self._client, self._meanwhile = many, httpx.Client(timeout=60), meanwhile
        self.token = ""
        self.longest_seconds = 0.0  # until the API could be connected to

    def ask(self, method: str, path: str, version: str = "", **body: Any) -> httpx.Response | None:
        """Ask once, as soon as somebody listens; None: nobody knows what became of it."""
        began = time.monotonic()
        try:
            return self._ask(method, path, version, body)
        finally:
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)

    def _ask(self, method: str, path: str, version: str, body: dict[str, Any]) -> httpx.Response | None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                if not self.token:
                    self.token = self._many.token()
                headers = {"X-Auth-Token": self.token, **({"OpenStack-API-Version": version} if version else {})}
                answer = self._client.request(method, self._many.url + path, json=body or None, headers=headers)
            except httpx.ConnectError:  # nothing was asked yet
                assert time.monotonic() < deadline, f"nobody listened for {ANSWER_SECONDS:g} s"
                self._meanwhile()
                time.sleep(0.1)
            except (httpx.HTTPError, OSError):
                return None
            else:
                return None if answer.status_code >= 500 else answer

    def get(self, path: str, version: str = "") -> Any:
        """Ask until there is an answer."""

        def found() -> httpx.Response | None:
            self._meanwhile()
            answer = self.ask("GET", path, version)
            return answer if answer is not None and answer.status_code == 200 else None

        return until(found, path, ANSWER_SECONDS).json()

    def every(self, path: str, noun: str, version: str = "") -> list[Any]:
        """Return what is listed."""
        return list(self.get(path, version)[noun])

    def insist(self, method: str, path: str, **body: Any) -> Any:
        """Do something, for sure."""

        def answered() -> httpx.Response | None:
            self._meanwhile()
            return self.ask(method, path, **body)

        answer = until(lambda: (found := answered()) is not None and (found,), f"{method} {path}", ANSWER_SECONDS)[0]
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def upload(self, image_id: str, content: bytes) -> None:
        """Give an image its content."""
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/octet-stream"}
        done = httpx.put(f"{self._many.url}/image/v2/images/{image_id}/file", content=content, headers=headers, timeout=120)
        assert done.status_code == 204, done.text
