// The reply templates of diagnostics.txt, cut into literals and variables and grouped by provider.
// Immutable after construction.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bounced::bench {

enum class Variable : std::uint8_t {
  none,
  our_ip,
  mx_ip,
  mx_host,
  address,
  local,
  domain,
  sender,
  sender_domain,
  id,
  hex,
  number
};

struct Piece {
  std::string_view literal;  ///< comes first, then the variable
  Variable variable = Variable::none;
};

struct Diagnostic {
  bool bounced = false;    ///< else deferred
  bool relayless = false;  ///< relay=none
  bool said = false;       ///< wrapped as `host H[ip] said: ... (in reply to COMMAND command)`
  bool greeting = false;   ///< wrapped as `host H[ip] refused to talk to me: ...`
  std::string_view command;
  std::string dsn;
  std::vector<Piece> pieces;
};

class Diagnostics {
 public:
  Diagnostics();
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Index of a provider of diagnostics.txt; ends the program for a name it does not have.
  [[nodiscard]] std::uint16_t provider(std::string_view name) const;
  /// The provider's templates of that outcome, or the generic ones when it has none.
  [[nodiscard]] const std::vector<Diagnostic>& of(std::uint16_t provider, bool bounced) const;
  /// Failures that no server worded: DNS, connections, TLS.
  [[nodiscard]] const std::vector<Diagnostic>& local(bool bounced) const {
    return of(local_, bounced);
  }

 private:
  struct Group {
    std::string_view name;
    std::array<std::vector<Diagnostic>, 2> by_outcome;  ///< [bounced]
  };
  Group& group(std::string_view name);

  std::vector<Group> groups_;
  std::uint16_t local_ = 0;
  std::uint16_t generic_ = 0;
  std::size_t size_ = 0;
};

}  // namespace bounced::bench
