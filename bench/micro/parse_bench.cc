// Parsing one block of log: ns per delivery event, bytes/s and lines/s. Postfix per header form:
// the text has the shape of the `sparse` profile: 2.4 lines and about 460 bytes per delivery, 85 %
// sent, 8 % deferred, 5 % bounced. Exim's mainlog in the shapes of `sparse` and `real`, the latter
// with ids of both sizes and messages far apart.
#include <benchmark/benchmark.h>

#include <random>

#include "base/block.h"
#include "base/time.h"
#include "parse/parse.h"

namespace bounced {
namespace {

enum class Form { bsd, iso, rfc5424, json };

struct Line {
  std::int64_t time_us;
  const char* daemon;
  int pid;
  std::string text;
};

class Writer {
 public:
  Writer(Form form, std::string& out) : text(out), form_(form) {}
  void add(const Line& line) {
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const Civil t = civil_from_us(line.time_us);
    const std::string iso = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00", t.year,
                                        t.month, t.day, t.hour, t.minute, t.second, t.micros);
    switch (form_) {
      case Form::bsd:
        text += fmt::format("{} {:2} {:02}:{:02}:{:02} mx-out1 postfix/{}[{}]: {}\n",
                            kMonths[t.month - 1], t.day, t.hour, t.minute, t.second, line.daemon,
                            line.pid, line.text);
        break;
      case Form::iso:
        text +=
            fmt::format("{} mx-out1 postfix/{}[{}]: {}\n", iso, line.daemon, line.pid, line.text);
        break;
      case Form::rfc5424:
        text += fmt::format("<22>1 {} mx-out1 postfix {} - -  {}\n", iso, line.pid, line.text);
        break;
      case Form::json:
        text += fmt::format(R"({{"timestamp":"{}", "host":"mx-out1", "program":"postfix", )"
                            R"("tag":"postfix\/{}[{}]:", "severity":"info", "message":" {}"}})"
                            "\n",
                            iso, line.daemon, line.pid, line.text);
        break;
    }
  }
  std::string& text;

 private:
  Form form_;
};

struct Sample {
  std::string text;
  std::size_t events = 0;
  std::size_t notes = 0;
};

std::string queue_id(std::mt19937_64& random) {
  static constexpr char kAlphabet[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
  std::string id = "4jX";
  for (int i = 0; i < 7; ++i) id += kAlphabet[random() % 52];
  return id + "z1c" + kAlphabet[random() % 52] + kAlphabet[random() % 52];
}

Sample make_sample(Form form, std::size_t bytes) {
  static constexpr const char* kRelays[] = {
      "gmail-smtp-in.l.google.com[142.251.168.27]:25",
      "hotmail-com.olc.protection.outlook.com[52.101.73.31]:25",
      "mta5.am0.yahoodns.net[67.195.204.72]:25",
      "mx00.t-online.de[194.25.134.8]:25",
      "mx-aol.mail.gm0.yahoodns.net[67.195.204.80]:25",
      "mxa-00123.gslb.pphosted.com[148.163.150.1]:25"};
  std::mt19937_64 random(42);
  Sample sample;
  Writer writer(form, sample.text);
  std::int64_t now = days_from_civil(2026, 11, 21) * kDayUs;
  while (writer.text.size() < bytes) {
    now += static_cast<std::int64_t>(random() % 2000);
    const std::string id = queue_id(random);
    const int pid = 1000 + static_cast<int>(random() % 50);
    const std::string to =
        fmt::format("user{}.{}@example{}.com", random() % 100000, random() % 1000, random() % 500);
    const std::string relay = random() % 100 < 70
                                  ? kRelays[random() % std::size(kRelays)]
                                  : fmt::format("mx{}.example{}.com[198.51.{}.{}]:25", random() % 3,
                                                random() % 500, random() % 250, random() % 250);
    const std::string front = fmt::format(
        "{}: to=<{}>, relay={}, delay={}.{}, delays=0.0{}/0.01/0.{}/0.{}", id, to, relay,
        random() % 9, random() % 9, 1 + random() % 8, 1 + random() % 8, 1 + random() % 8);
    const std::uint64_t dice = random() % 100;
    writer.add(
        {now, "qmgr", 900,
         fmt::format("{}: from=<bounce+{}@news.example.net>, size={}, nrcpt=1 (queue active)", id,
                     random() % 1000000, random() % 90000)});
    ++sample.notes;
    const std::string host = relay.substr(0, relay.rfind(':'));
    if (dice < 87) {
      writer.add({now + 100, "smtp", pid,
                  fmt::format("{}, dsn=2.0.0, status=sent (250 2.0.0 OK  {} {}-20020a05600c4e0ab{} "
                              "- gsmtp)",
                              front, random() % 1000000000, id, random() % 100000000)});
    } else if (dice < 95) {
      writer.add({now + 100, "smtp", pid,
                  fmt::format("{}, dsn=4.2.2, status=deferred (host {} said: 452 4.2.2 The email "
                              "account that you tried to reach is over quota (in reply to RCPT TO "
                              "command))",
                              front, host)});
    } else {
      writer.add({now + 100, "smtp", pid,
                  fmt::format("{}, dsn=5.1.1, status=bounced (host {} said: 550-5.1.1 The email "
                              "account that you tried to reach does not exist. 550 5.1.1 Please "
                              "check <{}> (in reply to RCPT TO command))",
                              front, host, to)});
    }
    ++sample.events;
    if (random() % 10 < 4) {
      writer.add({now + 200, "qmgr", 900, fmt::format("{}: removed", id)});
      ++sample.notes;
    }
  }
  return sample;
}

/// Exim's mainlog; lines of other messages come between those of one.
Sample make_exim_sample(bool real, std::size_t bytes) {
  static constexpr const char* kHosts[] = {"gmail-smtp-in.l.google.com [142.251.168.27]",
                                           "hotmail-com.olc.protection.outlook.com [52.101.73.31]",
                                           "mta5.am0.yahoodns.net [67.195.204.72]",
                                           "mx00.t-online.de [194.25.134.8]"};
  const std::size_t apart = real ? 1000 : 50;
  std::mt19937_64 random(42);
  Sample sample;
  std::vector<std::string> waiting(apart);  // Completed lines, and deliveries before them
  std::int64_t now = days_from_civil(2026, 11, 21) * kDayUs;
  while (sample.text.size() < bytes) {
    now += static_cast<std::int64_t>(random() % (real ? 4000 : 15'000));
    const Civil t = civil_from_us(now);
    const std::string stamp = fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} ", t.year, t.month,
                                          t.day, t.hour, t.minute, t.second);
    std::string& slot = waiting[random() % apart];
    if (!slot.empty()) {
      sample.text += stamp + slot + "\n";
      const bool over = slot.substr(slot.find(' ') + 1) == "Completed";
      const bool stays = slot.find(" == ") != std::string::npos;
      over ? ++sample.notes : ++sample.events;
      slot = over || stays ? "" : slot.substr(0, slot.find(' ')) + " Completed";
      continue;
    }
    const std::string id =
        real && random() % 2 == 0
            ? fmt::format("1vMB6i-{:011}-{:04}", random() % 100000, random() % 9999)
            : fmt::format("1vMB6i-{:06}-{:02}", random() % 100000, random() % 99);
    sample.text += fmt::format(
        "{}{} <= bounce-{}@news.example.net H=app{}.example.net (app.example.net) [10.9.0.{}] "
        "P=esmtpa{} S={} id={}.{}@news.example.net\n",
        stamp, id, random() % 1000000, random() % 9, random() % 9,
        random() % 2 == 0 ? " A=plain:news.example.net" : "", random() % 90000,
        random() % 100000000, random() % 100000000);
    sample.notes += 2 + (sample.text.rfind(" A=plain:") > sample.text.rfind(" <= ") ? 1u : 0u);
    const std::string to =
        fmt::format("user{}.{}@example{}.com", random() % 100000, random() % 1000, random() % 500);
    const std::string host = random() % 100 < 70
                                 ? kHosts[random() % std::size(kHosts)]
                                 : fmt::format("mx{}.example{}.com [198.51.{}.{}]", random() % 3,
                                               random() % 500, random() % 250, random() % 250);
    const std::uint64_t dice = random() % 100;
    const std::string route = to + " R=dnslookup T=remote_smtp ";
    if (dice < 87) {
      slot = fmt::format("{} => {}H={} {}C=\"250 2.0.0 OK  {} {}-20020a05600c4e0ab{} - gsmtp\"", id,
                         route, host,
                         random() % 4 == 0 ? ""
                                           : "X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__"
                                             "AES_256_GCM:256 CV=yes ",
                         random() % 1000000000, id, random() % 100000000);
    } else {
      const bool deferred = dice < 95;
      slot =
          fmt::format("{} {} {}{}H={}: SMTP error from remote mail server after RCPT TO:<{}>: {}",
                      id, deferred ? "==" : "**", route, deferred ? "defer (-44) " : "", host, to,
                      deferred ? "452 4.2.2 The email account that you tried to reach is over quota"
                               : "550-5.1.1 The email account that you tried to reach does not "
                                 "exist.\\n550 5.1.1 Please check it");
    }
  }
  return sample;
}

void parse_block(benchmark::State& state, const Sample& sample, const char* format) {
  BlockPool pool(1, sample.text.size());
  const AddressHasher hasher;
  parse::Context context;
  context.hasher = &hasher;
  const int number = parse::find_format(format);
  Batch batch;
  const auto once = [&] {
    batch.clear();
    batch.block = pool.take();
    batch.block->size = static_cast<std::uint32_t>(sample.text.size());
    batch.block->format = number;
    parse::parse(context, batch);
  };
  batch.block = pool.take();  // its bytes stay when it goes back
  std::memcpy(batch.block->data, sample.text.data(), sample.text.size());
  once();
  if (batch.events.size() != sample.events || batch.notes.size() != sample.notes ||
      batch.counts.unparsed != 0) {
    state.SkipWithError("wrong counts");
    return;
  }
  std::uint64_t lines = 0;
  for (auto _ : state) {
    once();
    lines += batch.counts.lines;
    benchmark::DoNotOptimize(batch.events.data());
  }
  const auto events = static_cast<double>(state.iterations()) * static_cast<double>(sample.events);
  state.SetItemsProcessed(static_cast<std::int64_t>(events));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * sample.text.size()));
  state.counters["lines/s"] =
      benchmark::Counter(static_cast<double>(lines), benchmark::Counter::kIsRate);
  state.counters["s/event"] =
      benchmark::Counter(events, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["B/event"] =
      static_cast<double>(sample.text.size()) / static_cast<double>(sample.events);
  batch.clear();
}

void parse_postfix(benchmark::State& state, Form form) {
  parse_block(state, make_sample(form, limits::kBlockBytes - 2048), "postfix");
}

void parse_exim(benchmark::State& state, bool real) {
  parse_block(state, make_exim_sample(real, limits::kBlockBytes - 2048), "exim");
}

/// The floor: finding the lines and nothing else.
void split_lines(benchmark::State& state) {
  const Sample sample = make_sample(Form::bsd, limits::kBlockBytes - 2048);
  std::uint64_t lines = 0;
  for (auto _ : state) {
    const char* p = sample.text.data();
    const char* const end = p + sample.text.size();
    while (p < end) {
      p = static_cast<const char*>(std::memchr(p, '\n', static_cast<std::size_t>(end - p))) + 1;
      ++lines;
    }
    benchmark::DoNotOptimize(p);
  }
  const auto events = static_cast<double>(state.iterations()) * static_cast<double>(sample.events);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * sample.text.size()));
  state.counters["lines/s"] =
      benchmark::Counter(static_cast<double>(lines), benchmark::Counter::kIsRate);
  state.counters["s/event"] =
      benchmark::Counter(events, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

/// The keyed hashes of recipient and domain alone.
void hash_recipients(benchmark::State& state) {
  const AddressHasher hasher;
  std::mt19937_64 random(42);
  std::vector<std::string> addresses;
  for (int i = 0; i < 4096; ++i) {
    addresses.push_back(
        fmt::format("user{}.{}@example{}.com", random() % 100000, random() % 1000, random() % 500));
  }
  AddressId address;
  AddressId domain;
  for (auto _ : state) {
    for (const std::string& text : addresses) {
      benchmark::DoNotOptimize(hasher.ids(text, address, domain));
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * addresses.size()));
}

BENCHMARK(split_lines)->Unit(benchmark::kMicrosecond);
BENCHMARK(hash_recipients)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(parse_postfix, rfc3164, Form::bsd)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(parse_postfix, rfc3339, Form::iso)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(parse_postfix, rfc5424, Form::rfc5424)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(parse_postfix, json, Form::json)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(parse_exim, sparse, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(parse_exim, real, true)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace bounced
