"""This cloud's object store for clients that speak HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gateway:
    """This cloud's object store over real HTTP at a port of the loopback, with Swift's and Keystone's ways to log in."""

    def __init__(self, lab):
        self.lab, self.logins, self.refuse_once = lab, 0, False
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, content = gateway.answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("transfer-encoding", *(() if self.command == "HEAD" else ("content-length",))):
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method, path, headers, body):
        account = f"http://{self.address}/object-store/v1/AUTH_{'b' * 32}"
        if path.startswith("/auth/v1.0"):
            if (headers["X-Auth-User"], headers["X-Auth-Key"]) != ("a:b", "s/cret"):
                return 401, {}, b""
            self.logins += 1
            return 200, {"X-Storage-Url": account, "X-Auth-Token": f"token{self.logins}"}, b""
        if path.startswith("/identity/v3/auth/tokens"):
            user = json.loads(body)["auth"]["identity"]["password"]["user"]
            if (user["name"], user["password"]) != ("a:b", "s/cret"):
                return 401, {}, b""
            self.logins += 1
            endpoints = [{"interface": "public", "region": region, "url": url} for region, url in (("X", "x"), ("Y", account))]
            catalog = [{"type": "object-store", "endpoints": endpoints}]
            return 201, {"X-Subject-Token": f"token{self.logins}"}, json.dumps({"token": {"catalog": catalog}}).encode()
        given = {name: value for name, value in headers.items() if name.lower() not in ("connection", "content-length")}
        if path.startswith("/s3/"):
            found = self.lab.anonymous.request(method, path, content=body, headers=given)
            return found.status_code, dict(found.headers), found.content
        if headers["X-Auth-Token"] != f"token{self.logins}" or self.refuse_once:
            self.refuse_once = False
            return 401, {}, b""
        given.pop("X-Auth-Token")
        found = self.lab.client("demo").request(method, path, content=body, headers=given)
        return found.status_code, dict(found.headers), found.content

    def close(self):
        self.server.shutdown()
        self.server.server_close()
