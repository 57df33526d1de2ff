// crypt: the few operations that webhook signatures need, by OpenSSL's EVP.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bounced/result.h"

struct evp_pkey_st;

namespace bounced::parse::providers {

enum class Digest : std::uint8_t { md5, sha1, sha256 };

std::string hmac(Digest digest, std::string_view key, std::string_view data);
std::string hash_of(Digest digest, std::string_view data);
/// In a time that depends on the sizes alone.
bool same_secret(std::string_view a, std::string_view b);

/// A public or private key. Thread safety: const methods. Shared by copies.
class Key {
 public:
  Key() = default;
  /// PEM, or base64 of the DER form (SubjectPublicKeyInfo). Errors: data.
  static Result<Key> public_key(std::string_view text);
  /// PEM. Errors: data.
  static Result<Key> private_key(std::string_view pem);
  [[nodiscard]] bool verify(Digest digest, std::string_view data, std::string_view signature) const;
  /// Empty when the key cannot sign.
  [[nodiscard]] std::string sign(Digest digest, std::string_view data) const;
  [[nodiscard]] bool elliptic() const;

 private:
  friend struct Certificate;
  std::shared_ptr<evp_pkey_st> key_;
};

/// An X.509 certificate as pinned.
struct Certificate {
  Key key;
  std::int64_t from_us = 0, until_us = 0;
  /// Errors: data.
  static Result<Certificate> read(std::string_view pem);
};

}  // namespace bounced::parse::providers
