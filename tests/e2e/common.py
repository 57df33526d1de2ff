"""What the end-to-end tests share: the binary, a temporary folder, expectations."""
import argparse, json, os, shutil, socket, subprocess, sys, tempfile, time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def bounce_mail(recipient, received, reply, message_id=None, queue_id=None):
    """A delivery status notification (RFC 3464): `received` as in a header, `reply` with code and enhanced code."""
    own = f"X-Postfix-Queue-ID: {queue_id}\n" if queue_id else ""
    original = f"Message-ID: {message_id}\n" if message_id else ""
    return f"""Received: by mx1; {received}
From: MAILER-DAEMON@corp.example
To: b@esp.example
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; corp.example
{own}
Final-Recipient: rfc822; {recipient}
Action: failed
Status: {reply.split()[1]}
Diagnostic-Code: smtp; {reply}

--b
Content-Type: text/rfc822-headers

From: b@esp.example
{original}
--b--
"""


class Case:
    def __init__(self, doc):
        p = argparse.ArgumentParser(description=doc)
        p.add_argument("--bounced", required=True)
        p.add_argument("--loggen", required=True)
        a = p.parse_args()
        self.bin, self.loggen = a.bounced, a.loggen
        self.dir = tempfile.mkdtemp(prefix="bounced-e2e-")
        self.checks = 0

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def run(self, *args, stdin=None, status=0, env=None):
        """Runs a command; `status` None = any. Returns the finished process (text)."""
        done = subprocess.run([self.bin, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=not isinstance(stdin, bytes), timeout=250, cwd=self.dir,
                              env={**os.environ, **(env or {})})
        if status is not None:
            self.expect(done.returncode == status,
                        f"`bounced {' '.join(args)}` exits {done.returncode}, not {status}\n{done.stdout}\n{done.stderr}")
        return done

    def ndjson(self, *args, **kw):
        return [json.loads(line) for line in self.run(*args, **kw).stdout.splitlines()]

    def generate(self, name, size, profile="sparse", seed=1):
        out = self.path(name)
        truth = out + ".truth.json"
        subprocess.run([self.loggen, "--profile", profile, "--bytes", size, "--seed", str(seed), "--header", "rfc3339",
                        "--out", out, "--truth", truth], check=True, stdout=subprocess.DEVNULL)
        with open(truth) as f:
            return out, json.load(f)

    def daemon(self, config):
        return subprocess.Popen([self.bin, "run", "--config", config], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, cwd=self.dir)

    def expect(self, ok, what):
        self.checks += 1
        if not ok:
            sys.exit(f"FAILED: {what}")

    def until(self, what, test, seconds=30):
        end = time.time() + seconds
        while time.time() < end:
            if test():
                return
            time.sleep(0.02)
        sys.exit(f"FAILED: timed out waiting for {what}")

    def done(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        print(f"{self.checks} checks passed")
