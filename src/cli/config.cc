#include "cli/config.h"

#include <arpa/inet.h>
#include <toml++/toml.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/text.h"
#include "base/time.h"
#include "cli/arguments.h"
#include "parse/providers/providers.h"

namespace bounced::cli {
namespace {

/// An IP address, or with `prefix` also one with the length of a network's prefix.
bool is_network(const std::string& text, bool prefix) {
  const std::size_t slash = prefix ? text.find('/') : std::string::npos;
  const std::string ip = text.substr(0, slash);
  unsigned char bytes[16];
  const bool v4 = ::inet_pton(AF_INET, ip.c_str(), bytes) == 1;
  if (!v4 && ::inet_pton(AF_INET6, ip.c_str(), bytes) != 1) return false;
  if (slash == std::string::npos) return true;
  unsigned bits = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + slash + 1, end, bits);
  return read.ec == std::errc() && read.ptr == end && bits <= (v4 ? 32U : 128U);
}

/// Reads one table and remembers which keys were asked for; what is left over is unknown.
class Section {
 public:
  Section(const toml::table& table, std::string name, const std::string& file)
      : table_(table), name_(std::move(name)), file_(file) {}

  [[nodiscard]] tl::unexpected<Error> bad(const toml::node& node, std::string_view key,
                                          std::string why, std::string hint = {}) const {
    return fail(ErrorCode::usage, "config", file_ + ":" + std::to_string(node.source().begin.line),
                path(key) + " " + std::move(why), std::move(hint));
  }

  Result<void> text(std::string_view key, std::string& out) {
    const toml::node* node = take(key);
    if (node == nullptr) return {};
    const auto value = node->value<std::string>();
    if (!node->is_string() || !value) return bad(*node, key, "is not a string");
    out = *value;
    return {};
  }
  /// A text that has no meaning when it is empty.
  Result<void> name(std::string_view key, std::string& out) {
    if (auto r = text(key, out); !r) return r;
    if (out.empty()) return bad(*table_.get(key), key, "is empty");
    return {};
  }
  Result<void> choice(std::string_view key, std::string& out,
                      const std::vector<std::string_view>& choices) {
    const std::string before = out;
    if (auto r = text(key, out); !r) return r;
    for (const auto c : choices) {
      if (c == out) return {};
    }
    std::string hint = "one of:";
    for (const auto c : choices) hint += " " + std::string(c);
    return bad(*table_.get(key), key, "= \"" + out + "\" is not known", hint);
  }
  Result<void> flag(std::string_view key, bool& out) {
    const toml::node* node = take(key);
    if (node == nullptr) return {};
    if (!node->is_boolean()) return bad(*node, key, "is not true or false");
    out = *node->value<bool>();
    return {};
  }
  Result<void> number(std::string_view key, std::uint64_t& out, std::int64_t low,
                      std::int64_t high) {
    const toml::node* node = take(key);
    if (node == nullptr) return {};
    const auto value = node->value<std::int64_t>();
    if (!node->is_integer() || !value || *value < low || *value > high) {
      return bad(
          *node, key,
          "is not a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    }
    out = static_cast<std::uint64_t>(*value);
    return {};
  }
  Result<void> bytes(std::string_view key, std::uint64_t& out) {
    const toml::node* node = take(key);
    if (node == nullptr) return {};
    std::string value = node->value<std::string>().value_or("");
    if (node->is_integer()) value = std::to_string(*node->value<std::int64_t>());
    auto parsed = parse_bytes(value);
    if (!parsed) return bad(*node, key, "is not a size", "give a number or \"512MiB\", \"4GiB\"");
    out = *parsed;
    return {};
  }
  Result<void> duration(std::string_view key, std::int64_t& out) {
    const toml::node* node = take(key);
    if (node == nullptr) return {};
    auto parsed = parse_duration(node->value<std::string>().value_or(""));
    if (!parsed || *parsed <= 0) {
      return bad(*node, key, "is not a duration", "give \"250ms\", \"1s\", \"24h\"");
    }
    out = *parsed;
    return {};
  }
  /// An array of strings; one string counts as an array of one.
  Result<void> list(std::string_view key, std::vector<std::string>& out) {
    const toml::node* node = take(key);
    if (node == nullptr) return {};
    out.clear();
    if (const auto one = node->value<std::string>(); node->is_string() && one) {
      out.push_back(*one);
      return {};
    }
    const toml::array* array = node->as_array();
    if (array == nullptr) return bad(*node, key, "is not an array of strings");
    for (const toml::node& item : *array) {
      const auto value = item.value<std::string>();
      if (!item.is_string() || !value) return bad(item, key, "holds something that is no string");
      out.push_back(*value);
    }
    return {};
  }
  /// IP addresses; with `networks` also CIDR.
  Result<void> addresses(std::string_view key, std::vector<std::string>& out, bool networks) {
    if (auto r = list(key, out); !r) return r;
    for (const std::string& address : out) {
      if (is_network(address, networks)) continue;
      return bad(*table_.get(key), key, "holds \"" + address + "\", which is no IP address",
                 networks ? "give e.g. \"192.0.2.1\", \"192.0.2.0/24\", \"2001:db8::/32\""
                          : "give e.g. \"192.0.2.1\", \"2001:db8::1\"");
    }
    return {};
  }
  const toml::node* take(std::string_view key) {
    known_.push_back(key);
    return table_.get(key);
  }
  /// After all keys were asked for.
  Result<void> done() const {
    for (const auto& [key, node] : table_) {
      const std::string_view name = key.str();
      if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
      const std::string_view near = nearest(name, known_);
      return bad(node, name, "is not a known key",
                 near.empty() ? "`bounced config default` lists them all"
                              : "did you mean \"" + std::string(near) + "\"?");
    }
    return {};
  }

 private:
  [[nodiscard]] std::string path(std::string_view key) const {
    return name_.empty() ? std::string(key) : name_ + "." + std::string(key);
  }
  const toml::table& table_;
  std::string name_;
  const std::string& file_;
  std::vector<std::string_view> known_;
};

using Check = Result<void>;
// Returns the error of `expression`, if it is one.
#define BOUNCED_CAT2(a, b) a##b
#define BOUNCED_CAT(a, b) BOUNCED_CAT2(a, b)
#define BOUNCED_TRY_AS(name, expression) \
  if (Check name = (expression); !name) return name
#define BOUNCED_TRY(expression) BOUNCED_TRY_AS(BOUNCED_CAT(check_, __COUNTER__), expression)

Check each_table(Section& parent, std::string_view key, const std::string& file,
                 const std::function<Check(const toml::table&, std::size_t)>& visit) {
  const toml::node* node = parent.take(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    return parent.bad(*node, key, "is not a list of tables",
                      "write [[" + std::string(key) + "]] with two brackets");
  }
  std::size_t n = 0;
  for (const toml::node& item : *array) {
    const toml::table* table = item.as_table();
    if (table == nullptr) return parent.bad(item, key, "holds something that is no table");
    BOUNCED_TRY(visit(*table, n++));
  }
  (void)file;
  return {};
}

Check read_tail(const toml::table& table, std::size_t n, const std::string& file, Config& config) {
  Section s(table, "tail", file);
  Tail tail;
  BOUNCED_TRY(s.text("name", tail.name));
  BOUNCED_TRY(s.list("paths", tail.paths));
  BOUNCED_TRY(s.text("format", tail.format));
  BOUNCED_TRY(s.text("timezone", tail.timezone));
  BOUNCED_TRY(s.flag("inotify", tail.inotify));
  BOUNCED_TRY(s.duration("poll", tail.poll_us));
  BOUNCED_TRY(s.duration("rotated_wait", tail.rotated_wait_us));
  BOUNCED_TRY(s.flag("from_start", tail.from_start));
  BOUNCED_TRY(s.done());
  if (tail.name.empty()) tail.name = "tail" + std::to_string(n + 1);
  if (tail.paths.empty()) return s.bad(table, "paths", "is missing", "name at least one file");
  for (const std::string& path : tail.paths) {
    if (path.empty()) return s.bad(*table.get("paths"), "paths", "holds an empty name");
  }
  if (tail.format != "auto" && parse::find_format(tail.format) < 0) {
    return s.bad(*table.get("format"), "format", "= \"" + tail.format + "\" is not known",
                 "auto, " + parse::file_formats());
  }
  if (auto zone = TimeResolver::make(tail.timezone, {}); !zone) {
    return s.bad(*table.get("timezone"), "timezone", "= \"" + tail.timezone + "\" is not known",
                 zone.error().hint);
  }
  for (const Tail& other : config.tails) {
    if (other.name == tail.name) return s.bad(table, "name", "\"" + tail.name + "\" is used twice");
  }
  config.tails.push_back(std::move(tail));
  return {};
}

Check read_maildir(const toml::table& table, std::size_t n, const std::string& file,
                   Config& config) {
  Section s(table, "maildir", file);
  Maildir maildir;
  std::string after = "seen";
  BOUNCED_TRY(s.text("name", maildir.name));
  BOUNCED_TRY(s.text("path", maildir.path));
  BOUNCED_TRY(s.text("after", after));
  BOUNCED_TRY(s.duration("poll", maildir.poll_us));
  BOUNCED_TRY(s.done());
  if (maildir.name.empty()) maildir.name = "maildir" + std::to_string(n + 1);
  if (maildir.path.empty()) {
    return s.bad(table, "path", "is missing", "name the folder that holds new and cur");
  }
  if (after != "seen" && after != "leave") {
    return s.bad(*table.get("after"), "after", "= \"" + after + "\" is not known",
                 "seen: moved to cur; leave: left in new");
  }
  maildir.leave = after == "leave";
  for (const Maildir& other : config.maildirs) {
    if (other.name == maildir.name) {
      return s.bad(table, "name", "\"" + maildir.name + "\" is used twice");
    }
    if (other.path == maildir.path) {
      return s.bad(table, "path", "\"" + maildir.path + "\" is used twice");
    }
  }
  config.maildirs.push_back(std::move(maildir));
  return {};
}

Check read_mbox(const toml::table& table, std::size_t n, const std::string& file, Config& config) {
  Section s(table, "mbox", file);
  Mbox mbox;
  BOUNCED_TRY(s.text("name", mbox.name));
  BOUNCED_TRY(s.text("path", mbox.path));
  BOUNCED_TRY(s.duration("settle", mbox.settle_us));
  BOUNCED_TRY(s.duration("poll", mbox.poll_us));
  BOUNCED_TRY(s.done());
  if (mbox.name.empty()) mbox.name = "mbox" + std::to_string(n + 1);
  if (mbox.path.empty()) return s.bad(table, "path", "is missing", "name the file");
  for (const Mbox& other : config.mboxes) {
    if (other.name == mbox.name) return s.bad(table, "name", "\"" + mbox.name + "\" is used twice");
    if (other.path == mbox.path) return s.bad(table, "path", "\"" + mbox.path + "\" is used twice");
  }
  config.mboxes.push_back(std::move(mbox));
  return {};
}

Check read_stream(const toml::table& table, const std::string& file, Config& config) {
  Section s(table, "stream", file);
  correlate::StreamRule rule;
  BOUNCED_TRY(s.text("name", rule.name));
  BOUNCED_TRY(s.text("tenant", rule.tenant));
  BOUNCED_TRY(s.list("sasl_users", rule.sasl_users));
  BOUNCED_TRY(s.list("sender_domains", rule.sender_domains));
  BOUNCED_TRY(s.list("instances", rule.instances));
  BOUNCED_TRY(s.list("campaigns", rule.campaigns));
  BOUNCED_TRY(s.done());
  if (rule.name.empty()) return s.bad(table, "name", "is missing");
  config.streams.push_back(std::move(rule));
  return {};
}

Check read_http(Section& s, Config& config) {
  net::HttpOptions& http = config.http;
  config.serve_http = true;
  BOUNCED_TRY(s.list("listen", http.listen));
  BOUNCED_TRY(s.text("certificate", http.certificate));
  BOUNCED_TRY(s.text("key", http.key));
  std::uint64_t threads = http.threads, connections = http.connections_max;
  std::uint64_t body = http.body_bytes_max;
  BOUNCED_TRY(s.number("threads", threads, 1, 64));
  BOUNCED_TRY(s.number("connections", connections, 1, 1'000'000));
  BOUNCED_TRY(s.bytes("body_limit", body));
  BOUNCED_TRY(s.duration("header_timeout", http.header_timeout_us));
  BOUNCED_TRY(s.duration("body_timeout", http.body_timeout_us));
  BOUNCED_TRY(s.duration("idle_timeout", http.idle_timeout_us));
  BOUNCED_TRY(s.text("access_log", http.access_log));
  BOUNCED_TRY(s.addresses("trusted_proxies", config.trusted_proxies, true));
  http.threads = static_cast<unsigned>(threads);
  http.connections_max = static_cast<std::size_t>(connections);
  http.body_bytes_max = static_cast<std::size_t>(body);
  if (auto networks = net::Networks::make(config.trusted_proxies)) {
    http.trusted_proxies = std::move(*networks);
  }
  return {};
}

Check read_webhook(const toml::table& table, const std::string& file, Config& config) {
  Section s(table, "webhook", file);
  WebhookConfig w;
  config.serve_http = true;
  BOUNCED_TRY(s.text("provider", w.provider));
  BOUNCED_TRY(s.text("path", w.path));
  BOUNCED_TRY(s.text("name", w.name));
  BOUNCED_TRY(s.text("token", w.token));
  BOUNCED_TRY(s.text("url", w.url));
  BOUNCED_TRY(s.list("secrets", w.secrets));
  BOUNCED_TRY(s.list("topics", w.topics));
  BOUNCED_TRY(s.list("certificates", w.certificates));
  BOUNCED_TRY(s.text("basic_auth", w.basic_auth));
  BOUNCED_TRY(s.text("bearer", w.bearer));
  BOUNCED_TRY(s.text("auth_header", w.auth_header));
  BOUNCED_TRY(s.text("auth_value", w.auth_value));
  BOUNCED_TRY(s.addresses("networks", w.networks, true));
  BOUNCED_TRY(s.flag("allow_unsigned", w.allow_unsigned));
  BOUNCED_TRY(s.duration("replay_window", w.replay_window_us));
  BOUNCED_TRY(s.text("tenant", w.tenant));
  BOUNCED_TRY(s.text("stream", w.stream));
  std::uint64_t status = 0;
  BOUNCED_TRY(s.number("overloaded_status", status, 400, 599));
  BOUNCED_TRY(s.done());
  w.overloaded_status = static_cast<std::uint16_t>(status);
  if (parse::providers::find(w.provider) == nullptr) {
    std::vector<std::string_view> names;
    for (const auto& row : parse::providers::table()) names.push_back(row.name);
    const std::string_view near = nearest(w.provider, names);
    const toml::node* const node = table.get("provider");
    return s.bad(node != nullptr ? *node : static_cast<const toml::node&>(table), "provider",
                 w.provider.empty() ? "is missing" : "= \"" + w.provider + "\" is not known",
                 near.empty() ? "`bounced webhook providers` lists them all"
                              : "did you mean \"" + std::string(near) + "\"?");
  }
  if (w.path.empty() || w.path.front() != '/' ||
      w.path.find_first_of("?#* ") != std::string::npos) {
    return s.bad(table, "path", "is missing, or no path",
                 "give e.g. \"/hooks/" + w.provider + "\"");
  }
  if (w.name.empty()) w.name = w.provider;
  for (const WebhookConfig& other : config.webhooks) {
    if (other.path == w.path) return s.bad(table, "path", "\"" + w.path + "\" is used twice");
    if (other.name == w.name) {
      return s.bad(table, "name", "\"" + w.name + "\" is used twice", "give each a name");
    }
  }
  config.webhooks.push_back(std::move(w));
  return {};
}

/// A key of HMACs; of a file its first line.
Result<std::string> read_verp_secret(const std::string& text) {
  auto read = read_secret(text, "", "config", "mail.verp_secrets");
  if (!read) {
    Error error = read.error();
    error.code = ErrorCode::usage;
    return tl::unexpected(std::move(error));
  }
  const bool file = text.rfind("file:", 0) == 0;
  std::string secret(trim(file ? read->substr(0, read->find('\n')) : *read));
  if (secret.size() < 16) {
    return fail(ErrorCode::usage, "config", "mail.verp_secrets",
                "a secret is missing or shorter than 16 bytes");
  }
  return secret;
}

/// [mail]: how mails that come back are matched with what we sent.
Check read_mail(Section& s, Config& config) {
  std::uint64_t days = config.sent_days;
  BOUNCED_TRY(s.number("sent_days", days, 0, 60));
  config.sent_days = static_cast<unsigned>(days);
  BOUNCED_TRY(s.flag("sent_recipients", config.sent_recipients));
  BOUNCED_TRY(s.flag("trust_logged_reports", config.trust_logged_reports));
  BOUNCED_TRY(s.list("verp", config.verp_patterns));
  for (const std::string& pattern : config.verp_patterns) {
    const std::string why = parse::mail::check_verp_pattern(pattern);
    if (!why.empty()) {
      return fail(ErrorCode::usage, "config", config.file, "mail.verp: " + pattern + " " + why,
                  "e.g. bounce+{hmac}+{local}={domain}@mail.example.com");
    }
  }
  std::vector<std::string> secrets;
  BOUNCED_TRY(s.list("verp_secrets", secrets));
  for (const std::string& text : secrets) {
    auto secret = read_verp_secret(text);
    if (!secret) return tl::unexpected(secret.error());
    config.verp_secrets.push_back(std::move(*secret));
  }
  return {};
}

Check read_root(const toml::table& table, Config& config) {
  Section root(table, "", config.file);
  BOUNCED_TRY(root.name("data_dir", config.data_dir));
  BOUNCED_TRY(root.choice("mode", config.mode, {"observe", "enforce"}));
  BOUNCED_TRY(root.choice("log_level", config.log_level,
                          {"trace", "debug", "info", "warn", "error", "off"}));
  BOUNCED_TRY(root.flag("fold_local_part", config.fold_local_part));
  BOUNCED_TRY(root.text("campaign_header", config.campaign_header));
  BOUNCED_TRY(root.addresses("sending_ips", config.sending_ips, false));
  BOUNCED_TRY(root.bytes("state_memory", config.state_memory));
  std::uint64_t workers = config.workers;
  BOUNCED_TRY(root.number("workers", workers, 0, 256));
  config.workers = static_cast<unsigned>(workers);
  BOUNCED_TRY(root.duration("cut_interval", config.cut_interval_us));
  BOUNCED_TRY(each_table(root, "tail", config.file, [&](const toml::table& t, std::size_t n) {
    return read_tail(t, n, config.file, config);
  }));
  BOUNCED_TRY(each_table(root, "maildir", config.file, [&](const toml::table& t, std::size_t n) {
    return read_maildir(t, n, config.file, config);
  }));
  BOUNCED_TRY(each_table(root, "mbox", config.file, [&](const toml::table& t, std::size_t n) {
    return read_mbox(t, n, config.file, config);
  }));
  BOUNCED_TRY(each_table(root, "stream", config.file, [&](const toml::table& t, std::size_t) {
    return read_stream(t, config.file, config);
  }));
  BOUNCED_TRY(each_table(root, "smarthost", config.file, [&](const toml::table& t, std::size_t) {
    Section s(t, "smarthost", config.file);
    std::vector<std::string> hosts;
    BOUNCED_TRY(s.list("hosts", hosts));
    BOUNCED_TRY(s.done());
    for (const auto& host : hosts) config.smarthosts.push_back(ascii_lower(host));
    return Check{};
  }));
  const auto sub = [&](std::string_view key, const std::function<Check(Section&)>& read) -> Check {
    const toml::node* node = root.take(key);
    if (node == nullptr) return {};
    const toml::table* t = node->as_table();
    if (t == nullptr) return root.bad(*node, key, "is not a table");
    Section s(*t, std::string(key), config.file);
    BOUNCED_TRY(read(s));
    return s.done();
  };
  BOUNCED_TRY(sub("relay", [&](Section& s) -> Check {
    BOUNCED_TRY(s.list("hosts", config.relay_hosts));
    return s.addresses("networks", config.relay_networks, true);
  }));
  BOUNCED_TRY(sub("rules", [&](Section& s) -> Check {
    BOUNCED_TRY(s.text("dir", config.rules_dir));
    return s.list("overrides", config.rules_overrides);
  }));
  BOUNCED_TRY(
      sub("policy", [&](Section& s) -> Check { return s.text("file", config.policy_file); }));
  BOUNCED_TRY(sub("http", [&](Section& s) -> Check { return read_http(s, config); }));
  BOUNCED_TRY(each_table(root, "webhook", config.file, [&](const toml::table& t, std::size_t) {
    return read_webhook(t, config.file, config);
  }));
  BOUNCED_TRY(sub("mail", [&](Section& s) { return read_mail(s, config); }));
  return root.done();
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit =
      ascii_lower(trim(text.substr(static_cast<std::size_t>(end - text.data()))));
  static const std::map<std::string, std::uint64_t> kUnits = {
      {"", 1},         {"b", 1},          {"k", 1u << 10},      {"kib", 1u << 10},
      {"kb", 1000},    {"m", 1u << 20},   {"mib", 1u << 20},    {"mb", 1'000'000},
      {"g", 1u << 30}, {"gib", 1u << 30}, {"gb", 1'000'000'000}};
  const auto unit_at = kUnits.find(unit);
  if (ec != std::errc() || unit_at == kUnits.end() ||
      number > (std::uint64_t{1} << 50) / unit_at->second) {
    return fail(ErrorCode::usage, "size", std::string(text), "not a size", "give e.g. 512MiB");
  }
  return number * unit_at->second;
}

Result<Config> parse_config(std::string_view text, const std::string& file) {
  Config config;
  config.file = file;
  try {
    const toml::table table = toml::parse(text, file);
    if (auto read = read_root(table, config); !read) return tl::unexpected(read.error());
  } catch (const toml::parse_error& e) {
    return fail(ErrorCode::usage, "config", file + ":" + std::to_string(e.source().begin.line),
                std::string(e.description()));
  }
  return config;
}

Result<Config> load_config(const std::string& file) {
  const auto unreadable = [&file](int error) {
    return fail(ErrorCode::io, "config", file, std::strerror(error),
                "`bounced config default` prints one to start from");
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) return unreadable(EISDIR);
  std::ifstream in(file, std::ios::binary);
  if (!in) return unreadable(errno);
  std::stringstream text;
  text << in.rdbuf();
  if (in.bad()) return unreadable(errno);
  return parse_config(text.str(), file);
}

pipeline::Options engine_options(const Config& config) {
  pipeline::Options options;
  options.data_dir = config.data_dir;
  options.fold_local_part = config.fold_local_part;
  options.rules.rules_dir = config.rules_dir;
  options.rules.operator_dirs = config.rules_overrides;
  options.rules.cache_dir = config.data_dir.empty() ? "" : config.data_dir + "/cache";
  options.sending_ips = config.sending_ips;
  options.policy_file = config.policy_file;
  options.campaign_header = config.campaign_header;
  options.smarthosts.names = config.smarthosts;
  options.relays.names = config.relay_hosts;
  options.relays.networks = config.relay_networks;
  options.streams = config.streams;
  options.sent_days = config.sent_days;
  options.sent_recipients = config.sent_recipients;
  options.trust_logged_reports = config.trust_logged_reports;
  options.verp.patterns = config.verp_patterns;
  options.verp.secrets = config.verp_secrets;
  options.workers = config.workers;
  options.table_bytes = config.state_memory;
  options.cut_interval_us = config.cut_interval_us;
  return options;
}

std::string default_config() {
  return R"(# bounced: every key with its default. Lines with '#' in front are examples.

data_dir        = "./bounced-data"   # the one data directory
mode            = "observe"          # enforce: lookups refuse; observe: they only log
log_level       = "info"             # trace debug info warn error off
fold_local_part = true               # Bob@x and bob@x are one address; fixed when the store is made
campaign_header = "X-Campaign"       # the header that a Postfix header_checks INFO line logs
sending_ips     = []                 # our own IPs: known in texts as {our_ip}
state_memory    = "4GiB"             # bound of the table of address states in RAM
workers         = 0                  # parsing threads; 0 = one for two cores
cut_interval    = "1s"               # how often what was applied becomes durable

# [[tail]]                           # files to follow; one table per source
# name       = "edge"                # its name in events, metrics and positions
# paths      = ["/var/log/mail.log"] # globs; rotated siblings are found by content
# format     = "auto"                # or a format's name
# timezone   = ""                    # IANA name for stamps without offset; "" = UTC
# inotify    = true                  # false: poll only (network file systems)
# poll       = "250ms"
# rotated_wait = "5s"                # a renamed file is watched this long for late writers
# from_start = true                  # a file never seen is read from its start

# [[maildir]]                        # mails that come back: every new one is taken once
# name       = "bounces"
# path       = "/var/mail/bounces"   # the folder that holds new/ and cur/
# after      = "seen"                # moved to cur/ with the flag S; leave: left in new/
# poll       = "1s"

# [[mbox]]                           # mails that come back: each that is appended is taken once
# name       = "bounces"
# path       = "/var/mail/bounces"   # one file; it is only read
# settle     = "2s"                  # the last mail is whole after so long without growth
# poll       = "1s"

# [[stream]]                         # kinds of mail; first match wins, every list given must match
# name           = "bulk"
# tenant         = ""
# sasl_users     = []
# sender_domains = ["news.example.com"]
# instances      = []                # syslog instance, e.g. "postfix-bulk"
# campaigns      = []

# [[smarthost]]                      # submission hosts: mail handed to them is relayed
# hosts = ["smtp.provider.example"]

[mail]                               # mails that come back (bounced deliver, replay of mail files)
sent_days    = 0                     # what logs tell is remembered so long, to match mails with;
                                     # 10 where mails come back; 0: only signed return paths count
sent_recipients = false              # and to whom it went: complaints often name the message only
trust_logged_reports = false         # KumoMTA's OOB and Feedback, PowerMTA's rb and f: true where
                                     # the MTA takes such mails only from whom you trust
verp         = []                    # "bounce+{hmac}+{local}={domain}@mail.example.com"; [] = usual
verp_secrets = []                    # "file:/etc/bounced/verp.key" or "env:NAME"; any of them

[relay]                              # filters and own machines: relayed, not delivered
hosts    = []
networks = []                        # CIDR; loopback always counts

[rules]
dir       = ""                       # replaces the built-in rules
overrides = []                       # directories of own rules that come first

[policy]
file = ""                            # replaces the built-in policy

# [http]                             # webhooks, /healthz, /readyz, /metrics
# listen          = "127.0.0.1:8025" # or a list; "[::1]:8025"
# certificate     = ""               # PEM; TLS when given; read again on SIGHUP or when it changes
# key             = ""
# threads         = 1
# connections     = 16384            # at once
# body_limit      = "8MiB"           # of a request, also of what gzip unpacks to
# header_timeout  = "10s"
# body_timeout    = "60s"
# idle_timeout    = "75s"            # between requests of a connection
# trusted_proxies = []               # whose X-Forwarded-For is believed
# access_log      = ""               # a file; addresses, queries and secret paths are masked

# [[webhook]]                        # one provider's events; `bounced webhook providers` lists them
# provider  = "sendgrid"
# path      = "/hooks/sendgrid"
# name      = ""                     # the source's name in events; default: the provider
# token     = ""                     # the path becomes PATH/TOKEN; a secret, as those below
# secrets   = ["file:sendgrid.pub"]  # or "env:NAME"; any of them may have signed
# topics    = []                     # SNS topics (ARN) that are ours
# certificates   = []                # PEM, SNS signing certificates
# basic_auth     = ""                # "user:password"
# bearer         = ""
# auth_header    = ""                # a header of your own, and what it must say
# auth_value     = ""
# networks       = []                # only these may send (CIDR)
# allow_unsigned = false             # nothing is asked for: only behind something that asks
# replay_window  = "5m"              # default: the provider's
# url            = ""                # as entered at the provider, where it signs that
# tenant         = ""
# stream         = ""
# overloaded_status = 503            # default: what makes the provider come again
)";
}

}  // namespace bounced::cli
