#!/usr/bin/env python3
"""SIGKILL while a Maildir or an mbox is looked after: every mail counts once, none is lost.

Bounce mails are delivered through tmp/ to new/ while the daemon is killed at random moments, at times within
milliseconds of a delivery. The same is done with after = "leave", and with an mbox that is appended to (at times in
two pieces, with or without a lock), renamed, also while nobody looks, and rewritten as a mail reader does. The store
must equal that of one quiet run. --kills N, --seed S.
"""
import argparse, fcntl, json, os, random, shutil, signal, subprocess, sys, tempfile, time


def log_line(n):
    return (f"2025-11-20T10:00:{n % 60:02}.{n:06}+00:00 mx1 postfix/smtp[4]: 4jX42p{n:05}z: to=<u{n}@corp.example>, "
            "relay=mx.corp.example[192.0.2.7]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 ok)\n")


def mail(n):
    return f"""Received: by mx1; Thu, 20 Nov 2025 12:00:{n % 60:02} +0000
From: MAILER-DAEMON@corp.example
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; corp.example
X-Postfix-Queue-ID: 4jX42p{n:05}z

Final-Recipient: rfc822; u{n}@corp.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--b--
"""


class Run:
    def __init__(self, args, folder, name, after):
        self.bin, self.folder, self.after = args.bounced, os.path.join(folder, name), after
        self.mbox = os.path.join(self.folder, "mbox")
        self.box, self.config = os.path.join(self.folder, "box"), os.path.join(self.folder, "b.toml")
        for part in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(self.box, part))
        with open(self.config, "w") as f:
            f.write(f'data_dir = "{self.folder}/data"\nstate_memory = "64MiB"\ncut_interval = "50ms"\n[mail]\nsent_days = 10\n')
            f.write(f'[[mbox]]\npath = "{self.mbox}"\nsettle = "300ms"\npoll = "20ms"\n' if after == "mbox" else
                    f'[[maildir]]\npath = "{self.box}"\nafter = "{after}"\npoll = "20ms"\n')
        self.daemon = None

    def command(self, *args):
        return subprocess.run([self.bin, "--config", self.config, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=120)

    def start(self):
        self.daemon = subprocess.Popen([self.bin, "run", "--config", self.config], stdout=subprocess.DEVNULL,
                                       stderr=open(os.path.join(self.folder, "log"), "a"))

    def end(self, how):
        self.daemon.send_signal(how)
        return self.daemon.wait(timeout=60)

    def deliver(self, n):
        name = f"1795000000.M{n:06}P1.mx1"
        with open(os.path.join(self.box, "tmp", name), "w") as f:
            f.write(mail(n))
        os.rename(os.path.join(self.box, "tmp", name), os.path.join(self.box, "new", name))

    def append(self, n, rng):
        """As a local delivery does; a mail in two pieces is whole long before it counts as settled."""
        text = f"From mailer@corp.example {time.ctime()}\n" + mail(n) + "\n"
        at = rng.randrange(len(text)) if rng.random() < 0.3 else len(text)
        with open(self.mbox, "a") as f:
            if rng.random() < 0.7:
                fcntl.lockf(f, fcntl.LOCK_EX)
            for piece in (text[:at], text[at:]):
                f.write(piece)
                f.flush()
                if at != len(text):
                    time.sleep(0.005)

    def taken(self):
        """All of the mbox: renaming or rewriting a file is nobody's business before."""
        until = time.time() + 60
        while time.time() < until:
            box = json.loads(self.command("status", "--json").stdout or "{}").get("mboxes", [])
            if box and os.path.exists(self.mbox) and box[0]["offset"] == os.path.getsize(self.mbox):
                return True
            time.sleep(0.02)
        return False

    def rewrite(self):
        with open(self.mbox, "r+") as f:
            fcntl.lockf(f, fcntl.LOCK_EX)
            fcntl.flock(f, fcntl.LOCK_EX)
            text = f.read().replace("\nReceived:", "\nStatus: RO\nReceived:")
            f.seek(0)
            f.write(text)
            f.truncate()

    def rotate(self):
        """By rename, oldest first; mbox.1, mbox.2 and so on."""
        last = 1
        while os.path.exists(f"{self.mbox}.{last}"):
            last += 1
        for n in range(last, 0, -1):
            older = self.mbox if n == 1 else f"{self.mbox}.{n - 1}"
            if os.path.exists(older):
                os.rename(older, f"{self.mbox}.{n}")

    def count(self, part):
        return len(os.listdir(os.path.join(self.box, part)))

    def bounces(self):
        out = self.command("report", "--by", "hour", "--format", "csv").stdout.splitlines()
        total = [row.split(",") for row in out if row.startswith("total")]
        return int(total[0][3]) if total else 0

    def digest(self):
        """Without what tells the day on which something was accepted."""
        done = self.command("digest", "--parts")
        return [line for line in done.stdout.splitlines()[:-1] if " seen " not in line]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bounced", required=True)
    p.add_argument("--kills", type=int, default=8)
    p.add_argument("--mails", type=int, default=240)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    rng = random.Random(args.seed)
    folder = tempfile.mkdtemp(prefix="bounced-maildir-crash-")
    log = os.path.join(folder, "mail.log")
    with open(log, "w") as f:
        f.writelines(log_line(n) for n in range(args.mails))

    def must(ok, what):
        if not ok:
            sys.exit(f"FAILED (seed {args.seed}, {folder}): {what}")

    digests = []
    for name, after, kills in (("quiet", "seen", 0), ("killed", "seen", args.kills), ("left", "leave", args.kills // 2),
                              ("mbox", "mbox", args.kills)):
        run = Run(args, folder, name, after)
        must(run.command("replay", "--quiet", log).returncode == 0, "the log is read")
        run.start()
        ends = sorted(rng.sample(range(args.mails), kills))
        for n in range(args.mails):
            if after == "mbox":
                run.append(n, rng)
                if n in (args.mails // 3, args.mails // 2, args.mails * 2 // 3):
                    must(run.taken(), "the mbox is taken to its end")
                    if n == args.mails // 3:
                        run.rewrite()
                    elif n == args.mails // 2:
                        run.rotate()
                    else:
                        time.sleep(0.2)  # its place is kept by the next cut
            else:
                run.deliver(n)
            if rng.random() < 0.1:
                time.sleep(rng.random() * 0.03)
            if n in ends:
                time.sleep(rng.choice((0, 0.005, 0.02, 0.06)))
                run.end(signal.SIGKILL)
                if after == "mbox" and n > args.mails * 2 // 3 and os.path.exists(run.mbox) and rng.random() < 0.6:
                    run.rotate()
                run.start()
        until = time.time() + 60
        done = (lambda: run.count("cur") == args.mails) if after == "seen" else (lambda: run.bounces() >= args.mails)
        while not done() and time.time() < until:
            time.sleep(0.05)
        must(done(), f"{name}: {run.count('new')} in new, {run.count('cur')} in cur, {run.bounces()} bounces")
        must(run.count("new") == (args.mails if after == "leave" else 0), f"{name}: what is left in new")
        must(after != "seen" or all(x.endswith(":2,S") for x in os.listdir(os.path.join(run.box, "cur"))), "flag S")
        status = run.command("status")
        must(("mbox" if after == "mbox" else "maildir") in status.stdout and "TROUBLE" not in status.stdout, status.stdout + status.stderr)
        doctor = run.command("doctor").stdout
        must(f"ok       {'mbox' if after == 'mbox' else 'maildir'}" in doctor, doctor)
        must(run.end(signal.SIGTERM) == 0, f"{name}: a clean end")
        must(run.bounces() == args.mails, f"{name}: {run.bounces()} bounces of {args.mails} mails")
        digests.append(run.digest())
    must(all(digest == digests[0] for digest in digests), f"digests differ: {digests}")
    shutil.rmtree(folder)
    print(f"mails: {args.mails}, {args.kills} + {args.kills // 2} (Maildir) + {args.kills} (mbox) kills: each counted once")


main()
