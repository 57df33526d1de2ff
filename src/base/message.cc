#include "base/message.h"

#include "base/hash_inline.h"
#include "base/text.h"

namespace bounced {
namespace {

constexpr std::uint64_t kSeedMessageId = 0x6D65737361676569ull;

}  // namespace

std::uint64_t message_fingerprint(std::string_view message_id) {
  message_id = trim(message_id);
  if (message_id.size() > 2 && message_id.front() == '<' && message_id.back() == '>') {
    message_id = message_id.substr(1, message_id.size() - 2);
  }
  return message_fingerprint_inside(message_id);
}

std::uint64_t message_fingerprint_inside(std::string_view inside) {
  const std::uint64_t hash = hash64_inline(inside.data(), inside.size(), kSeedMessageId);
  return hash == 0 ? 1 : hash;
}

}  // namespace bounced
