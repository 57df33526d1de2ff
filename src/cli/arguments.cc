#include "cli/arguments.h"

#include <pwd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/address.h"
#include "base/text.h"
#include "base/time.h"

namespace bounced::cli {
namespace {

constexpr std::size_t kSecretBytesMax = std::size_t{1} << 20;

// local@domain, the local part quoted where it holds what only a quoted one may (RFC 5321).
bool can_be_mailed(std::string_view address) {
  const std::size_t at = address.rfind('@');
  if (at == std::string_view::npos || at == 0) return false;
  const bool quoted = address.front() == '"' && at >= 2 && address[at - 1] == '"';
  const std::string_view plain = quoted ? address.substr(at) : address;
  const bool control = std::any_of(address.begin(), address.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  return !control && plain.find_first_of(" <>(),;\\\"") == std::string_view::npos;
}

}  // namespace

Result<std::int64_t> parse_moment(std::string_view option, const std::string& text,
                                  std::int64_t now_us, Way way) {
  if (const auto duration = parse_duration(text)) {
    return now_us + *duration * static_cast<std::int64_t>(way);
  }
  auto time = parse_time(text);
  if (time) return time;
  return fail(ErrorCode::usage, std::string(option), text, "neither a time nor a duration",
              "give e.g. 2026-11-21T20:22:31Z, 2026-11-21, Unix seconds, or 90s, 24h, 7d, 2w");
}

std::string bare_address(std::string_view text) {
  text = trim(text);
  if (text.size() > 2 && text.front() == '<' && text.back() == '>') {
    text = trim(text.substr(1, text.size() - 2));
  }
  return std::string(text);
}

Result<void> check_address(const std::string& address, bool mailable) {
  AddressId id, domain;
  if (AddressHasher().ids(address, id, domain) && (!mailable || can_be_mailed(address))) return {};
  return fail(ErrorCode::usage, "address", address, "not a mail address",
              "give it as local@domain");
}

void whole_number(CLI::Option& option) {
  option.check([](const std::string& text) {
    const bool digits = !text.empty() && text.size() <= 18 &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    return digits ? std::string() : text + " is not a whole number in range";
  });
}

void not_empty(CLI::Option& option) {
  option.check([](const std::string& text) { return text.empty() ? std::string("is empty") : ""; });
}

Result<std::string> read_secret(const std::string& text, const std::string& base, const char* what,
                                const std::string& where) {
  if (text.rfind("env:", 0) == 0) {
    const char* const value = std::getenv(text.c_str() + 4);
    if (value == nullptr || *value == '\0') {
      return fail(ErrorCode::usage, what, where, text + " is not set");
    }
    return std::string(value);
  }
  if (text.rfind("file:", 0) != 0) return text;
  const std::filesystem::path path = std::filesystem::path(base) / text.substr(5);
  std::ifstream in(path, std::ios::binary);
  std::string value(kSecretBytesMax, '\0');
  in.read(value.data(), static_cast<std::streamsize>(value.size()));
  if (in.gcount() == 0) {
    return fail(ErrorCode::io, what, where, path.string() + " cannot be read, or is empty");
  }
  value.resize(static_cast<std::size_t>(in.gcount()));
  while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.pop_back();
  return value;
}

std::string actor_name(std::uint32_t uid) {
  std::vector<char> room(16'384);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, room.data(), room.size(), &found) != 0 || found == nullptr) {
    return "cli:" + std::to_string(uid);
  }
  return std::string("cli:") + found->pw_name;
}

}  // namespace bounced::cli
