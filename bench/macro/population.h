// Who writes to whom: recipients with their domains and MX hosts, and the senders. A recipient is a
// number; its address is a pure function of it, the same for every seed. Immutable.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "diagnostics.h"
#include "log_writer.h"

namespace bounced::bench {

struct Relay {
  std::string host;
  std::string ip;
  std::string bracketed;  ///< host[ip]
};

struct Site {
  std::string domain;
  std::uint16_t provider = 0;  ///< of Diagnostics
  std::uint8_t reply = 0;      ///< how its servers say 250
  std::vector<Relay> relays;   ///< at least one
};

class Population {
 public:
  explicit Population(const Diagnostics& diagnostics);
  [[nodiscard]] const Site& site_of(std::uint32_t recipient) const;
  /// The local part, unique to the recipient; a few carry a subaddress with a capital.
  void put_local(LogWriter& out, std::uint32_t recipient) const;
  void put_address(LogWriter& out, std::uint32_t recipient) const;
  [[nodiscard]] std::size_t brands() const { return brands_.size(); }
  [[nodiscard]] const std::string& brand(std::size_t i) const { return brands_[i]; }

 private:
  void add_site(const Diagnostics& diagnostics, std::string domain, std::string_view provider,
                std::string_view mx);
  void add_companies(const Diagnostics& diagnostics);

  std::vector<Site> sites_;  ///< the consumer domains, then the companies
  std::size_t consumer_sites_ = 0;
  std::vector<std::uint16_t> wheel_;  ///< consumer sites by weight
  std::vector<std::string> brands_;
};

}  // namespace bounced::bench
