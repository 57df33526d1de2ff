#include "parse/mail/verp.h"

#include "base/text.h"
#include "bounced/limits.h"
#include "parse/mail/fields.h"
#include "parse/providers/crypt.h"
#include "parse/providers/texts.h"

namespace bounced::parse::mail {
namespace {

constexpr std::size_t kNone = std::string_view::npos;
constexpr std::size_t kHmacDigits = 64;
constexpr std::size_t kPlaceholdersMax = 5;

struct Match {
  std::string_view local, domain, hmac;
};

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdefABCDEF") == kNone;
}

bool fits(std::string_view name, std::string_view text) {
  if (text.size() > limits::kAddressBytesMax) return false;
  if (name == "any") return true;
  if (text.empty()) return false;
  if (name == "hmac") {
    return text.size() >= kHmacDigitsMin && text.size() <= kHmacDigits && is_hex(text);
  }
  if (name == "domain") {
    return text.find_first_of("=@+ ") == kNone && text.find('.') != kNone && text.front() != '.';
  }
  return text.find_first_of(" <>") == kNone;  // local
}

void set(std::string_view name, std::string_view text, Match& out) {
  if (name == "local") out.local = text;
  if (name == "domain") out.domain = text;
  if (name == "hmac") out.hmac = text;
}

/// Matches all of `text`. What stands behind a placeholder is literal, so every one of its places
/// is a candidate: at most kPlaceholdersMax nested loops over 320 bytes.
bool match(std::string_view pattern, std::string_view text, Match& out, int& steps) {
  if (--steps < 0) return false;
  if (pattern.empty()) return text.empty();
  const std::size_t open = pattern.find('{');
  const std::string_view literal = pattern.substr(0, open);
  if (text.size() < literal.size() || !iequals(text.substr(0, literal.size()), literal))
    return false;
  text.remove_prefix(literal.size());
  if (open == kNone) return text.empty();
  const std::size_t close = pattern.find('}', open);
  if (close == kNone) return false;
  const std::string_view name = pattern.substr(open + 1, close - open - 1);
  const std::string_view rest = pattern.substr(close + 1);
  const char next = rest.empty() ? '\0' : rest.front();
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const bool here = rest.empty()
                          ? size == text.size()
                          : size < text.size() && ascii_lower(text[size]) == ascii_lower(next);
    if (!here || !fits(name, text.substr(0, size))) continue;
    if (!match(rest, text.substr(size), out, steps)) continue;
    set(name, text.substr(0, size), out);
    return true;
  }
  return false;
}

std::string full_hmac(std::string_view secret, std::string_view recipient) {
  return providers::to_hex(
      providers::hmac(providers::Digest::sha256, secret, ascii_lower(recipient)));
}

bool proves(const VerpOptions& options, std::string_view hmac, std::string_view recipient) {
  if (hmac.size() < kHmacDigitsMin) return false;
  const std::string told = ascii_lower(hmac);
  for (const std::string& secret : options.secrets) {
    if (secret.empty()) continue;
    if (providers::same_secret(full_hmac(secret, recipient).substr(0, told.size()), told)) {
      return true;
    }
  }
  return false;
}

Verp try_pattern(const VerpOptions& options, std::string_view pattern, std::string_view address) {
  Match found;
  int steps = 20'000;
  if (!match(pattern, address, found, steps) || found.local.empty() || found.domain.empty()) {
    return {};
  }
  Verp out;
  out.recipient = std::string(found.local) + '@' + std::string(found.domain);
  if (!plausible_address(out.recipient)) return {};
  out.proven = proves(options, found.hmac, out.recipient);
  return out;
}

constexpr std::string_view kSigned[] = {"{any}+{hmac}+{local}={domain}@{any}",
                                        "{any}-{hmac}-{local}={domain}@{any}",
                                        "{any}+{local}={domain}+{hmac}@{any}"};
constexpr std::string_view kPlain[] = {"{any}+{local}={domain}@{any}",
                                       "{any}-{local}={domain}@{any}"};

}  // namespace

std::string verp_hmac(std::string_view secret, std::string_view recipient) {
  return full_hmac(secret, recipient).substr(0, 16);
}

Verp decode_verp(const VerpOptions& options, std::string_view address) {
  if (address.size() > limits::kAddressBytesMax) return {};
  for (const std::string& pattern : options.patterns) {
    if (Verp found = try_pattern(options, pattern, address); !found.recipient.empty()) return found;
  }
  if (!options.patterns.empty() || address.find('=') == kNone) return {};
  if (!options.secrets.empty()) {
    for (const std::string_view pattern : kSigned) {
      if (Verp found = try_pattern(options, pattern, address); found.proven) return found;
    }
  }
  for (const std::string_view pattern : kPlain) {
    if (Verp found = try_pattern(options, pattern, address); !found.recipient.empty()) return found;
  }
  return {};
}

std::string check_verp_pattern(std::string_view pattern) {
  std::size_t placeholders = 0;
  bool after = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '}') return "has a } without {";
    if (pattern[i] != '{') {
      after = false;
      continue;
    }
    if (after) return "has two placeholders without a letter between them";
    const std::size_t close = pattern.find('}', i);
    if (close == kNone) return "has a { without }";
    const std::string_view name = pattern.substr(i + 1, close - i - 1);
    if (name != "any" && name != "local" && name != "domain" && name != "hmac") {
      return "knows {local} {domain} {hmac} {any} only";
    }
    ++placeholders;
    after = true;
    i = close;
  }
  if (placeholders > kPlaceholdersMax) return "has too many placeholders";
  if (pattern.find("{local}") == kNone || pattern.find("{domain}") == kNone) {
    return "needs {local} and {domain}";
  }
  return pattern.find('@') == kNone ? "is no address" : "";
}

}  // namespace bounced::parse::mail
