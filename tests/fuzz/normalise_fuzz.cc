// The normaliser on any bytes: valid UTF-8, no blanks to spare, N(N(x)) = N(x).
// fuzz-libs: bounced_classify bounced_base
#include <unistr.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "classify/normalise.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using bounced::classify::Normalised;
  using bounced::classify::Normaliser;
  static Normaliser normaliser{bounced::classify::SendingIps({"192.0.2.7", "2001:db8::7"})};
  if (size > 16'384) return 0;
  // The first byte chooses whether the log told the reply code, too.
  const std::uint16_t code = size > 0 && (data[0] & 1) != 0 ? 550 : 0;
  Normalised out;
  normaliser.run({reinterpret_cast<const char*>(data), size}, code, out);
  const std::string once(out.text);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(once.data());
  if (u8_check(bytes, once.size()) != nullptr) std::abort();
  if (once.find("  ") != std::string::npos || once.find('\\') != std::string::npos) std::abort();
  if (!once.empty() && (once.front() == ' ' || once.back() == ' ')) std::abort();
  normaliser.run(once, code, out);
  if (out.text != once) std::abort();
  return 0;
}
