#!/usr/bin/env python3
"""Mail handed to a provider's smart host: the log, the provider's webhooks and a mail that comes back tell of one message."""
import http.client, itertools, json, os, signal, socket, subprocess
from common import Case

SES_ID = "0102018f5d3c1a2b-4c5d6e7f-0000-4000-8000-abcdefabcde{}-000000"
LINES = """\
Nov 21 09:59:59 mx postfix/cleanup[1]: 4fQx2k3Zz9zRTV{n}: message-id=<m{n}@shop.example>
Nov 21 10:00:00 mx postfix/qmgr[1]: 4fQx2k3Zz9zRTV{n}: from=<news@shop.example>, size=100, nrcpt=1 (queue active)
Nov 21 10:00:01 mx postfix/smtp[2]: 4fQx2k3Zz9zRTV{n}: to=<{to}>, relay=email-smtp.eu-west-1.amazonaws.com[192.0.2.9]:587, delay=1, \
delays=0/0/0/1, dsn=2.0.0, status=sent (250 Ok {id})
Nov 21 10:00:01 mx postfix/qmgr[1]: 4fQx2k3Zz9zRTV{n}: removed
"""
MAIL = """\
From: MAILER-DAEMON@eu-west-1.amazonses.com
To: news@shop.example
Date: Sat, 21 Nov 2026 10:00:20 +0000
Message-ID: <dsn@eu-west-1.amazonses.com>
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=x

--x
Content-Type: text/plain

It could not be delivered.

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; a1.amazonses.com

Final-Recipient: rfc822; gone@far.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <gone@far.example>: Recipient address rejected: User unknown

--x
Content-Type: text/rfc822-headers

From: news@shop.example
To: gone@far.example
Message-ID: {id}

--x--
"""
CONFIG = """
data_dir = "{data}"
[mail]
sent_days = 10
[http]
listen = "127.0.0.1:{port}"
[[webhook]]
provider = "ses"
path = "/hooks/ses"
allow_unsigned = true
"""


def ses(kind, n, to, **more):
    at = "2026-11-21T10:00:05.000Z"
    return {"eventType": kind, "mail": {"timestamp": "2026-11-21T10:00:01.000Z", "source": "news@shop.example",
                                        "messageId": SES_ID.format(n), "destination": [to]},
            kind.lower(): {"timestamp": at, **more}}


class Run:
    """A store of its own, and the sources in some order; the daemon ends after each."""

    def __init__(self, t, name):
        self.t, self.data, self.config = t, t.path(name), t.path(name + ".toml")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        with open(self.config, "w") as f:
            f.write(CONFIG.format(data=self.data, port=self.port))

    def log(self):
        path = self.t.path("mail.log")
        with open(path, "w") as f:
            for n, to in ((1, "gone@far.example"), (2, "here@far.example")):
                f.write(LINES.format(n=n, to=to, id=SES_ID.format(n)))
        self.t.run("replay", "--config", self.config, "--year", "2026", path)

    def webhook(self):
        daemon = subprocess.Popen([self.t.bin, "run", "--config", self.config], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, cwd=self.t.dir)
        self.t.until("the daemon", lambda: os.path.exists(self.data + "/control.sock"))
        bounce = ses("Bounce", 1, "gone@far.example", bounceType="Permanent", bounceSubType="General", feedbackId="f1",
                     bouncedRecipients=[{"emailAddress": "gone@far.example", "status": "5.1.1", "action": "failed",
                                         "diagnosticCode": "smtp; 550 5.1.1 User unknown"}])
        delivery = ses("Delivery", 2, "here@far.example", recipients=["here@far.example"], smtpResponse="250 2.0.0 OK")
        for body in (bounce, delivery, bounce):
            to = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            to.request("POST", "/hooks/ses", json.dumps(body), {"Content-Type": "text/plain", "x-amz-sns-rawdelivery": "true"})
            status = to.getresponse().status
            self.t.expect(status == 200, f"the webhook is answered {status}")
            to.close()
        daemon.send_signal(signal.SIGTERM)
        self.t.expect(daemon.wait(30) == 0, "the daemon ends badly")

    def mail(self, message_id="<m1@shop.example>"):
        self.t.run("deliver", "--config", self.config, stdin=MAIL.replace("{id}", message_id))

    def rewritten_mail(self):
        """As SES sends it: its own id for the message's."""
        self.mail(f"<{SES_ID.format(1)}@eu-west-1.amazonses.com>")

    def digest(self):
        lines = self.t.run("digest", "--data", self.data, "--parts").stdout.splitlines()
        return {line.split()[1]: line.split()[0] for line in lines if len(line.split()) == 3}

    def check(self, what):
        show = self.t.ndjson("address", "show", "--data", self.data, "--json", "gone@far.example")[0]
        self.t.expect(show["totals"]["bounced"] == 1, f"{what}: {show['totals']}")
        report = json.loads(self.t.run("report", "--data", self.data, "--json", status=None).stdout or "{}")
        return show, report


def main():
    t = Case(__doc__)
    digests = []
    for n, steps in enumerate(itertools.permutations(("log", "webhook"))):
        run = Run(t, f"pair{n}")
        for step in steps:
            getattr(run, step)()
        run.check(steps)
        digest = run.digest()
        digests.append({part: digest[part] for part in ("address", "rates", "evidence")})
    t.expect(digests[0] == digests[1], f"the order matters: {digests}")
    # A mail is believed once a log or a webhook has told of the message; then it says nothing new.
    for n, steps in enumerate((("log", "webhook", "mail"), ("webhook", "log", "mail"), ("log", "mail", "webhook"),
                               ("webhook", "rewritten_mail"), ("log", "rewritten_mail", "webhook"))):
        run = Run(t, f"three{n}")
        for step in steps:
            getattr(run, step)()
        run.check(steps)
    t.done()


main()
