#!/usr/bin/env python3
"""SIGKILL at random moments; afterwards the store must be what an uninterrupted run makes, and its counters
what the generator of the logs remembers.

  crash_test.py --mode replay|filled|tail --kills 50 --bounced BIN --loggen BIN [--seed N] [--keep]

replay: `bounced replay` over a generated log is killed and run again until it gets through.
filled: the same into a store that has states already: killed while they are still being read, with
        a table of states that holds all or a part of them.
tail:   `bounced run` follows logs that are written and rotated in every way meanwhile (rotation.py); it is
        killed and started again, also in the middle of rotations. Cuts of both kinds (one batch,
        ingested files) are made to happen.
Prints the seed; the same seed draws the same plan. Exit 0: every digest and every counter was equal.
"""
import argparse, json, os, random, re, shutil, signal, subprocess, sys, tempfile, time
from rotation import ROTATIONS, Source


def config(folder, rng, lives=(), form="postfix", small=False):
    """Cut intervals from 5 ms (one batch) to 150 ms (ingested files)."""
    path = os.path.join(folder, "bounced.toml")
    interval = rng.choice(["5ms", "20ms", "60ms", "150ms"])
    text = f'data_dir = "{folder}/data"\nlog_level = "debug"\ncut_interval = "{interval}"\n'
    if small and rng.random() < 0.5:
        text += 'state_memory = "24MiB"\n'
    if lives:
        text += f'[[tail]]\nname = "live"\npaths = {json.dumps(lives)}\nformat = "{form}"\npoll = "20ms"\n'
        text += 'rotated_wait = "50ms"\n'
    with open(path, "w") as out:
        out.write(text)
    return path


def run(args, **kw):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, **kw)


def digest(bounced, folder):
    done = run([bounced, "digest", "--parts", "--data", f"{folder}/data"])
    if done.returncode != 0:
        sys.exit(f"digest failed: {done.stderr}")
    return done.stdout


def rates(bounced, folder):
    """How often everything was counted, in every dimension."""
    text = ""
    for dimension in ("cause", "domain", "sender", "campaign", "stream", "tenant", "mta", "hour"):
        out = run([bounced, "report", "--by", dimension, "--top", "0", "--format", "ndjson", "--data", f"{folder}/data"])
        if out.returncode != 0:
            sys.exit(f"report failed: {out.stderr}")
        text += out.stdout
    return text


def count(text, truths):
    """The totals, beside those of the oracle: what the generator remembers of its own mail."""
    total = next(row for row in map(json.loads, text.splitlines()) if row.get("cause") == "total")
    got = {name: total[name] for name in ("delivered", "deferred", "bounced", "expired")}
    wanted = {name: sum(truth["events"][name] for truth in truths) for name in ("delivered", "deferred", "expired")}
    wanted["bounced"] = wanted["expired"] + sum(truth["events"]["bounced"] for truth in truths)
    return got, wanted


def known(text):
    """Of a summary: how many addresses have a state, how many mail is stopped for."""
    last = json.loads(text)
    return {name: last[name] for name in ("addresses", "blocked")}


def fresh(base, name):
    folder = os.path.join(base, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def compare(what, got, wanted, story=lambda: ""):
    if got != wanted:
        print(f"FAILED {what}\n--- uninterrupted\n{wanted}\n--- after kills\n{got}\n{story()}")
        sys.exit(1)


def kill_after(process, seconds):
    """True when the process was killed, False when it had ended by itself."""
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def fill(a, base, seed):
    """A folder whose store has a state for each of 500,000 addresses, more than are read before the first event."""
    folder = fresh(base, "filled")
    log = os.path.join(base, "filled.log")
    out = run([a.loggen, "--profile", "prefill", "--recipients", "500000", "--seed", seed, "--header", "rfc3339",
               "--out", log, "--truth", "-"])
    a.truths.append(json.loads(out.stdout))
    done = run([a.bounced, "replay", "--data", f"{folder}/data", "--quiet", log])
    if done.returncode != 0:
        sys.exit(f"replay failed: {done.stderr}")
    os.remove(log)
    return folder


def crash_replay(a, rng, base, log, filled=None):
    def begin(name):
        folder = fresh(base, name)
        if filled:
            shutil.copytree(f"{filled}/data", f"{folder}/data")
        return folder

    def replay(folder):
        cfg = config(folder, rng, small=filled is not None)
        return subprocess.Popen([a.bounced, "replay", "--config", cfg, "--format", "postfix", "--summary", "json", log],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def through(process, kills):
        out, error = process.communicate(timeout=300)
        if process.returncode != 0:
            sys.exit(f"replay after {kills} kills failed: {error}")
        return known(out)

    folder = begin("reference")
    begun = time.time()
    wanted_known = through(replay(folder), 0)
    took = time.time() - begun
    wanted, wanted_rates = digest(a.bounced, folder), rates(a.bounced, folder)
    compare("totals and the generator's", *count(wanted_rates, a.truths))
    kills = rounds = 0
    while kills < a.kills:
        folder = begin("killed")
        rounds += 1
        # Many kills in one store, but it must get through at last.
        for _ in range(12):
            process = replay(folder)
            if kills == a.kills or not kill_after(process, rng.uniform(0, took)):
                break
            kills += 1
            process.communicate()
        else:
            process = replay(folder)
        got_known = through(process, kills)
        compare(f"replay, round {rounds}, {kills} kills", digest(a.bounced, folder), wanted)
        compare(f"rates, round {rounds}, {kills} kills", rates(a.bounced, folder), wanted_rates)
        compare(f"summary, round {rounds}, {kills} kills", got_known, wanted_known)
    return kills, rounds


class Daemon:
    """`bounced run` over live logs, killed and started again at random moments until the kills are used up."""

    def __init__(self, a, rng, folder, lives):
        self.a, self.rng, self.folder, self.lives = a, rng, folder, lives
        self.kills, self.kills_max, self.process = 0, 0, None
        self.log = os.path.join(folder, "daemon.err")

    def up(self):
        return self.process is not None

    def start(self):
        """Nothing when it runs."""
        if self.up():
            return
        cfg = config(self.folder, self.rng, self.lives, self.a.format)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.a.bounced, "run", "--config", cfg], stdout=subprocess.DEVNULL,
                                            stderr=log)

    def kill(self):
        """Nothing when it does not run."""
        if not self.up():
            return
        self.check()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None
        self.kills += 1

    def check(self):
        if self.process.poll() is not None:
            sys.exit(f"the daemon ended by itself: {self.told()}")

    def told(self):
        """What it read, and where it was in trouble."""
        with open(self.log, errors="replace") as log:
            return "".join(line for line in log if "debug store:" not in line)[-20_000:]

    def disturb(self):
        """In the middle of a rotation: a kill, perhaps a new start at once, or nothing."""
        if self.kills < self.kills_max and self.rng.random() < 0.5:
            self.kill()
            if self.rng.random() < 0.5:
                self.start()

    def status(self):
        out = run([self.a.bounced, "status", "--json", "--data", f"{self.folder}/data"])
        return json.loads(out.stdout) if out.returncode == 0 else None

    def wait(self, what, test, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            self.check()
            status = self.status()
            if status and test(status):
                return
            time.sleep(0.02)
        sys.exit(f"timed out: {what}: {self.status()}")

    def wait_applied(self):
        """Until everything that was written is applied and durable."""
        def applied(status):
            sizes = {file["path"]: file["size"] for file in status["files"] if not file["rotated"]}
            return status["lag"]["bytes"] == 0 and all(
                sizes.get(live) == os.path.getsize(live) for live in self.lives if os.path.exists(live))
        self.settle()
        self.start()
        self.wait("what was written is not applied", applied)
        digest(self.a.bounced, self.folder)  # reads after a cut

    def wait_first_cut(self):
        """A source is known from its first durable cut on; before it, a rotation leaves nothing to find."""
        self.wait("no first cut", lambda status: len(status["files"]) == len(self.lives) and
                  all(file["offset"] > 0 for file in status["files"]) and status["lag"]["bytes"] < 1000)
        digest(self.a.bounced, self.folder)

    def wait_digest(self, wanted, seconds=60):
        """Until it has the expected digest, or time is up; the comparison comes after its stop."""
        end = time.time() + seconds
        while time.time() < end:
            out = run([self.a.bounced, "digest", "--parts", "--data", f"{self.folder}/data"])
            if out.returncode == 0 and out.stdout == wanted:
                return
            time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            sys.exit(f"the daemon did not stop well: {self.process.returncode} {self.told()}")


def history(daemon, sources):
    """What was done to the logs, and what the daemon said of it."""
    rotated = "\n".join(line for source in sources for line in source.history)
    return f"--- rotations\n{rotated}\n--- the daemon\n{daemon.told()}"


def crash_tail(a, rng, base, logs):
    folder = fresh(base, "reference")
    cfg = config(folder, rng)
    done = run([a.bounced, "replay", "--config", cfg, "--format", a.format, "--tz", "UTC", "--quiet", *logs])
    if done.returncode != 0:
        sys.exit(f"replay failed: {done.stderr}")
    wanted, wanted_rates = digest(a.bounced, folder), rates(a.bounced, folder)
    compare("totals and the generator's", *count(wanted_rates, a.truths))
    kills = rounds = reused = 0
    rotations = {kind: 0 for kind in a.rotations}
    while kills < a.kills:
        rounds += 1
        folder = fresh(base, "killed")
        lives = [os.path.join(folder, f"mail{n}.log") for n in range(len(logs))]
        sources = [Source(rng, log, live, a.rotations) for log, live in zip(logs, lives)]
        daemon = Daemon(a, rng, folder, lives)
        daemon.kills_max = a.kills - kills
        daemon.settle = lambda: [source.settle() for source in sources]
        for source in sources:
            source.write(100_000)
            source.end_line()
        daemon.start()
        daemon.wait_first_cut()
        more = list(sources)
        while more:
            end = time.time() + rng.uniform(0.02, 0.7)
            while more and time.time() < end:
                source = rng.choice(more)
                if not source.step(daemon):
                    more.remove(source)
                time.sleep(rng.choice([0, 0, 0.002, 0.01]))
            if daemon.kills < daemon.kills_max:
                daemon.kill()
                for _ in range(rng.choice([0, 0, 1, 4])):  # while nobody watches
                    if more and not more[0].step(daemon):
                        more.pop(0)
            daemon.start()
        kills += daemon.kills
        daemon.wait_digest(wanted)
        daemon.stop()
        for source in sources:
            reused += source.reused
            for kind, number in source.done.items():
                rotations[kind] += number
        what = f"round {rounds}, {kills} kills, {rotations}"
        compare(f"tail, {what}", digest(a.bounced, folder), wanted, lambda: history(daemon, sources))
        compare(f"rates, {what}", rates(a.bounced, folder), wanted_rates, lambda: history(daemon, sources))
    print("rotations: " + ", ".join(f"{number} {kind}" for kind, number in rotations.items()) +
          f" ({reused} inodes reused)")
    return kills, rounds


def seed_number(seed):
    return str(seed % 1000 + 1)


def generate(a, base, name, seed, size, more=()):
    log = os.path.join(base, name + ".generated")
    mta = ["--mta", "exim"] if a.logs == "exim" else ["--header", "rfc3339"]
    out = subprocess.run([a.loggen, "--profile", "real", "--bytes", a.bytes or size, "--seed", seed_number(seed), *mta,
                          "--out", log, "--truth", "-", *more], check=True, stdout=subprocess.PIPE, text=True)
    a.truths.append(json.loads(out.stdout))
    return log


def tail_logs(a, base, seed):
    """The bytes that the live logs will hold. Which of several live logs is applied first is a matter of chance, and
    deliveries to unknown addresses leave nothing behind: so no two of them tell of one recipient or domain."""
    if a.logs != "hosts":
        return [generate(a, base, "mail", seed, "12MiB")]
    logs = []
    for host in range(3):
        log = generate(a, base, f"mail{host}", seed + host, "4MiB")
        with open(log, "rb") as file:
            text = file.read()
        text = re.sub(rb"(to=<[^>@]*@)", rb"\1h%d." % host, text)
        with open(log, "wb") as file:
            file.write(re.sub(rb"(?m)^(\S+ )\S+", rb"\1mx%d" % host, text))
        logs.append(log)
    return logs


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mode", choices=["replay", "filled", "tail"], required=True)
    p.add_argument("--kills", type=int, default=50)
    p.add_argument("--bounced", required=True)
    p.add_argument("--loggen", required=True)
    p.add_argument("--logs", choices=["postfix", "exim", "hosts"], default="postfix",
                   help="tail: one log of that MTA, or those of three Postfix hosts, each with recipients of its own")
    p.add_argument("--rotations", type=lambda text: text.split(","), default=ROTATIONS,
                   help=f"tail: which of {','.join(ROTATIONS)}; default all")
    p.add_argument("--bytes", default=None)
    p.add_argument("--seed", type=int, default=None)
    p.add_argument("--keep", action="store_true")
    a = p.parse_args()
    seed = a.seed if a.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed: {seed}", flush=True)
    rng = random.Random(seed)
    base = tempfile.mkdtemp(prefix="bounced-crash-")
    a.truths = []  # of every log that was generated
    a.format = "exim" if a.logs == "exim" else "postfix"
    try:
        begun = time.time()
        if a.mode == "tail":
            kills, rounds = crash_tail(a, rng, base, tail_logs(a, base, seed))
        else:
            filled = fill(a, base, seed_number(seed)) if a.mode == "filled" else None
            known = ["--recipients", "500000", "--known-fraction", "0.8", "--day", "60"] if filled else []
            log = generate(a, base, "mail", seed, {"replay": "64MiB", "filled": "24MiB"}[a.mode], known)
            kills, rounds = crash_replay(a, rng, base, log, filled)
        lines = sum(truth["lines"] for truth in a.truths[1 if a.mode == "filled" else 0:])
        what = f"tail of {a.logs}" if a.mode == "tail" else a.mode
        print(f"{what}: {kills} kills in {rounds} rounds, {lines:,} lines in each, "
              f"every digest and every counter equal ({time.time() - begun:.0f} s)")
    finally:
        if not a.keep:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
