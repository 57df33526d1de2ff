#include "parse/parse.h"

#include "parse/exim.h"
#include "parse/mail/mail.h"
#include "parse/postfix.h"
#include "parse/push.h"

namespace bounced::parse {
namespace {

// Evidence in the store names a row by its number: new ones go to the end.
constexpr Format kFormats[] = {
    {"postfix", probe_postfix, parse_postfix},
    {"exim", probe_exim, parse_exim},
    {"mail", probe_mail, parse_mail},
    // Push sources. Their rows differ by name only, which events tell as their source's format.
    {"push", probe_push, parse_push},
    {"ses", probe_push, parse_push},
    {"sendgrid", probe_push, parse_push},
    {"mailgun", probe_push, parse_push},
    {"postmark", probe_push, parse_push},
    {"sparkpost", probe_push, parse_push},
    {"brevo", probe_push, parse_push},
    {"zeptomail", probe_push, parse_push},
    {"kumomta", probe_push, parse_push},
    {"generic", probe_push, parse_push},
    {"mandrill", probe_push, parse_push},
    {"mailjet", probe_push, parse_push},
    {"resend", probe_push, parse_push},
    {"mailersend", probe_push, parse_push},
    {"postal", probe_push, parse_push},
    {"mailtrap", probe_push, parse_push},
    {"unisender", probe_push, parse_push},
    {"elasticemail", probe_push, parse_push},
    {"eventbridge", probe_push, parse_push},
    {"cloudevents", probe_push, parse_push},
    {"forwardemail", probe_push, parse_push},
};

/// Probing reads this much of a block.
constexpr std::size_t kProbeBytes = std::size_t{64} << 10;

/// No row: every line is somebody else's.
void count_foreign(Batch& batch) {
  const std::string_view text = batch.block->text();
  std::uint64_t lines = 0;
  for (std::size_t at = 0; at < text.size(); ++lines) {
    const auto newline = text.find('\n', at);
    at = newline == std::string_view::npos ? text.size() : newline + 1;
  }
  batch.counts.lines += lines;
  batch.counts.foreign += lines;
  batch.counts.bytes += text.size();
}

}  // namespace

std::span<const Format> formats() {
  return kFormats;
}

int find_format(std::string_view name) {
  const auto rows = formats();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].parse != parse_push && rows[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

int probe_format(std::string_view head) {
  const auto rows = formats();
  int best = -1;
  int best_score = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const int score = rows[i].probe(head);
    if (score > best_score) {
      best_score = score;
      best = static_cast<int>(i);
    }
  }
  return best;
}

void parse(const Context& context, Batch& batch) {
  Block& block = *batch.block;
  if (block.format < 0) block.format = probe_format(block.text().substr(0, kProbeBytes));
  const auto rows = formats();
  if (block.format < 0 || static_cast<std::size_t>(block.format) >= rows.size()) {
    count_foreign(batch);
    return;
  }
  rows[static_cast<std::size_t>(block.format)].parse(context, batch);
}

std::vector<Field> explain_line(const Context& context, std::string_view line, int format) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (format < 0) format = probe_format(line);
  if (format == find_format("postfix")) return explain_postfix(context, line);
  if (format == find_format("exim")) return explain_exim(context, line);
  return {};
}

}  // namespace bounced::parse
