// One HTTP request to somebody else, for commands: blocking, one connection, no redirects.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bounced/result.h"

namespace bounced::net {

struct HttpCall {
  std::string method = "POST";
  std::string url;  ///< http:// or https://
  std::vector<std::pair<std::string, std::string>> headers;
  std::string_view body;
  std::int64_t timeout_us = 15'000'000;
  std::string ca_file;       ///< PEM; empty = the system's
  bool check_server = true;  ///< false: any certificate will do
  std::size_t answer_bytes_max = std::size_t{1} << 20;
};
struct HttpReply {
  unsigned status = 0;
  std::string body;
};
/// Errors: usage (the URL), io (no connection, no answer in time, TLS).
Result<HttpReply> call(const HttpCall& call);

}  // namespace bounced::net
