// bounced trace: every line of one mail, by address, message id or queue id, in time order.
//
// A queue id means something to the queue of one instance on one host only, and until `removed`:
// then it may be another mail's. So lines are found by id, and what is shown are the lives of ids
// (from the first line or the last `removed` to the next one) that the query is about.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_set>

#include "base/text.h"
#include "base/time.h"
#include "cli/app.h"
#include "cli/trace_scan.h"

namespace bounced::cli {
namespace {

/// One queue's use of an id, as scopes of ids are written.
std::string scope_of(const parse::LineHead& head) {
  return head.host + '\n' + head.queue + '\n' + head.queue_id;
}

struct Line {
  std::size_t file = 0;
  std::uint64_t offset = 0;
  std::string text;
  std::optional<parse::LineHead> head;
  bool named = false;  ///< the query is on it
  std::int64_t time_us = 0;
};

/// A mail's lines in one queue, in time order.
struct Life {
  std::vector<std::size_t> lines;
  bool wanted = false;
};

class Trace {
 public:
  Trace(App& app, std::string query, std::string zone, int year)
      : app_(app), query_(std::move(query)), timezone_(std::move(zone)), year_(year) {
    if (query_.size() > 2 && query_.front() == '<' && query_.back() == '>') {
      query_ = query_.substr(1, query_.size() - 2);
    }
    by_queue_id_ = parse::is_queue_id(query_);
  }

  int run(const std::vector<std::string>& paths) {
    if (auto zone = TimeResolver::make(timezone_, {}); !zone) return app_.io.report(zone.error());
    for (const std::string& path : paths) find(path);
    if (by_queue_id_) everywhere_.insert(query_);
    collect();
    give_times();
    order();
    const bool found = print(choose());
    return status_ != 0 ? status_ : (found ? 0 : 1);
  }

 private:
  /// First pass: the lines that name the query, and their queue ids.
  void find(const std::string& path) {
    const std::size_t file = paths_.size();
    paths_.push_back(path);
    auto scanned = scan_lines_with(path, query_, [&](const LineView& view) {
      auto head = parse::read_line_head(view.text);
      const bool own = head && !head->queue_id.empty();
      if (own && (!by_queue_id_ || queued_as(head->text) == query_)) {
        scopes_.insert(scope_of(*head));
        ids_.insert(head->queue_id);
      }
      if (!own || !by_queue_id_) add(file, view, std::move(head), true);
      return true;
    });
    if (!scanned) status_ = app_.io.report(scanned.error());
    readable_.push_back(scanned.has_value());
  }

  /// Further passes: every line of those queue ids. What one queue passed on to the next is the
  /// same mail; the ids learnt on the way are bounded by the length of any sane chain.
  void collect() {
    ids_.insert(everywhere_.begin(), everywhere_.end());
    follow();
    std::unordered_set<std::string> done;
    for (int pass = 0; pass < 4 && done.size() < ids_.size(); ++pass) {
      const QueueIdSet wanted(ids_, done);
      done = ids_;
      for (std::size_t file = 0; file < paths_.size(); ++file) {
        if (!readable_[file]) continue;
        auto scanned = scan_lines_of(paths_[file], wanted, [&](const LineView& view) {
          auto head = parse::read_line_head(view.text);
          if (head && wanted.has(head->queue_id) &&
              (everywhere_.count(head->queue_id) != 0 || scopes_.count(scope_of(*head)) != 0)) {
            add(file, view, std::move(head), false);
          }
          return true;
        });
        if (!scanned && status_ == 0) status_ = app_.io.report(scanned.error());
      }
      follow();
    }
  }

  /// The ids that the lines since the last call were passed on to.
  void follow() {
    for (; followed_ < lines_.size(); ++followed_) {
      if (!lines_[followed_].head) continue;
      const std::string next(queued_as(lines_[followed_].head->text));
      if (next.empty()) continue;
      everywhere_.insert(next);
      ids_.insert(next);
    }
  }

  void add(std::size_t file, const LineView& view, std::optional<parse::LineHead> head,
           bool named) {
    if (!seen_.emplace(file, view.offset).second) return;
    lines_.push_back({file, view.offset, std::string(view.text), std::move(head), named, 0});
  }

  /// Each file's stamps in its own order: years and repeated hours are told by what came before.
  void give_times() {
    std::sort(lines_.begin(), lines_.end(), [](const Line& a, const Line& b) {
      return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
    });
    begins_.resize(paths_.size());
    for (std::size_t at = 0; at < lines_.size();) {
      const std::size_t file = lines_[at].file;
      const FileTimes times = times_of(paths_[file]);
      TimeResolver::State state;
      state.anchor_us = times.mtime_us;
      auto resolver = TimeResolver::make(timezone_, state, year_);
      begins_[file] = resolver->resolve(times.first, times.form);
      for (std::int64_t last_us = begins_[file]; at < lines_.size() && lines_[at].file == file;
           ++at) {
        Line& line = lines_[at];
        if (line.head) last_us = resolver->resolve(line.head->time_us, line.head->time_form);
        line.time_us = last_us;
      }
    }
  }

  /// Where a log was rotated within a second, the older file's lines come first.
  void order() {
    std::stable_sort(lines_.begin(), lines_.end(), [&](const Line& a, const Line& b) {
      return std::tie(a.time_us, begins_[a.file], a.file, a.offset) <
             std::tie(b.time_us, begins_[b.file], b.file, b.offset);
    });
  }

  void find_lives() {
    std::map<std::string, std::size_t> current;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      const auto& head = lines_[i].head;
      if (!head || head->queue_id.empty()) continue;
      const auto [at, fresh] = current.try_emplace(scope_of(*head), lives_.size());
      if (fresh) {
        lives_.emplace_back();
        by_id_[head->queue_id].push_back(at->second);
      }
      Life& life = lives_[at->second];
      life.lines.push_back(i);
      life.wanted = life.wanted || lines_[i].named || head->queue_id == query_ ||
                    (by_queue_id_ && queued_as(head->text) == query_);
      if (head->text == "removed" || head->text.rfind("Completed", 0) == 0) current.erase(at);
    }
  }

  /// The life of the id that went on at that time; any, when the id had one only.
  void want_next(const std::string& id, std::int64_t time_us, std::vector<std::size_t>& open) {
    constexpr std::int64_t kClocksDifferUs = 5 * kSecondUs;
    const auto at = by_id_.find(id);
    if (at == by_id_.end()) return;
    for (const std::size_t number : at->second) {
      Life& life = lives_[number];
      const bool then = lines_[life.lines.front()].time_us <= time_us + kClocksDifferUs &&
                        time_us <= lines_[life.lines.back()].time_us + kClocksDifferUs;
      if (life.wanted || !(then || at->second.size() == 1)) continue;
      life.wanted = true;
      open.push_back(number);
    }
  }

  /// Which lines are the query's.
  std::vector<bool> choose() {
    find_lives();
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < lives_.size(); ++i) {
      if (lives_[i].wanted) open.push_back(i);
    }
    std::vector<bool> wanted(lines_.size());
    for (std::size_t i = 0; i < lines_.size(); ++i) wanted[i] = lines_[i].named;
    while (!open.empty()) {
      const std::size_t number = open.back();
      open.pop_back();
      for (const std::size_t i : lives_[number].lines) {
        wanted[i] = true;
        const std::string next(queued_as(lines_[i].head->text));
        if (!next.empty()) want_next(next, lines_[i].time_us, open);
      }
    }
    return wanted;
  }

  bool print(const std::vector<bool>& wanted) {
    bool any = false;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (!wanted[i]) continue;
      any = true;
      const std::string& text = lines_[i].text;
      app_.io.out((app_.io.out_terminal() ? printable(text) : text) + "\n");
    }
    return any;
  }

  App& app_;
  std::string query_, timezone_;
  int year_;
  bool by_queue_id_ = false;
  int status_ = 0;
  std::vector<std::string> paths_;
  std::vector<bool> readable_;
  std::vector<std::int64_t> begins_;            ///< by file: time of its first line
  std::unordered_set<std::string> ids_;         ///< to be looked for
  std::unordered_set<std::string> scopes_;      ///< whose ids they are,
  std::unordered_set<std::string> everywhere_;  ///< unless nobody has told
  std::set<std::pair<std::size_t, std::uint64_t>> seen_;
  std::vector<Line> lines_;
  std::size_t followed_ = 0;
  std::vector<Life> lives_;
  std::map<std::string, std::vector<std::size_t>> by_id_;
};

// Every file once. A name that no file has may be a pattern; one that meets nothing stays as it is,
// so that opening it says so.
Result<std::vector<std::string>> files_of(const App& app, const std::vector<std::string>& named) {
  std::set<std::string> files;
  for (const std::string& name : named) {
    if (name == "-") {
      return fail(ErrorCode::usage, "trace", name, "lines are looked for more than once",
                  "name a file instead of stdin");
    }
    const std::string path = app.path(name);
    std::error_code ignored;
    const auto met = std::filesystem::exists(path, ignored) ? std::vector<std::string>{}
                                                            : ingest::expand_globs({path});
    files.insert(met.begin(), met.end());
    if (met.empty()) files.insert(path);
  }
  return std::vector<std::string>(files.begin(), files.end());
}

}  // namespace

void add_trace(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("trace", "every line of one mail, in time order");
  struct Args {
    std::string query, timezone;
    std::vector<std::string> files;
    int year = 0;
  };
  auto args = std::make_shared<Args>();
  command->add_option("QUERY", args->query, "an address, a message id or a queue id")->required();
  command->add_option("FILE", args->files, "log files, rotated and compressed ones too")
      ->required();
  command->add_option("--tz", args->timezone, "time zone of stamps without offset (default UTC)");
  command->add_option("--year", args->year, "year of stamps without one");
  examples(*command,
           "  bounced trace someone@example.com /var/log/mail.log*\n"
           "  bounced trace '<20261121.abc@news.example.com>' /var/log/mail.log\n"
           "  bounced trace 4jX43627vPz1c0pK /var/log/mail.log.2.gz /var/log/mail.log.1");
  command->callback([&app, args] {
    app.run = [&app, args] {
      if (args->query.size() < 3) {
        return app.io.report({ErrorCode::usage, "trace", args->query, "too short to look for",
                              "give a whole address, message id or queue id"});
      }
      auto files = files_of(app, args->files);
      if (!files) return app.io.report(files.error());
      return Trace(app, args->query, args->timezone, args->year).run(*files);
    };
  });
}

}  // namespace bounced::cli
