// bounced doctor: looks at everything between the mail servers' logs and the store.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/text.h"
#include "cli/app.h"
#include "cli/mail_watch.h"
#include "report/doctor.h"

namespace bounced::cli {
namespace {

using report::Finding;
using report::Health;

struct Places {
  std::vector<std::string> logrotate = {"/etc/logrotate.conf", "/etc/logrotate.d"};
  std::vector<std::string> journald = {"/etc/systemd/journald.conf",
                                       "/etc/systemd/journald.conf.d"};
  std::vector<std::string> rsyslog = {"/etc/rsyslog.conf", "/etc/rsyslog.d"};
};

/// Below this a cut may soon fail.
constexpr std::uintmax_t kFreeBytesMin = std::uintmax_t{1} << 30;

Finding look_at_disk(const std::string& data_dir) {
  Finding f{Health::ok, "disk", data_dir, "", ""};
  std::error_code error;
  const auto space = std::filesystem::space(data_dir, error);
  if (error) {
    f.health = Health::trouble;
    f.why = error.message();
    f.hint = "the data directory is made by the first `bounced run` or `bounced replay`";
    return f;
  }
  f.why = human_bytes(static_cast<double>(space.available)) + " free";
  if (space.available < kFreeBytesMin) {
    f.health = Health::warning;
    f.hint = "applying waits when a cut cannot be written; make room";
  }
  return f;
}

/// A folder of bounce mails: whether new ones can be read, and put away.
Finding look_at_maildir(const Maildir& maildir, const std::string& path, unsigned sent_days) {
  Finding f{Health::trouble, "maildir", path, "", ""};
  const std::string news = path + "/new", cur = path + "/cur";
  std::error_code error;
  std::size_t waiting = 0;
  for (std::filesystem::directory_iterator it(news, error), end; it != end; it.increment(error)) {
    ++waiting;
  }
  if (error) {
    f.why = news + ": " + error.message();
    f.hint = "a Maildir has the folders new, cur and tmp, readable by the daemon's user";
    return f;
  }
  if (!maildir.leave && (::access(news.c_str(), W_OK) != 0 || ::access(cur.c_str(), W_OK) != 0)) {
    f.why = "mails cannot be moved from new to cur: " + std::string(std::strerror(errno));
    f.hint = "let the daemon's user write there, or set after = \"leave\"";
    return f;
  }
  f.health = sent_days == 0 ? Health::warning : Health::ok;
  f.why = std::to_string(waiting) + " mail(s) in new";
  if (sent_days == 0) {
    f.why += "; without [mail] sent_days no mail can be matched with what was sent";
    f.hint = "set sent_days = 10 in [mail]";
  }
  return f;
}

/// A file of bounce mails: whether it can be read, and how far it was.
Finding look_at_mbox(const Mbox& mbox, const std::string& path, const ingest::PositionBook& known,
                     unsigned sent_days) {
  Finding f{Health::trouble, "mbox", path, "", ""};
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    f.why = "is no regular file";
    f.hint = "a folder of mails is a [[maildir]]";
    return f;
  }
  if (std::filesystem::exists(status) && ::access(path.c_str(), R_OK) != 0) {
    f.why = std::strerror(errno);
    f.hint = "let the daemon's user read it: its group is often mail";
    return f;
  }
  f.health = sent_days == 0 ? Health::warning : Health::ok;
  f.why = std::filesystem::exists(status) ? "nothing of it was taken yet" : "is not there yet";
  known.visit([&](const ingest::Position& position) {
    if (position.source != "mbox:" + mbox.name) return;
    f.why = fmt::format("taken up to byte {}", with_commas(position.offset));
    const auto size = std::filesystem::file_size(path, error);
    if (error || size < position.offset) return;  // of a file that was renamed, or emptied
    f.why += fmt::format(" of {}", with_commas(size));
  });
  if (sent_days == 0) {
    f.why += "; without [mail] sent_days no mail can be matched with what was sent";
    f.hint = "set sent_days = 10 in [mail]";
  }
  return f;
}

/// Where files were applied to, from the daemon or the store; empty without either.
Result<ingest::PositionBook> known_positions(App& app, std::vector<Finding>& findings) {
  ingest::PositionBook book;
  auto session = Session::read(app);
  if (!session) {
    findings.push_back(
        {Health::trouble, "store", app.data(), session.error().why, session.error().hint});
    return book;
  }
  findings.push_back({Health::ok, "store", app.data(), "can be read", ""});
  auto positions = ingest::load_positions((*session)->store());
  if (!positions) return tl::unexpected(positions.error());
  book.load(std::move(*positions));
  return book;
}

void add_live(App& app, std::vector<Finding>& findings) {
  if (app.live == nullptr) {
    findings.push_back({Health::warning, "daemon", app.data(), "none answers here",
                        "start one with `bounced run`"});
    return;
  }
  findings.push_back({Health::ok, "daemon", app.data(), "runs", ""});
  for (const std::string& trouble : app.live->troubles()) {
    findings.push_back({Health::trouble, "daemon", app.data(), trouble, ""});
  }
  if (app.live_mails == nullptr) return;
  for (const auto& box : app.live_mails->states()) {
    if (box.trouble.empty()) continue;
    findings.push_back({Health::trouble, box.what, box.path, box.trouble, ""});
  }
}

std::string as_text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& f : findings) {
    text += fmt::format("{:<8} {:<9} {}: {}\n", report::to_string(f.health), f.what,
                        printable(f.where), printable(f.why));
    if (!f.hint.empty()) text += fmt::format("{:18}   -> {}\n", "", printable(f.hint));
  }
  return text;
}

std::string as_json(const std::vector<Finding>& findings) {
  std::string json;
  for (const Finding& f : findings) {
    json += fmt::format(
        "{{\"health\":\"{}\",\"what\":\"{}\",\"where\":", report::to_string(f.health), f.what);
    append_json(json, f.where);
    json += ",\"why\":";
    append_json(json, f.why);
    if (!f.hint.empty()) {
      json += ",\"hint\":";
      append_json(json, f.hint);
    }
    json += "}\n";
  }
  return json;
}

int run_doctor(App& app, const Places& places, bool json) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  std::vector<Finding> findings;
  const auto add = [&](std::vector<Finding> more) {
    for (Finding& f : more) findings.push_back(std::move(f));
  };
  add_live(app, findings);
  auto known = known_positions(app, findings);
  if (!known) return app.io.report(known.error());
  findings.push_back(look_at_disk(config->data_dir));
  std::vector<std::string> risky;
  for (const Tail& tail : config->tails) {
    report::DoctorSource source{tail.name, {}, tail.format};
    for (const std::string& path : tail.paths) source.paths.push_back(app.path(path));
    add(report::look_at_files(source, *known));
    for (Finding& f : report::look_at_rotation(source, places.logrotate)) {
      if (f.health != Health::ok) risky.push_back(f.where);
      findings.push_back(std::move(f));
    }
  }
  for (const Maildir& maildir : config->maildirs) {
    findings.push_back(look_at_maildir(maildir, app.path(maildir.path), config->sent_days));
  }
  for (const Mbox& mbox : config->mboxes) {
    findings.push_back(look_at_mbox(mbox, app.path(mbox.path), *known, config->sent_days));
  }
  if (config->tails.empty() && config->maildirs.empty() && config->mboxes.empty()) {
    findings.push_back({Health::warning, "source", config->file, "no [[tail]] is configured",
                        "name the configuration with --config"});
  }
  add(report::look_at_journal(places.journald));
  add(report::look_at_rsyslog(places.rsyslog));
  app.io.out(json ? as_json(findings) : as_text(findings));
  if (!risky.empty() && !json) {
    app.io.out("\nA rotation that loses nothing:\n\n" + report::logrotate_stanza(risky));
  }
  const bool well = std::none_of(findings.begin(), findings.end(),
                                 [](const Finding& f) { return f.health == Health::trouble; });
  return well ? 0 : 1;
}

}  // namespace

void add_doctor(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand(
      "doctor", "looks for what could keep lines from being read: files, rotation, loggers");
  auto json = std::make_shared<bool>(false);
  auto places = std::make_shared<Places>();
  command->add_flag("--json", *json, "one JSON object a line");
  command
      ->add_option("--logrotate", places->logrotate, "logrotate's configuration, files or folders")
      ->type_name("PATH");
  command->add_option("--journald", places->journald, "journald's configuration")
      ->type_name("PATH");
  command->add_option("--rsyslog", places->rsyslog, "rsyslog's configuration")->type_name("PATH");
  examples(
      *command,
      "  bounced doctor --config /etc/bounced/bounced.toml\n"
      "  bounced doctor --json | jq 'select(.health != \"ok\")'\n\n"
      "Exit status 1 when something is in trouble; warnings alone are 0. While a daemon runs,\n"
      "it looks itself, with its own permissions.");
  command->callback([&app, json, places] {
    app.forwardable = true;
    app.run = [&app, json, places] { return run_doctor(app, *places, *json); };
  });
}

}  // namespace bounced::cli
