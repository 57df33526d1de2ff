#include "parse/mail/notice.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "parse/mail/phrases.h"
#include "parse/mail/reply.h"

namespace bounced::parse::mail {
namespace {

constexpr std::size_t kNone = std::string_view::npos;
constexpr std::size_t kLinesMax = 400;
constexpr std::size_t kRecipientsMax = 256;
/// Words of one recipient: at most so many lines.
constexpr std::size_t kWordLinesMax = 24;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty() && lines.size() < kLinesMax) {
    const std::size_t newline = text.find('\n');
    std::string_view line = text.substr(0, newline);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    lines.push_back(line);
    if (newline == kNone) break;
    text.remove_prefix(newline + 1);
  }
  return lines;
}

/// How likely a place in a line names a failed recipient.
enum class Place : std::uint8_t { none, somewhere, introduced, alone };

/// What introduces a recipient within a sentence; lower case.
constexpr std::array<std::string_view, 46> kIntroductions = {
    "to:",
    "rcpt to:",
    "recipient:",
    "recipient",
    "delivered to",
    "address:",
    "message to",
    "mail to",
    "deliver to",
    "addressed to",
    "sent to",
    "email to",
    "user:",
    "mailbox:",
    "failed:",
    "empf\u00e4nger",
    "an:",
    "destinataire",
    "destinatario",
    "destinat\u00e1rio",
    "para:",
    "a:",
    "\u00e0:",
    "ontvanger",
    "mottagare",
    "\u043f\u043e\u043b\u0443\u0447\u0430\u0442\u0435\u043b",
    "adresat",
    "odbiorc",
    "\u5b9b\u5148",
    "\u6536\u4ef6\u4eba",
    "\u6536\u4ef6\u8005",
    "\u53d7\u4fe1\u8005",
    "\u5b9b",
    "\u5230",
    "envoy\u00e9 \u00e0",
    "message \u00e0",
    "mensaje a",
    "mensagem para",
    "messaggio a",
    "nachricht an",
    "bericht aan",
    "meddelande till",
    "delivery to",
    "account",
    "reach",
    "for "};

bool is_opening(char c) {
  return std::string_view(" \t<>(\"'[*-|.#").find(c) != kNone ||
         (static_cast<unsigned char>(c) & 0x80) != 0;
}

/// Nothing but marks before the address: it begins the line.
bool begins_line(std::string_view line, std::size_t begin) {
  return begin <= 12 &&
         std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(begin), is_opening);
}

/// What may stand behind an address that a line is about: nothing, a colon, brackets.
bool is_tail(std::string_view tail) {
  tail = trim(tail);
  return tail.empty() || std::string_view(":;,(.<[)>-\"'").find(tail.front()) != kNone ||
         tail.substr(0, 3) == "on " || tail.substr(0, 3) == "\uff1a";
}

bool skip_line(const std::string& lower) {
  for (const std::string_view word :
       {"message-id", "references:", "in-reply-to", "from:", "sender:", "reply-to", "postmaster",
        "contact ", "abuse@", "x-mailer", "return-path", "help", "list-unsubscribe",
        "received:", "mail from:", "generating server"}) {
    if (lower.find(word) != std::string::npos) return true;
  }
  return false;
}

bool is_staff(std::string_view address) {
  const std::string local = ascii_lower(local_part(address));
  return local == "mailer-daemon" || local == "postmaster" || local == "abuse" ||
         local == "support" || local == "help" || local == "helpdesk" || local == "noreply" ||
         local == "no-reply" || local == "hostmaster" || local == "daemon";
}

struct Mention {
  std::string address;
  std::size_t line = 0;
  std::size_t end = 0;  ///< behind the address within the line
  Place place = Place::none;
};

Place place_of(std::string_view line, const std::string& lower, const FoundAddress& found) {
  if (begins_line(line, found.begin) && is_tail(line.substr(found.end))) return Place::alone;
  const std::string_view before = trim(std::string_view(lower).substr(0, found.begin));
  const std::string_view near = before.substr(before.size() > 24 ? before.size() - 24 : 0);
  for (const std::string_view word : kIntroductions) {
    if (near.find(trim(word)) != kNone) return Place::introduced;
  }
  return begins_line(line, found.begin) ? Place::introduced : Place::somewhere;
}

std::vector<Mention> mentions_of(const std::vector<std::string_view>& lines,
                                 const std::vector<std::string>& ours) {
  std::vector<Mention> mentions;
  for (std::size_t i = 0; i < lines.size() && mentions.size() < kRecipientsMax; ++i) {
    if (lines[i].find('@') == kNone) continue;
    const std::string lower = ascii_lower(lines[i]);
    const bool doubtful = skip_line(lower);
    for (const FoundAddress& found : find_addresses(lines[i], 8)) {
      const bool is_ours = std::any_of(ours.begin(), ours.end(), [&](const std::string& own) {
        return iequals(own, found.text);
      });
      if (is_ours || is_staff(found.text)) continue;
      Mention mention{std::string(found.text), i, found.end, place_of(lines[i], lower, found)};
      if (doubtful && mention.place != Place::alone) continue;
      mentions.push_back(std::move(mention));
    }
  }
  return mentions;
}

/// A line that only introduces what follows.
bool is_introduction(std::string_view line) {
  line = trim(line);
  return line.empty() || line.back() == ':' || line == "because" ||
         (line.size() > 3 && line.substr(line.size() - 3) == "\uff1a");
}

/// The reply in lines [from, to): the first line that has one, and those that go on with it.
std::string reply_in(const std::vector<std::string_view>& lines, std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) {
    if (!has_reply(lines[i])) continue;
    std::string words;
    if (i > from && !trim(lines[i - 1]).empty()) words = std::string(lines[i - 1]) + '\n';
    if (has_reply(words)) words.clear();
    for (std::size_t k = i; k < to && k < i + kWordLinesMax; ++k) {
      if (k > i && trim(lines[k]).empty()) break;
      words += std::string(lines[k]) + '\n';
    }
    return words;
  }
  return {};
}

/// The paragraph about a recipient: the rest of its line and the lines behind it.
std::string paragraph_of(const std::vector<std::string_view>& lines, const Mention& mention,
                         std::size_t to) {
  std::string words;
  std::string_view rest = lines[mention.line].substr(mention.end);
  while (!rest.empty() && std::string_view(" \t>:;,.\"'-").find(rest.front()) != kNone) {
    rest.remove_prefix(1);
  }
  const bool date =
      rest.substr(0, 3) == "on " && rest.size() > 3 && rest[3] >= '0' && rest[3] <= '9';
  if (rest.size() > 5 && !date) words = std::string(rest) + '\n';
  bool begun = !words.empty();
  std::size_t blanks = 0;
  for (std::size_t i = mention.line + 1; i < to && i < mention.line + kWordLinesMax; ++i) {
    const std::string_view line = trim(lines[i]);
    if (line.empty()) {
      if (begun || ++blanks > 3) break;
      continue;
    }
    if (!begun && is_introduction(line) && !has_reply(line) && line.size() < 24) continue;
    words += std::string(line) + '\n';
    begun = !is_introduction(line) || begun;
  }
  return words;
}

bool same_address(std::string_view a, std::string_view b) {
  return iequals(a, b);
}

/// The line up to which the words about a mention may go: the next line that is about another
/// recipient.
std::size_t end_of(const std::vector<Mention>& all, const Mention& mention, std::size_t lines) {
  for (const Mention& next : all) {
    const bool about = next.place == Place::alone || next.place == mention.place;
    if (about && next.line > mention.line && !same_address(next.address, mention.address)) {
      return next.line;
    }
  }
  return lines;
}

std::string words_of(const std::vector<std::string_view>& lines, const std::vector<Mention>& all,
                     const Mention& mention) {
  const std::size_t to = end_of(all, mention, lines.size());
  const bool alone = std::all_of(all.begin(), all.end(), [&](const Mention& other) {
    return same_address(other.address, mention.address) || other.place != Place::alone;
  });
  std::string words = paragraph_of(lines, mention, to);
  if (has_reply(words)) return words;
  std::string reply = reply_in(lines, mention.line, to);
  // A transcript stands apart; whose it is is plain where there is one recipient only.
  if (reply.empty() && alone) reply = reply_in(lines, 0, lines.size());
  if (!reply.empty()) return reply;
  // The sentence that names it may be all there is.
  return words.empty() ? std::string(trim(lines[mention.line])) : words;
}

bool listed(const std::vector<NoticeRecipient>& list, std::string_view address) {
  return std::any_of(list.begin(), list.end(), [&](const NoticeRecipient& one) {
    return same_address(one.address, address);
  });
}

/// Without a place in the text: the reply that stands anywhere, else the first paragraph that says
/// something.
std::string words_anywhere(const std::vector<std::string_view>& lines) {
  std::string reply = reply_in(lines, 0, lines.size());
  if (!reply.empty()) return reply;
  std::string words;
  for (const std::string_view line : lines) {
    if (trim(line).empty() && words.size() > 40) break;
    if (!trim(line).empty()) words += std::string(trim(line)) + '\n';
  }
  return words;
}

}  // namespace

NoticeText split_notice(std::string_view text) {
  const std::string lower = ascii_lower(text);
  const std::size_t at = find_line(Says::original_follows, lower);
  if (at == kNone || at == 0) return {text, {}};
  std::size_t rest = at;
  const std::string_view line = std::string_view(lower).substr(at, 16);
  const bool is_field = line.rfind("return-path:", 0) == 0 || line.rfind("received:", 0) == 0;
  if (!is_field) {
    const std::size_t newline = text.find('\n', at);
    rest = newline == kNone ? text.size() : newline + 1;
  }
  return {text.substr(0, at), text.substr(rest)};
}

std::vector<NoticeRecipient> read_notice(std::string_view notice,
                                         const std::vector<std::string>& known,
                                         const std::vector<std::string>& ours) {
  const std::vector<std::string_view> lines = lines_of(notice);
  std::vector<Mention> mentions = mentions_of(lines, ours);
  std::vector<NoticeRecipient> out;
  if (!known.empty()) {
    for (const std::string& address : known) {
      if (listed(out, address)) continue;
      // The line that is about it, if one is; else the first that names it.
      const Mention* best = nullptr;
      for (const Mention& one : mentions) {
        if (!same_address(one.address, address)) continue;
        if (best == nullptr || (best->place != Place::alone && one.place == Place::alone)) {
          best = &one;
        }
      }
      out.push_back(
          {address, best == nullptr ? words_anywhere(lines) : words_of(lines, mentions, *best)});
    }
    return out;
  }
  Place best = Place::none;
  for (const Mention& mention : mentions) best = std::max(best, mention.place);
  mentions.erase(std::remove_if(mentions.begin(), mentions.end(),
                                [&](const Mention& m) { return m.place != best; }),
                 mentions.end());
  for (std::size_t i = 0; i < mentions.size(); ++i) {
    if (listed(out, mentions[i].address)) continue;
    out.push_back({mentions[i].address, words_of(lines, mentions, mentions[i])});
    if (best == Place::somewhere) break;  // one guess is enough
  }
  return out;
}

}  // namespace bounced::parse::mail
