// row: one line of the table of providers, as this folder's files write it.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "parse/providers/crypt.h"
#include "parse/providers/item.h"
#include "parse/providers/json.h"
#include "parse/providers/providers.h"

namespace bounced::parse::providers {

/// Tokens that have signed a body, for schemes whose signature does not cover it. A token comes
/// back with the same body when it is told again; with another body somebody plays it again.
/// Bounded: two generations of kTokensMax. Thread safe.
class TokenCache {
 public:
  /// False: this token has signed another body.
  bool accept(std::string_view token, std::string_view body);

 private:
  static constexpr std::size_t kTokensMax = 100'000;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::uint64_t> young_, old_;
};

/// An endpoint's secrets, read once.
struct Keys {
  EndpointConfig config;
  std::vector<std::string> secrets;  ///< raw bytes, decoded where the scheme wants that
  std::vector<Key> public_keys;
  std::vector<Certificate> certificates;
  std::int64_t window_us = 0;  ///< 0 = any age
  TokenCache tokens;
  /// Something that a signature can be checked with.
  [[nodiscard]] bool any() const {
    return !secrets.empty() || !public_keys.empty() || !certificates.empty();
  }
};

/// What EndpointConfig::secrets are.
enum class SecretForm : std::uint8_t {
  none,         ///< the provider does not sign
  text,         ///< a shared secret, taken as it stands
  standard,     ///< "whsec_" and base64 (Standard Webhooks)
  public_key,   ///< PEM or base64 DER
  certificate,  ///< EndpointConfig::certificates instead
};

/// A request being parsed.
struct Job {
  const Context& context;
  const Request& request;
  Batch& batch;
  Parsed& parsed;
  Sink sink;
  JsonReader& reader;   ///< of this thread
  JsonReader& inner;    ///< for documents within texts of the other
  std::string event{};  ///< told once for all items of the body
};

struct Row {
  Provider face;
  SecretForm secret = SecretForm::none;
  std::int64_t window_us = 0;  ///< where the configuration tells none; 0 = any age
  bool takes_get = false;      ///< events come in the query of a GET, too
  void (*parse)(Job& job) = nullptr;
  /// Called when Keys::any(). `why` never holds a secret.
  Check (*verify)(Keys& keys, const Request& request, std::string& why) = nullptr;
  Result<Signed> (*sign)(std::string_view secret, const Request& request) = nullptr;
  /// A test post that holds no event and may come before any key is known.
  bool (*is_test)(const Request& request) = nullptr;
};

// One each, in its own file.
extern const Row kSes, kSendgrid, kMailgun, kPostmark, kSparkpost, kBrevo, kZeptomail, kKumomta,
    kGeneric, kMandrill, kMailjet, kResend, kMailersend, kPostal, kMailtrap, kUnisender,
    kElasticemail, kEventbridge, kCloudevents;

// --- shared by the rows -------------------------------------------------------------------------

inline constexpr std::int64_t kMinutesUs = 60'000'000;
inline constexpr std::int64_t kHoursUs = 60 * kMinutesUs;

/// A whole JSON body whose items `map` turns into events; everything else of the outcome is set.
void parse_json(Job& job, const Shape& shape, void (*map)(Job& job, const Record& record));
/// The same of a text that is not the body, or not padded.
void parse_json_text(Job& job, std::string_view text, const Shape& shape,
                     void (*map)(Job& job, const Record& record));
/// The same of newline-delimited JSON, too, where a line that is none costs that line alone.
void parse_lines_or_json(Job& job, const Shape& shape, void (*map)(Job& job, const Record& record));
/// The outcome of a body that is not this provider's.
void refuse(Job& job, std::string why);

bool has_json_body(const Request& request);
bool is_form(const Request& request);

/// `stamp` (as read_time) within the window around now; a window of 0 takes any.
bool in_window(const Keys& keys, const Request& request, std::int64_t stamp_us);
/// Whether one of the secrets makes this HMAC of the data.
bool any_hmac(const Keys& keys, Digest digest, std::string_view data, std::string_view mac);
/// Standard Webhooks: svix-* or webhook-* headers.
Check verify_standard(Keys& keys, const Request& request, std::string& why);
Result<Signed> sign_standard(std::string_view secret, const Request& request);
/// Hex HMAC-SHA256 of the body in that header, "sha256=" in front of it or not.
Check verify_body_hmac(const Keys& keys, const Request& request, std::string_view header,
                       std::string& why);
Result<Signed> sign_body_hmac(std::string_view secret, const Request& request, std::string header);

/// SES's own objects, whoever brings them (ses.cc).
extern const Shape kSesShape;
void map_ses(Job& job, const Record& record);
/// Our own schema, for CloudEvents' data, too (generic.cc).
extern const Shape kGenericShape;
void map_generic(Job& job, const Record& record);

/// Words -> kind and hint, for the tables of the rows. First match wins; compares without case.
struct Word {
  std::string_view word;
  EventKind kind = EventKind::none;  ///< none = of no interest
  ProviderHint hint = ProviderHint::none;
};
const Word* find_word(std::span<const Word> words, std::string_view word);
/// How most rows begin: the item's kind and hint by the event's word. False: there is nothing to
/// add, and that is counted.
bool begin_item(Job& job, std::span<const Word> words, std::string_view word, Item& item);

}  // namespace bounced::parse::providers
