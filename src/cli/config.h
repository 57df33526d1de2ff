// Configuration: one TOML file; every key has a default, an unknown key is an error with its line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"
#include "net/http_server.h"
#include "pipeline/engine.h"

namespace bounced::cli {

struct Tail {
  std::string name;
  std::vector<std::string> paths;
  std::string format = "auto";
  std::string timezone;
  bool inotify = true;
  std::int64_t poll_us = 250'000;
  std::int64_t rotated_wait_us = 5'000'000;
  bool from_start = true;
};

/// [[maildir]]: where bounce mails are delivered to.
struct Maildir {
  std::string name, path;
  bool leave = false;  ///< in new/, instead of moving them to cur/
  std::int64_t poll_us = 1'000'000;
};

/// [[mbox]]: a file that bounce mails are appended to.
struct Mbox {
  std::string name, path;
  std::int64_t settle_us = 2'000'000;  ///< so long without growth, and a mail is whole
  std::int64_t poll_us = 1'000'000;
};

/// [[webhook]]. What may be secret can be "file:PATH" or "env:NAME", which are read by who uses it.
struct WebhookConfig {
  std::string provider, path;
  std::string name;   ///< source of its events; empty = the provider
  std::string token;  ///< path is PATH/TOKEN then
  std::string url;    ///< public URL, for providers that sign it
  std::vector<std::string> secrets, topics, certificates;
  std::string basic_auth, bearer, auth_header, auth_value;
  std::vector<std::string> networks;
  bool allow_unsigned = false;
  std::int64_t replay_window_us = 0;  ///< 0 = the provider's
  std::string tenant, stream;
  std::uint16_t overloaded_status = 0;  ///< 0 = the provider's
};

struct Config {
  std::string file;  ///< where it came from; empty = defaults
  std::string data_dir = "./bounced-data";
  std::string mode = "observe";
  std::string log_level = "info";
  bool fold_local_part = true;
  std::string campaign_header = "X-Campaign";
  std::vector<std::string> sending_ips;
  std::vector<std::string> relay_hosts;  ///< content filters, own networks
  std::vector<std::string> relay_networks;
  std::vector<std::string> smarthosts;
  std::string rules_dir;  ///< replaces the built-in rules
  std::vector<std::string> rules_overrides;
  std::string policy_file;
  std::uint64_t state_memory = std::uint64_t{4} << 30;
  unsigned workers = 0;
  std::int64_t cut_interval_us = 1'000'000;
  std::vector<Tail> tails;
  std::vector<Maildir> maildirs;
  std::vector<Mbox> mboxes;
  std::vector<correlate::StreamRule> streams;
  bool serve_http = false;  ///< [http] or a [[webhook]] is there
  net::HttpOptions http;
  std::vector<std::string> trusted_proxies;  ///< as http.trusted_proxies
  std::vector<WebhookConfig> webhooks;
  unsigned sent_days = 0;                  ///< [mail]: what logs tell of is remembered so long
  bool trust_logged_reports = false;       ///< [mail]: KumoMTA's OOB, PowerMTA's rb and the like
  bool sent_recipients = false;            ///< [mail]: and to whom it went
  std::vector<std::string> verp_patterns;  ///< [mail]
  std::vector<std::string> verp_secrets;   ///< [mail]: as they are, never printed
};

/// Reads and checks a file. Errors name file:line and, for an unknown key, the nearest known one.
Result<Config> load_config(const std::string& file);
Result<Config> parse_config(std::string_view text, const std::string& file);
/// A commented TOML file with every default.
std::string default_config();

pipeline::Options engine_options(const Config& config);
/// "1GiB", "512 MiB", "1000000".
Result<std::uint64_t> parse_bytes(std::string_view text);

}  // namespace bounced::cli
