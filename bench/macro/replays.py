"""What the measurements share: a process measured, a replay into a fresh store, a store's daemon."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

KINDS = ("delivered", "relayed", "deferred", "bounced", "expired", "discarded", "probed")


def give_up(why):
    sys.exit(f"bench/macro/run: {why}")


def measure(command, stdout=subprocess.DEVNULL):
    """Runs a command; wall and CPU seconds, peak RSS in bytes."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout,
                               stderr=subprocess.PIPE)
    errors = process.stderr.read().decode("utf-8", "replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begun
    if process.returncode != 0:
        give_up(f"{' '.join(map(str, command))}: exit {process.returncode}: "
                f"{errors.strip()[-800:]}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss * 1024}


class Replay:
    """One program with one setting, each time into a fresh data directory."""
    mta = "postfix"  # whose log it is

    def __init__(self, name, program, data, year, settings="", filled=None):
        self.name, self.program, self.data, self.year = name, program, data, year
        self.filled = filled
        self.cache = None
        self.config = None
        if settings:
            self.config = data / f"{name}.toml"
            self.config.write_text(settings)

    def fresh(self):
        folder = self.data / f"{self.name}.data"
        shutil.rmtree(folder, ignore_errors=True)
        if self.filled:
            shutil.copytree(self.filled, folder)
        else:
            folder.mkdir(parents=True)
        # Compiled rules are kept: compiling them is not what we measure.
        if self.cache:
            shutil.copytree(self.cache, folder / "cache", dirs_exist_ok=True)
        os.sync()
        return folder

    def command(self, folder, log):
        config = ["--config", self.config] if self.config else []
        return [self.program, "replay", *config, "--data", folder, "--format", self.mta, "--tz",
                "UTC", "--year", str(self.year), "--quiet", "--summary", "json", log]

    def into(self, folder, log):
        """Replays into a store as it is."""
        with tempfile.TemporaryFile() as out:
            result = measure(self.command(folder, log), out)
            out.seek(0)
            result["summary"] = json.loads(out.read().splitlines()[-1])
        result["disk"] = disk_bytes(folder)
        return result

    def run(self, log, keep=None, digest=False):
        folder = self.fresh()
        result = self.into(folder, log)
        if (folder / "cache").is_dir() and self.cache is None:
            self.cache = self.data / f"{self.name}.cache"
            shutil.rmtree(self.cache, ignore_errors=True)
            shutil.copytree(folder / "cache", self.cache)
        if digest:
            result["digest"] = self.digest(folder)
        if keep:
            shutil.rmtree(keep, ignore_errors=True)
            folder.rename(keep)
        else:
            shutil.rmtree(folder)
        return result

    def digest(self, folder):
        return subprocess.run([self.program, "digest", "--data", folder], check=True,
                              capture_output=True, text=True).stdout.strip()


def check(result, truth):
    """Our counts against the generator's; ends the run when they differ."""
    summary = result["summary"]
    wrong = [f"{kind}: {summary['events'].get(kind, 0):,} instead of {truth['events'][kind]:,}"
             for kind in KINDS if summary["events"].get(kind, 0) != truth["events"][kind]]
    wrong += [f"{key}: {summary[key]:,} instead of {truth[key]:,}"
              for key in ("lines", "bytes") if summary[key] != truth[key]]
    if summary["unparsed"]:
        wrong.append(f"unparsed: {summary['unparsed']:,}")
    if wrong:
        give_up("the counts are not the generator's: " + "; ".join(wrong))


def deliveries(summary):
    """Events that are a delivery line each: an expiry is one more event of such a line."""
    return sum(summary["events"].get(kind, 0) for kind in KINDS if kind != "expired")


def disk_bytes(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def generate(loggen, log, year, *options):
    truth = subprocess.run([loggen, "--out", log, "--truth", "-", "--year", str(year), *options],
                           check=True, capture_output=True, text=True).stdout
    return json.loads(truth)


class Daemon:
    """`bounced run` on a store, following one file; a context that ends it with SIGKILL."""

    def __init__(self, program, data, log):
        self.program, self.data = program, data
        self.config = data.parent / f"{data.name}.toml"
        self.config.write_text(f'data_dir = "{data}"\nlog_level = "warn"\n'
                               f'[[tail]]\nname = "bench"\nformat = "postfix"\n'
                               f'timezone = "UTC"\npaths = ["{log}"]\n')
        self.begun = time.monotonic()
        self.process = subprocess.Popen([program, "run", "--config", self.config],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def status(self):
        """Counters, or {} while it does not answer yet."""
        if self.process.poll() is not None:
            give_up(f"bounced run ended with {self.process.returncode}")
        if not (self.data / "control.sock").exists():
            return {}
        done = subprocess.run([self.program, "status", "--json", "--data", self.data],
                              capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def until(self, test, what, seconds=600):
        end = time.monotonic() + seconds
        while not test(self.status()):
            if time.monotonic() > end:
                give_up(f"waited {seconds} s for {what}")
            time.sleep(0.002)
        return time.monotonic() - self.begun

    def until_settled(self, figure):
        """A figure of the status once nothing of the log is left and it has stopped moving."""
        last, calm = -1, 0
        while calm < 5:
            time.sleep(0.1)
            status = self.status()
            calm = calm + 1 if status["lag"]["bytes"] == 0 and figure(status) == last else 0
            last = figure(status)
        return last

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_peak(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))


def settle(program, data):
    """What work a replay left behind: a daemon without input, until it uses no CPU for two seconds."""
    quiet = data.parent / "quiet.log"
    quiet.write_bytes(b"")
    before = disk_bytes(data)
    with Daemon(program, data, quiet) as daemon:
        daemon.until(bool, "the daemon's first answer")
        used, calm, begun = daemon.cpu_seconds(), 0, daemon.begun
        while calm < 4:
            time.sleep(0.5)
            now = daemon.cpu_seconds()
            calm = calm + 1 if now - used < 0.02 else 0
            used = now
        busy = max(0.0, time.monotonic() - begun - 2)
    quiet.unlink()
    return {"seconds": busy, "cpu": used, "disk_before": before, "disk_after": disk_bytes(data)}
