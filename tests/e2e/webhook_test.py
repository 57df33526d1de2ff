#!/usr/bin/env python3
"""Webhooks from outside: TLS with curl, nginx in front, hostile senders, commands, a clean end."""
import base64, gzip, http.client, json, os, shutil, signal, socket, ssl, subprocess, sys, time
from common import Case, free_port


def certificate(t, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", t.path("key.pem"), "-out", t.path("cert.pem"), "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def event(n, kind="bounced", text="550 5.1.1 The email account that you tried to reach does not exist"):
    return {"kind": kind, "id": f"e{n}", "recipient": f"user{n}@example.com", "time": "2026-11-20T10:00:00Z",
            "diagnostic": text, "smtp_code": 550, "message_id": f"<{n}@esp.example>"}


CONFIG = """
data_dir = "{data}"
[http]
listen = ["127.0.0.1:{tls}"]
certificate = "cert.pem"
key = "key.pem"
access_log = "access.log"
header_timeout = "1s"
body_timeout = "3s"
body_limit = "1MiB"
trusted_proxies = ["127.0.0.1"]
[[webhook]]
provider = "generic"
path = "/hooks/own"
bearer = "file:bearer.txt"
tenant = "acme"
[[webhook]]
provider = "generic"
name = "hidden"
path = "/hooks/hidden"
token = "env:HOOK_TOKEN"
allow_unsigned = true
networks = ["192.0.2.0/24"]
[[webhook]]
provider = "sendgrid"
path = "/hooks/sendgrid"
secrets = ["file:sendgrid.pub"]
"""


class Server:
    def __init__(self, t):
        self.t = t
        self.tls = free_port()
        self.data = t.path("data")
        with open(t.path("b.toml"), "w") as f:
            f.write(CONFIG.format(data=self.data, tls=self.tls))
        self.log = open(t.path("log"), "a")
        self.process = subprocess.Popen([t.bin, "run", "--config", t.path("b.toml")], stdout=subprocess.DEVNULL,
                                        stderr=self.log, cwd=t.dir, env={**os.environ, "HOOK_TOKEN": "s3cret-path"})
        t.until("the daemon", lambda: os.path.exists(self.data + "/control.sock"))

    def curl(self, path, body=None, *more, tls=True, port=None):
        """The status that curl sees, over a connection of its own."""
        args = ["curl", "-s", "-o", self.t.path("answer"), "-w", "%{http_code}", "--max-time", "30", *more]
        if body is not None:
            with open(self.t.path("body"), "wb") as f:
                f.write(body if isinstance(body, bytes) else json.dumps(body).encode())
            args += ["--data-binary", "@" + self.t.path("body"), "-H", "Content-Type: application/json"]
        if tls:
            args += ["--cacert", self.t.path("cert.pem")]
        done = subprocess.run([*args, f"http{'s' if tls else ''}://localhost:{port or self.tls}{path}"], cwd=self.t.dir,
                              stdout=subprocess.PIPE, text=True)
        return int(done.stdout)

    def own(self, body, *more):
        return self.curl("/hooks/own", body, "-H", "Authorization: Bearer right", *more)

    def raw(self):
        context = ssl._create_unverified_context()
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.tls), timeout=20))


def figure(server, name):
    server.curl("/metrics")
    with open(server.t.path("answer")) as f:
        return sum(float(line.split()[-1]) for line in f if line.startswith(name) and line[len(name)] in " {")


def main():
    t = Case(__doc__)
    for tool in ("curl", "openssl"):
        if shutil.which(tool) is None:
            print(f"skipped: no {tool}")
            sys.exit(77)
    certificate(t, "first")
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", t.path("sendgrid.key")],
                   check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "ec", "-in", t.path("sendgrid.key"), "-pubout", "-out", t.path("sendgrid.pub")],
                   check=True, stderr=subprocess.DEVNULL)
    with open(t.path("bearer.txt"), "w") as f:
        f.write("right\n")
    s = Server(t)

    t.expect(s.curl("/healthz") == 200 and s.curl("/readyz") == 200, "not healthy")
    t.expect(s.curl("/healthz", {}) == 405, "a POST to /healthz")
    t.expect(s.curl("/nowhere") == 404, "a path that is none")

    # What is accepted, and what is not.
    t.expect(s.own(event(1)) == 200, "a good event")
    t.expect(s.curl("/hooks/own", event(2)) == 401, "without credentials")
    t.expect(s.curl("/hooks/own", event(2), "-H", "Authorization: Bearer wrong") == 401, "with wrong ones")
    t.expect(s.own([event(3), event(4, "delivered", "250 ok"), event(5)]) == 200, "an array")
    t.expect(s.own(gzip.compress(json.dumps(event(6)).encode()), "-H", "Content-Encoding: gzip") == 200, "gzip")
    t.expect(s.own(event(1)) == 200, "told again")
    t.expect(s.own(b'{"kind": "bounced", "recipient"') == 400, "cut JSON")
    t.expect(s.own(b"[" * 500_000) == 400, "a depth bomb")
    t.expect(s.own(b'{"a":' * 150_000 + b"1" + b"}" * 150_000) == 400, "a depth bomb of objects")
    t.expect(s.own(b" " * (2 << 20)) == 413, "too large")
    t.expect(s.own(gzip.compress(b" " * (64 << 20)), "-H", "Content-Encoding: gzip") == 413, "a gzip bomb")
    t.expect(s.curl("/hooks/hidden", event(7)) == 404, "a secret path, without the secret")
    t.expect(s.curl("/hooks/hidden/s3cret-path", event(7)) == 401, "from a network that may not send")
    t.expect(s.curl("/hooks/hidden/s3cret-path", event(7), "-H", "X-Forwarded-For: 192.0.2.9") == 200, "behind a proxy")

    # One connection, pipelined: answers in order.
    raw = s.raw()
    one = json.dumps(event(8)).encode()
    head = b"POST /hooks/own HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n"
    raw.sendall(head % (b"right", len(one)) + one + head % (b"wrong", len(one)) + one + head % (b"right", len(one)) + one)
    heard = b""
    while heard.count(b"HTTP/1.1 ") < 3:
        more = raw.recv(65536)
        t.expect(more, f"closed early: {heard}")
        heard += more
    statuses = [int(part[:3]) for part in heard.split(b"HTTP/1.1 ")[1:]]
    t.expect(statuses == [200, 401, 200], f"pipelined: {statuses}")

    # Signed by our own command; and checked by it.
    with open(t.path("sg.json"), "w") as f:
        json.dump([{"email": "user9@example.com", "timestamp": 1795000000, "event": "bounce", "type": "bounce",
                    "sg_event_id": "abc", "sg_message_id": "m1", "reason": "550 5.1.1 user unknown", "status": "5.1.1"}], f)
    t.run("webhook", "send", "--config", t.path("b.toml"), "sendgrid", t.path("sg.json"), "--key", t.path("sendgrid.key"),
          "--url", f"https://127.0.0.1:{s.tls}/hooks/sendgrid", "--cacert", t.path("cert.pem"), env={"HOOK_TOKEN": "x"})
    t.run("webhook", "send", "--config", t.path("b.toml"), "sendgrid", t.path("sg.json"), "--key", t.path("key.pem"),
          "--url", f"https://127.0.0.1:{s.tls}/hooks/sendgrid", "--insecure", env={"HOOK_TOKEN": "x"}, status=1)
    # Without a file: a sample of the provider, new each time.
    for n in range(2):
        t.run("webhook", "send", "--config", t.path("b.toml"), "sendgrid", "--key", t.path("sendgrid.key"), "--insecure",
              env={"HOOK_TOKEN": "x"})
        t.run("webhook", "send", "--config", t.path("b.toml"), "/hooks/own", "--cacert", t.path("cert.pem"), "--url",
              f"https://127.0.0.1:{s.tls}/hooks/own", env={"HOOK_TOKEN": "x"})
    shown = t.ndjson("address", "show", "--json", "--config", t.path("b.toml"), "user9@example.com")[0]
    t.expect(shown["last"].get("hint") == "hard", f"the provider's class: {shown['last']}")
    listed = {e["name"]: e for e in t.ndjson("webhook", "list", "--json", "--config", t.path("b.toml"))}
    t.expect(listed["sendgrid"]["accepted"] == 3 and listed["sendgrid"]["unverified"] == 1, f"{listed['sendgrid']}")
    t.expect(listed["generic"]["events"] >= 6, f"{listed['generic']}")
    with open(t.path("saved.txt"), "wb") as f:
        f.write(b"POST /hooks/own HTTP/1.1\r\nauthorization: Bearer right\r\ncontent-type: application/json\r\n\r\n" + one)
    verified = t.run("webhook", "verify", "--config", t.path("b.toml"), "generic", t.path("saved.txt")).stdout
    t.expect(verified.startswith("ok: 1 event") and "user8@example.com" in verified, verified)
    with open(t.path("saved.txt"), "wb") as f:
        f.write(b"POST /hooks/own HTTP/1.1\r\n\r\n" + one)
    t.run("webhook", "verify", "--config", t.path("b.toml"), "generic", t.path("saved.txt"), status=1)
    rejected = t.run("webhook", "rejected", "--config", t.path("b.toml")).stdout
    t.expect("wrong bearer token" in rejected and "/hooks/own" in rejected, "nothing told of what was refused")
    t.expect("Bearer wrong" not in rejected and "user2@" not in rejected and "***@example.com" in rejected,
             "secrets or addresses are kept")

    # nginx in front.
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if os.path.exists(nginx):
        port = free_port()
        with open(t.path("nginx.conf"), "w") as f:
            f.write(f"""daemon off; master_process off; pid {t.path('nginx.pid')}; error_log {t.path('nginx.err')};
events {{}} http {{ access_log off; client_body_temp_path {t.path('ngx')}; proxy_temp_path {t.path('ngx')};
fastcgi_temp_path {t.path('ngx')}; uwsgi_temp_path {t.path('ngx')}; scgi_temp_path {t.path('ngx')};
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass https://127.0.0.1:{s.tls}; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_set_header X-Forwarded-For 192.0.2.77; }} }} }}""")
        web = subprocess.Popen([nginx, "-c", t.path("nginx.conf"), "-e", t.path("nginx.err")], cwd=t.dir)
        t.until("nginx", lambda: s.curl("/healthz", tls=False, port=port) == 200)
        t.expect(s.curl("/hooks/hidden/s3cret-path", event(10), tls=False, port=port) == 200, "through nginx")
        web.terminate()
        web.wait()

    # Slow and idle ones do not hold up others.
    slow = [s.raw() for _ in range(50)]
    for one_slow in slow:
        one_slow.sendall(b"POST /hooks/own HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    idle = [socket.create_connection(("127.0.0.1", s.tls)) for _ in range(500)]
    t.expect(s.own(event(11)) == 200, "beside slow senders")
    t.until("slow senders to be sent away", lambda: figure(s, "bounced_http_timeouts_total") >= 550)
    for one_slow in slow + idle:
        one_slow.close()

    # The access log tells no secret and no whole address.
    t.until("the access log", lambda: os.path.getsize(t.path("access.log")) > 1000)
    with open(t.path("access.log")) as f:
        text = f.read()
    t.expect("s3cret-path" not in text and "127.0.0.1" not in text and "POST /hooks/hidden/..." in text, text[-2000:])

    # A new certificate, without a restart.
    certificate(t, "second")
    s.process.send_signal(signal.SIGHUP)

    def subject():
        pem = ssl.get_server_certificate(("127.0.0.1", s.tls))
        return subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, stdout=subprocess.PIPE, text=True).stdout
    t.until("the new certificate", lambda: "second" in subject())
    t.expect(s.own(event(12)) == 200, "with the new certificate")

    # Everything is applied, once; also after a restart.
    expected = {f"user{n}@example.com" for n in (1, 3, 5, 6, 7, 8, 9, 11, 12)}
    if os.path.exists(nginx):
        expected.add("user10@example.com")

    def blocked():
        return {e["address"]: e for e in t.ndjson("list", "--block", "any", "--format", "ndjson", "--data", s.data)}
    t.until("all events", lambda: set(blocked()) == expected)
    t.expect(all(e["totals"]["bounced"] == 1 for e in blocked().values()), "an event counted twice")
    t.expect(figure(s, "bounced_inbox_duplicates_total") == 2, "duplicates")
    s.process.terminate()
    t.expect(s.process.wait(timeout=60) == 0, "SIGTERM is a clean end")
    shown = t.ndjson("address", "show", "--json", "user9@example.com", "--data", s.data)[0]
    t.expect(shown["last"]["source"]["format"] == "sendgrid" and shown["last"]["source"]["name"] == "sendgrid", shown)
    s = Server(t)
    t.expect(s.own(event(1)) == 200 and s.own(event(13)) == 200, "after a restart")
    t.expect("user13@example.com" in blocked(), "a command does not see what was accepted before it")
    t.expect(blocked()["user1@example.com"]["totals"]["bounced"] == 1, "told again after a restart")
    s.process.terminate()
    t.expect(s.process.wait(timeout=60) == 0, "SIGTERM is a clean end")

    # Configurations that are none.
    for text, word in (('[http]\nlisen = "x"', "listen"), ('[[webhook]]\nprovider = "sendgird"\npath = "/x"', "sendgrid"),
                       ('[[webhook]]\nprovider = "generic"\npath = "x"', "path"),
                       ('[[webhook]]\nprovider = "generic"\npath = "/x"', "authenticates"),
                       ('[[webhook]]\nprovider = "generic"\npath = "/x"\nbearer = "env:NOT_SET_ANYWHERE"', "NOT_SET")):
        with open(t.path("bad.toml"), "w") as f:
            f.write(f'data_dir = "{t.path("d2")}"\n{text}\n')
        done = t.run("run", "--config", t.path("bad.toml"), status=None)
        t.expect(done.returncode == 2 and word in done.stderr, f"{text}: {done.returncode} {done.stderr}")
    t.done()


if __name__ == "__main__":
    main()
