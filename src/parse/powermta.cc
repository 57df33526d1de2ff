#include "parse/powermta.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/text.h"
#include "base/time.h"
#include "parse/csv.h"
#include "parse/postfix_reason.h"
#include "parse/record.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

enum class Column : std::uint8_t {
  type,
  time_logged,
  time_queued,
  orig,
  rcpt,
  dsn_action,
  dsn_status,
  dsn_diag,
  dsn_mta,
  bounce_cat,
  source_ip,
  destination_ip,
  vmta,
  job_id,
  src_mta,
  feedback_type,
  message_id,
  campaign,
  count,
};
constexpr auto kColumns = static_cast<std::size_t>(Column::count);

struct ColumnRow {
  std::string_view name;  ///< lower case
  Column column;
};
constexpr ColumnRow kColumnRows[] = {
    {"type", Column::type},
    {"timelogged", Column::time_logged},
    {"timequeued", Column::time_queued},
    {"orig", Column::orig},
    {"rcpt", Column::rcpt},
    {"dsnaction", Column::dsn_action},
    {"dsnstatus", Column::dsn_status},
    {"dsndiag", Column::dsn_diag},
    {"dsnmta", Column::dsn_mta},
    {"bouncecat", Column::bounce_cat},
    {"dlvsourceip", Column::source_ip},
    {"dlvdestinationip", Column::destination_ip},
    {"vmta", Column::vmta},
    {"jobid", Column::job_id},
    {"srcmta", Column::src_mta},
    {"feedbacktype", Column::feedback_type},
    {"feedback-type", Column::feedback_type},
    {"header_message-id", Column::message_id},
};

/// What PowerMTA writes of deliveries and bounces unless `record-fields` says otherwise.
constexpr std::string_view kUsualHeader =
    "type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat,"
    "srcType,srcMta,dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,vmta,jobId,"
    "envId,queue,vmtaPool";

enum class Use : std::uint8_t { outcome, complaint, ignored };
struct TypeRow {
  std::string_view name;
  Use use;
  EventKind kind;
};
constexpr TypeRow kTypes[] = {
    {"d", Use::outcome, EventKind::delivered},
    {"delivery", Use::outcome, EventKind::delivered},
    {"delivered", Use::outcome, EventKind::delivered},
    {"b", Use::outcome, EventKind::bounced},
    {"bounce", Use::outcome, EventKind::bounced},
    {"bounced", Use::outcome, EventKind::bounced},
    {"t", Use::outcome, EventKind::deferred},
    {"transient", Use::outcome, EventKind::deferred},
    {"tq", Use::outcome, EventKind::deferred},
    {"transient-queue", Use::outcome, EventKind::deferred},
    {"rb", Use::outcome, EventKind::bounced},
    {"remote-bounce", Use::outcome, EventKind::bounced},
    {"f", Use::complaint, EventKind::complained},
    {"feedback-loop", Use::complaint, EventKind::complained},
    {"feedback", Use::complaint, EventKind::complained},
    // Mail that comes in, and reports of others that are no failures.
    {"r", Use::ignored, EventKind::none},
    {"receipt", Use::ignored, EventKind::none},
    {"received", Use::ignored, EventKind::none},
    {"rs", Use::ignored, EventKind::none},
    {"remote-status", Use::ignored, EventKind::none},
};

const TypeRow* row_of(std::string_view type) {
  for (const TypeRow& row : kTypes) {
    if (iequals(row.name, type)) return &row;
  }
  return nullptr;
}

/// PowerMTA's bounce categories (User's Guide, "Bounce Categories").
constexpr std::pair<std::string_view, ProviderHint> kHints[] = {
    {"bad-mailbox", ProviderHint::hard},          {"inactive-mailbox", ProviderHint::hard},
    {"bad-domain", ProviderHint::hard},           {"quota-issues", ProviderHint::full},
    {"routing-errors", ProviderHint::dns},        {"no-answer-from-host", ProviderHint::transient},
    {"bad-connection", ProviderHint::transient},  {"message-expired", ProviderHint::transient},
    {"spam-related", ProviderHint::blocked},      {"content-related", ProviderHint::blocked},
    {"policy-related", ProviderHint::blocked},    {"virus-related", ProviderHint::blocked},
    {"relaying-issues", ProviderHint::blocked},   {"invalid-sender", ProviderHint::blocked},
    {"bad-configuration", ProviderHint::blocked},
};

/// Which field of a record is what.
class Layout {
 public:
  Layout() { places_.fill(kAbsent); }
  /// `names`: the fields of a header line.
  void set(const std::vector<std::string_view>& names, std::string_view campaign_header) {
    places_.fill(kAbsent);
    for (std::size_t i = 0; i < names.size() && i < kAbsent; ++i) {
      const std::string name = ascii_lower(trim(names[i]));
      for (const ColumnRow& row : kColumnRows) {
        if (name == row.name) keep(row.column, i);
      }
      if (name.rfind("header_", 0) == 0 && !campaign_header.empty() &&
          iequals(std::string_view(name).substr(7), campaign_header)) {
        keep(Column::campaign, i);
      }
    }
  }
  [[nodiscard]] std::string_view of(const std::vector<std::string_view>& fields,
                                    Column column) const {
    const std::size_t at = places_[static_cast<std::size_t>(column)];
    return at < fields.size() ? trim(fields[at]) : std::string_view{};
  }
  /// Whether the record is long enough to tell of it.
  [[nodiscard]] bool reaches(const std::vector<std::string_view>& fields, Column column) const {
    return places_[static_cast<std::size_t>(column)] < fields.size();
  }

 private:
  static constexpr std::uint16_t kAbsent = UINT16_MAX;
  void keep(Column column, std::size_t place) {
    std::uint16_t& at = places_[static_cast<std::size_t>(column)];
    if (at == kAbsent) at = static_cast<std::uint16_t>(place);
  }
  std::array<std::uint16_t, kColumns> places_{};
};

/// Without a byte-order mark or the '#' that some writers put before the header.
std::string_view bare_line(std::string_view line) {
  if (starts(line, "\xEF\xBB\xBF")) line.remove_prefix(3);
  if (!line.empty() && line.front() == '#') line.remove_prefix(1);
  return line;
}

bool is_header(std::string_view line) {
  line = bare_line(line);
  if (!line.empty() && line.front() == '"') line.remove_prefix(1);
  if (line.size() < 5 || !iequals(line.substr(0, 4), "type")) return false;
  if (line[4] != ',' && line[4] != '"') return false;
  const std::string lower = ascii_lower(line.substr(0, limits::kFirstLineBytesMax));
  return lower.find("timelogged") != std::string::npos;
}

/// "2026-11-21 20:45:06+0100", "2026-11-21T20:45:06Z", "1178807903"; without an offset the time is
/// that of the source's zone.
bool read_time(std::string_view text, std::int64_t& time_us, TimeForm& form) {
  form = TimeForm::utc;
  std::string joined;
  if (const auto blank = text.rfind(' '); blank != std::string_view::npos && blank > 10) {
    joined.append(text.substr(0, blank)).append(text.substr(blank + 1));  // "20:45:06 +0100"
    text = joined;
  }
  if (!read_unix_or_rfc3339(text, time_us)) return false;
  const bool civil = text.size() > 10 && text[4] == '-';
  if (civil && text.find_first_of("Zz+-", 11) == std::string_view::npos) form = TimeForm::local;
  return true;
}

/// "smtp;550 5.1.1 ..": the type of an RFC 3464 field is left out.
std::string_view without_type(std::string_view text) {
  const auto semicolon = text.find(';');
  if (semicolon == std::string_view::npos || semicolon == 0 || semicolon > 16) return text;
  for (const char c : text.substr(0, semicolon)) {
    if ((ascii_lower(c) < 'a' || ascii_lower(c) > 'z') && c != '-') return text;
  }
  return trim(text.substr(semicolon + 1));
}

/// "mx.example.com (192.0.2.1)", "dns; mx.example.com", "[192.0.2.1]".
void read_mta(std::string_view text, Record& record) {
  text = without_type(text);
  const auto open = text.find_first_of("([");
  record.mta_host = trim(text.substr(0, open));
  if (open == std::string_view::npos) return;
  const auto close = text.find_first_of(")]", open);
  if (close != std::string_view::npos) record.mta_ip = text.substr(open + 1, close - open - 1);
}

/// The reply's own code where the status says no more than its class.
void read_codes(std::string_view status, Record& record) {
  record.enhanced = enhanced_at(status);
  record.smtp_code = reply_code(record.diagnostic);
  if (record.smtp_code == 0) return;
  const std::string_view words = record.diagnostic.substr(3);
  const EnhancedCode own =
      enhanced_at(words.empty() || words.front() != '-' ? words : words.substr(1));
  if (!own.present() || own.klass != record.smtp_code / 100) return;
  const EnhancedCode& given = record.enhanced;
  if (!given.present() || (given.subject == 0 && given.detail == 0)) record.enhanced = own;
}

bool has_ci(std::string_view text, std::string_view word) {
  return ascii_lower(text).find(word) != std::string::npos;
}

/// One block's parser.
class Parser {
 public:
  Parser(const Context& context, Batch& batch) : context_(context), out_(context, batch) {
    const auto& first = batch.block->first_line;
    take_header(first != nullptr && is_header(*first) ? std::string_view(*first) : kUsualHeader);
  }

  void run() {
    for (std::string_view line; out_.next(line);) out_.count(use(line));
  }

 private:
  static constexpr std::size_t kLinesOfRecordMax = 32;

  void take_header(std::string_view line) {
    layout_.set(csv_.split(bare_line(line)), context_.campaign_header);
  }

  LineUse use(std::string_view line) {
    if (trim(line).empty()) return LineUse::foreign;
    if (is_header(line)) {
      take_header(line);
      return LineUse::ignored;
    }
    for (std::size_t n = csv_continuation(line, out_.rest(), kLinesOfRecordMax); n > 0; --n) {
      line = out_.extend(line);
    }
    fields_ = &csv_.split(line);
    const std::string_view name = of(Column::type);
    const TypeRow* const type = row_of(name);
    if (type == nullptr) {
      return fields_->size() < 3 ? LineUse::foreign : LineUse::unparsed;
    }
    if (type->use == Use::ignored) return LineUse::ignored;
    Record record;
    if (!read_time(of(Column::time_logged), record.time_us, record.time_form)) {
      return LineUse::unparsed;
    }
    record.kind = type->kind;
    fill_message(record);
    if (type->use == Use::complaint) return add_complaint(record);
    // A queue's trouble (tq) is nobody's: it names no recipient.
    if (of(Column::rcpt).empty() && type->kind == EventKind::deferred) return LineUse::ignored;
    return add_outcome(name, record);
  }

  void fill_message(Record& record) {
    record.sender = bare_address(of(Column::orig));
    record.null_sender = layout_.reaches(*fields_, Column::orig);
    record.message_id = of(Column::message_id);
    record.campaign = of(Column::campaign);
    if (record.campaign.empty()) record.campaign = of(Column::job_id);
    record.instance = of(Column::vmta);
    if (record.instance.empty()) record.instance = "powermta";
  }

  LineUse add_complaint(Record& record) {
    const std::string_view type = of(Column::feedback_type);
    if (iequals(type, "not-spam") || iequals(type, "auth-failure")) return LineUse::ignored;
    if (iequals(type, "opt-out") || iequals(type, "opt-out-list")) {
      record.kind = EventKind::unsubscribed;
    }
    record.null_sender = false;
    record.diagnostic = type;
    record.flags |= EventFlags::kUnproven;
    return add(record);
  }

  LineUse add_outcome(std::string_view type, Record& record) {
    record.diagnostic = on_one_line(without_type(of(Column::dsn_diag)));
    read_codes(of(Column::dsn_status), record);
    read_mta(of(Column::dsn_mta), record);
    if (const auto ip = of(Column::destination_ip); !ip.empty()) record.mta_ip = ip;
    record.sending_ip = of(Column::source_ip);
    const std::string_view category = of(Column::bounce_cat);
    for (const auto& [name, hint] : kHints) {
      if (iequals(category, name)) record.hint = hint;
    }
    const bool remote = ascii_lower(type[0]) == 'r';
    if (remote) record.flags |= EventFlags::kUnproven;  // told by a mail that came back
    if (remote && iequals(of(Column::dsn_action), "delayed")) record.kind = EventKind::deferred;
    if (!remote && record.kind == EventKind::bounced && has_expired(category, record)) {
      record.kind = EventKind::expired;
    }
    set_delay(record);
    return add(record);
  }

  /// The lines of a reply joined by blanks, as other MTAs log them.
  std::string_view on_one_line(std::string_view text) {
    if (text.find('\n') == std::string_view::npos) return text;
    joined_.clear();
    for (const char c : text) {
      if (c != '\r') joined_ += c == '\n' ? ' ' : c;
    }
    return joined_;
  }

  static bool has_expired(std::string_view category, const Record& record) {
    return iequals(category, "message-expired") ||
           has_ci(record.diagnostic, "[internal] exceeded max time without delivery") ||
           has_ci(record.diagnostic, "delivery not attempted; message expired");
  }

  void set_delay(Record& record) {
    std::int64_t queued_us = 0;
    TimeForm form = TimeForm::utc;
    if (!read_time(of(Column::time_queued), queued_us, form) || form != record.time_form) return;
    const std::int64_t delay_ms = (record.time_us - queued_us) / 1000;
    record.delay_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(delay_ms, 0, UINT32_MAX));
  }

  LineUse add(const Record& record) {
    return out_.add_all(record, std::array<std::string_view, 1>{of(Column::rcpt)});
  }

  [[nodiscard]] std::string_view of(Column column) const { return layout_.of(*fields_, column); }

  const Context& context_;
  RecordWriter out_;
  CsvLine csv_;
  Layout layout_;
  std::string joined_;
  const std::vector<std::string_view>* fields_ = nullptr;
};

/// Whether a line without a header known is one of our records: type, time, and an address.
bool is_record(const std::vector<std::string_view>& fields) {
  std::int64_t time_us = 0;
  TimeForm form = TimeForm::utc;
  if (fields.size() < 4 || row_of(fields[0]) == nullptr) return false;
  return read_time(trim(fields[1]), time_us, form);
}

}  // namespace

void parse_powermta(const Context& context, Batch& batch) {
  Parser(context, batch).run();
}

int probe_powermta(std::string_view head) {
  while (!head.empty() && head.front() == '\0') head.remove_prefix(1);
  const std::string_view first = head.substr(0, head.find('\n'));
  if (is_header(first)) return 95;
  CsvLine csv;
  return is_record(csv.split(first)) ? 70 : -1;
}

std::vector<Field> explain_powermta(const Context& context, std::string_view line) {
  (void)context;
  std::vector<Field> fields;
  CsvLine header, record;
  const auto& names = header.split(kUsualHeader);
  const auto& values = record.split(bare_line(line));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string_view value = trim(values[i]);
    if (value.empty()) continue;
    const std::string name =
        i < names.size() ? std::string(names[i]) : "column" + std::to_string(i + 1);
    fields.push_back({name, std::string(value)});
  }
  return fields;
}

std::optional<LineHead> powermta_head(std::string_view line) {
  CsvLine csv;
  const auto& fields = csv.split(line);
  LineHead head;
  if (!is_record(fields) || !read_time(trim(fields[1]), head.time_us, head.time_form)) return {};
  head.queue = "powermta";
  head.text = line;
  return head;
}

}  // namespace bounced::parse
