// What `probe`, `explain` and `trace` want to know of Exim's lines; no part of parsing a block.
#include "parse/exim.h"
#include "parse/exim_line.h"
#include "parse/exim_reason.h"
#include "parse/exim_split.h"
#include "parse/header.h"

namespace bounced::parse {
namespace {

void add_field(std::vector<Field>& fields, std::string name, std::string_view value) {
  if (!value.empty()) fields.push_back({std::move(name), std::string(value)});
}

/// A line taken apart up to its message id.
struct EximHead {
  Header header;  ///< empty host and tag: Exim wrote the file itself
  EximStamp stamp;
  std::string_view queue_id, text;
  bool syslog = false;
  bool continued = false;  ///< a later piece of a split record
};

bool read_head(HeaderReader& headers, EximStampReader& stamps, std::string_view line,
               EximHead& out) {
  const char* p = line.data();
  const char* end = p + line.size();
  if (!stamps.read(p, end, out.stamp)) {
    out.syslog = true;
    if (!headers.read(line, 0, out.header) || !is_exim_tag(out.header.tag)) return false;
    p = out.header.text.data();
    end = p + out.header.text.size();
    EximPiece piece;
    out.continued = read_exim_piece(p, end, piece) && piece.number > 1;
    const bool own = stamps.read(p, end, out.stamp);
    if (!own || (out.stamp.time_form != TimeForm::utc && out.header.time_form == TimeForm::utc)) {
      out.stamp.time_us = out.header.time_us;
      out.stamp.time_form = out.header.time_form;
      out.stamp.text = out.header.stamp;
    }
  }
  const std::size_t size = out.continued ? 0 : exim_id_size(p, end);
  out.queue_id = {p, size};
  if (size != 0) p += p + size < end ? size + 1 : size;
  out.text = {p, static_cast<std::size_t>(end - p)};
  return true;
}

std::string_view trimmed(std::string_view line) {
  while (!line.empty() && line.front() == '\0') line.remove_prefix(1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

std::string_view flag_name(EximFlag flag) {
  switch (flag) {
    case EximFlag::delivered:
      return "delivered";
    case EximFlag::suppressed:
      return "suppressed (-N)";
    case EximFlag::failed:
      return "failed";
    case EximFlag::deferred:
      return "deferred";
    case EximFlag::received:
      return "received";
    case EximFlag::none:
      break;
  }
  return {};
}

std::string decoded(std::string_view text, bool quoted) {
  std::string out;
  decode_exim(text, quoted, out);
  return out;
}

void add_delivery_fields(std::vector<Field>& fields, EximFlag flag, std::string_view text) {
  EximDelivery found;
  if (!read_exim_delivery(text, found)) {
    fields.push_back({"error", "names no recipient"});
    return;
  }
  add_field(fields, "recipient", exim_recipient(found));
  add_field(fields, "address", found.address);
  add_field(fields, "original", found.original);
  if (found.has_sender) fields.push_back({"sender", std::string(found.sender)});
  add_field(fields, "router", found.router);
  add_field(fields, "transport", found.transport);
  add_field(fields, "host", found.host);
  add_field(fields, "ip", found.ip);
  if (found.port != 0) fields.push_back({"port", std::to_string(found.port)});
  add_field(fields, "interface", found.local_ip);
  add_field(fields, "queue_time", found.queue_time);
  if (found.has_defer) fields.push_back({"errno", std::to_string(found.error_number)});
  add_field(fields, "confirmation", decoded(found.confirmation, true));
  if (flag != EximFlag::failed && flag != EximFlag::deferred) return;
  const EximReason reason = read_exim_reason(found);
  add_field(fields, "message", found.message);
  add_field(fields, "phase",
            reason.phase == Phase::none ? std::string_view{} : to_string(reason.phase));
  if (reason.smtp_code != 0) fields.push_back({"smtp_code", std::to_string(reason.smtp_code)});
  add_field(fields, "reason", decoded(reason.diagnostic, false));
  if (reason.expired) fields.push_back({"expired", "given up after its retry time"});
  if (reason.not_attempted) fields.push_back({"attempted", "no"});
}

/// Whether a record looks like Exim's own: an outsider does not write what stands in its front.
bool is_exim_record(const EximHead& head) {
  if (head.syslog) return true;
  if (!head.queue_id.empty()) return true;
  const std::string_view text = head.text;
  return starts(text, "Start queue run: ") || starts(text, "End queue run: ") ||
         starts(text, "exim ") || starts(text, "cwd=") || starts(text, "SMTP ") ||
         starts(text, "no host name found ") || starts(text, "H=") || starts(text, "rejected ") ||
         starts(text, "no IP address found ") || starts(text, "unexpected disconnection ");
}

}  // namespace

int probe_exim(std::string_view head) {
  HeaderReader headers;
  EximStampReader stamps;
  std::size_t seen = 0, hits = 0;
  for (std::size_t at = 0, lines = 0; at < head.size() && lines < 500; ++lines) {
    const auto newline = head.find('\n', at);
    const std::string_view line =
        trimmed(head.substr(at, newline == std::string_view::npos ? newline : newline - at));
    at = newline == std::string_view::npos ? head.size() : newline + 1;
    if (line.empty()) continue;
    ++seen;
    EximHead found;
    if (read_head(headers, stamps, line, found) && is_exim_record(found)) ++hits;
  }
  return hits == 0 ? -1 : 55 + static_cast<int>(hits * 45 / seen);
}

std::vector<Field> explain_exim(const Context& context, std::string_view line) {
  (void)context;
  std::vector<Field> fields;
  HeaderReader headers;
  EximStampReader stamps;
  EximHead head;
  if (!read_head(headers, stamps, trimmed(line), head)) return fields;
  add_field(fields, "time", head.stamp.text);
  add_field(fields, "host", head.header.host);
  add_field(fields, "instance", head.syslog ? head.header.tag : std::string_view{});
  add_field(fields, "pid", head.stamp.pid.empty() ? head.header.pid : head.stamp.pid);
  add_field(fields, "queue_id", head.queue_id);
  const char* const p = head.text.data();
  const EximFlag flag = head.queue_id.empty() ? EximFlag::none : exim_flag(p, p + head.text.size());
  if (flag == EximFlag::none) {
    add_field(fields, "text", head.text);
    return fields;
  }
  add_field(fields, "line", flag_name(flag));
  const std::string_view rest = head.text.substr(3);
  if (flag != EximFlag::received) {
    add_delivery_fields(fields, flag, rest);
    return fields;
  }
  EximReceived found;
  if (!read_exim_received(rest, found)) return fields;
  fields.push_back({"from", std::string(found.sender)});
  add_field(fields, "message_id", found.message_id);
  add_field(fields, "sasl_username", found.authenticated);
  add_field(fields, "bounce_of", found.bounce_of);
  return fields;
}

std::optional<LineHead> read_exim_head(std::string_view line) {
  HeaderReader headers;
  EximStampReader stamps;
  EximHead found;
  if (!read_head(headers, stamps, trimmed(line), found)) return {};
  LineHead head;
  head.time_us = found.stamp.time_us;
  head.time_form = found.stamp.time_form;
  head.host = found.header.host;
  head.queue = found.syslog ? std::string(found.header.tag) : "exim";
  head.queue_id = found.queue_id;
  head.text = found.text;
  return head;
}

}  // namespace bounced::parse
