#!/usr/bin/python3
"""A web server for tests: list_watch.py DIRECTORY CERTIFICATE. The first line of its output has the ports, with and without TLS.

/ok/NAME is a file of the directory, with its ETag; /short/NAME is cut off, /moved/NAME is elsewhere, /endless never ends, all
else is not there. Each further line is a path and the status of the reply.
"""
import hashlib
import http.server
import pathlib
import ssl
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, _, name = self.path.lstrip("/").partition("/")
        status, fields, body = 404, {}, b"<html>not here</html>\n"
        if kind == "endless":
            status, body = 200, b""
        elif kind == "moved":
            status, fields, body = 302, {"Location": f"http://elsewhere.example/{name}"}, b""
        elif kind in ("ok", "short"):
            status, body = 200, (pathlib.Path(sys.argv[1]) / name).read_bytes()
            fields = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
            if self.headers["If-None-Match"] == fields["ETag"]:
                status, body = 304, b""
        self.send_response(status)
        for field, value in fields.items():
            self.send_header(field, value)
        if kind not in ("endless",) and status != 304:
            self.send_header("Content-Length", str(len(body) + (7 if kind == "short" else 0)))
        self.end_headers()
        self.wfile.write(body)
        print(self.path, status, flush=True)
        try:
            while kind == "endless":
                self.wfile.write(b"mail.example.com\n" * 4096)
        except OSError:
            pass

    def log_message(self, *_):
        pass


plain, encrypted = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
encrypted.socket = context.wrap_socket(encrypted.socket, server_side=True)
print(encrypted.server_port, plain.server_port, flush=True)
for server in (plain, encrypted):
    threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
