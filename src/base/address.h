// Mail addresses: normalisation and keys (DESIGN section 3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "bounced/event.h"
#include "bounced/limits.h"

namespace bounced {

struct AddressOptions {
  bool fold_local_part = true;  ///< lower-case the local part
};

/// A normalised address in a fixed buffer: lower-case local part @ lower-case A-label domain.
struct NormalisedAddress {
  char bytes[limits::kAddressBytesMax + 64];
  std::uint32_t size = 0;
  std::uint32_t at = 0;  ///< index of the '@' that separates the domain; == size when none
  [[nodiscard]] std::string_view text() const { return {bytes, size}; }
  [[nodiscard]] std::string_view local() const { return {bytes, at}; }
  [[nodiscard]] std::string_view domain() const {
    return at < size ? std::string_view{bytes + at + 1, size - at - 1} : std::string_view{};
  }
};

/// Normalises `raw` (without <>): quoted local part unquoted where it is a dot-atom, local part
/// case-folded (option), domain lower-cased to A-labels, trailing dots stripped, subaddress kept.
/// False when it is no address at all: empty, too long, no local part (a bare word is accepted as
/// a local part without domain). Never fails on odd bytes: an unencodable domain is kept as is.
bool normalise_address(std::string_view raw, const AddressOptions& options, NormalisedAddress& out);

/// Lower-case A-label form of a domain, trailing dot stripped.
std::string normalise_domain(std::string_view raw);

/// Makes keys. Thread safety: immutable.
class AddressHasher {
 public:
  explicit AddressHasher(const Secret& secret = public_secret(), AddressOptions options = {})
      : secret_(secret), options_(options) {}
  /// The address's id and its normal form, without the domain's id; false as normalise_address.
  bool address(std::string_view raw, NormalisedAddress& normal, AddressId& id) const;
  /// Sets both ids; false as normalise_address.
  bool ids(std::string_view raw, AddressId& address, AddressId& domain) const;
  [[nodiscard]] AddressId address_id(const NormalisedAddress& address) const;
  /// Of an address that is its own normal form.
  [[nodiscard]] AddressId normal_id(std::string_view address) const;
  [[nodiscard]] AddressId domain_id(std::string_view normalised_domain) const;
  [[nodiscard]] const AddressOptions& options() const { return options_; }

 private:
  Secret secret_;
  AddressOptions options_;
};

/// The domain part of a raw address as logged (after the last '@'), not normalised.
inline std::string_view raw_domain(std::string_view address) {
  const auto at = address.rfind('@');
  return at == std::string_view::npos ? std::string_view{} : address.substr(at + 1);
}

}  // namespace bounced
