// bounced trace: every line of one mail, by address, message id or queue id, in time order.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <set>
#include <unordered_set>

#include "base/text.h"
#include "base/time.h"
#include "cli/app.h"
#include "cli/trace_scan.h"

namespace bounced::cli {
namespace {

struct Line {
  std::int64_t time_us = 0;
  std::size_t file = 0;
  std::uint64_t offset = 0;
  std::string text;
};

/// Files in the order of their first stamp; unreadable ones are reported and left out.
struct File {
  std::string path;
  std::int64_t first_us = INT64_MIN;
  std::int64_t mtime_us = 0;
};

class Trace {
 public:
  Trace(App& app, std::string query, std::string zone, int year)
      : app_(app), query_(std::move(query)), timezone_(std::move(zone)), year_(year) {
    if (query_.size() > 2 && query_.front() == '<' && query_.back() == '>') {
      query_ = query_.substr(1, query_.size() - 2);
    }
  }

  int run(const std::vector<std::string>& paths) {
    std::vector<std::string> usable;
    for (const std::string& path : paths) {
      // One pass to find the queue ids that the query names.
      auto scanned = scan_lines_with(path, query_, [&](const LineView& line) {
        if (const auto id = queue_id_of(line.text); !id.empty()) ids_.emplace(id);
        // What one queue passed on to the next is the same mail.
        if (const auto next = queued_as(line.text); !next.empty()) ids_.emplace(next);
        if (queue_id_of(line.text).empty()) add(path, line);
        return true;
      });
      if (!scanned) {
        status_ = app_.io.report(scanned.error());
      } else {
        usable.push_back(path);
      }
    }
    if (query_is_queue_id()) ids_.insert(query_);
    if (!ids_.empty()) collect(usable);
    std::stable_sort(lines_.begin(), lines_.end(), [](const Line& a, const Line& b) {
      return a.time_us != b.time_us ? a.time_us < b.time_us
             : a.file != b.file     ? a.file < b.file
                                    : a.offset < b.offset;
    });
    for (const Line& line : lines_) {
      app_.io.out((app_.io.out_terminal() ? printable(line.text) : line.text) + "\n");
    }
    if (status_ != 0) return status_;
    return lines_.empty() ? 1 : 0;
  }

 private:
  [[nodiscard]] bool query_is_queue_id() const {
    return query_.size() >= 6 && query_.size() <= 40 &&
           std::all_of(query_.begin(), query_.end(), [](char c) {
             return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
           });
  }

  // Second pass: every line of those queue ids. Ids learnt on the way (a forwarded copy) are
  // followed by another pass, bounded by the length of any sane chain.
  void collect(const std::vector<std::string>& paths) {
    std::unordered_set<std::string> done;
    for (int pass = 0; pass < 4 && done.size() < ids_.size(); ++pass) {
      const QueueIdSet wanted(ids_, done);
      done = ids_;
      for (const std::string& path : paths) {
        auto scanned = scan_lines_of(path, wanted, [&](const LineView& line) {
          add(path, line);
          if (const auto next = queued_as(line.text); !next.empty()) ids_.emplace(next);
          return true;
        });
        if (!scanned && status_ == 0) status_ = app_.io.report(scanned.error());
      }
    }
  }

  void add(const std::string& path, const LineView& line) {
    const auto [at, fresh] = file_numbers_.try_emplace(path, file_numbers_.size());
    if (!seen_.emplace(at->second, line.offset).second) return;
    TimeResolver::State state;
    state.anchor_us = line.mtime_us;
    Line out;
    out.file = at->second;
    out.offset = line.offset;
    out.text = std::string(line.text);
    out.time_us = line_time(line.text, timezone_, state, year_);
    lines_.push_back(std::move(out));
  }

  App& app_;
  std::string query_, timezone_;
  int year_;
  int status_ = 0;
  std::unordered_set<std::string> ids_;
  std::unordered_map<std::string, std::size_t> file_numbers_;
  std::set<std::pair<std::size_t, std::uint64_t>> seen_;
  std::vector<Line> lines_;
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
