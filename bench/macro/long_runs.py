"""Measurements that are no interleaved rounds: many slices into one store, and a restart."""
import shutil
import statistics
import time

from replays import Daemon, Replay, check, deliveries, disk_bytes, generate, give_up, settle

PACE = {"sparse": 65, "real": 250}  # lines a second of the log's own clock
LINE = ("{year}-12-30T00:00:{n:02d}.000000+00:00 mx1 postfix/smtp[12]: 4jXbench{n:02d}zPz1c0pK: "
        "to=<restart{n}@bench.example>, relay=mx.bench.example[192.0.2.7]:25, delay=0.5, "
        "delays=0.1/0/0.2/0.2, dsn=5.1.1, status=bounced (host mx.bench.example[192.0.2.7] said: "
        "550 5.1.1 User unknown (in reply to RCPT TO command))\n")


def slices(options, bounced, loggen, folder, data, year):
    """--slices N: N logs of --bytes, each later than the last, one after another into one store."""
    per_delivery = 900 if options.profile == "real" else 460
    recipients = options.slices * options.bytes // per_delivery * 7 // 4 + 100
    replay = Replay("slices", bounced, data, year)
    store = replay.fresh()
    log, day, rows = folder / "slice.log", 0, []
    for number in range(options.slices):
        truth = generate(loggen, log, year, "--profile", options.profile, "--bytes",
                         str(options.bytes), "--header", options.header, "--seed",
                         str(options.seed + number), "--day", str(day), "--recipients",
                         str(min(recipients, (1 << 30) - 1)), "--lines-per-second",
                         str(PACE[options.profile]))
        day += truth["lines"] // (PACE[options.profile] * 86400) + 1
        result = replay.into(store, log)
        check(result, truth)
        summary = result["summary"]
        rows.append({"wall_s": result["wall"], "cpu_s": result["cpu"], "rss_bytes": result["rss"],
                     "deliveries": deliveries(summary), "addresses": summary["addresses"],
                     "disk_bytes": result["disk"]})
        row = rows[-1]
        print(f"slice {number + 1:3}: {row['wall_s']:6.2f} s, "
              f"{row['deliveries'] / row['wall_s'] / 1e6:5.2f} M ev/s, "
              f"{row['cpu_s'] * 1e9 / row['deliveries']:5.0f} cpu ns/ev, "
              f"{row['addresses']:11,} addresses, RSS {row['rss_bytes'] / 2**20:5.0f} MiB, "
              f"disk {row['disk_bytes'] / 2**20:6.0f} MiB", flush=True)
        log.unlink()
    first = rows[0]["deliveries"] / rows[0]["wall_s"]
    last = rows[-1]["deliveries"] / rows[-1]["wall_s"]
    total = sum(r["deliveries"] for r in rows) / sum(r["wall_s"] for r in rows)
    print(f"\ncounts: equal to the generator's in every slice\n"
          f"all slices beside the first: {total / first:.3f}x its events/s (at least 0.60 wanted); "
          f"the last: {last / first:.3f}x")
    left = settle(bounced, store)
    report_settled(left)
    shutil.rmtree(store)
    return {"slices": rows, "of_first": total / first, "left": left}


def report_settled(left):
    print(f"left behind: a daemon on that store uses {left['cpu']:.2f} s CPU (reading the states "
          f"included) and is idle after {left['seconds']:.1f} s; disk "
          f"{left['disk_before'] / 2**20:.0f} -> {left['disk_after'] / 2**20:.0f} MiB")


def restart(options, bounced, loggen, folder, data, year):
    """--restart N: a daemon reads a log that gives N addresses a state; SIGKILL while it still reads,
    and again when one more line waits; each time from the start to the first event applied."""
    if options.behind:
        return behind(options, bounced, loggen, folder, data, year)
    log = folder / "mail.log"
    truth = generate(loggen, log, year, "--profile", "prefill", "--recipients",
                     str(options.restart), "--header", "rfc3339")
    store = data / "restart.data"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir(parents=True)
    with Daemon(bounced, store, log) as daemon:
        daemon.until(lambda s: applied(s) > truth["delivery_lines"] * 0.9, "most of the log")
    times = []
    for number in range(options.rounds + 1):
        with Daemon(bounced, store, log) as daemon:
            times.append(daemon.until(applied, "the first event", 60))
            wanted = truth["recipients"] + number
            daemon.until(lambda s: s and s["addresses"] >= wanted, f"{wanted:,} addresses")
            events, cpu = daemon.until_settled(applied), daemon.cpu_seconds()
            status, rss = daemon.status(), daemon.rss_peak()
            time.sleep(2.5)  # so that the next start has only its one new line to apply
        # Killed while reading: what the last cut did not have comes again, and nothing is lost.
        if status["addresses"] != wanted or (number and events != 1):
            give_up(f"restart {number}: {events} events, {status['addresses']:,} addresses instead "
                    f"of {wanted:,}")
        print(f"restart {number}: {status['addresses']:,} addresses with a state: first event "
              f"applied {times[-1]:.3f} s after the start ({events:,} in all, {cpu:.1f} s CPU), "
              f"RSS {rss / 2**20:.0f} MiB, disk {disk_bytes(store) / 2**20:.0f} MiB", flush=True)
        with open(log, "a", encoding="ascii") as out:
            out.write(LINE.format(year=year, n=number))
    print(f"restart: worst {max(times):.3f} s, median {statistics.median(times):.3f} s "
          "(at most 1 s wanted)")
    shutil.rmtree(store)
    return {"addresses": truth["recipients"], "first_event_s": times}


def behind(options, bounced, loggen, folder, data, year):
    """--restart N --behind SIZE: a store of N addresses, and a log of others that nobody has read: from the
    start to the first answer, the first event applied, and the last. With --against interleaved."""
    log, store, master = folder / "behind.log", data / "behind.data", data / "behind.master"
    # A year ago most blocks of the store are over: they end at once when the daemon starts.
    generate(loggen, log, year, "--profile", "prefill", "--recipients", str(options.restart),
             "--header", "rfc3339")
    shutil.rmtree(master, ignore_errors=True)
    Replay("behind", bounced, data, year).run(log, keep=master)
    truth = generate(loggen, log, year, "--profile", "sparse", "--known-fraction", "0", "--bytes",
                     str(options.behind), "--recipients", str(options.restart), "--header",
                     "rfc3339", "--day", "60")
    wanted = sum(truth["events"].values())
    programs = {"bounced": bounced, **({"against": options.against} if options.against else {})}
    rows = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, program in programs.items():
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(master, store)
            with Daemon(program, store, log) as daemon:
                row = [daemon.until(bool, "an answer", 120),
                       daemon.until(applied, "the first event", 120),
                       daemon.until(lambda s: applied(s) >= wanted, "the last event", 600)]
                row += [daemon.cpu_seconds(), daemon.rss_peak() / 2**20]
            rows[name].append(row)
            print(f"{name}: answer {row[0]:.2f} s, first event {row[1]:.2f} s, all {wanted:,} "
                  f"{row[2]:.2f} s, {row[3]:.1f} s CPU, RSS {row[4]:.0f} MiB", flush=True)
    medians = {name: [statistics.median(column) for column in zip(*those)]
               for name, those in rows.items()}
    for name, row in medians.items():
        print(f"{name}: medians: answer {row[0]:.2f} s, first event {row[1]:.2f} s, all {row[2]:.2f} s, "
              f"{row[3]:.1f} s CPU, RSS {row[4]:.0f} MiB")
    shutil.rmtree(store)
    shutil.rmtree(master)
    return {"addresses": options.restart, "events": wanted, "medians": medians}


def applied(status):
    return status["stages"]["state"]["received"] if status else 0
