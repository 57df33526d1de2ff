#!/usr/bin/env python3
"""SIGKILL at random moments; afterwards the store must be what an uninterrupted run makes.

  crash_test.py --mode replay|filled|tail --kills 50 --bounced BIN --loggen BIN [--seed N] [--keep]

replay: `bounced replay` over a generated log is killed and run again until it gets through.
filled: the same into a store that has states already: killed while they are still being read, with
        a table of states that holds all or a part of them.
tail:   `bounced run` follows a file that is written and rotated by rename meanwhile; it is killed
        and started again. Cuts of both kinds (one batch, ingested files) are made to happen.
Prints the seed; the same seed draws the same plan. Exit 0: every digest was equal.
"""
import argparse, json, os, random, shutil, signal, subprocess, sys, tempfile, time


def config(folder, rng, live=None, small=False):
    """Cut intervals from 5 ms (one batch) to 150 ms (ingested files)."""
    path = os.path.join(folder, "bounced.toml")
    interval = rng.choice(["5ms", "20ms", "60ms", "150ms"])
    text = f'data_dir = "{folder}/data"\nlog_level = "error"\ncut_interval = "{interval}"\n'
    if small and rng.random() < 0.5:
        text += 'state_memory = "24MiB"\n'
    if live:
        text += f'[[tail]]\nname = "live"\npaths = ["{live}"]\nformat = "postfix"\npoll = "20ms"\n'
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
    """How often everything was counted."""
    out = run([bounced, "report", "--by", "cause", "--format", "ndjson", "--data", f"{folder}/data"])
    return out.stdout


def known(text):
    """Of a summary: how many addresses have a state, how many mail is stopped for."""
    last = json.loads(text)
    return {name: last[name] for name in ("addresses", "blocked")}


def fresh(base, name):
    folder = os.path.join(base, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def compare(what, got, wanted):
    if got != wanted:
        print(f"FAILED {what}\n--- uninterrupted\n{wanted}\n--- after kills\n{got}")
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
    run([a.loggen, "--profile", "prefill", "--recipients", "500000", "--seed", seed, "--header", "rfc3339", "--out", log])
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


class Writer:
    """Appends a log's lines to a live file, rotating it by rename at random moments."""

    def __init__(self, rng, log, live):
        self.rng, self.live, self.rotations = rng, live, 0
        with open(log, "rb") as f:
            self.data = f.read()
        self.at = 0
        self.out = open(live, "ab", buffering=0)

    def step(self):
        """Some bytes, not always whole lines. False at the end."""
        if self.at >= len(self.data):
            return False
        size = self.rng.choice([1, 200, 5_000, 60_000, 300_000])
        self.out.write(self.data[self.at:self.at + size])
        self.at += size
        if self.rng.random() < 0.03:
            # A writer reopens between lines; the rest of the line goes to the old file.
            end = self.data.find(b"\n", min(self.at, len(self.data) - 1)) + 1
            self.out.write(self.data[self.at:end])
            self.at = max(self.at, end)
            self.out.close()
            for n in range(9, 0, -1):
                if os.path.exists(f"{self.live}.{n}"):
                    os.rename(f"{self.live}.{n}", f"{self.live}.{n + 1}")
            os.rename(self.live, self.live + ".1")
            self.out = open(self.live, "ab", buffering=0)
            self.rotations += 1
        return True


def wait_caught_up(a, folder, wanted, seconds=60):
    """Until the daemon has the expected digest, or time is up; the comparison comes after its stop."""
    end = time.time() + seconds
    while time.time() < end:
        out = run([a.bounced, "digest", "--parts", "--data", f"{folder}/data"])
        if out.returncode == 0 and out.stdout == wanted:
            return
        time.sleep(0.1)


def wait_first_cut(a, folder):
    """A source is known from its first durable cut on; before it, a rotation leaves nothing to find."""
    end = time.time() + 30
    while time.time() < end:
        out = run([a.bounced, "status", "--json", "--data", f"{folder}/data"])
        if out.returncode == 0 and json.loads(out.stdout)["lines"] > 0:
            digest(a.bounced, folder)  # reads after a cut
            return
        time.sleep(0.02)
    sys.exit("the daemon never made its first cut: " + out.stderr)


def crash_tail(a, rng, base, log):
    folder = fresh(base, "reference")
    done = run([a.bounced, "replay", "--config", config(folder, rng), "--format", "postfix", "--tz", "UTC", "--quiet", log])
    if done.returncode != 0:
        sys.exit(f"replay failed: {done.stderr}")
    wanted = digest(a.bounced, folder)
    kills = rounds = rotations = 0
    while kills < a.kills:
        rounds += 1
        folder = fresh(base, "killed")
        live = os.path.join(folder, "mail.log")
        writer = Writer(rng, log, live)
        process, known, more = None, False, True
        writer.out.write(writer.data[:200_000])
        writer.at = 200_000
        while more:
            cfg = config(folder, rng, live)
            process = subprocess.Popen([a.bounced, "run", "--config", cfg], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, text=True)
            if not known:
                wait_first_cut(a, folder)
                known = True
            end = time.time() + rng.uniform(0.02, 0.7)
            while more and time.time() < end:
                more = writer.step()
                time.sleep(rng.choice([0, 0, 0.002, 0.01]))
            if process.poll() is not None:
                sys.exit(f"the daemon ended by itself: {process.communicate()[1]}")
            if more and kills < a.kills:
                process.send_signal(signal.SIGKILL)
                process.wait()
                process.stderr.close()
                kills += 1
                if rng.random() < 0.3:
                    writer.step()  # written while nobody watches
            elif more:
                while writer.step():
                    pass
                more = False
        wait_caught_up(a, folder, wanted)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
        if process.returncode != 0:
            sys.exit(f"the daemon did not stop well: {process.returncode} {error}")
        rotations += writer.rotations
        compare(f"tail, round {rounds}, {kills} kills, {rotations} rotations", digest(a.bounced, folder), wanted)
    print(f"rotations: {rotations}")
    return kills, rounds


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mode", choices=["replay", "filled", "tail"], required=True)
    p.add_argument("--kills", type=int, default=50)
    p.add_argument("--bounced", required=True)
    p.add_argument("--loggen", required=True)
    p.add_argument("--bytes", default=None)
    p.add_argument("--seed", type=int, default=None)
    p.add_argument("--keep", action="store_true")
    a = p.parse_args()
    seed = a.seed if a.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed: {seed}", flush=True)
    rng = random.Random(seed)
    base = tempfile.mkdtemp(prefix="bounced-crash-")
    try:
        log, number = os.path.join(base, "mail.log.generated"), str(seed % 1000 + 1)
        size = a.bytes or {"replay": "64MiB", "filled": "24MiB", "tail": "12MiB"}[a.mode]
        args = [a.loggen, "--profile", "real", "--bytes", size, "--seed", number, "--header", "rfc3339", "--out", log]
        filled = None
        if a.mode == "filled":
            filled = fill(a, base, number)
            args += ["--recipients", "500000", "--known-fraction", "0.8", "--day", "60"]
        subprocess.run(args, check=True, stdout=subprocess.DEVNULL)
        begun = time.time()
        kills, rounds = crash_tail(a, rng, base, log) if a.mode == "tail" else crash_replay(a, rng, base, log, filled)
        print(f"{a.mode}: {kills} kills in {rounds} rounds, every digest equal ({time.time() - begun:.0f} s)")
    finally:
        if not a.keep:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
