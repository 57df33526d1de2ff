// Normaliser: a diagnostic as the rules see it, and the reply codes that stood in front of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/event.h"

namespace bounced::classify {

/// Our own sending addresses, which become {our_ip}. Immutable after construction.
class SendingIps {
 public:
  SendingIps() = default;
  /// Entries that are no IPv4 or IPv6 address are left out.
  explicit SendingIps(const std::vector<std::string>& addresses);
  [[nodiscard]] bool empty() const { return addresses_.empty(); }
  /// `text` as it stands in a diagnostic, lower case, without brackets.
  [[nodiscard]] bool contains(std::string_view text) const;

 private:
  std::vector<std::string> addresses_;  ///< 4 or 16 raw bytes each, sorted
};

/// What the normaliser made of one diagnostic. `text` lives until the next run.
struct Normalised {
  std::string_view text;        ///< valid UTF-8, single blanks, no code in front
  std::uint16_t smtp_code = 0;  ///< the reply's own; the last line's of a multi-line reply
  EnhancedCode enhanced;
  std::uint16_t nested_smtp = 0;  ///< of a reply quoted inside ("host x said: 550 5.1.1")
  EnhancedCode nested_enhanced;
  Phase phase = Phase::none;  ///< told by the MTA's wrapping words
  bool multi_line = false;
  bool mixed = false;  ///< lines of one reply with different codes
};

/// N: variable tokens become {addr} {ip} {our_ip} {id} {time} {host}; codes in front, reply
/// continuations and the MTA's wrapping ("host x said:", "(in reply to ...)") go; UTF-8 is
/// repaired, NFC, case-folded. Idempotent for one `smtp_code`: N(N(x)) = N(x). Thread safety: none;
/// one per thread.
class Normaliser {
 public:
  Normaliser();
  explicit Normaliser(SendingIps ips);
  ~Normaliser();
  Normaliser(Normaliser&&) noexcept;
  Normaliser& operator=(Normaliser&&) noexcept;

  /// `smtp_code`: as the log told it apart from the text (0 = not); recognises continuation lines.
  void run(std::string_view raw, std::uint16_t smtp_code, Normalised& out);
  /// The buffer behind Normalised::text; `kSlack` writable bytes follow the text (memo key).
  static constexpr std::size_t kSlack = 64;
  [[nodiscard]] char* buffer();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bounced::classify
