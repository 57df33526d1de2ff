#!/usr/bin/env python3
"""Debian's Postfix and Exim send mail to a scripted sink, in namespaces of their own; the daemon tails their logs while
both are rotated. What it says must be what the sink answered, and its store that of a replay of all files."""
import atexit, glob, json, os, shutil, signal, subprocess, sys, time
from common import Case

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
UNSHARE = ["unshare", "-n", "-m", "-u", "-i", "-p", "-f", "--mount-proc", "--propagation", "private", "--"]
PORTS = {"exim": 3025, "postfix": 3026}
CAUSES = {1: "mailbox.unknown", 2: "mailbox.full", 6: "mailbox.unknown", 8: "unknown.permanent"}
FINAL = ("delivered", "bounced", "expired")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def packages():
    """The folder with the unpacked MTAs."""
    if os.geteuid() != 0:
        skip("real MTAs want root, for namespaces and their users")
    for program in ("unshare", "ip", "apt-get", "dpkg"):
        if shutil.which(program) is None:
            skip(f"no `{program}`")
    if subprocess.run([*UNSHARE, "true"], stderr=subprocess.DEVNULL).returncode:
        skip("namespaces are not allowed here")
    folder = os.path.join(TOP, ".build", "mta")
    fetched = subprocess.run([os.path.join(TOP, "tools", "mta-packages"), folder], stderr=subprocess.PIPE, text=True)
    if fetched.returncode:
        skip(fetched.stderr.strip())
    return os.path.join(folder, "root")


class World:
    """The namespaces: told what to do one line at a time."""

    def __init__(self, root, run):
        self.log = open(os.path.join(run, "world.log"), "w")
        self.process = subprocess.Popen([*UNSHARE, "bash", f"{HERE}/mta/world.sh", root, run, f"{HERE}/mta"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**os.environ, "TZ": "UTC"})
        if self.process.stdout.readline().strip() != "ready":
            if self.process.wait() == 77:
                skip("overlay mounts are not allowed in namespaces here")
            sys.exit("FAILED: the MTAs did not start")

    def tell(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != f"done {words[0]}":
            sys.exit(f"FAILED: `{words[0]}` ended in `{answer}`")


def mails(wave):
    """Per MTA: recipients of every reply, some of them in one message; a domain that does not exist, and one whose
    server has nothing to say to us."""
    for mta, port in PORTS.items():
        for n in range(12):
            name = f"{mta}{wave}x{n}"
            rcpts = [f"{name}a.r{n % 9}@one.example", f"{name}b.r{(n * 5 + 1) % 9}@two.example", f"{name}c.r0@three.example"]
            if n == 3:
                rcpts.append(f"{name}d.r0@nx.example")
            if n == 4:
                rcpts.append(f"{name}e.r0@closed.example")
            yield {"port": port, "sender": "news@esp.example", "rcpts": rcpts, "id": f"{name}@esp.example"}


def wanted(rcpt, answers):
    """The outcome by what the sink answered, and its last words."""
    if not answers:
        if rcpt.endswith("@nx.example"):
            return "bounced", None
        return ("bounced" if rcpt.startswith("exim") else "expired"), None  # a 5xx greeting: each MTA has its own mind
    last = answers[-1]
    kind = {2: "delivered", 4: "expired", 5: "bounced"}[last["code"] // 100]
    return kind, last["text"].replace("\n", " ")


def main():
    t = Case(__doc__)
    root, run = packages(), t.path("world")
    os.makedirs(run)
    os.chmod(t.dir, 0o755)
    data, logs = t.path("data"), os.path.join(run, "log")
    with open(t.path("b.toml"), "w") as f:
        f.write(f'data_dir = "{data}"\ncut_interval = "50ms"\n')
        for name, path in (("exim", f"{logs}/exim/mainlog"), ("postfix", f"{logs}/postfix.log")):
            f.write(f'[[tail]]\nname = "{name}"\npaths = ["{path}"]\npoll = "50ms"\n')
    daemon = t.daemon(t.path("b.toml"))
    atexit.register(daemon.kill)  # the world ends with its stdin
    world = World(root, run)
    sent = []
    for wave in (1, 2):
        batch = list(mails(wave))
        sent += [rcpt for mail in batch for rcpt in mail["rcpts"]]
        with open(t.path(f"wave{wave}"), "w") as f:
            f.writelines(json.dumps(mail) + "\n" for mail in batch)
        world.tell("inject", t.path(f"wave{wave}"))
        if wave == 1:
            time.sleep(2)  # in the midst of deferrals
            world.tell("rotate-exim")
            world.tell("rotate-postfix")

    def events():
        exim = [p for p in (f"{logs}/exim/mainlog.1", f"{logs}/exim/mainlog") if os.path.exists(p)]
        postfix = sorted(glob.glob(f"{logs}/postfix.log.*")) + [f"{logs}/postfix.log"]
        out = []
        for files in (exim, postfix):
            out += t.ndjson("parse", *files)
        return out, exim + postfix

    def final():
        return {e["recipient"]: e for e in events()[0] if e["kind"] in FINAL}

    t.until("an outcome of every recipient", lambda: set(sent) <= set(final()), 75)
    world.tell("quit")
    got, files = final(), events()[1]
    t.expect(len(files) == 4, f"the logs were not rotated: {files}")

    answers = {}
    for line in open(os.path.join(run, "truth.jsonl")):
        answer = json.loads(line)
        answers.setdefault(answer["rcpt"], []).append(answer)
    for rcpt in sent:
        event, (kind, words) = got[rcpt], wanted(rcpt, answers.get(rcpt, []))
        what = f"{rcpt}: the sink's answers mean {kind} `{words}`, we say {json.dumps(event)}"
        t.expect(event["kind"] == kind, what)
        if words is not None:
            t.expect(event["diagnostic"] == words and event["smtp_code"] == int(words[:3]), what)
        cause = CAUSES.get(int(rcpt[rcpt.index(".r") + 2:rcpt.index("@")]))
        if kind == "bounced" and words and cause:
            t.expect(event["verdict"]["cause"] == cause, what)
        t.expect(event["sender"] == "news@esp.example" and event["message_id"].endswith("@esp.example>"), what)

    # The store of the daemon, which has followed both rotations, is that of a replay of all files.
    year = str(time.gmtime().tm_year)
    t.run("replay", "--config", "/dev/null", "--data", t.path("again"), "--year", year, "--tz", "UTC", "--quiet", *files)
    again = t.run("digest", "--data", t.path("again")).stdout
    t.until("the digest of a replay", lambda: t.run("digest", "--data", data).stdout == again, 20)
    status = json.loads(t.run("status", "--json", "--data", data).stdout)
    t.expect('"unparsed": 0' in json.dumps(status), f"lines were not understood: {status}")
    daemon.send_signal(signal.SIGTERM)
    t.expect(daemon.wait(timeout=20) == 0, "the daemon did not end well")
    t.done()


main()
