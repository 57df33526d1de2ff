// Hyperscan databases: compile, keep on disk, load.
#pragma once

#include <hs/hs.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"

namespace bounced::classify {

struct HsDatabaseFree {
  void operator()(hs_database_t* database) const { hs_free_database(database); }
};
using HsDatabase = std::unique_ptr<hs_database_t, HsDatabaseFree>;

/// What to look for. A match's id is the index in `literals`, or literals.size() + the index in
/// `regexes`.
struct Patterns {
  std::vector<std::string> literals;  ///< as bytes; distinct, not empty
  std::vector<std::string> regexes;
};

/// Any may be null when there is nothing of its kind. Immutable; shared by threads.
struct Databases {
  HsDatabase known;     ///< the first literals, where somebody has compiled these before
  HsDatabase literals;  ///< those of one word, all of their ends; phrases.h finds the others
  HsDatabase regexes;   ///< each reported at most once a scan
  bool from_cache = false;
  [[nodiscard]] std::array<const hs_database_t*, 3> all() const {
    return {known.get(), literals.get(), regexes.get()};
  }
};

/// What a database is compiled for.
enum class Target : std::uint8_t { this_cpu, any_cpu };

/// Compiles, or loads from `cache_dir` (empty: no cache) what was compiled for the same patterns on
/// the same CPU by the same library. A cache that is unreadable or damaged is made anew, one that
/// cannot be written is left out. `known`, if any, is of the first `known_size` literals: only the
/// others are compiled.
Result<Databases> make_databases(const Patterns& patterns, const std::string& cache_dir,
                                 Target target = Target::this_cpu, HsDatabase known = {},
                                 std::size_t known_size = 0);

/// Appends to `out`; nothing for a null database. False when there is no memory.
bool serialise(const hs_database_t* database, std::string& out);
/// Null when empty, damaged, of another Hyperscan, or of a CPU that this one cannot stand for.
HsDatabase deserialise(std::string_view bytes);

/// Why a regex does not compile; empty when it does. `width`: least bytes that it matches.
std::string regex_error(const std::string& regex, unsigned& width);

/// The first, longest piece of `text` that `regex` matches; empty when none. Compiles: slow.
std::string regex_match(const std::string& regex, std::string_view text);

}  // namespace bounced::classify
