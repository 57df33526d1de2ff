// bounced-loggen: writes a Postfix or Exim log that never happened, and what is true about it.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "diagnostics.h"
#include "log_writer.h"
#include "population.h"
#include "simulation.h"

namespace bounced::bench {
namespace {

constexpr char kHelp[] =
    "usage: bounced-loggen --out FILE [options]     a seeded Postfix or Exim log\n"
    "  --profile sparse|real|prefill  lines per delivery (default sparse)\n"
    "  --bytes N[KiB|MiB|GiB]         size of the log (default 1GiB; prefill: as it comes)\n"
    "  --seed N                       same seed, same log (default 1)\n"
    "  --mta postfix|exim             (default postfix)\n"
    "  --ids old|new|both             of Exim's messages: 16 or 23 characters (default both: real\n"
    "                                 has two instances, one of them with new ids)\n"
    "  --header rfc3164|rfc3339       (default rfc3164; exim: Exim's own file)\n"
    "  --year Y                       the log starts on 1 October of Y (default 2026)\n"
    "  --day N                        days later (default 0)\n"
    "  --recipients N                 known addresses (default: 1.75 for each delivery line)\n"
    "  --known-fraction F             of the deliveries go to these (default 1)\n"
    "  --lines-per-second N           pace of the log's own clock (default 65, real 250)\n"
    "  --truth FILE                   counts as JSON (- = stdout)\n"
    "example: bounced-loggen --profile real --bytes 64MiB --out mail.log --truth -\n";

struct Options {
  SimulationOptions simulation;
  HeaderForm header = HeaderForm::rfc3164;
  int year = 2026;
  int day = 0;
  const char* out = nullptr;
  const char* truth = nullptr;
};

template <typename T>
bool parse_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_bytes(std::string_view text, std::uint64_t& out) {
  static constexpr std::pair<std::string_view, int> kUnits[] = {
      {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
  int shift = 0;
  for (const auto& [unit, bits] : kUnits) {
    if (text.size() > unit.size() && text.substr(text.size() - unit.size()) == unit) {
      text.remove_suffix(unit.size());
      shift = bits;
      break;
    }
  }
  if (!parse_number(text, out)) return false;
  out <<= shift;
  return out > 0;
}

bool set(Options& o, std::string_view name, const char* value) {
  const std::string_view text = value;
  SimulationOptions& s = o.simulation;
  if (name == "--out") return (o.out = value) != nullptr;
  if (name == "--truth") return (o.truth = value) != nullptr;
  if (name == "--seed") return parse_number(text, s.seed);
  if (name == "--bytes") return parse_bytes(text, s.bytes);
  if (name == "--year") return parse_number(text, o.year) && o.year > 1970 && o.year < 2200;
  if (name == "--day") return parse_number(text, o.day) && o.day >= 0;
  if (name == "--recipients") return parse_number(text, s.recipients) && s.recipients < (1U << 30);
  if (name == "--lines-per-second") {
    return parse_number(text, s.lines_per_second) && s.lines_per_second > 0 &&
           s.lines_per_second <= 1'000'000;
  }
  if (name == "--known-fraction") {
    return parse_number(text, s.known_fraction) && s.known_fraction >= 0 && s.known_fraction <= 1;
  }
  if (name == "--mta") {
    s.exim = text == "exim";
    if (s.exim) o.header = HeaderForm::exim;
    return text == "exim" || text == "postfix";
  }
  if (name == "--ids") {
    s.exim_ids = text == "old"   ? EximIds::old_ones
                 : text == "new" ? EximIds::new_ones
                                 : EximIds::both;
    return text == "old" || text == "new" || text == "both";
  }
  if (name == "--header" && !s.exim) {
    o.header = text == "rfc3339" ? HeaderForm::rfc3339 : HeaderForm::rfc3164;
    return text == "rfc3339" || text == "rfc3164";
  }
  if (name == "--profile") {
    s.profile = text == "real"      ? Profile::real
                : text == "prefill" ? Profile::prefill
                                    : Profile::sparse;
    return text == "real" || text == "prefill" || text == "sparse";
  }
  return false;
}

void write_truth(std::FILE* file, const Options& o, const Truth& t) {
  const auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
  std::fprintf(file,
               "{\"lines\":%llu,\"bytes\":%llu,\"delivery_lines\":%llu,\"messages\":%llu,"
               "\"recipients\":%llu,\"seed\":%llu,\"year\":%d,\"events\":{\"delivered\":%llu,"
               "\"relayed\":%llu,\"deferred\":%llu,\"bounced\":%llu,\"expired\":%llu,"
               "\"discarded\":%llu,\"probed\":%llu},\"unattempted\":%llu}\n",
               n(t.lines), n(t.bytes), n(t.delivery_lines), n(t.messages), n(t.recipients),
               n(o.simulation.seed), o.year, n(t.delivered), n(t.relayed), n(t.deferred),
               n(t.bounced), n(t.expired), n(t.discarded), n(t.probed), n(t.unattempted));
}

int fail(const char* path) {
  std::fprintf(stderr, "bounced-loggen: write: %s: %s; is there room?\n", path,
               std::strerror(errno));
  return 3;
}

int generate(Options& o) {
  SimulationOptions& s = o.simulation;
  if (s.recipients == 0) {
    const std::uint64_t per_delivery = s.profile == Profile::real ? 900 : 460;
    const std::uint64_t wanted = s.bytes / per_delivery * 7 / 4 + 100;
    s.recipients = static_cast<std::uint32_t>(wanted < (1U << 30) ? wanted : (1U << 30) - 1);
  }
  if (s.lines_per_second == 0) s.lines_per_second = s.profile == Profile::real ? 250 : 65;
  const bool to_stdout = std::string_view(o.out) == "-";
  const int fd = to_stdout ? STDOUT_FILENO : ::open(o.out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) return fail(o.out);
  const std::chrono::sys_days start =
      std::chrono::sys_days(std::chrono::year(o.year) / std::chrono::October / 1) +
      std::chrono::days(o.day);
  LogWriter writer(
      fd, o.header,
      std::chrono::duration_cast<std::chrono::microseconds>(start.time_since_epoch()).count());
  const Diagnostics diagnostics;
  const Population population(diagnostics);
  const Truth truth = Simulation(s, diagnostics, population, writer).run();
  if (writer.failed() || (!to_stdout && ::close(fd) != 0)) return fail(o.out);
  if (o.truth == nullptr) return 0;
  const bool truth_to_stdout = std::string_view(o.truth) == "-";
  std::FILE* file = truth_to_stdout ? stdout : std::fopen(o.truth, "w");
  if (file == nullptr) return fail(o.truth);
  write_truth(file, o, truth);
  if (std::fflush(file) != 0 || (!truth_to_stdout && std::fclose(file) != 0)) return fail(o.truth);
  return 0;
}

}  // namespace
}  // namespace bounced::bench

int main(int argc, char** argv) {
  using namespace bounced::bench;
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--help" || name == "-h") {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (i + 1 >= argc || !set(options, name, argv[i + 1])) {
      std::fprintf(stderr, "bounced-loggen: options: %s: not understood; see --help\n", argv[i]);
      return 2;
    }
  }
  if (options.out == nullptr) {
    std::fputs(kHelp, stderr);
    return 2;
  }
  return generate(options);
}
