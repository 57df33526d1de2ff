#include "classify/database.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "classify/phrases.h"

namespace bounced::classify {

HsDatabase deserialise(std::string_view bytes) {
  hs_database_t* database = nullptr;
  if (bytes.empty() ||
      hs_deserialize_database(bytes.data(), bytes.size(), &database) != HS_SUCCESS) {
    return {};
  }
  return HsDatabase(database);
}

bool serialise(const hs_database_t* database, std::string& out) {
  if (database == nullptr) return true;
  char* bytes = nullptr;
  std::size_t size = 0;
  if (hs_serialize_database(database, &bytes, &size) != HS_SUCCESS) return false;
  out.append(bytes, size);
  std::free(bytes);
  return true;
}

namespace {

constexpr char kMagic[8] = {'b', 'n', 'c', 'd', 'h', 's', '0', '2'};

/// A larger file is none of ours (10,000 rules make some 10 MB).
constexpr std::uintmax_t kCacheBytesMax = std::uintmax_t{1} << 30;

/// In front of a cache file. Hyperscan trusts what it deserialises, so it is checked first.
struct CacheHeader {
  char magic[8];
  std::uint64_t key_hi, key_lo;
  std::uint64_t check_hi, check_lo;  ///< hash of the payload
  std::uint64_t literal_bytes, regex_bytes;
};

Error compile_failure(const std::string& pattern, hs_compile_error_t* error) {
  const std::string why = error != nullptr ? error->message : "no memory";
  if (error != nullptr) hs_free_compile_error(error);
  return Error{ErrorCode::data, "compile rules", pattern, why, ""};
}

/// Whether there is a literal of one word from `first` on.
bool has_words(const std::vector<std::string>& literals, std::size_t first) {
  return !std::all_of(literals.begin() + static_cast<std::ptrdiff_t>(first), literals.end(),
                      [](const std::string& literal) { return Phrases::is_phrase(literal); });
}

/// Those from `first` on that are no phrases.
Result<HsDatabase> compile_literals(const std::vector<std::string>& literals, std::size_t first,
                                    const hs_platform_info_t* platform) {
  std::vector<const char*> texts;
  std::vector<std::size_t> sizes;
  std::vector<unsigned> ids, flags;
  for (std::size_t i = first; i < literals.size(); ++i) {
    const std::string& literal = literals[i];
    if (Phrases::is_phrase(literal)) continue;
    ids.push_back(static_cast<unsigned>(i));
    texts.push_back(literal.data());
    sizes.push_back(literal.size());
    flags.push_back(0);
  }
  if (texts.empty()) return HsDatabase();
  hs_database_t* database = nullptr;
  hs_compile_error_t* error = nullptr;
  // Pure literals: no escaping, and a faster engine than regexes that happen to be literals.
  if (hs_compile_lit_multi(texts.data(), flags.data(), ids.data(), sizes.data(),
                           static_cast<unsigned>(texts.size()), HS_MODE_BLOCK, platform, &database,
                           &error) != HS_SUCCESS) {
    const int at = error != nullptr ? error->expression : -1;
    return tl::unexpected<Error>(
        compile_failure(at >= 0 ? literals[ids[static_cast<std::size_t>(at)]] : "", error));
  }
  return HsDatabase(database);
}

Result<HsDatabase> compile_regexes(const std::vector<std::string>& regexes, std::size_t first_id,
                                   const hs_platform_info_t* platform) {
  if (regexes.empty()) return HsDatabase();
  std::vector<const char*> texts;
  std::vector<unsigned> ids, flags;
  for (const std::string& regex : regexes) {
    ids.push_back(static_cast<unsigned>(first_id + texts.size()));
    texts.push_back(regex.c_str());
    flags.push_back(HS_FLAG_SINGLEMATCH);
  }
  hs_database_t* database = nullptr;
  hs_compile_error_t* error = nullptr;
  if (hs_compile_ext_multi(texts.data(), flags.data(), ids.data(), nullptr,
                           static_cast<unsigned>(texts.size()), HS_MODE_BLOCK, platform, &database,
                           &error) != HS_SUCCESS) {
    const int at = error != nullptr ? error->expression : -1;
    return tl::unexpected<Error>(
        compile_failure(at >= 0 ? regexes[static_cast<std::size_t>(at)] : "", error));
  }
  return HsDatabase(database);
}

/// Everything a compiled database depends on: patterns in order, those left out, library, CPU.
AddressId cache_key(const Patterns& patterns, std::size_t known_size,
                    const hs_platform_info_t& platform) {
  std::string all = hs_version();
  all += '\n' + std::to_string(known_size);
  all += '\n' + std::to_string(platform.tune) + ' ' + std::to_string(platform.cpu_features) + '\n';
  for (const auto* list : {&patterns.literals, &patterns.regexes}) {
    all += std::to_string(list->size()) + '\n';
    for (const std::string& text : *list) all += std::to_string(text.size()) + ' ' + text;
  }
  return hash128(all, public_secret());
}

std::filesystem::path cache_path(const std::string& dir, const AddressId& key) {
  char name[64];
  std::snprintf(name, sizeof name, "rules-%016llx%016llx.hsdb",
                static_cast<unsigned long long>(key.hi), static_cast<unsigned long long>(key.lo));
  return std::filesystem::path(dir) / name;
}

bool load(const std::filesystem::path& path, const AddressId& key, const Patterns& patterns,
          std::size_t known_size, Databases& out) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error || size > kCacheBytesMax) return false;
  std::ifstream in(path, std::ios::binary);
  std::string bytes(static_cast<std::size_t>(size), '\0');
  if (!in.read(bytes.data(), static_cast<std::streamsize>(size))) return false;
  CacheHeader header{};
  if (bytes.size() < sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::string_view payload = std::string_view(bytes).substr(sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.key_hi != key.hi ||
      header.key_lo != key.lo || header.literal_bytes > payload.size() ||
      header.regex_bytes != payload.size() - header.literal_bytes ||
      !(hash128(payload, public_secret()) == AddressId{header.check_hi, header.check_lo})) {
    return false;
  }
  out.literals = deserialise(payload.substr(0, header.literal_bytes));
  out.regexes = deserialise(payload.substr(header.literal_bytes));
  out.from_cache = true;
  return (out.literals != nullptr) == has_words(patterns.literals, known_size) &&
         (out.regexes != nullptr) == !patterns.regexes.empty();
}

/// Written beside and renamed, so that a reader sees a whole file or none.
void save(const std::filesystem::path& path, const AddressId& key, const Databases& databases) {
  std::string payload;
  if (!serialise(databases.literals.get(), payload)) return;
  CacheHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.literal_bytes = payload.size();
  if (!serialise(databases.regexes.get(), payload)) return;
  header.regex_bytes = payload.size() - header.literal_bytes;
  header.key_hi = key.hi;
  header.key_lo = key.lo;
  const AddressId check = hash128(payload, public_secret());
  header.check_hi = check.hi;
  header.check_lo = check.lo;
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  std::string beside = path.string() + ".XXXXXX";
  const int fd = mkstemp(beside.data());
  if (fd < 0) return;
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += payload;
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + written, bytes.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  const bool whole = close(fd) == 0 && written == bytes.size();
  if (!whole || std::rename(beside.c_str(), path.c_str()) != 0) unlink(beside.c_str());
}

}  // namespace

Result<Databases> make_databases(const Patterns& patterns, const std::string& cache_dir,
                                 Target target, HsDatabase known, std::size_t known_size) {
  if (hs_valid_platform() != HS_SUCCESS) {
    return fail(ErrorCode::data, "compile rules", "Hyperscan", "this CPU has no SSSE3",
                "run on a CPU of 2006 or later, or give the virtual machine the host's CPU model");
  }
  hs_platform_info_t platform{};  // as it is: what every CPU has that Hyperscan runs on
  if (target == Target::this_cpu) hs_populate_platform(&platform);
  Databases out;
  const AddressId key = cache_key(patterns, known_size, platform);
  const bool cached =
      !cache_dir.empty() && load(cache_path(cache_dir, key), key, patterns, known_size, out);
  if (!cached) {
    out = Databases{};
    auto literals = compile_literals(patterns.literals, known_size, &platform);
    if (!literals) return tl::unexpected<Error>(literals.error());
    auto regexes = compile_regexes(patterns.regexes, patterns.literals.size(), &platform);
    if (!regexes) return tl::unexpected<Error>(regexes.error());
    out.literals = std::move(*literals);
    out.regexes = std::move(*regexes);
    if (!cache_dir.empty()) save(cache_path(cache_dir, key), key, out);
  }
  out.known = std::move(known);
  return out;
}

std::string regex_error(const std::string& regex, unsigned& width) {
  hs_expr_info_t* info = nullptr;
  hs_compile_error_t* error = nullptr;
  if (hs_expression_info(regex.c_str(), HS_FLAG_SINGLEMATCH, &info, &error) != HS_SUCCESS) {
    std::string why = error != nullptr ? error->message : "no memory";
    if (error != nullptr) hs_free_compile_error(error);
    return why;
  }
  width = info->min_width;
  std::free(info);
  return width == 0 ? "it matches the empty text" : "";
}

std::string regex_match(const std::string& regex, std::string_view text) {
  hs_database_t* database = nullptr;
  hs_compile_error_t* error = nullptr;
  if (hs_compile(regex.c_str(), HS_FLAG_SOM_LEFTMOST, HS_MODE_BLOCK, nullptr, &database, &error) !=
      HS_SUCCESS) {
    hs_free_compile_error(error);
    return {};
  }
  const HsDatabase owner(database);
  hs_scratch_t* scratch = nullptr;
  if (hs_alloc_scratch(database, &scratch) != HS_SUCCESS) return {};
  struct Found {
    unsigned long long from = 0, to = 0;
  } found;
  const auto on_match = [](unsigned, unsigned long long from, unsigned long long to, unsigned,
                           void* out) {
    auto& best = *static_cast<Found*>(out);
    if (best.to == 0 || from < best.from || (from == best.from && to > best.to)) best = {from, to};
    return 0;
  };
  hs_scan(database, text.data(), static_cast<unsigned>(text.size()), 0, scratch, on_match, &found);
  hs_free_scratch(scratch);
  return std::string(text.substr(found.from, found.to - found.from));
}

}  // namespace bounced::classify
