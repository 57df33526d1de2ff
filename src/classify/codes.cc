#include "classify/codes.h"

#include <array>
#include <string>
#include <vector>

namespace bounced::classify {
namespace {

struct EnhancedRow {
  std::uint16_t subject;
  std::uint16_t detail;
  Cause cause;
  std::uint8_t confidence;
};

/// Both classes 4 and 5. Details that are not here fall to the subject's row (detail kAny).
constexpr std::uint16_t kAny = 0xffff;
constexpr std::array kEnhanced = {
    EnhancedRow{1, 1, Cause::mailbox_unknown, 80},
    EnhancedRow{1, 2, Cause::domain_unknown, 75},
    EnhancedRow{1, 3, Cause::mailbox_syntax, 75},
    EnhancedRow{1, 6, Cause::mailbox_moved, 80},
    EnhancedRow{1, 7, Cause::sender_rejected, 70},
    EnhancedRow{1, 8, Cause::sender_rejected, 75},
    EnhancedRow{1, 9, Cause::protocol_error, 40},
    // RFC 7505 means a null MX, but Exchange says it of unknown recipients, and far more often; a
    // null MX comes with 556.
    EnhancedRow{1, 10, Cause::mailbox_unknown, 70},
    EnhancedRow{2, 1, Cause::mailbox_disabled, 70},
    EnhancedRow{2, 2, Cause::mailbox_full, 85},
    EnhancedRow{2, 3, Cause::content_too_big, 80},
    EnhancedRow{2, 4, Cause::system_error, 50},
    EnhancedRow{3, 1, Cause::system_full, 80},
    EnhancedRow{3, 2, Cause::system_error, 70},
    EnhancedRow{3, 3, Cause::protocol_error, 50},
    EnhancedRow{3, 4, Cause::content_too_big, 80},
    EnhancedRow{3, 5, Cause::system_error, 70},
    EnhancedRow{3, kAny, Cause::system_error, 50},
    EnhancedRow{4, 1, Cause::domain_down, 75},
    EnhancedRow{4, 2, Cause::network_connection, 75},
    EnhancedRow{4, 3, Cause::system_error, 60},
    EnhancedRow{4, 4, Cause::routing_error, 60},
    EnhancedRow{4, 5, Cause::system_error, 60},
    EnhancedRow{4, 6, Cause::routing_loop, 85},
    EnhancedRow{4, 7, Cause::network_expired, 80},
    EnhancedRow{4, kAny, Cause::network_connection, 40},
    EnhancedRow{5, 3, Cause::rate_recipients, 75},
    EnhancedRow{5, 6, Cause::auth_smtp, 60},
    EnhancedRow{5, kAny, Cause::protocol_error, 60},
    EnhancedRow{6, 7, Cause::protocol_error, 50},
    EnhancedRow{6, 9, Cause::protocol_error, 50},
    EnhancedRow{6, kAny, Cause::content_rejected, 50},
    EnhancedRow{7, 1, Cause::policy_local, 40},
    EnhancedRow{7, 2, Cause::policy_local, 60},
    EnhancedRow{7, 5, Cause::network_tls, 50},
    EnhancedRow{7, 7, Cause::content_rejected, 40},
    EnhancedRow{7, 8, Cause::auth_smtp, 75},
    EnhancedRow{7, 9, Cause::auth_smtp, 60},
    EnhancedRow{7, 10, Cause::network_tls, 70},
    EnhancedRow{7, 11, Cause::auth_smtp, 60},
    EnhancedRow{7, 12, Cause::auth_smtp, 60},
    EnhancedRow{7, 13, Cause::mailbox_disabled, 60},
    EnhancedRow{7, 16, Cause::content_too_big, 60},
    EnhancedRow{7, 17, Cause::mailbox_moved, 60},
    EnhancedRow{7, 18, Cause::mailbox_moved, 50},
    EnhancedRow{7, 20, Cause::auth_sender, 80},
    EnhancedRow{7, 21, Cause::auth_sender, 80},
    EnhancedRow{7, 22, Cause::auth_sender, 80},
    EnhancedRow{7, 23, Cause::auth_sender, 80},
    EnhancedRow{7, 24, Cause::auth_sender, 75},
    EnhancedRow{7, 25, Cause::sender_ptr_helo, 80},
    EnhancedRow{7, 26, Cause::auth_sender, 80},
    EnhancedRow{7, 27, Cause::sender_rejected, 80},
    EnhancedRow{7, 28, Cause::rate_limited, 75},
    EnhancedRow{7, 29, Cause::auth_sender, 70},
    EnhancedRow{7, 30, Cause::network_tls, 80},
    EnhancedRow{7, kAny, Cause::policy_local, 40},
};

struct ReplyRow {
  std::uint16_t code;
  Cause cause;
  std::uint8_t confidence;
};

constexpr std::array kReplies = {
    ReplyRow{452, Cause::system_full, 50}, ReplyRow{500, Cause::protocol_error, 60},
    ReplyRow{501, Cause::protocol_error, 50}, ReplyRow{502, Cause::protocol_error, 60},
    ReplyRow{503, Cause::protocol_error, 60}, ReplyRow{504, Cause::protocol_error, 60},
    ReplyRow{521, Cause::policy_local, 50},  // RFC 7504 means "no mail here"; said to blocked
                                             // clients
    ReplyRow{530, Cause::auth_smtp, 60}, ReplyRow{534, Cause::auth_smtp, 60},
    ReplyRow{535, Cause::auth_smtp, 70}, ReplyRow{538, Cause::auth_smtp, 60},
    ReplyRow{552, Cause::mailbox_full, 50}, ReplyRow{555, Cause::protocol_error, 50},
    ReplyRow{556, Cause::domain_unknown, 80},  // RFC 7504: domain does not accept mail
};

constexpr std::array kHints = {
    CodeRow{"hint/hard", Cause::unknown_permanent, 50},
    CodeRow{"hint/soft", Cause::unknown_temporary, 50},
    CodeRow{"hint/blocked", Cause::policy_local, 40},
    CodeRow{"hint/full", Cause::mailbox_full, 60},
    CodeRow{"hint/dns", Cause::domain_incomplete, 40},
    CodeRow{"hint/transient", Cause::unknown_temporary, 50},
    CodeRow{"hint/autoreply", Cause::notice_autoreply, 70},
    CodeRow{"hint/challenge", Cause::notice_challenge, 70},
    // What stops an address at once is only what was said without a doubt; the other needs a
    // second event (rules/policy.toml: mailbox.unknown).
    CodeRow{"hint/no-mailbox", Cause::mailbox_unknown, 97},
    CodeRow{"hint/bad-mailbox", Cause::mailbox_unknown, 60},
    CodeRow{"hint/spam", Cause::spam_content, 60},
    CodeRow{"hint/content", Cause::content_rejected, 60},
    CodeRow{"hint/too-big", Cause::content_too_big, 70},
    CodeRow{"hint/network", Cause::network_connection, 50},
};
static_assert(kHints.size() + 1 == kProviderHints);

/// Order: enhanced of class 4, of class 5, replies, 4xx and 5xx, hints, kinds.
struct Table {
  std::vector<std::string> names;
  std::vector<CodeRow> rows;
  std::uint32_t replies = 0, temporary = 0, permanent = 0, hints = 0, kinds = 0;

  Table() {
    names.reserve(2 * kEnhanced.size() + kReplies.size());
    for (const char klass : {'4', '5'}) {
      for (const EnhancedRow& row : kEnhanced) {
        const std::string detail = row.detail == kAny ? "x" : std::to_string(row.detail);
        add(std::string("code/") + klass + "." + std::to_string(row.subject) + "." + detail,
            row.cause, row.confidence);
      }
    }
    replies = size();
    for (const ReplyRow& row : kReplies) {
      add("code/" + std::to_string(row.code), row.cause, row.confidence);
    }
    temporary = size();
    rows.push_back({"code/4xx", Cause::unknown_temporary, 50});
    permanent = size();
    rows.push_back({"code/5xx", Cause::unknown_permanent, 50});
    hints = size();
    rows.insert(rows.end(), kHints.begin(), kHints.end());
    kinds = size();
    rows.push_back({"kind/temporary", Cause::unknown_temporary, 30});
    rows.push_back({"kind/permanent", Cause::unknown_permanent, 30});
  }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(rows.size()); }
  void add(std::string name, Cause cause, std::uint8_t confidence) {
    names.push_back(std::move(name));
    rows.push_back({names.back(), cause, confidence});
  }
};

const Table& table() {
  static const Table instance;
  return instance;
}

/// kNone when the registry says nothing useful about the code (x.0.0, x.1.0, x.2.0).
constexpr std::uint32_t kNone = 0xffffffff;
std::uint32_t find_enhanced(const EnhancedCode& code) {
  if (code.klass != 4 && code.klass != 5) return kNone;
  const auto base = static_cast<std::uint32_t>(code.klass == 4 ? 0 : kEnhanced.size());
  for (std::uint32_t i = 0; i < kEnhanced.size(); ++i) {
    const EnhancedRow& row = kEnhanced[i];
    if (row.subject == code.subject && (row.detail == code.detail || row.detail == kAny)) {
      return base + i;
    }
  }
  return kNone;
}

}  // namespace

std::uint32_t code_rows() {
  return table().size();
}
const CodeRow& code_row(std::uint32_t number) {
  return table().rows[number];
}

Cause hint_cause(ProviderHint hint) {
  const auto number = static_cast<std::size_t>(hint);
  return number == 0 || number > kHints.size() ? Cause::none : kHints[number - 1].cause;
}

std::uint32_t find_code_row(std::uint16_t smtp_code, const EnhancedCode& enhanced,
                            ProviderHint hint, EventKind kind) {
  const Table& t = table();
  constexpr std::uint16_t kDomainTakesNoMail = 556;  // surer than any enhanced code beside it
  const std::uint32_t row = smtp_code == kDomainTakesNoMail ? kNone : find_enhanced(enhanced);
  if (row != kNone) return row;
  for (std::uint32_t i = 0; i < kReplies.size(); ++i) {
    if (kReplies[i].code == smtp_code) return t.replies + i;
  }
  if (hint_cause(hint) != Cause::none) {
    return t.hints + static_cast<std::uint32_t>(hint) - 1;
  }
  // An enhanced code alone (x.0.0) still tells its class.
  const unsigned digit = smtp_code != 0 ? smtp_code / 100u : enhanced.klass;
  if (digit == 4) return t.temporary;
  if (digit == 5) return t.permanent;
  return kind == EventKind::bounced ? t.kinds + 1 : t.kinds;
}

}  // namespace bounced::classify
