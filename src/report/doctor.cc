#include "report/doctor.h"

#include <fmt/format.h>

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/text.h"
#include "parse/parse.h"

namespace bounced::report {
namespace {

namespace fs = std::filesystem;

/// A configuration file is a few KiB; what is larger is none.
constexpr std::uintmax_t kConfigurationBytesMax = 1 << 20;

/// The files themselves, and those in the folders, sorted.
std::vector<fs::path> files_of(const std::vector<std::string>& configurations,
                               std::string_view extension) {
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const std::string& name : configurations) {
    if (!fs::is_directory(name, ignored)) {
      if (fs::is_regular_file(name, ignored)) files.emplace_back(name);
      continue;
    }
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(name, ignored)) {
      if (entry.is_regular_file(ignored) &&
          (extension.empty() || entry.path().extension() == extension)) {
        found.push_back(entry.path());
      }
    }
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> lines;
  std::error_code ignored;
  if (fs::file_size(file, ignored) > kConfigurationBytesMax) return lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.emplace_back(trim(line));
  return lines;
}

// --- logrotate.conf(5)

struct Stanza {
  std::string file;
  std::size_t line = 0;
  std::vector<std::string> patterns;
  std::vector<std::vector<std::string>> directives;  ///< words of each
  [[nodiscard]] const std::vector<std::string>* find(std::string_view name) const {
    for (const auto& words : directives) {
      if (words.front() == name) return &words;
    }
    return nullptr;
  }
};

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::istringstream in{std::string(line)};
  for (std::string word; in >> word;) {
    word.erase(std::remove(word.begin(), word.end(), '"'), word.end());
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

bool begins_script(const std::string& word) {
  return word == "postrotate" || word == "prerotate" || word == "firstaction" ||
         word == "lastaction" || word == "preremove";
}

/// All `patterns { directives }` of a file; what stands outside of them applies to others' files.
std::vector<Stanza> stanzas_of(const fs::path& file) {
  std::vector<Stanza> stanzas;
  std::vector<std::string> before;  // patterns that may stand on lines of their own
  std::optional<Stanza> open;
  bool script = false;
  std::size_t number = 0;
  for (std::string line : lines_of(file)) {
    ++number;
    if (line.empty() || line.front() == '#') continue;
    if (open.has_value()) {
      const auto words = words_of(line);
      if (words.empty()) continue;
      if (script) {
        script = words.front() != "endscript";
      } else if (words.front() == "}") {
        stanzas.push_back(std::move(*open));
        open.reset();
      } else {
        script = begins_script(words.front());
        open->directives.push_back(words);
      }
      continue;
    }
    const auto brace = line.find('{');
    for (std::string& word : words_of(line.substr(0, brace))) before.push_back(std::move(word));
    if (brace != std::string::npos) {
      open = Stanza{file.string(), number, std::move(before), {}};
      before.clear();
    } else if (before.empty() || before.front().front() != '/') {
      before.clear();  // a global directive
    }
  }
  return stanzas;
}

bool names(const Stanza& stanza, const std::string& path) {
  return std::any_of(stanza.patterns.begin(), stanza.patterns.end(), [&](const auto& pattern) {
    return pattern == path || fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME) == 0;
  });
}

Finding judge(const Stanza& stanza, const std::string& path) {
  Finding f{Health::ok, "rotation", path, "", ""};
  const std::string where = fmt::format("{}:{}", stanza.file, stanza.line);
  const auto* rotate = stanza.find("rotate");
  const auto* old_dir = stanza.find("olddir");
  if (stanza.find("copytruncate") != nullptr) {
    f.health = Health::warning;
    f.why =
        where + " uses copytruncate: lines written between its copy and its truncation are lost";
    f.hint = "use `create` and tell the writer to reopen (see the stanza below)";
  } else if (rotate != nullptr && rotate->size() > 1 && (*rotate)[1] == "0") {
    f.health = Health::warning;
    f.why = where + " deletes the log as it rotates it: what was not read by then is lost";
    f.hint = "keep at least one: `rotate 7`";
  } else if (old_dir != nullptr && old_dir->size() > 1) {
    f.health = Health::warning;
    f.why = where + " moves rotated logs to " + (*old_dir)[1] + ", where nobody looks for them";
    f.hint = "rotate within the folder, or name the folder's files as paths, too";
  } else {
    f.why = where + " rotates it by rename";
  }
  return f;
}

std::string lower_key(std::string_view line) {
  const auto equals = line.find('=');
  return ascii_lower(trim(line.substr(0, equals)));
}

std::string_view value_of(std::string_view line) {
  const auto equals = line.find('=');
  return equals == std::string_view::npos ? std::string_view{} : trim(line.substr(equals + 1));
}

std::string format_name(int format) {
  return format < 0 ? std::string("nothing known")
                    : std::string(parse::formats()[static_cast<std::size_t>(format)].name);
}

Finding judge_file(const DoctorSource& source, const std::string& path,
                   const ingest::PositionBook& known, ingest::PositionBook& keys) {
  Finding f{Health::ok, "file", path, "", ""};
  ingest::FileOptions options;
  options.source_name = source.name;
  options.live = true;
  auto reader = ingest::FileReader::open(path, options, known, keys);
  if (!reader) {
    f.health = Health::trouble;
    f.why = reader.error().why;
    f.hint = access(path.c_str(), R_OK) != 0 && errno == EACCES
                 ? "let the daemon's user read it, e.g. by the group of the file (often adm)"
                 : reader.error().hint;
    return f;
  }
  const std::string_view head = (*reader)->head();
  const int found = parse::probe_format(head);
  const std::uint64_t size = (*reader)->file_bytes();
  const std::string whole =
      (*reader)->plain() ? fmt::format(" of {} bytes", with_commas(size)) : " bytes, unpacked";
  f.why = (*reader)->resumed() ? "applied up to " + with_commas((*reader)->start_offset()) + whole
                               : with_commas(size) + " bytes, none applied yet";
  f.why += head.empty() ? "" : "; looks like " + format_name(found);
  if ((*reader)->beyond_end()) {
    f.health = Health::warning;
    f.why += "; shorter than what was applied before: it lost lines";
    f.hint = "look for a second rotation, or a disk that was full";
  } else if (!head.empty() && found < 0 && source.format == "auto") {
    f.health = Health::trouble;
    f.hint = "name its format: format = \"postfix\"";
  } else if (found >= 0 && source.format != "auto" && format_name(found) != source.format) {
    f.health = Health::warning;
    f.why += ", but is configured as " + source.format;
    f.hint = "format = \"auto\"";
  }
  return f;
}

}  // namespace

std::string_view to_string(Health health) {
  constexpr std::string_view kNames[] = {"ok", "warning", "trouble"};
  return kNames[static_cast<std::size_t>(health)];
}

std::vector<Finding> look_at_files(const DoctorSource& source, const ingest::PositionBook& known) {
  std::vector<Finding> findings;
  ingest::PositionBook keys;
  for (const std::string& path : ingest::expand_globs(source.paths)) {
    findings.push_back(judge_file(source, path, known, keys));
  }
  if (findings.empty()) {
    findings.push_back({Health::warning, "file", source.paths.empty() ? "" : source.paths.front(),
                        "no file has that name", "check the path of the [[tail]]"});
  }
  return findings;
}

std::vector<Finding> look_at_rotation(const DoctorSource& source,
                                      const std::vector<std::string>& configurations) {
  std::vector<Stanza> stanzas;
  for (const fs::path& file : files_of(configurations, "")) {
    for (Stanza& stanza : stanzas_of(file)) stanzas.push_back(std::move(stanza));
  }
  std::vector<Finding> findings;
  for (const std::string& path : ingest::expand_globs(source.paths)) {
    for (const Stanza& stanza : stanzas) {
      if (names(stanza, path)) findings.push_back(judge(stanza, path));
    }
  }
  return findings;
}

std::vector<Finding> look_at_journal(const std::vector<std::string>& configurations) {
  const auto files = files_of(configurations, ".conf");
  if (files.empty()) return {};
  // systemd's own values, journald.conf(5).
  std::string interval = "30s", burst = "10000", where = files.front().string();
  for (const fs::path& file : files) {
    for (const std::string& line : lines_of(file)) {
      const std::string key = lower_key(line);
      if (key == "ratelimitintervalsec") interval = value_of(line);
      if (key == "ratelimitburst") burst = value_of(line);
      if (key.rfind("ratelimit", 0) == 0) where = file.string();
    }
  }
  if (burst == "0" || interval == "0" || interval == "0s") {
    return {{Health::ok, "journald", where, "no rate limit", ""}};
  }
  return {{Health::warning, "journald", where,
           fmt::format("drops what a service writes beyond {} messages in {}", burst, interval),
           "set RateLimitIntervalSec=0 there, or LogRateLimitIntervalSec=0 for the mail server's "
           "unit"}};
}

std::vector<Finding> look_at_rsyslog(const std::vector<std::string>& configurations) {
  std::vector<Finding> findings;
  for (const fs::path& file : files_of(configurations, ".conf")) {
    std::size_t number = 0;
    for (const std::string& raw : lines_of(file)) {
      ++number;
      const std::string line = ascii_lower(raw);
      if (line.empty() || line.front() == '#') continue;
      const bool unlimited = line.find("ratelimit.interval=\"0\"") != std::string::npos;
      if (line.find("imjournal") == std::string::npos || line.find("load") == std::string::npos) {
        continue;
      }
      Finding f{Health::ok, "rsyslog", fmt::format("{}:{}", file.string(), number),
                "reads the journal without a rate limit", ""};
      if (!unlimited) {
        f.health = Health::warning;
        f.why = "imjournal drops what comes beyond 20,000 messages in 10 minutes";
        f.hint = "module(load=\"imjournal\" ratelimit.interval=\"0\")";
      }
      findings.push_back(std::move(f));
    }
  }
  return findings;
}

std::string logrotate_stanza(const std::vector<std::string>& paths) {
  std::string stanza;
  for (const std::string& path : paths) stanza += path + "\n";
  return stanza +
         "{\n"
         "    daily\n"
         "    rotate 14\n"
         "    missingok\n"
         "    notifempty\n"
         "    create 0640 syslog adm\n"
         "    compress\n"
         "    delaycompress\n"
         "    sharedscripts\n"
         "    postrotate\n"
         "        /usr/lib/rsyslog/rsyslog-rotate\n"
         "    endscript\n"
         "}\n";
}

}  // namespace bounced::report
