#include "parse/providers/crypt.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <ctime>

#include "base/text.h"
#include "base/time.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using CertificatePtr = std::unique_ptr<X509, Free<X509_free>>;
using MacPtr = std::unique_ptr<EVP_MAC_CTX, Free<EVP_MAC_CTX_free>>;

/// Fetched once: looking an algorithm up costs more than most signatures take.
const EVP_MD* fetched(Digest digest) {
  static const std::array<EVP_MD*, 3> all = {EVP_MD_fetch(nullptr, "MD5", nullptr),
                                             EVP_MD_fetch(nullptr, "SHA1", nullptr),
                                             EVP_MD_fetch(nullptr, "SHA256", nullptr)};
  return all[static_cast<std::size_t>(digest)];
}

const char* name_of(Digest digest) {
  switch (digest) {
    case Digest::md5:
      return "MD5";
    case Digest::sha1:
      return "SHA1";
    case Digest::sha256:
      break;
  }
  return "SHA256";
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

BioPtr memory(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// A PEM that wants a pass phrase is not one of ours: never ask at the terminal.
int no_password(char*, int, int, void*) {
  return -1;
}

std::int64_t us_of(const ASN1_TIME* time) {
  std::tm broken{};
  if (ASN1_TIME_to_tm(time, &broken) != 1) return 0;
  Civil civil;
  civil.year = broken.tm_year + 1900;
  civil.month = static_cast<unsigned>(broken.tm_mon + 1);
  civil.day = static_cast<unsigned>(broken.tm_mday);
  civil.hour = static_cast<unsigned>(broken.tm_hour);
  civil.minute = static_cast<unsigned>(broken.tm_min);
  civil.second = static_cast<unsigned>(broken.tm_sec);
  return us_from_civil(civil);
}

}  // namespace

std::string hmac(Digest digest, std::string_view key, std::string_view data) {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  std::size_t size = 0;
  const MacPtr context(EVP_MAC_CTX_new(mac));
  std::string name(name_of(digest));
  const std::array<OSSL_PARAM, 2> params = {
      OSSL_PARAM_construct_utf8_string("digest", name.data(), 0), OSSL_PARAM_construct_end()};
  if (EVP_MAC_init(context.get(), bytes_of(key), key.size(), params.data()) != 1 ||
      EVP_MAC_update(context.get(), bytes_of(data), data.size()) != 1 ||
      EVP_MAC_final(context.get(), out.data(), &size, out.size()) != 1) {
    return {};
  }
  return {reinterpret_cast<const char*>(out.data()), size};
}

std::string hash_of(Digest digest, std::string_view data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), out.data(), &size, fetched(digest), nullptr) != 1) {
    return {};
  }
  return {reinterpret_cast<const char*>(out.data()), size};
}

bool same_secret(std::string_view a, std::string_view b) {
  return !a.empty() && a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Result<Key> Key::public_key(std::string_view text) {
  text = trim(text);
  EVP_PKEY* found = nullptr;
  if (text.find("-----BEGIN") != std::string_view::npos) {
    found = PEM_read_bio_PUBKEY(memory(text).get(), nullptr, no_password, nullptr);
  } else {
    std::string packed, der;
    for (const char c : text) {
      if (c != '\n' && c != '\r' && c != ' ') packed += c;
    }
    if (from_base64(packed, der)) {
      const unsigned char* at = bytes_of(der);
      found = d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size()));
    }
  }
  if (found == nullptr) {
    return fail(ErrorCode::data, "webhook", "public key", "neither PEM nor base64 of a DER key");
  }
  Key key;
  key.key_ = std::shared_ptr<EVP_PKEY>(found, EVP_PKEY_free);
  return key;
}

Result<Key> Key::private_key(std::string_view pem) {
  EVP_PKEY* found = PEM_read_bio_PrivateKey(memory(pem).get(), nullptr, no_password, nullptr);
  if (found == nullptr) return fail(ErrorCode::data, "webhook", "private key", "no PEM key");
  Key key;
  key.key_ = std::shared_ptr<EVP_PKEY>(found, EVP_PKEY_free);
  return key;
}

bool Key::verify(Digest digest, std::string_view data, std::string_view signature) const {
  if (key_ == nullptr) return false;
  const DigestPtr context(EVP_MD_CTX_new());
  return EVP_DigestVerifyInit(context.get(), nullptr, fetched(digest), nullptr, key_.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(data),
                          data.size()) == 1;
}

std::string Key::sign(Digest digest, std::string_view data) const {
  if (key_ == nullptr) return {};
  const DigestPtr context(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, fetched(digest), nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes_of(data), data.size()) != 1) {
    return {};
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     bytes_of(data), data.size()) != 1) {
    return {};
  }
  signature.resize(size);
  return signature;
}

bool Key::elliptic() const {
  return key_ != nullptr && EVP_PKEY_get_base_id(key_.get()) == EVP_PKEY_EC;
}

Result<Certificate> Certificate::read(std::string_view pem) {
  const CertificatePtr found(PEM_read_bio_X509(memory(pem).get(), nullptr, no_password, nullptr));
  EVP_PKEY* key = found == nullptr ? nullptr : X509_get_pubkey(found.get());
  if (key == nullptr) {
    return fail(ErrorCode::data, "webhook", "certificate", "not an X.509 certificate in PEM");
  }
  Certificate certificate;
  certificate.key.key_ = std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
  certificate.from_us = us_of(X509_get0_notBefore(found.get()));
  certificate.until_us = us_of(X509_get0_notAfter(found.get()));
  return certificate;
}

}  // namespace bounced::parse::providers
