// Names: dictionaries text <-> u32, persisted with the cut that used them first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"

namespace bounced::store {

class Store;
class WriteSet;

/// Number of a dictionary; stored.
enum class Dictionary : std::uint8_t {
  source,
  domain,
  campaign,
  tenant,
  stream,
  cause,
  rule,
  actor
};
inline constexpr std::size_t kDictionaries = 8;

/// Ids start at 1 and are gap-free; 0 = none. One thread calls intern() and append_to(); text()
/// and find_published() may be called from any thread at any time.
class Names {
 public:
  Names();
  ~Names();
  /// Loads all dictionaries.
  Result<void> load(const Store& store);
  std::uint32_t intern(Dictionary dictionary, std::string_view text);
  /// 0 when unknown. Only from the interning thread.
  [[nodiscard]] std::uint32_t find(Dictionary dictionary, std::string_view text) const;
  /// Empty for 0 and unknown ids. Any thread.
  [[nodiscard]] std::string_view text(Dictionary dictionary, std::uint32_t id) const;
  [[nodiscard]] std::uint32_t size(Dictionary dictionary) const;
  /// The texts of ids 1, 2, ...
  [[nodiscard]] std::vector<std::string> all(Dictionary dictionary) const;
  /// Names interned since the last call.
  void append_to(WriteSet& set);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bounced::store
