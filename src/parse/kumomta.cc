#include "parse/kumomta.h"

#include <algorithm>

#include "base/text.h"
#include "base/time.h"
#include "parse/record.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

using Value = simdjson::ondemand::value;

/// What a type of record is to us.
enum class Use : std::uint8_t { outcome, ignored, feedback, report };
struct TypeRow {
  std::string_view name;
  Use use;
  EventKind kind;
  std::uint8_t flags;
};
constexpr TypeRow kTypes[] = {
    {"Delivery", Use::outcome, EventKind::delivered, 0},
    {"TransientFailure", Use::outcome, EventKind::deferred, 0},
    {"Bounce", Use::outcome, EventKind::bounced, 0},
    {"Expiration", Use::outcome, EventKind::expired, 0},
    {"AdminBounce", Use::outcome, EventKind::bounced, 0},
    // Why a message waits for which no attempt was logged.
    {"Delayed", Use::outcome, EventKind::deferred, EventFlags::kNotAttempted},
    {"Delay", Use::outcome, EventKind::deferred, EventFlags::kNotAttempted},
    {"OOB", Use::report, EventKind::bounced, 0},
    {"Feedback", Use::feedback, EventKind::complained, 0},
    // What comes in, and what moves between queues and nodes, has no outcome yet.
    {"Reception", Use::ignored, EventKind::none, 0},
    {"Rejection", Use::ignored, EventKind::none, 0},
    {"AdminRebind", Use::ignored, EventKind::none, 0},
    {"DeferredInjectionRebind", Use::ignored, EventKind::none, 0},
    {"XferIn", Use::ignored, EventKind::none, 0},
    {"XferOut", Use::ignored, EventKind::none, 0},
};

const TypeRow* row_of(std::string_view type) {
  for (const TypeRow& row : kTypes) {
    if (row.name == type) return &row;
  }
  return nullptr;
}

/// The classes of KumoMTA's bounce classifier (its reference, "bounce_classification").
constexpr std::pair<std::string_view, ProviderHint> kHints[] = {
    {"InvalidRecipient", ProviderHint::hard},    {"BadDomain", ProviderHint::hard},
    {"InactiveMailbox", ProviderHint::hard},     {"QuotaIssues", ProviderHint::full},
    {"DNSFailure", ProviderHint::dns},           {"NoAnswerFromHost", ProviderHint::transient},
    {"BadConnection", ProviderHint::transient},  {"TransientFailure", ProviderHint::transient},
    {"RoutingErrors", ProviderHint::transient},  {"MessageExpired", ProviderHint::transient},
    {"SpamBlock", ProviderHint::blocked},        {"SpamContent", ProviderHint::blocked},
    {"PolicyRelated", ProviderHint::blocked},    {"VirusContent", ProviderHint::blocked},
    {"RelayDenied", ProviderHint::blocked},      {"AuthenticationFailed", ProviderHint::blocked},
    {"ContentRelated", ProviderHint::blocked},   {"ProhibitedAttachment", ProviderHint::blocked},
    {"BadConfiguration", ProviderHint::blocked},
};

ProviderHint hint_of(std::string_view classification) {
  for (const auto& [name, hint] : kHints) {
    if (name == classification) return hint;
  }
  return ProviderHint::none;
}

bool begins_ci(std::string_view text, std::string_view word) {
  return text.size() >= word.size() && iequals(text.substr(0, word.size()), word);
}

Phase phase_of(const KumoRecord& record) {
  const std::string_view command = trim(record.command);
  if (command == ".") return Phase::eod;
  // Pipelined commands come together: the answer is to the first of them that failed.
  if (begins_ci(command, "MAIL")) return Phase::mail;
  if (begins_ci(command, "RCPT")) return Phase::rcpt;
  if (begins_ci(command, "DATA")) return Phase::data;
  if (begins_ci(command, "BDAT")) return Phase::eod;
  for (const std::string_view word : {"EHLO", "HELO", "LHLO", "STARTTLS", "AUTH"}) {
    if (begins_ci(command, word)) return Phase::helo;
  }
  const bool internal = begins_ci(record.content, "KumoMTA internal: ");
  const std::string lower = internal ? ascii_lower(record.content) : std::string();
  return lower.find("connect") != std::string::npos ? Phase::connect : Phase::none;
}

/// Its own brakes, not an attempt that failed.
bool held_back(const KumoRecord& record) {
  if (!begins_ci(record.content, "KumoMTA internal: ")) return false;
  const std::string lower = ascii_lower(record.content);
  return lower.find("throttle") != std::string::npos || lower.find("suspend") != std::string::npos;
}

std::string_view without_dot(std::string_view host) {
  while (!host.empty() && host.back() == '.') host.remove_suffix(1);
  return host;
}

/// "192.0.2.1:25", "[2001:db8::1]:25": the address alone.
std::string_view ip_of_socket(std::string_view text) {
  if (!text.empty() && text.front() == '[') return text.substr(1, text.find(']') - 1);
  const auto colon = text.find(':');
  return colon != text.rfind(':') ? text : text.substr(0, colon);
}

/// "campaign:tenant@domain", "tenant@domain", "domain".
std::string_view campaign_of_queue(std::string_view queue) {
  const auto colon = queue.find(':');
  return colon < queue.find('@') && colon != std::string_view::npos ? queue.substr(0, colon)
                                                                    : std::string_view{};
}

/// A header's value in the head of a mail, without folding; empty when it is not there.
std::string_view header_of(std::string_view mail, std::string_view name) {
  for (std::size_t at = 0; at < mail.size();) {
    const std::size_t end = std::min(mail.find('\n', at), mail.size());
    const std::string_view line = mail.substr(at, end - at);
    at = end + 1;
    if (trim(line).empty()) break;
    if (line.size() > name.size() && line[name.size()] == ':' && begins_ci(line, name)) {
      return trim(line.substr(name.size() + 1));
    }
  }
  return {};
}

/// "550 5.1.1 no such user" as the server said it; KumoMTA keeps the codes apart.
std::string diagnostic_of(const KumoRecord& record) {
  std::string text;
  const auto number = [&text](unsigned value, char behind) {
    text += std::to_string(value);
    text += behind;
  };
  if (record.code != 0) number(record.code, ' ');
  const EnhancedCode& code = record.enhanced;
  if (code.present() && !(enhanced_at(record.content) == code)) {
    number(code.klass, '.');
    number(code.subject, '.');
    number(code.detail, ' ');
  }
  for (const char c : record.content) text += c == '\n' || c == '\r' ? ' ' : c;
  return std::string(trim(text));
}

/// What a report that came back says: a failure, a delay, or (ignored) a success.
EventKind kind_of_report(const KumoRecord& record) {
  const unsigned klass = record.enhanced.present() ? record.enhanced.klass : record.code / 100u;
  if (klass == 5) return EventKind::bounced;
  return klass == 4 ? EventKind::deferred : EventKind::none;
}

EventKind kind_of_feedback(std::string_view type) {
  if (iequals(type, "not-spam") || iequals(type, "auth-failure") || iequals(type, "dmarc")) {
    return EventKind::none;
  }
  if (iequals(type, "opt-out") || iequals(type, "opt-out-list")) return EventKind::unsubscribed;
  return EventKind::complained;
}

void fill_response(const KumoRecord& from, Record& record) {
  record.smtp_code = from.code;
  record.enhanced = from.enhanced;
  record.hint = hint_of(from.classification);
  record.mta_host = without_dot(from.peer_name);
  if (from.peer_ip != "0.0.0.0" && from.peer_ip != "::") record.mta_ip = from.peer_ip;
}

void fill_message(const KumoRecord& from, Record& record) {
  record.time_us = from.time_us;
  record.sender = bare_address(from.sender);
  record.null_sender = from.has_sender;
  record.message_id = from.message_id;
  record.campaign = from.campaign.empty() ? campaign_of_queue(from.queue) : from.campaign;
  record.host = from.nodeid;
  record.instance = from.egress_pool.empty() ? std::string_view("kumomta") : from.egress_pool;
}

LineUse add_outcome(const KumoRecord& from, const TypeRow& type, RecordWriter& out) {
  Record record;
  fill_message(from, record);
  fill_response(from, record);
  record.kind = type.kind;
  record.queue_id = from.id;
  record.phase = phase_of(from);
  record.flags = type.flags;
  record.sending_ip = ip_of_socket(from.source_ip);
  const std::string diagnostic = diagnostic_of(from);
  record.diagnostic = diagnostic;
  if (from.created_us != 0 && from.time_us > from.created_us) {
    record.delay_ms = static_cast<std::uint32_t>(
        std::min<std::int64_t>((from.time_us - from.created_us) / 1000, UINT32_MAX));
  }
  if (record.kind == EventKind::deferred) {
    if (held_back(from)) record.flags |= EventFlags::kNotAttempted;
    if (record.phase == Phase::connect || record.phase == Phase::helo) {
      record.flags |= EventFlags::kSession;
    }
  }
  return out.add_all(record, from.recipients);
}

/// An OOB record is made of a delivery report that came in, which anybody can have written: id and
/// sender are that mail's.
LineUse add_report(const KumoRecord& from, RecordWriter& out) {
  Record record;
  fill_message(from, record);
  record.flags |= EventFlags::kUnproven;
  fill_response(from, record);
  record.sender = {};
  record.null_sender = false;
  record.message_id = {};
  record.kind = kind_of_report(from);
  if (record.kind == EventKind::none) return LineUse::ignored;
  const std::string diagnostic = diagnostic_of(from);
  record.diagnostic = diagnostic;
  return out.add_all(record, from.recipients);
}

LineUse add_feedback(const KumoRecord& from, RecordWriter& out) {
  Record record;
  fill_message(from, record);
  record.kind = kind_of_feedback(from.feedback_type);
  if (record.kind == EventKind::none) return LineUse::ignored;
  record.sender = bare_address(from.mail_from);
  record.null_sender = false;
  record.message_id = header_of(from.original_message, "Message-ID");
  record.flags |= EventFlags::kUnproven;
  record.mta_host = without_dot(from.peer_name);
  record.diagnostic = from.feedback_type;
  // The envelope's recipient is our own feedback address: never a complainant.
  return out.add_all(record, from.complainants);
}

LineUse add_record(const KumoRecord& from, RecordWriter& out) {
  const TypeRow* const type = row_of(from.type);
  if (type == nullptr || type->use == Use::ignored) return LineUse::ignored;
  // The log's own records on their way to a web hook: no mail.
  if (from.reception_protocol == "LogRecord") return LineUse::ignored;
  if (from.time_us == 0) return LineUse::unparsed;
  if (type->use == Use::feedback) return add_feedback(from, out);
  return type->use == Use::report ? add_report(from, out) : add_outcome(from, *type, out);
}

KumoReader& reader() {
  thread_local KumoReader instance;
  return instance;
}

}  // namespace

simdjson::error_code KumoReader::response(Value value) {
  return each_field(value, [this](std::string_view key, Value part) {
    if (key == "code") {
      const std::int64_t code = whole_number(part, 0);
      record_.code = static_cast<std::uint16_t>(code >= 200 && code <= 599 ? code : 0);
    } else if (key == "content") {
      record_.content = scalar_text(part);
    } else if (key == "command") {
      record_.command = scalar_text(part);
    } else if (key == "enhanced_code") {
      std::int64_t klass = 0, subject = -1, detail = -1;
      const auto error = each_field(part, [&](std::string_view name, Value number) {
        if (name == "class") klass = whole_number(number, 0);
        if (name == "subject") subject = whole_number(number, -1);
        if (name == "detail") detail = whole_number(number, -1);
        return simdjson::SUCCESS;
      });
      const auto fits = [](std::int64_t n) { return n >= 0 && n <= 999; };
      if ((klass == 2 || klass == 4 || klass == 5) && fits(subject) && fits(detail)) {
        record_.enhanced.klass = static_cast<std::uint8_t>(klass);
        record_.enhanced.subject = static_cast<std::uint16_t>(subject);
        record_.enhanced.detail = static_cast<std::uint16_t>(detail);
      }
      return error;
    }
    return simdjson::SUCCESS;
  });
}

simdjson::error_code KumoReader::feedback(Value value) {
  std::string_view traced;
  const auto error = each_field(value, [&](std::string_view key, Value part) {
    if (key == "feedback_type") {
      record_.feedback_type = scalar_text(part);
    } else if (key == "original_mail_from") {
      record_.mail_from = scalar_text(part);
    } else if (key == "original_message") {
      record_.original_message = scalar_text(part);
    } else if (key == "original_rcpto_to" || key == "original_rcpt_to") {  // the first is its own
      return each_text(part, [this](std::string_view text) {
        if (record_.complainants.size() < limits::kRecipientsMax) {
          record_.complainants.push_back(text);
        }
      });
    } else if (key == "supplemental_trace") {
      return each_field(part, [&](std::string_view name, Value text) {
        if (name == "recipient") {
          return each_text(text, [&](std::string_view one) { traced = one; });
        }
        return simdjson::SUCCESS;
      });
    }
    return simdjson::SUCCESS;
  });
  // What we wrote into the mail ourselves tells best; reports often leave the address out.
  if (!traced.empty()) record_.complainants.assign(1, traced);
  return error;
}

simdjson::error_code KumoReader::field(std::string_view key, Value value,
                                       std::string_view campaign_header) {
  static constexpr std::pair<std::string_view, std::string_view KumoRecord::*> kTexts[] = {
      {"type", &KumoRecord::type},
      {"id", &KumoRecord::id},
      {"queue", &KumoRecord::queue},
      {"nodeid", &KumoRecord::nodeid},
      {"egress_pool", &KumoRecord::egress_pool},
      {"bounce_classification", &KumoRecord::classification},
      {"reception_protocol", &KumoRecord::reception_protocol},
  };
  for (const auto& [name, member] : kTexts) {
    if (key != name) continue;
    record_.*member = scalar_text(value);
    return simdjson::SUCCESS;
  }
  if (key == "sender") {
    simdjson::ondemand::json_type type{};
    if (const auto error = value.type().get(type)) return error;
    record_.has_sender = type == simdjson::ondemand::json_type::string;
    record_.sender = scalar_text(value);
  } else if (key == "recipient") {
    return each_text(value, [this](std::string_view text) {
      if (record_.recipients.size() < limits::kRecipientsMax) record_.recipients.push_back(text);
    });
  } else if (key == "response") {
    return response(value);
  } else if (key == "feedback_report") {
    return feedback(value);
  } else if (key == "peer_address" || key == "source_address") {
    return each_field(value, [this](std::string_view name, Value part) {
      if (name == "name") record_.peer_name = scalar_text(part);
      if (name == "addr") record_.peer_ip = scalar_text(part);
      if (name == "address") record_.source_ip = scalar_text(part);
      return simdjson::SUCCESS;
    });
  } else if (key == "event_time" || (key == "timestamp" && !exact_time_)) {
    std::int64_t time_us = 0;
    if (read_unix_or_rfc3339(scalar_text(value), time_us)) {
      record_.time_us = time_us;
      exact_time_ = key == "event_time";
    }
  } else if (key == "created_time" || (key == "created" && record_.created_us == 0)) {
    std::int64_t time_us = 0;
    if (read_unix_or_rfc3339(scalar_text(value), time_us)) record_.created_us = time_us;
  } else if (key == "meta" || key == "headers") {
    return each_field(value, [&](std::string_view name, Value part) {
      const auto set = [](std::string_view& text) {
        return [&text](std::string_view one) {
          if (text.empty()) text = one;
        };
      };
      if (iequals(name, campaign_header) || (key == "meta" && iequals(name, "campaign"))) {
        return each_text(part, set(record_.campaign));
      }
      if (iequals(name, "Message-ID") || iequals(name, "message_id")) {
        return each_text(part, set(record_.message_id));
      }
      return simdjson::SUCCESS;
    });
  }
  return simdjson::SUCCESS;
}

simdjson::error_code KumoReader::fields(simdjson::ondemand::object& object,
                                        std::string_view campaign_header) {
  return each_field(object, [&](std::string_view key, Value value) {
    return field(key, value, campaign_header);
  });
}

KumoReader::Found KumoReader::read(std::string_view line, std::size_t padding,
                                   std::string_view campaign_header) {
  std::vector<std::string_view> recipients = std::move(record_.recipients);
  std::vector<std::string_view> complainants = std::move(record_.complainants);
  recipients.clear();
  complainants.clear();
  record_ = KumoRecord{};
  record_.recipients = std::move(recipients);
  record_.complainants = std::move(complainants);
  exact_time_ = false;
  simdjson::ondemand::object object;
  if (json_.open(line, padding, object)) return Found::damaged;
  if (fields(object, campaign_header)) return Found::damaged;
  record_.message_id = trim(record_.message_id);
  return record_.type.empty() ? Found::other : Found::record;
}

void parse_kumomta(const Context& context, Batch& batch) {
  RecordWriter out(context, batch);
  KumoReader& json = reader();
  for (std::string_view line; out.next(line);) {
    if (line.empty() || line.front() != '{') {
      out.count(LineUse::foreign);
      continue;
    }
    switch (json.read(line, out.padding(line), context.campaign_header)) {
      case KumoReader::Found::record:
        out.count(add_record(json.record(), out));
        break;
      case KumoReader::Found::other:
        out.count(LineUse::foreign);
        break;
      case KumoReader::Found::damaged:
        out.count(LineUse::unparsed);
        break;
    }
  }
}

int probe_kumomta(std::string_view head) {
  constexpr std::size_t kLines = 20;
  std::size_t lines = 0, hits = 0;
  for (std::size_t at = 0; at < head.size() && lines < kLines;) {
    const std::size_t end = std::min(head.find('\n', at), head.size());
    std::string_view line = head.substr(at, end - at);
    const bool whole = end < head.size() || at == 0;
    at = end + 1;
    while (!line.empty() && line.front() == '\0') line.remove_prefix(1);
    if (line.empty() || !whole) continue;
    ++lines;
    if (line.front() != '{') continue;
    if (reader().read(line, 0, {}) == KumoReader::Found::damaged) continue;
    const KumoRecord& record = reader().record();
    const bool placed = record.time_us != 0 && !(record.id.empty() && record.recipients.empty());
    if (row_of(record.type) != nullptr && placed) ++hits;
  }
  return hits == 0 ? -1 : 60 + static_cast<int>(hits * 40 / lines);
}

std::vector<Field> explain_kumomta(const Context& context, std::string_view line) {
  std::vector<Field> fields;
  const auto add = [&](const char* name, std::string_view value) {
    if (!value.empty()) fields.push_back({name, std::string(value)});
  };
  if (reader().read(line, 0, context.campaign_header) == KumoReader::Found::damaged) {
    add("error", "not a whole JSON object");
    return fields;
  }
  const KumoRecord& record = reader().record();
  if (record.time_us != 0) add("time", format_time(record.time_us));
  add("host", record.nodeid);
  add("type", record.type);
  add("queue_id", record.id);
  add("from", record.has_sender && record.sender.empty() ? "<>" : record.sender);
  for (const std::string_view to : record.recipients) add("to", to);
  for (const std::string_view to : record.complainants) add("complainant", to);
  add("feedback", record.feedback_type);
  add("queue", record.queue);
  add("pool", record.egress_pool);
  add("campaign", record.campaign);
  add("message_id", record.message_id);
  add("relay", record.peer_name);
  add("relay_ip", record.peer_ip);
  add("command", record.command);
  add("class", record.classification);
  add("response", diagnostic_of(record));
  return fields;
}

std::optional<LineHead> kumomta_head(std::string_view line) {
  if (line.empty() || line.front() != '{') return {};
  if (reader().read(line, 0, {}) != KumoReader::Found::record) return {};
  const KumoRecord& record = reader().record();
  if (record.time_us == 0 || row_of(record.type) == nullptr) return {};
  LineHead head;
  head.time_us = record.time_us;
  head.host = record.nodeid;
  head.queue = "kumomta";
  head.queue_id = record.id;
  head.text = record.type;
  return head;
}

}  // namespace bounced::parse
