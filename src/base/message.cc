#include "base/message.h"

#include "base/hash.h"
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
  const std::uint64_t hash = hash64(message_id, kSeedMessageId);
  return hash == 0 ? 1 : hash;
}

}  // namespace bounced
