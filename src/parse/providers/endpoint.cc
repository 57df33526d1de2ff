// The table of providers, and what is the same for all: credentials, windows, JSON bodies.
#include <arpa/inet.h>

#include <array>

#include "base/hash.h"
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

std::span<const Row* const> rows() {
  static const std::array all = {&kSes,          &kSendgrid,    &kMailgun,    &kPostmark,
                                 &kSparkpost,    &kBrevo,       &kZeptomail,  &kKumomta,
                                 &kGeneric,      &kMandrill,    &kMailjet,    &kResend,
                                 &kMailersend,   &kPostal,      &kMailtrap,   &kUnisender,
                                 &kElasticemail, &kEventbridge, &kCloudevents};
  return all;
}

const Row* find_row(std::string_view name) {
  for (const Row* row : rows()) {
    if (row->face.name == name) return row;
  }
  return nullptr;
}

/// An address or a network; IPv4 as ::ffff:a.b.c.d.
struct Network {
  std::array<unsigned char, 16> bytes{};
  unsigned bits = 128;
};

bool read_ip(std::string_view text, Network& out) {
  const std::string name(text);
  out.bits = 128;
  if (inet_pton(AF_INET6, name.c_str(), out.bytes.data()) == 1) return true;
  out.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return inet_pton(AF_INET, name.c_str(), out.bytes.data() + 12) == 1;
}

bool read_network(std::string_view text, Network& out) {
  text = trim(text);
  const auto slash = text.find('/');
  const std::string_view ip = text.substr(0, slash);
  if (!read_ip(ip, out)) return false;
  if (slash == std::string_view::npos) return true;
  const unsigned shift = ip.find(':') == std::string_view::npos ? 96 : 0;
  const std::uint64_t bits = read_number(text.substr(slash + 1), 999);
  if (bits + shift > 128) return false;
  out.bits = static_cast<unsigned>(bits) + shift;
  return true;
}

bool within(const Network& network, const Network& ip) {
  for (unsigned bit = 0; bit < network.bits; ++bit) {
    if (((network.bytes[bit / 8] ^ ip.bytes[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

/// "Basic <base64>" or "Bearer <token>"; empty when it is of another scheme.
std::string_view credentials(const Request& request, std::string_view scheme) {
  const std::string_view value = trim(request.header("authorization"));
  if (value.size() <= scheme.size() || !iequals(value.substr(0, scheme.size()), scheme) ||
      value[scheme.size()] != ' ') {
    return {};
  }
  return trim(value.substr(scheme.size()));
}

std::string_view query_of(std::string_view target) {
  const auto mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
}

Check check_basic(const Request& request, std::string_view wanted, std::string& why) {
  const std::string_view given = credentials(request, "basic");
  if (given.empty()) {
    why = "no basic authentication";
    return Check::missing;
  }
  std::string plain;
  if (from_base64(given, plain) && same_secret(plain, wanted)) return Check::ok;
  why = "wrong user or password";
  return Check::bad;
}

/// In the header, or (CloudEvents' webhooks) as access_token in the query.
Check check_bearer(const Request& request, std::string_view wanted, std::string& why) {
  std::string given(credentials(request, "bearer"));
  if (given.empty()) {
    given = form_value(read_form(query_of(request.target)), "access_token");
  }
  if (given.empty()) {
    why = "no bearer token";
    return Check::missing;
  }
  if (same_secret(given, wanted)) return Check::ok;
  why = "wrong bearer token";
  return Check::bad;
}

Check check_header(const Request& request, const EndpointConfig& config, std::string& why) {
  const std::string_view given = request.header(ascii_lower(config.auth_header));
  if (given.empty()) {
    why = "no header " + config.auth_header;
    return Check::missing;
  }
  if (same_secret(given, config.auth_value)) return Check::ok;
  why = "wrong value of header " + config.auth_header;
  return Check::bad;
}

bool is_get(std::string_view method) {
  return method == "GET";
}

Error bad_config(const EndpointConfig& config, std::string why, std::string hint = {}) {
  return {ErrorCode::usage, "webhook", config.provider, std::move(why), std::move(hint)};
}

Result<void> read_public_keys(Keys& keys) {
  for (const std::string& secret : keys.config.secrets) {
    auto key = Key::public_key(secret);
    if (!key) return tl::unexpected(bad_config(keys.config, "secrets: " + key.error().why));
    keys.public_keys.push_back(std::move(*key));
  }
  return {};
}

Result<void> read_certificates(Keys& keys) {
  for (const std::string& pem : keys.config.certificates) {
    auto certificate = Certificate::read(pem);
    if (!certificate) {
      return tl::unexpected(bad_config(keys.config, "certificates: " + certificate.error().why));
    }
    keys.certificates.push_back(std::move(*certificate));
  }
  if (!keys.config.secrets.empty()) {
    return tl::unexpected(bad_config(keys.config,
                                     "SNS signs with certificates, not with a shared secret",
                                     "set certificates to the PEM files of SNS"));
  }
  if (!keys.certificates.empty() && keys.config.topics.empty()) {
    return tl::unexpected(bad_config(keys.config, "no topics: anybody's SNS topic is well signed",
                                     "set topics to the ARNs that are yours"));
  }
  return {};
}

Result<void> read_standard(Keys& keys) {
  constexpr std::string_view kPrefix = "whsec_";
  for (std::string_view secret : keys.config.secrets) {
    if (secret.substr(0, kPrefix.size()) == kPrefix) secret.remove_prefix(kPrefix.size());
    std::string raw;
    if (secret.empty() || !from_base64(secret, raw)) {
      return tl::unexpected(bad_config(keys.config, "a secret is not \"whsec_\" and base64"));
    }
    keys.secrets.push_back(std::move(raw));
  }
  return {};
}

Result<void> read_keys(const Row& row, Keys& keys) {
  const EndpointConfig& config = keys.config;
  for (const std::string& secret : config.secrets) {
    if (trim(secret).empty()) return tl::unexpected(bad_config(config, "a secret is empty"));
  }
  switch (row.secret) {
    case SecretForm::none:
      if (config.secrets.empty()) return {};
      return tl::unexpected(bad_config(config, "this provider does not sign",
                                       "use basic_auth, bearer, auth_header or networks"));
    case SecretForm::text:
      keys.secrets = config.secrets;
      return {};
    case SecretForm::standard:
      return read_standard(keys);
    case SecretForm::public_key:
      return read_public_keys(keys);
    case SecretForm::certificate:
      break;
  }
  return read_certificates(keys);
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const Header& h : headers) {
    if (h.name == name) return h.value;
  }
  return {};
}

std::string_view to_string(Check check) {
  constexpr std::array<std::string_view, 6> kNames = {"ok",    "missing",  "bad",
                                                      "stale", "not_ours", "refused"};
  return kNames[static_cast<std::size_t>(check)];
}

std::span<const Provider> table() {
  static const std::vector<Provider> faces = [] {
    std::vector<Provider> made;
    made.reserve(rows().size());
    for (const Row* row : rows()) made.push_back(row->face);
    return made;
  }();
  return faces;
}

const Provider* find(std::string_view name) {
  for (const Provider& provider : table()) {
    if (provider.name == name) return &provider;
  }
  return nullptr;
}

// --- shared by the rows -------------------------------------------------------------------------

bool TokenCache::accept(std::string_view token, std::string_view body) {
  const std::uint64_t key = hash64(token), value = hash64(body);
  const std::lock_guard lock(mutex_);
  for (const auto* tokens : {&young_, &old_}) {
    const auto known = tokens->find(key);
    if (known != tokens->end()) return known->second == value;
  }
  if (young_.size() >= kTokensMax) {
    old_.swap(young_);
    young_.clear();
  }
  young_.emplace(key, value);
  return true;
}

void refuse(Job& job, std::string why) {
  job.parsed.kind = Parsed::Kind::malformed;
  job.parsed.detail = std::move(why);
}

namespace {

struct Mapping {
  Job& job;
  void (*map)(Job& job, const Record& record);
  void operator()(const Record& record) const { map(job, record); }
};

void judge(Job& job, JsonReader::Outcome outcome, const JsonReader::Counts& counts) {
  job.parsed.unparsed += counts.others;
  if (outcome == JsonReader::Outcome::too_deep) {
    return refuse(job, "JSON nested over " + std::to_string(kJsonDepthMax) + " deep");
  }
  if (outcome == JsonReader::Outcome::no_json) return refuse(job, "not valid JSON");
  if (counts.items == 0 && counts.others > 0) return refuse(job, "no JSON objects");
}

}  // namespace

void parse_json(Job& job, const Shape& shape, void (*map)(Job& job, const Record& record)) {
  JsonReader::Counts counts;
  const auto outcome = job.reader.read(job.request.body, shape, counts, Mapping{job, map});
  judge(job, outcome, counts);
}

void parse_json_text(Job& job, std::string_view text, const Shape& shape,
                     void (*map)(Job& job, const Record& record)) {
  JsonReader::Counts counts;
  const auto outcome = job.inner.read_copy(text, shape, counts, Mapping{job, map});
  judge(job, outcome, counts);
}

void parse_lines_or_json(Job& job, const Shape& shape,
                         void (*map)(Job& job, const Record& record)) {
  if (!is_json_lines(job.request.body)) return parse_json(job, shape, map);
  std::string_view rest = job.request.body;
  while (!rest.empty()) {
    const auto newline = rest.find('\n');
    const std::string_view line = trim(rest.substr(0, newline));
    rest = newline == std::string_view::npos ? std::string_view{} : rest.substr(newline + 1);
    if (line.empty()) continue;
    const std::size_t events = job.batch.events.size();
    JsonReader::Counts counts;
    const auto outcome = job.reader.read(line, shape, counts, Mapping{job, map});
    job.sink.unparsed(counts.others);
    if (outcome == JsonReader::Outcome::read) continue;
    job.batch.events.resize(events);
    job.batch.keys.resize(events);
    job.sink.unparsed();
  }
}

bool has_json_body(const Request& request) {
  std::string_view body = request.body;
  if (body.substr(0, 3) == "\xEF\xBB\xBF") body.remove_prefix(3);
  const auto first = body.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
}

bool is_form(const Request& request) {
  return ascii_lower(request.header("content-type")).find("x-www-form-urlencoded") !=
         std::string::npos;
}

bool in_window(const Keys& keys, const Request& request, std::int64_t stamp_us) {
  if (keys.window_us == 0) return true;
  return stamp_us >= request.now_us - keys.window_us && stamp_us <= request.now_us + keys.window_us;
}

bool any_hmac(const Keys& keys, Digest digest, std::string_view data, std::string_view mac) {
  bool found = false;
  for (const std::string& secret : keys.secrets) {
    found |= same_secret(hmac(digest, secret, data), mac);
  }
  return found;
}

Check verify_standard(Keys& keys, const Request& request, std::string& why) {
  const auto header = [&](std::string_view name) {
    const std::string_view value = request.header("svix-" + std::string(name));
    return value.empty() ? request.header("webhook-" + std::string(name)) : value;
  };
  const std::string_view id = header("id"), stamp = header("timestamp");
  std::string_view signatures = header("signature");
  if (id.empty() || stamp.empty() || signatures.empty()) {
    why = "no svix-id, svix-timestamp and svix-signature";
    return Check::missing;
  }
  std::string data;
  data.append(id).append(1, '.').append(stamp).append(1, '.').append(request.body);
  bool good = false;
  while (!signatures.empty()) {
    const auto blank = signatures.find(' ');
    const std::string_view one = signatures.substr(0, blank);
    signatures =
        blank == std::string_view::npos ? std::string_view{} : signatures.substr(blank + 1);
    std::string mac;
    if (one.substr(0, 3) != "v1," || !from_base64(one.substr(3), mac)) continue;
    good |= any_hmac(keys, Digest::sha256, data, mac);
  }
  if (!good) {
    why = "no signature of the list is by one of the secrets";
    return Check::bad;
  }
  if (in_window(keys, request, read_time(stamp))) return Check::ok;
  why = "signed at " + std::string(stamp) + ", outside the window";
  return Check::stale;
}

Result<Signed> sign_standard(std::string_view secret, const Request& request) {
  constexpr std::string_view kPrefix = "whsec_";
  if (secret.substr(0, kPrefix.size()) == kPrefix) secret.remove_prefix(kPrefix.size());
  std::string raw;
  if (!from_base64(secret, raw)) {
    return fail(ErrorCode::data, "webhook", "secret", "not \"whsec_\" and base64");
  }
  const std::string stamp = std::to_string(request.now_us / 1'000'000);
  const std::string id = "msg_" + to_hex(hash_of(Digest::sha256, request.body)).substr(0, 24);
  std::string data = id + "." + stamp + ".";
  data.append(request.body);
  return Signed{{{"svix-id", id},
                 {"svix-timestamp", stamp},
                 {"svix-signature", "v1," + to_base64(hmac(Digest::sha256, raw, data))}},
                std::string(request.body)};
}

Check verify_body_hmac(const Keys& keys, const Request& request, std::string_view header,
                       std::string& why) {
  constexpr std::string_view kPrefix = "sha256=";
  std::string_view given = trim(request.header(header));
  if (given.empty()) {
    why = "no header " + std::string(header);
    return Check::missing;
  }
  if (iequals(given.substr(0, kPrefix.size()), kPrefix)) given.remove_prefix(kPrefix.size());
  std::string mac;
  if (from_hex(given, mac) && any_hmac(keys, Digest::sha256, request.body, mac)) return Check::ok;
  why = "the signature is not by one of the secrets";
  return Check::bad;
}

Result<Signed> sign_body_hmac(std::string_view secret, const Request& request, std::string header) {
  return Signed{{{std::move(header), to_hex(hmac(Digest::sha256, secret, request.body))}},
                std::string(request.body)};
}

const Word* find_word(std::span<const Word> words, std::string_view word) {
  for (const Word& row : words) {
    if (iequals(row.word, word)) return &row;
  }
  return nullptr;
}

bool begin_item(Job& job, std::span<const Word> words, std::string_view word, Item& item) {
  if (word.empty()) {
    job.sink.unparsed();
    return false;
  }
  const Word* const row = find_word(words, word);
  if (row == nullptr) {
    job.sink.ignore();
    return false;
  }
  item.kind = row->kind;
  item.hint = row->hint;
  return true;
}

// --- Endpoint -----------------------------------------------------------------------------------

struct Endpoint::Impl {
  const Row* row = nullptr;
  Keys keys;
  std::vector<Network> networks;

  [[nodiscard]] bool open_to(std::string_view ip) const {
    if (networks.empty()) return true;
    Network from;
    if (!read_ip(ip, from)) return false;
    return std::any_of(networks.begin(), networks.end(),
                       [&](const Network& n) { return within(n, from); });
  }
  /// Answered before any key is known; holds no event.
  [[nodiscard]] bool is_ping(const Request& request) const {
    if (request.method == "HEAD" || request.method == "OPTIONS") return true;
    if (is_get(request.method)) {
      return !row->takes_get || query_of(request.target).empty();
    }
    return row->is_test != nullptr && row->is_test(request);
  }
  [[nodiscard]] bool authenticates() const {
    return keys.any() || !keys.config.basic_auth.empty() || !keys.config.bearer.empty() ||
           !keys.config.auth_header.empty() || !networks.empty();
  }
};

Endpoint::Endpoint() = default;
Endpoint::~Endpoint() = default;
Endpoint::Endpoint(Endpoint&&) noexcept = default;
Endpoint& Endpoint::operator=(Endpoint&&) noexcept = default;

Result<Endpoint> Endpoint::make(EndpointConfig config) {
  Endpoint endpoint;
  endpoint.impl_ = std::make_unique<Impl>();
  Impl& impl = *endpoint.impl_;
  impl.row = find_row(config.provider);
  if (impl.row == nullptr) {
    std::vector<std::string_view> names;
    names.reserve(rows().size());
    for (const Row* row : rows()) names.push_back(row->face.name);
    const std::string_view near = nearest(config.provider, names);
    return tl::unexpected(bad_config(config, "no such provider",
                                     near.empty() ? "see `bounced webhook list`"
                                                  : "did you mean \"" + std::string(near) + "\"?"));
  }
  impl.keys.config = std::move(config);
  impl.keys.window_us = impl.keys.config.replay_window_us != 0 ? impl.keys.config.replay_window_us
                                                               : impl.row->window_us;
  if (auto read = read_keys(*impl.row, impl.keys); !read) return tl::unexpected(read.error());
  for (const std::string& text : impl.keys.config.networks) {
    Network network;
    if (!read_network(text, network)) {
      return tl::unexpected(bad_config(impl.keys.config, "networks: \"" + text + "\" is no CIDR"));
    }
    impl.networks.push_back(network);
  }
  if (impl.keys.config.auth_header.empty() != impl.keys.config.auth_value.empty()) {
    return tl::unexpected(bad_config(impl.keys.config, "auth_header and auth_value go together"));
  }
  if (!impl.authenticates() && !impl.keys.config.allow_unsigned) {
    return tl::unexpected(
        bad_config(impl.keys.config, "nothing authenticates its requests",
                   "set secrets, basic_auth, bearer, auth_header or networks; or allow_unsigned"));
  }
  return endpoint;
}

const Provider& Endpoint::provider() const {
  return impl_->row->face;
}

Check Endpoint::verify(const Request& request, std::string& why) const {
  Impl& impl = *impl_;
  const EndpointConfig& config = impl.keys.config;
  why.clear();
  if (!impl.open_to(request.remote_ip)) {
    why = "from " + printable(request.remote_ip) + ", which may not send";
    return Check::refused;
  }
  if (impl.is_ping(request)) return Check::ok;
  Check check = Check::ok;
  if (!config.basic_auth.empty()) check = check_basic(request, config.basic_auth, why);
  if (check == Check::ok && !config.bearer.empty()) {
    check = check_bearer(request, config.bearer, why);
  }
  if (check == Check::ok && !config.auth_header.empty()) check = check_header(request, config, why);
  if (check == Check::ok && impl.row->verify != nullptr &&
      (impl.keys.any() || !config.topics.empty())) {
    check = impl.row->verify(impl.keys, request, why);
  }
  return check;
}

Parsed Endpoint::parse(const Context& context, const Request& request, Batch& batch) const {
  thread_local JsonReader reader, inner;
  Parsed parsed;
  if (impl_->is_ping(request)) {
    parsed.kind = Parsed::Kind::ping;
    parsed.detail = request.header("webhook-request-origin");
    return parsed;
  }
  const std::size_t events = batch.events.size();
  Job job{context,
          request,
          batch,
          parsed,
          Sink(context, batch, impl_->row->face.name, request.now_us, parsed),
          reader,
          inner};
  impl_->row->parse(job);
  if (parsed.kind != Parsed::Kind::events) {  // all of a request, or nothing
    batch.events.resize(events);
    batch.keys.resize(events);
  }
  ParseCounts& counts = batch.counts;
  counts.bytes += request.body.size();
  counts.ignored += parsed.ignored;
  counts.unparsed += parsed.unparsed;
  counts.lines += batch.events.size() - events + parsed.ignored + parsed.unparsed;
  return parsed;
}

Result<Signed> sign(std::string_view provider, std::string_view secret, const Request& request) {
  const Row* row = find_row(provider);
  if (row == nullptr || row->sign == nullptr) {
    return fail(ErrorCode::usage, "webhook send", std::string(provider),
                row == nullptr ? "no such provider" : "this provider does not sign");
  }
  return row->sign(secret, request);
}

}  // namespace bounced::parse::providers
