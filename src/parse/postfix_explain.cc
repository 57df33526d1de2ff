// What `probe`, `explain` and `trace` want to know of Postfix's lines; no part of parsing a block.
#include "parse/exim.h"
#include "parse/header.h"
#include "parse/postfix.h"
#include "parse/postfix_line.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

void add_field(std::vector<Field>& fields, std::string name, std::string_view value) {
  if (!value.empty()) fields.push_back({std::move(name), std::string(value)});
}

void add_delivery_fields(std::vector<Field>& fields, std::string_view text) {
  Delivery found;
  DeliveryDetails more;
  const bool whole = read_delivery(text, found, &more);
  add_field(fields, "to", found.to);
  add_field(fields, "orig_to", more.orig_to);
  add_field(fields, "relay", found.relay);
  add_field(fields, "conn_use", more.conn_use);
  add_field(fields, "delay", more.delay);
  add_field(fields, "delays", more.delays);
  add_field(fields, "dsn", more.dsn);
  add_field(fields, "status", more.word);
  add_field(fields, "reason", found.reason);
  if (!whole) add_field(fields, "error", "not a whole delivery line");
  if (found.truncated) add_field(fields, "truncated", "the closing parenthesis is missing");
}

}  // namespace

int probe_postfix(std::string_view head) {
  HeaderReader reader;
  Header header;
  std::size_t syslog = 0;
  std::size_t hits = 0;
  for (std::size_t at = 0, lines = 0; at < head.size() && lines < 500; ++lines) {
    const auto newline = head.find('\n', at);
    std::string_view line =
        head.substr(at, newline == std::string_view::npos ? newline : newline - at);
    at = newline == std::string_view::npos ? head.size() : newline + 1;
    while (!line.empty() && line.front() == '\0') line.remove_prefix(1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || !reader.read(line, 0, header)) continue;
    ++syslog;
    const Daemon daemon = daemon_of_tag(header.tag, header.full_tag);
    if (daemon == Daemon::logger || daemon == Daemon::foreign) continue;
    if (starts(header.tag, "postfix") || is_postfix(daemon)) {
      ++hits;
      continue;
    }
    const char* const p = header.text.data();
    const char* const end = p + header.text.size();
    const std::size_t id = queue_id_size(p, end);
    if (id != 0 && (starts(p + id + 2, end, "to=<") || starts(p + id + 2, end, "from=<"))) ++hits;
  }
  if (syslog == 0) return -1;
  // A log with a syslog header may be ours though its head is other programs' lines.
  return hits == 0 ? 5 : 60 + static_cast<int>(hits * 40 / syslog);
}

std::vector<Field> explain_postfix(const Context& context, std::string_view line) {
  std::vector<Field> fields;
  HeaderReader reader;
  Header header;
  if (!reader.read(line, 0, header)) return fields;
  add_field(fields, "time", header.stamp);
  add_field(fields, "host", header.host);
  add_field(fields, "instance", tag_instance(header.tag));
  add_field(fields, "daemon", tag_daemon(header.tag));
  add_field(fields, "pid", header.pid);
  std::string_view text = header.text;
  const std::string_view repeated = repeated_message(text);
  if (!repeated.empty()) text = repeated;
  const std::string_view bare = without_severity(text);
  if (bare.size() < text.size()) {
    add_field(fields, "severity", text.substr(0, text.find(':')));
    text = bare;
  }
  const Daemon daemon = daemon_of_tag(header.tag, header.full_tag);
  const std::size_t id = queue_id_size(text.data(), text.data() + text.size());
  if (id == 0) {
    add_field(fields, "text", text);
    return fields;
  }
  add_field(fields, "queue_id", text.substr(0, id));
  text.remove_prefix(id + 2);
  if (may_deliver(daemon) && starts(text, "to=<")) {
    add_delivery_fields(fields, text);
    return fields;
  }
  RemarkLine remark;
  read_remark(daemon, text, context.campaign_header, remark);
  switch (remark.remark) {
    case Remark::begin:
      fields.push_back({"from", std::string(remark.text)});
      fields.push_back({"nrcpt", std::to_string(remark.number)});
      break;
    case Remark::message_id:
      add_field(fields, "message_id", remark.text);
      break;
    case Remark::client:
      add_field(fields, "client", remark.text);
      break;
    case Remark::sasl_user:
      add_field(fields, "sasl_username", remark.text);
      break;
    case Remark::campaign:
      add_field(fields, "campaign", remark.text);
      break;
    case Remark::notification:
      add_field(fields, "notification", remark.text);
      break;
    case Remark::mx_failure:
      add_field(fields, "mx_failure", remark.text);
      break;
    case Remark::expired:
    case Remark::removed:
    case Remark::none:
      add_field(fields, "text", text);
      break;
  }
  return fields;
}

std::optional<LineHead> read_line_head(std::string_view line) {
  while (!line.empty() && line.front() == '\0') line.remove_prefix(1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (auto exim = read_exim_head(line); exim) return exim;
  HeaderReader reader;
  Header header;
  if (line.empty() || !reader.read(line, 0, header)) return {};
  LineHead head;
  head.time_us = header.time_us;
  head.time_form = header.time_form;
  head.host = header.host;
  const std::string_view instance = tag_instance(header.tag);
  head.queue = instance.substr(0, instance.find('/'));
  std::string_view text = header.text;
  const std::string_view repeated = repeated_message(text);
  text = without_severity(repeated.empty() ? text : repeated);
  if (const std::size_t id = queue_id_size(text.data(), text.data() + text.size()); id != 0) {
    head.queue_id = text.substr(0, id);
    text.remove_prefix(id + 2);
  }
  head.text = text;
  return head;
}

bool is_queue_id(std::string_view text) {
  if (exim_id_size(text.data(), text.data() + text.size()) == text.size() && !text.empty()) {
    return true;
  }
  const std::string line = std::string(text) + ": ";
  return queue_id_size(line.data(), line.data() + line.size()) == text.size() && !text.empty();
}

}  // namespace bounced::parse
